"""How fast the bit-true kernels of the units are, and how far matrix products through them are from a BLAS.

Usage: python benchmarks/units.py [--scale FACTOR]

Two tables, single-threaded (set OMP_NUM_THREADS=1 for the BLAS): a unit's stream in millions of beats a
second, as the conformance tests run it; and matrix products onto an accumulator in billions of
multiply-accumulates a second, with ``of sgemm`` the share of numpy's float32 product in the same run.
Operands are seeded random numbers of about the size of 1; a tensor of real training is no faster or
slower, because no loop looks at the values.
"""

from __future__ import annotations

import argparse
import pkgutil
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

import siloom.sim.units
from siloom.sim.contract import FP32, Codes, Float, Unit, Whole
from siloom.sim.units.floats import layout
from siloom.sim.units.fp_gemm import decoded, encoded, fp_gemm, fp_gemm_values, gemm_codes
from siloom.sim.units.fp_mac import FpMac

REPEATS = 5
"""The best of so many runs is shown: the others were disturbed by other work on the computer."""

PRODUCTS = (
    ("fp8_e4m3", 8, 23),
    ("bf16", 8, 23),
    ("fp16", 8, 23),
    ("fp8_e4m3", 5, 10),
    ("fp8_e4m3", 8, 13),
    ("fp16", 5, 10),
    ("bf16", 8, 7),
)
"""Format of both factors; the accumulator's exponent and mantissa bits."""


def best_seconds(run: Callable[[], object]) -> float:
    """CPU time, the best of some runs after one that warms up."""
    run()
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def random_beats(rng: np.random.Generator, beats: int, forms: tuple[Float | Whole, ...]) -> Codes:
    """Codes drawn evenly, (beats, columns)."""
    full = np.iinfo(np.int64)
    columns = []
    for form in forms:
        low, high = (form.low, form.high) if isinstance(form, Whole) else (0, (1 << form.bits) - 1)
        columns.append(rng.integers(max(low, full.min), min(high, full.max), beats, endpoint=True))
    return np.stack(columns, axis=1)


def every_unit() -> list[Unit[Any]]:
    """All units, found by folder."""
    modules = (import_module(f"siloom.sim.units.{m.name}") for m in pkgutil.iter_modules(siloom.sim.units.__path__))
    return [module.UNIT for module in modules if hasattr(module, "UNIT")]


def streams(rng: np.random.Generator, scale: float) -> None:
    """Print the rate of every unit's first and default size, beside numpy's float32 product."""
    a, b = rng.standard_normal((2, 1024, 1024)).astype(np.float32)
    mac = best_seconds(partial(np.matmul, a, b)) / 1024**3
    print(f"numpy sgemm: {1e-9 / mac:.1f} G multiply-accumulates a second; of sgemm: a beat's time over one of those")
    print(f"{'unit':<62} {'M beats/s':>10} {'of sgemm':>9}")
    for unit in every_unit():
        for size in unit.sizes[:2]:
            contract = unit.contract(size)
            beats = max(100, int(1_000_000 * scale) // contract.inputs.columns)
            offered = random_beats(rng, beats, contract.inputs.formats)
            if contract.legal is not None:
                offered = contract.legal(offered)
            each = best_seconds(partial(contract.function, offered)) / beats
            ports = ", ".join(
                f"{p.name} {f'{p.lanes} x ' if p.lanes > 1 else ''}{p.format}" for p in contract.inputs.ports
            )
            print(f"{f'{unit.name}: {ports}'[:62]:<62} {1e-6 / each:>10.2f} {each / mac:>9.0f}", flush=True)


def products(rng: np.random.Generator, scale: float) -> None:
    """Print the rate of matrix products onto every accumulator of the list."""
    m, k, n = int(256 * scale), 512, 512
    a, b = rng.standard_normal((m, k)).astype(np.float32), rng.standard_normal((k, n)).astype(np.float32)
    yardstick = best_seconds(partial(np.matmul, a, b))
    print(f"\nproducts of {m} x {k} x {n}; numpy sgemm: {m * k * n / yardstick / 1e9:.1f} G multiply-accumulates/s")
    print(f"{'factors -> sum':<22} {'codes':>8} {'numbers':>8} {'of sgemm':>9} {'chunks':>8} {'integers':>9}")
    for name, exponent_bits, mantissa_bits in PRODUCTS:
        size = FpMac(a_format=name, b_format=name, acc_exponent_bits=exponent_bits, acc_mantissa_bits=mantissa_bits)
        x, y = encoded(a, size.a), encoded(b, size.b)
        u, v = decoded(size.a)[x], decoded(size.b)[y]
        few, fewer = (np.ascontiguousarray(part)[None] for part in (x[:4], y[:, :64]))
        form, onto = layout(size.a), layout(size.accumulator)
        seconds = [
            best_seconds(partial(fp_gemm, x, y, size)),
            best_seconds(partial(fp_gemm_values, u, v, size)),
            best_seconds(partial(fp_gemm_values, u, v, size, chunk=128)),
            best_seconds(partial(gemm_codes, few, fewer, form, form, onto, layout(FP32), 0, False)),
        ]
        by_codes, by_numbers, by_chunks = (m * k * n / s / 1e9 for s in seconds[:3])
        integers = 4 * k * 64 / seconds[3] / 1e9
        print(
            f"{f'{name} -> {size.accumulator}':<22} {by_codes:>8.2f} {by_numbers:>8.2f} "
            f"{yardstick / seconds[1]:>9.1%} {by_chunks:>8.2f} {integers:>9.3f}",
            flush=True,
        )


def main() -> None:
    """Measure everything and print both tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="work done, 1 = as published (default)")
    scale = parser.parse_args().scale
    rng = np.random.default_rng(0)
    streams(rng, scale)
    products(rng, scale)


if __name__ == "__main__":
    main()
