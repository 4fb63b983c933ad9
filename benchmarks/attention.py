"""How fast the units and engines of the attention accelerators are, and a whole layer on each.

Usage: python benchmarks/attention.py [--scale FACTOR] [--rounds N]

First the units' kernels, in millions of what they do a second, with ``of sgemm``: the time of one such thing over that
of one multiply-accumulate of numpy's float32 product in the same run, whatever the computer. Then one
BERT-large layer's attention (16 heads, 512 tokens, 64 elements), operands given and output returned, warm; and the
part of it that counts cycles, in millions of items and stages a second. One thread; the best of some rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from siloom.models.registry import machines
from siloom.sim.engine.candidate_queues import scan_and_work
from siloom.sim.engine.pipeline import run_pipeline
from siloom.sim.ops import Attention
from siloom.sim.units.candidate_select import bound_code, candidates
from siloom.sim.units.exp_float import ExpFloat, exp_float_codes
from siloom.sim.units.exp_sanger import ExpSanger, exp_sanger_stream, step_table
from siloom.sim.units.hamming import cosine_table, distances
from siloom.sim.units.int4_predictor import predicted_scores, shared_scale
from siloom.sim.units.norm import norms
from siloom.sim.units.pack_split import sub_row_counts
from siloom.sim.units.srp_hash import SrpHash, srp_hash_vectors
from siloom.sim.units.weighted_mean import weighted_means
from siloom.sim.units.weighted_sum import weighted_sums

SEQ, HEADS, DIM = 512, 16, 64


def best_seconds(run: Callable[[], object], rounds: int) -> float:
    """CPU time, the best of some rounds after one that warms up."""
    run()
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def units(scale: float, rounds: int) -> None:
    """Print the rate of each unit's kernel."""
    rng = np.random.default_rng(0)
    n = int(2048 * scale)
    a, b = rng.standard_normal((2, 1024, 1024)).astype(np.float32)
    mac = best_seconds(lambda: a @ b, rounds) / 1024**3
    x = rng.integers(-255, 256, (n, DIM)).astype(np.int32)
    unit = SrpHash()
    hashes = srp_hash_vectors(x, *unit.factors)
    lengths, table = norms(x, 16), cosine_table(64, 0.127, 7)
    distance = distances(hashes, hashes)
    scores = rng.integers(-(2**14), 2**14, (n, n))
    q, k = rng.standard_normal((2, n, DIM)).astype(np.float32)
    kept = rng.random((n, n)) < 0.15
    weights = rng.random((n, n)).astype(np.float32)
    powers = rng.integers(0, 2**32, (n, n))
    exp = ExpSanger()
    exp_table = step_table(exp.fraction, exp.table_bits, exp.append)
    codes = rng.integers(0, 10 << exp.fraction, n * n)
    chosen = int(kept.sum())
    rows: tuple[tuple[str, str, float, Callable[[], object]], ...] = (
        ("srp_hash", "hash bits", n * DIM, lambda: srp_hash_vectors(x, *unit.factors)),
        ("hamming", "pairs", n * n, lambda: distances(hashes, hashes)),
        ("norm", "elements", n * DIM, lambda: norms(x, 16)),
        ("candidate_select", "pairs", n * n, lambda: candidates(distance, lengths, table, bound_code(0.3, 2000, 7))),
        ("exp_float", "powers", n * n, lambda: exp_float_codes(scores, ExpFloat())),
        ("weighted_sum", "multiply-adds", chosen * DIM, lambda: weighted_sums(weights, q, kept, 4)),
        ("int4_predictor", "products", n * n * DIM,
         lambda: predicted_scores(q, k, shared_scale(q, 4), shared_scale(k, 4), 4)),
        ("exp_sanger", "powers", n * n, lambda: exp_sanger_stream(codes, 32, 16, exp_table, 6, 4)),
        ("pack_split", "mask bits", n * n, lambda: sub_row_counts(kept, 64, 16)),
        ("weighted_mean", "multiply-adds", chosen * DIM, lambda: weighted_means(powers, x.astype(np.int64), kept)),
    )  # fmt: skip
    print(f"numpy sgemm: {1e-9 / mac:.1f} G multiply-accumulates a second")
    print(f"{'unit':<18} {'of what':<14} {'M a second':>11} {'of sgemm':>9}")
    for name, what, count, run in rows:
        each = best_seconds(run, rounds) / count
        print(f"{name:<18} {what:<14} {1e-6 / each:>11.0f} {each / mac:>9.1f}", flush=True)


def engines(rounds: int) -> None:
    """Print the rate of the parts that count cycles."""
    rng = np.random.default_rng(0)
    flags = rng.random((SEQ * HEADS, SEQ)) < 0.3
    flags[:, 0] = True
    rescued = np.zeros(len(flags), np.bool_)
    ends, counts = np.zeros(len(flags), np.int64), np.zeros((len(flags), 4), np.int64)
    # A bank's step is an item in one stage, a candidate one in another.
    items = flags.size // 8 + int(flags.sum())
    spent = best_seconds(lambda: scan_and_work(flags, rescued, (4, 8, 16, 16), (3, 4), (3, 12), ends, counts), rounds)
    rate, keys = items / spent / 1e6, flags.size / spent / 1e6
    print(f"\ncandidate_queues: {rate:.0f} M items and stages a second ({keys:.0f} M keys)")
    service = rng.integers(1, 100, (200_000, 5))
    spent = best_seconds(lambda: run_pipeline(service, np.full(4, 2)), rounds)
    print(f"pipeline: {service.size / spent / 1e6:.0f} M items and stages a second")


def layers(rounds: int) -> None:
    """Print the time of a layer on every machine that is driven by values."""
    drawn = Attention(seq=SEQ, heads=HEADS, dim=DIM).operands()
    op = Attention(seq=SEQ, heads=HEADS, dim=DIM, q=drawn.q, k=drawn.k, v=drawn.v)
    print(f"\n{'machine':<18} {'seconds a layer':>16} {'cycles':>10}")
    for known in machines():
        made = known.make()
        if known.name != made.name or made.kind != "accelerator" or not made.supports(op):
            continue
        result = made.run(op, values=True)
        if result.values is not None:
            spent = best_seconds(partial(made.run, op, values=True), rounds)
            print(f"{known.name:<18} {spent:>16.2f} {result.cycles or 0:>10,}", flush=True)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="size of the units' operands")
    parser.add_argument("--rounds", type=int, default=5, help="the best of so many is shown")
    given = parser.parse_args()
    units(given.scale, given.rounds)
    engines(given.rounds)
    layers(given.rounds)


if __name__ == "__main__":
    main()
