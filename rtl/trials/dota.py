"""Trials of a lane of DOTA: drawn, real and random heads, causal ones, several in a row, and stalled neighbours.

Results and cycles are those of ``siloom run dota:lanes=1,memory=ideal,...``, but that a head's operands come through a
port which brings a vector of each kind a cycle. Where neighbours stall beyond that only bits are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from siloom.models._attention import Port as Loads
from siloom.models._dota_design import WIDE_BITS, DotaDesign
from siloom.models.dota import Dota
from siloom.rtl.cosim import Trial
from siloom.rtl.exchange import Drain, Feed, Plan
from siloom.rtl.hardware import Hardware
from siloom.rtl.machines._dota_size import LATENCY, MOST_SEQ, DotaSize
from siloom.rtl.trials._attention import drawn, real, wild
from siloom.sim.contract import FLAG, Port, Stream, Whole
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.fixed_point import to_codes
from siloom.sim.ops import Attention
from siloom.sim.selection.low_rank_scores import Side, calibrate
from siloom.sim.units.ternary_projection import ternary_matrix

_LANE = partial(DotaDesign, lanes=1, memory="ideal")


def buildable(design: DotaDesign) -> None:
    """Refuse what is no hardware, or none of this.

    Raises:
        InfeasibleError: naming field and limit.
    """

    def refuse(field: str, rule: object, value: object = None) -> None:
        value = getattr(design, field) if value is None else value
        raise InfeasibleError(f"dota: {field} must be {rule} to be built, got {value}")

    for field, only in (
        ("lanes", 1), ("memory", "ideal"), ("selection", "topk"), ("detector_rate", "all-pairs"),
        ("operand_bits", WIDE_BITS), ("tokens", WIDE_BITS // design.detector_bits),
    ):  # fmt: skip
        if getattr(design, field) != only:
            refuse(field, only)
    if design.latency_cycles < LATENCY:
        refuse("latency_cycles", f"at least {LATENCY}")
    for field in ("port_bytes", "array_rows", "array_columns", "select_lanes", "mfu_lanes"):
        value = getattr(design, field)
        if value & (value - 1):
            refuse(field, "a power of two")
    size = DotaSize(design)
    if size.dim < 4:
        refuse("port_bytes", "at least 8")
    if size.rank < 2 or size.rank & (size.rank - 1) or size.rank > design.pes:
        refuse("rank_share", f"such that the rank is a power of two, from 2 to {design.pes} PEs", size.rank)
    if not design.tokens <= design.pes <= design.tokens * size.dim:
        field = f"array_rows * array_columns must be from {design.tokens} to {design.tokens * size.dim}"
        raise InfeasibleError(f"dota: {field} to be built, got {design.pes}")
    if not design.tokens <= design.mfu_lanes <= 1024:
        refuse("mfu_lanes", f"from {design.tokens} to 1024")
    if not 2 <= design.select_lanes <= 64:
        refuse("select_lanes", "from 2 to 64")
    if not 2 <= design.rounds_ahead <= 64:
        refuse("rounds_ahead", "from 2 to 64")
    most = 4 * design.port_bytes * MOST_SEQ
    least = 4 * design.port_bytes * max(design.tokens, design.select_lanes)
    if not least <= design.sram_bytes <= most:
        refuse("sram_bytes", f"from {least} to {most}, for vectors of {design.port_bytes} bytes,")
    try:
        _ = size.projection, size.quantizer, size.low_rank, size.topk, size.scheduler
    except InputError as error:
        raise InfeasibleError(f"dota: {error}") from None


@dataclass(frozen=True)
class _Run:
    name: str
    op: Attention
    stalls: bool = False


def _runs(size: DotaSize, seed: int) -> Iterator[_Run]:
    seq, dim = size.seq, size.dim
    odd = max(2, 2 * seq // 3 + 1)
    yield _Run("drawn", drawn(seq, dim, seed))
    yield _Run("two heads, causal", drawn(odd, dim, seed + 1, heads=2, causal=True))
    yield _Run("three heads", drawn(seq, dim, seed + 2, heads=3))
    yield _Run("independent", wild(odd, dim, seed + 3, 1.5))
    yield _Run("wild", wild(seq, dim, seed + 4, 40.0))
    yield _Run("small", wild(odd, dim, seed + 5, 0.25))
    yield _Run("short", drawn(3, dim, seed + 6, heads=3))
    yield _Run("stalled", drawn(odd, dim, seed + 7, heads=4), stalls=True)
    op = real(seq, dim)
    if op is not None:
        yield _Run("real", op)
        yield _Run("real, stalled", op, stalls=True)


def trials(design: DotaDesign, seed: int) -> Sequence[Trial]:
    """All runs of a lane."""
    size = DotaSize(design)
    rng = np.random.default_rng([seed, size.seq, size.dim])
    return [_trial(size, run, rng) for run in _runs(size, seed)]


def load_cycles(size: DotaSize, seq: int) -> int:
    """Cycles of a head's operands: it is announced, then each stream brings a beat a cycle."""
    return 1 + max(seq, 2 * size.rank)


