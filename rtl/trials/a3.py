"""Trials of A3: whole heads, drawn and real, with and without search and post-scoring, alone, in a row and stalled.

Results and cycles are those that ``siloom run a3:copies=1,memory=ideal,...`` gives for the same operands. Where
neighbours stall, only bits are compared: the model knows of no stalls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from siloom.models._a3_design import A3Design, row_bits
from siloom.models._a3_units import EXPONENT_READS, A3Units
from siloom.models.a3 import A3
from siloom.rtl.cosim import Trial
from siloom.rtl.exchange import Drain, Feed, Plan
from siloom.rtl.hardware import Hardware
from siloom.rtl.trials._attention import drawn, idle, ready, real, wild
from siloom.sim.contract import FLAG, Codes, Port, Stream, Whole
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.fixed_point import Codes32, to_codes
from siloom.sim.ops import Attention
from siloom.sim.units.greedy_search import sorted_ends

_PIPELINE = partial(A3Design, copies=1, memory="ideal")
_LEAST_DEPTH, _MOST_DEPTH = EXPONENT_READS + 1, EXPONENT_READS + 8
_MOST_KEYS, _MOST_LANES = 1024, 256


def _buildable(design: A3Design) -> None:
    for field, only in (("copies", 1), ("memory", "ideal"), ("sorters", 0)):
        if (value := getattr(design, field)) != only:
            raise InfeasibleError(f"a3: {field} must be {only} in hardware, got {value}")
    least = {"keys": 2, "lanes": 2, "search_fill_cycles": 1, "module_depth_cycles": _LEAST_DEPTH}
    most = {"keys": _MOST_KEYS, "lanes": _MOST_LANES, "buffered_queries": 16, "module_depth_cycles": _MOST_DEPTH}
    for field, limit in least.items():
        if (value := getattr(design, field)) < limit:
            raise InfeasibleError(f"a3: {field} must be at least {limit} in hardware, got {value}")
    for field, limit in most.items():
        if (value := getattr(design, field)) > limit:
            raise InfeasibleError(f"a3: {field} must be at most {limit} in hardware, got {value}")
    if design.scan_width & (design.scan_width - 1):
        raise InfeasibleError(f"a3: scan_width must be a power of two in hardware, got {design.scan_width}")
    units = A3Units(design)
    try:
        _ = units.product, units.power, units.share
        if design.post_threshold_percent:
            _ = units.post
        if design.iterations_share:
            _ = units.search
    except InputError as error:
        raise InfeasibleError(f"a3: {error}") from None


@dataclass(frozen=True)
class _Run:
    """Heads one after another."""

    name: str
    op: Attention
    stalls: bool = False


def _runs(design: A3Design, seed: int) -> Iterator[_Run]:
    seq, dim = design.keys, design.lanes
    odd = 2 * seq // 3 + 1
    yield _Run("drawn", drawn(seq, dim, seed))
    yield _Run("two heads, causal", drawn(odd, dim, seed + 1, heads=2, causal=True))
    yield _Run("independent", wild(seq, dim, seed + 2, 1.5))
    yield _Run("wild", wild(odd, dim, seed + 3, 12.0))
    yield _Run("alike", wild(seq, dim, seed + 4, 0.1))
    yield _Run("no candidates", _opposed(seq, dim, seed + 5))
    yield _Run("two short heads", drawn(2, dim, seed + 6, heads=2))
    yield _Run("stalled", drawn(odd, dim, seed + 7, heads=2, causal=True), stalls=True)
    for first in (0, 4):
        op = real(seq, dim, first)
        if op is not None:
            yield _Run(f"real, from head {first}", op)
            yield _Run(f"real, from head {first}, stalled", op, stalls=True)


def _opposed(seq: int, dim: int, seed: int) -> Attention:
    """A causal head in which most queries have no product above zero, and early ones only keys that are far below."""
    q, k, v = (np.random.default_rng(seed).standard_normal((3, 1, 1, seq, dim)) * 1.5).astype(np.float32)
    q, k = np.abs(q), -np.abs(k)
    q[..., ::4, :] *= -1
    k[..., : seq // 3, :] *= 3
    return Attention(seq=seq, heads=1, dim=dim, causal=True, q=q, k=k, v=v)


def _trials(design: A3Design, seed: int) -> Sequence[Trial]:
    rng = np.random.default_rng([seed, design.keys, design.lanes])
    return [_trial(design, run, rng) for run in _runs(design, seed)]


def _trial(design: A3Design, run: _Run, rng: np.random.Generator) -> Trial:
    op = run.op
    result = A3(design).run(op, values=True)
    bits, fraction, dim = design.operand_bits, design.fraction_bits, op.dim
    row = Stream((Port("row", Whole(bits), "elements", dim),))
    place = _place_stream(design)
    given = op.operands()
    rows: dict[str, list[int]] = {"q": [], "k": [], "v": []}
    ends: list[int] = []
    for at in np.ndindex(op.batch, op.heads):
        for name, x in (("q", given.q), ("k", given.k), ("v", given.v)):
            rows[name] += row.pack(to_codes(x[at], bits, fraction)[0].astype(np.int64))
        ends += place.pack(_places(design, to_codes(given.k[at], bits, fraction)[0]))
    head = _head_stream(design)
    announced = [op.seq, op.causal, *([design.iterations(op.seq)] if design.iterations_share else ())]
    feeds = {"head": (head.bits, head.pack(np.tile(np.array(announced, np.int64), (op.batch * op.heads, 1))))}
    feeds |= {name: (row.bits, payloads) for name, payloads in rows.items()}
    if design.iterations_share:
        feeds["ends"] = (place.bits, ends)
    codes = np.rint(np.asarray(result.values) * (1 << fraction)).astype(np.int64).reshape(-1, dim)
    answers = row.pack(codes)
    limit = 8 * (result.cycles or 0) + 2000
    plan = Plan(
        name=run.name,
        feeds={
            name: Feed(width, payloads, idle(rng, len(payloads)) if run.stalls else [0] * len(payloads))
            for name, (width, payloads) in feeds.items()
        },
        drains={"o": Drain(row.bits, len(answers), ready(rng, limit) if run.stalls else ())},
        limit=limit,
        seed=int(rng.integers(2**31)),
    )
    return Trial(plan, {"o": answers}, None if run.stalls else result.cycles)


def _head_stream(design: A3Design) -> Stream:
    ports = [Port("seq", Whole(design.keys.bit_length(), signed=False), "rows"), Port("causal", FLAG, "no later keys")]
    if most := design.iterations(design.keys):
        ports.append(Port("iterations", Whole(most.bit_length(), signed=False), "of a query"))
    return Stream(tuple(ports))


def _place_stream(design: A3Design) -> Stream:
    return Stream(
        (
            Port("value", Whole(design.operand_bits), "by column", design.lanes),
            Port("row", Whole(row_bits(design.keys), signed=False), "that it is from", design.lanes),
        )
    )


def _places(design: A3Design, k: Codes32) -> Codes:
    """All places of the sorted columns of k that a search reaches, the low ends' first."""
    depth = min(len(k), design.iterations(len(k)))
    low, low_row, high, high_row = (x.T.astype(np.int64) for x in sorted_ends(k, depth))
    return np.concatenate([np.hstack([low, low_row]), np.hstack([high, high_row])])


_BASE = partial(_PIPELINE, iterations_share=0.0, post_threshold_percent=0.0)

HARDWARE = Hardware(
    name="a3",
    summary="one pipeline of A3: attention over keys that a greedy search finds",
    base=_PIPELINE(keys=128, lanes=64),
    sizes=(
        _PIPELINE(
            keys=12, lanes=4, scan_width=4, operand_bits=6, fraction_bits=3, weight_fraction_bits=8,
            module_depth_cycles=6, search_fill_cycles=2,
        ),
        _BASE(keys=24, lanes=8, weight_fraction_bits=16),
        _PIPELINE(
            keys=40, lanes=12, iterations_share=0.25, post_threshold_percent=10.0, refinement="drop", scan_width=8,
            buffered_queries=1, module_depth_cycles=11,
        ),
        _PIPELINE(keys=64, lanes=32, iterations_share=1.0, post_threshold_percent=0.0, refinement="off"),
        _BASE(keys=128, lanes=64),
        _PIPELINE(keys=128, lanes=64),
    ),
    trials=_trials,
    bound=0.0,
    buildable=_buildable,
)  # fmt: skip