def _trial(size: DotaSize, run: _Run, rng: np.random.Generator) -> Trial:
    design, op = size.design, run.op
    whole = Dota(design).through(op, Loads(cycles=load_cycles(size, op.seq)))
    vector = Stream((Port("x", Whole(design.operand_bits), "elements", size.dim),))
    column = Stream((Port("w", Whole(size.bits), "codes", size.rank),))
    group = Stream((Port("x", Whole(design.operand_bits), "elements of all rows", size.tokens * size.dim),))
    heads = _head_stream(size)
    payloads: dict[str, list[int]] = {name: [] for name in ("head", "weights", "q", "k", "v")}
    answers: list[int] = []
    given = op.operands()
    matrix = ternary_matrix(size.dim, size.rank, design.seed)
    stride = slice(None, None, design.calibration_stride)
    for at in np.ndindex(op.batch, op.heads):
        codes = [to_codes(x[at], design.operand_bits, design.fraction_bits)[0] for x in (given.q, given.k, given.v)]
        detector = calibrate(
            codes[0][stride], codes[1][stride], matrix, size.bits, weights=design.weights, ranges=design.ranges
        )
        sides = (detector.key, detector.query)
        scales = [scale for side in sides for scale in _scales(size, side)]
        payloads["head"] += heads.pack(np.array([[op.seq, int(op.causal), design.keep(op.seq), *scales]], np.int64))
        for side in sides:
            payloads["weights"] += column.pack(np.ascontiguousarray(side.weights.T))
        for name, x in zip("qkv", codes, strict=True):
            payloads[name] += vector.pack(x.astype(np.int64))
        rows = np.zeros((-(-op.seq // size.tokens) * size.tokens, size.dim), np.int64)
        rows[: op.seq] = np.rint(whole.output[at].astype(np.float64) * (1 << design.fraction_bits))
        answers += group.pack(rows.reshape(-1, size.tokens * size.dim))
    bits = {"head": heads.bits, "weights": column.bits, "q": vector.bits, "k": vector.bits, "v": vector.bits}
    limit = 8 * whole.cycles + 3000
    plan = Plan(
        name=run.name,
        feeds={
            name: Feed(bits[name], beats, _idle(rng, len(beats)) if run.stalls else [0] * len(beats))
            for name, beats in payloads.items()
        },
        drains={"o": Drain(group.bits, len(answers), _ready(rng, limit) if run.stalls else ())},
        limit=limit,
        seed=int(rng.integers(2**31)),
    )
    return Trial(plan, {"o": answers}, None if run.stalls else whole.cycles)


def _head_stream(size: DotaSize) -> Stream:
    def scale(name: str, bits: int) -> Port:
        return Port(name, Whole(bits, signed=False), "a quantizer's scale")

    return Stream(
        (
            Port("seq", Whole(size.seq_bits, signed=False), "vectors"),
            Port("causal", FLAG, "1: no later keys"),
            Port("keep", Whole(size.keep.bit_length(), signed=False), "keys of a row"),
            scale("key_before", size.quantizer.scale_bits),
            scale("key_after", size.low_rank.scale_bits),
            scale("query_before", size.quantizer.scale_bits),
            scale("query_after", size.low_rank.scale_bits),
        )
    )


def _scales(size: DotaSize, side: Side) -> list[int]:
    """A side's scales before and after its weights, at the hardware's shifts."""
    found = []
    for (scale, shift), to, bits in (
        (side.before, size.before_shift, size.quantizer.scale_bits),
        (side.after, size.low_rank.shift, size.low_rank.scale_bits),
    ):
        fitted = scale << (to - shift) if scale else 0
        if fitted >> bits:
            raise InputError(f"dota: the detector's range needs a scale of more than {bits} bits")
        found.append(fitted)
    return found


def _idle(rng: np.random.Generator, beats: int) -> list[int]:
    """Mostly none, sometimes a few cycles, now and then many."""
    waits = np.where(rng.random(beats) < 0.9, rng.integers(0, 4, beats), rng.integers(0, 60, beats))
    return [int(wait) for wait in waits]


def _ready(rng: np.random.Generator, cycles: int) -> list[bool]:
    """Single cycles and long bursts of not being ready, long enough for results to fill their queue."""
    bursts = np.repeat(rng.random(cycles // 400 + 1) < 0.5, 400)[:cycles]
    return [bool(r) for r in (rng.random(cycles) < 0.5) & bursts]


_SIZES = (
    _LANE(
        array_rows=4, array_columns=2, port_bytes=16, sram_bytes=1024, select_lanes=4, mfu_lanes=8, retention=0.25,
        rounds_ahead=2,
    ),
    _LANE(array_rows=8, array_columns=8, port_bytes=32, sram_bytes=8192, select_lanes=4, retention=0.15),
    _LANE(array_rows=8, array_columns=8, port_bytes=128, sram_bytes=65536, select_lanes=2),
)  # fmt: skip

HARDWARE = Hardware(
    name="dota",
    summary="a lane of DOTA: detected scores, the best keys of a row, and rounds of keys for a group of queries",
    base=_SIZES[-1],
    sizes=_SIZES,
    trials=trials,
    bound=0.0,
    buildable=buildable,
)
