"""DOTA (Qu et al., ASPLOS 2022): a learnt low-rank detector finds weak scores, and groups of queries share strong ones.

A head's queries and keys go through a fixed ternary projection and learnt low-rank weights at 4 or 2 bits; the product
of the two says which scores matter (:mod:`siloom.models._dota_detector`). Each row keeps its ``r`` best keys,
``r = ceil(retention * n)``, or all above a threshold. ``tokens`` rows at a time then work on their keys together,
out of order, so that a key that several rows keep is fetched once (``sim/units/token_scheduler.py``). Scores are
computed in FX16, dequantised for scale and softmax in FP32, and quantised to FX16 before they meet V.

Times. Groups of rows are dealt to ``lanes`` in turn. In a lane one array, the RMMU, does detection, scores and values
of its groups in a fixed order while selection, scheduling and softmax go on beside it; the rounds of every group
come from its own mask: :mod:`siloom.sim.engine.token_groups`. A head begins when the one before has left
all lanes, because its K~ has to be there, made in equal shares by the lanes. The next head's operands are fetched
meanwhile: :mod:`siloom.sim.engine.pipeline`.

Arithmetic. A score's code is rounded to FP32, times the scale in FP32; exponentials are those of double precision,
rounded to FP32; a row's sum is taken in FP32 in rising order of keys; quotients are FP32, rounded to a signed
number of ``operand_bits`` with all but the sign behind the point. The product with V is exact and rounded, half to even
and cut off symmetrically, to V's own format.

Where the paper, which was not at hand, is silent: the array is taken to be filled by products of any shape; each query
of a group has an equal share of its PEs; the scheduler keeps up with it; lanes exchange K~ at no cost; K and V of a
head lie in every lane's memory; of causal scores those behind a group's last query are not computed, and rows with
fewer than r keys keep all.
What is recalled and what assumed stands with each field.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.models._attention import (
    Codes32,
    Head,
    HeadRun,
    Phases,
    Port,
    Whole,
    attention_result,
    exact_products,
    pins_bytes_per_s,
    pipelined,
    require_attention,
    run_heads,
    supports_attention,
    to_codes,
    with_dram,
)
from siloom.models._dota_detector import RANGES, WEIGHTS, calibrate
from siloom.sim.approximation import Mask
from siloom.sim.cost import arithmetic, dram_energy, sram
from siloom.sim.design import Design, parameter
from siloom.sim.drawn_attention import Reals32
from siloom.sim.engine.token_groups import VISIT_CAUSES, WAIT_CAUSES, owner_bitmaps, share_array, visit_groups
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine
from siloom.sim.memory import PARTS, stream_bytes_per_s
from siloom.sim.ops import Attention, Operation
from siloom.sim.result import Result
from siloom.sim.units.multi_precision_mul import MultiPrecisionMul, rate_factor
from siloom.sim.units.row_topk import top_of_rows
from siloom.sim.units.ternary_projection import ternary_matrix
from siloom.sim.units.token_scheduler import MAX_TOKENS, buffer_order

_PAPER = "Qu et al., DOTA, ASPLOS 2022"
_NOTE = _PAPER + " (from a reading note)"
_SILENT = "the paper was not at hand"
_CHOICE = "free choice of the user"
_WIDE_BITS = MultiPrecisionMul().wide_bits
"""Operands of a PE's multiplier whole: FX16."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DotaDesign(Design):
    """The choices that define one DOTA.

    Raises (when made):
        InputError: a field out of its range, detector_bits that the array has no mode for, more keys a round than rows,
            or a threshold that is no whole number.
    """

    clock_hz: float = parameter(1.0e9, unit="Hz", source=_PAPER, status="recalled", low=1e6, high=1e10)
    lanes: int = parameter(4, unit="lanes", source=_PAPER, status="recalled", low=1, high=4096)
    array_rows: int = parameter(32, unit="PEs", source=_PAPER + "; not sure", status="recalled", low=1, high=4096)
    array_columns: int = parameter(16, unit="PEs", source=_PAPER + "; not sure", status="recalled", low=1, high=4096)
    tokens: int = parameter(4, unit="queries/group", source=_PAPER, status="recalled", low=1, high=MAX_TOKENS)
    scheduler: str = parameter(
        "out_of_order",
        unit="",
        source=_PAPER + "; in_order is the null version",
        status="recalled",
        choices=("out_of_order", "in_order"),
    )
    keys_per_round: int = parameter(
        4, unit="keys", source="of a group at work at once; " + _SILENT, status="assumed", low=1, high=MAX_TOKENS
    )
    port_bytes: int = parameter(
        256,
        unit="B/cycle",
        source="of keys or values into a lane's array: what fills it where all queries of a group share their keys, "
        "32 * 16 PEs / 4 queries * 2 B",
        status="assumed",
        low=1,
        high=2**20,
    )
    rounds_ahead: int = parameter(4, unit="rounds fetched", source=_SILENT, status="assumed", low=1, high=4096)
    selection: str = parameter(
        "topk",
        unit="",
        source=_PAPER + "; threshold: rows may differ",
        status="recalled",
        choices=("topk", "threshold"),
    )
    retention: float = parameter(
        0.1,
        unit="",
        source="share of keys that a row keeps; " + _PAPER + ": about 0.03 to 0.2",
        status="recalled",
        low=1e-6,
        high=1.0,
    )
    threshold: str = parameter(
        "auto",
        unit="",
        source="of S~, where selection is threshold. auto: learnt for retention on each head's own scores; "
        "or a whole number",
        status="assumed",
    )
    detector_bits: int = parameter(4, unit="bit", source=_PAPER + ": 2 or 4", status="recalled", low=2, high=8)
    rank_share: float = parameter(
        0.25, unit="", source="rank of the detector over dim; " + _PAPER, status="recalled", low=1e-3, high=1.0
    )
    weights: str = parameter(
        WEIGHTS[0],
        unit="",
        source="stands in for the paper's training; identity is the null version",
        status="assumed",
        choices=WEIGHTS,
    )
    ranges: str = parameter(
        RANGES[0],
        unit="",
        source="what quantizers take to their highest code: the largest number, or of least error",
        status="assumed",
        choices=RANGES,
    )
    calibration_stride: int = parameter(
        1, unit="tokens", source="the detector is learnt on every so manyth", status="assumed", low=1, high=1024
    )
    detector_rate: str = parameter(
        "all-pairs",
        unit="",
        source="products of low precision a cycle: (16/bits)^2 of all pairs, or 16/bits; which one is unchecked",
        status="assumed",
        choices=("all-pairs", "own-pairs"),
    )
    select_lanes: int = parameter(16, unit="scores/cycle and row", source=_SILENT, status="assumed", low=1, high=4096)
    mfu_lanes: int = parameter(
        16, unit="", source="exponentials, and quotients, a cycle; " + _SILENT, status="assumed", low=1, high=4096
    )
    latency_cycles: int = parameter(
        10, unit="cycles", source="from the array to the unit behind; " + _SILENT, status="assumed", low=0, high=1000
    )
    operand_bits: int = parameter(16, unit="bit", source=_NOTE, low=4, high=16)
    fraction_bits: int = parameter(8, unit="bit", source=_SILENT, status="assumed", low=0, high=15)
    seed: int = parameter(0, unit="", source="of the projection", status="assumed", low=0, high=2**63 - 1)
    sram_bytes: int = parameter(
        655_360, unit="B/lane", source=_PAPER + "; not sure", status="recalled", low=1024, high=2**33
    )
    memory: str = parameter("hbm2-2.0", unit="", source=_SILENT, status="assumed", choices=("ideal", *PARTS))
    memory_channels: int = parameter(1, unit="parts", source=_SILENT, status="assumed", low=1, high=1024)
    node_nm: float = parameter(22.0, unit="nm", source=_PAPER, status="recalled", low=7.0, high=130.0)

    def __post_init__(self) -> None:
        """Check what fields must hold together."""
        super().__post_init__()
        if self.detector_bits not in (2, 4, 8):
            raise InputError(f"dota: detector_bits must be 2, 4 or 8, got {self.detector_bits}")
        if self.keys_per_round > self.tokens:
            raise InputError(f"dota: keys_per_round must be at most tokens, {self.tokens}, got {self.keys_per_round}")
        if self.fraction_bits >= self.operand_bits:
            raise InputError(f"dota: fraction_bits must be below operand_bits, got {self.fraction_bits}")
        self.given_threshold()

    def given_threshold(self) -> int | None:
        """The threshold set by hand, None where it is learnt."""
        if self.threshold == "auto":
            return None
        try:
            number = int(self.threshold) if len(self.threshold) < 10 else None
        except ValueError:
            number = None
        if number is None:
            raise InputError(f"dota: threshold must be auto or a whole number of 9 digits, got {self.threshold[:40]!r}")
        return number

    @property
    def pes(self) -> int:
        """FX16 multiply-accumulators of a lane."""
        return self.array_rows * self.array_columns

    @property
    def rate(self) -> int:
        """Low-precision products that a PE does a cycle."""
        return rate_factor(_WIDE_BITS, self.detector_bits, self.detector_rate == "all-pairs")

    def rank(self, dim: int) -> int:
        """Length of Q~ and K~."""
        return max(1, round(self.rank_share * dim))

    def keep(self, seq: int) -> int:
        """Keys that a row keeps of so many: ``ceil(retention * seq)``, 0.07 of 100 being 7."""
        return min(seq, max(1, math.ceil(round(self.retention * seq, 9))))

    @property
    def bytes_per_s(self) -> float:
        """Sustained rate of the memory."""
        return math.inf if self.memory == "ideal" else stream_bytes_per_s(self.memory, channels=self.memory_channels)


class Dota(Machine):
    """Attention at scores that a learnt detector finds strong."""

    name = "dota"
    kind = "accelerator"
    summary = "attention at the scores a low-rank detector finds strong, token-parallel and out of order (DOTA, 2022)"
    operations = (Attention,)
    design_type = DotaDesign
    design: DotaDesign

    def supports(self, op: Operation) -> bool:
        """Attention's forward pass."""
        return supports_attention(op)

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Run attention on its operands; ``values``: the output that the hardware would give.

        Raises:
            InputError: another operation.
        """
        op, design = require_attention(self.label, op), self.design
        moved = head_bytes(design, op)
        port = Port.of(design.memory, design.memory_channels, sum(moved.values()), design.clock_hz)
        whole = run_heads(op, op.operands(), self._head, pipelined(port))
        traffic = {name: each * whole.heads for name, each in moved.items()}
        traffic = with_dram(traffic, traffic["o"])
        vector = _vector_bytes(design, op.dim)
        traffic |= dict.fromkeys(("k_sram_read", "v_sram_read"), whole.events["fetches"] * vector)
        return attention_result(
            self.label,
            op,
            design,
            whole,
            clock_hz=design.clock_hz,
            precision=(f"int{design.operand_bits}", f"int{design.detector_bits}", "fp32"),
            peak_multiplies_per_cycle=design.lanes * design.pes * design.rate,
            bytes_per_s=pins_bytes_per_s(design.memory, design.memory_channels),
            energy=energy_parts(design, op, whole, traffic["dram_read"] + traffic["dram_write"]),
            area=area_parts(design),
            traffic=traffic,
            notes=_notes(design),
            values=values,
        )

    def _head(self, head: Head) -> HeadRun:
        design = self.design
        seq, dim = head.q.shape
        (q, q_cut), (k, k_cut), (v, v_cut) = (
            to_codes(x, design.operand_bits, design.fraction_bits) for x in (head.q, head.k, head.v)
        )
        kept, rescued = detect(design, q, k, head.allowed)
        phases, counts = head_phases(design, kept, dim, head.causal)
        chosen, fetches, rounds = (int(counts[:, c].sum()) for c in (0, 2, 3))
        pairs = int(group_keys(design, seq, head.causal).sum()) * design.tokens
        rank = design.rank(dim)
        low = 2 * seq * rank * rank + pairs * rank
        return HeadRun(
            phases=phases,
            output=attend(design, q, k, v, kept),
            kept=kept,
            matters=_matters(design, head),
            events={
                "kept": chosen,
                "pairs": pairs,
                "multiplies": 2 * dim * chosen + low,
                "adds": 2 * dim * chosen + low + 2 * seq * dim * rank,
                "low_products": low,
                "projection_adds": 2 * seq * dim * rank,
                "fetches": fetches,
            },
            counters={
                "scores_kept": chosen,
                "groups": len(counts),
                "rounds": rounds,
                "fullest_rows": int(counts[:, 1].sum()),
                "key_fetches": fetches,
                "key_fetches_saved": chosen - fetches,
                "saturations": q_cut + k_cut + v_cut,
                "queries_without_candidate": rescued,
            },
        )


def detect(design: DotaDesign, q: Codes32, k: Codes32, allowed: Mask) -> tuple[Mask, int]:
    """The mask [seq, seq] of a head's operands, as codes, and how many rows were given their best key.

    The detector, and a threshold that is learnt, are calibrated on every ``calibration_stride``-th token.
    """
    seq, dim = q.shape
    learn = slice(None, None, design.calibration_stride)
    matrix = ternary_matrix(dim, design.rank(dim), design.seed)
    detector = calibrate(q[learn], k[learn], matrix, design.detector_bits, weights=design.weights, ranges=design.ranges)
    scores = detector.scores(q, k)
    if design.selection == "topk":
        return top_of_rows(scores, _lengths(allowed), np.full(seq, design.keep(seq))), 0
    threshold: float | None = design.given_threshold()
    if threshold is None:
        threshold = share_threshold(scores[learn, learn][allowed[learn, learn]], design.retention)
    kept: Mask = (scores > threshold) & allowed
    without = np.flatnonzero(~kept.any(axis=1))
    best = np.where(allowed[without], scores[without], np.iinfo(np.int32).min)
    kept[without, np.argmax(best, axis=1)] = True
    return kept, len(without)


def share_threshold(scores: npt.NDArray[np.int32] | Reals32, retention: float) -> float:
    """The least threshold above which at most ``retention`` of these scores lie; below them all where that is 1."""
    above = math.floor(round(retention * len(scores), 9))
    if above >= len(scores):
        return -math.inf
    at = len(scores) - 1 - above
    return float(np.partition(scores, at)[at])


def retention_for(probabilities: Reals32, mass: float) -> float:
    """The least retention at which a perfect detector keeps ``mass`` of the softmax, mean over rows.

    ``probabilities`` [seq, seq] are those of calibration data, exact.
    """
    falling = -np.sort(-probabilities.astype(np.float64), axis=1)
    kept = np.cumsum(falling.mean(axis=0))
    seq = len(kept)
    return (min(seq - 1, int(np.searchsorted(kept, mass * kept[-1]))) + 1) / seq


def attend(design: DotaDesign, q: Codes32, k: Codes32, v: Codes32, kept: Mask) -> Reals32:
    """The output [seq, dim] of operands' codes, back from its codes; the arithmetic stands in the module."""
    scale = np.float32(2.0 ** (-2 * design.fraction_bits) / math.sqrt(q.shape[1]))
    scores = exact_products(q, k, design.operand_bits).astype(np.float32) * scale
    scores[~kept] = -np.inf
    scores -= scores.max(axis=1, keepdims=True)
    powers = np.exp(scores.astype(np.float64)).astype(np.float32)
    totals = np.add.accumulate(powers, axis=1, dtype=np.float32)[:, -1:]
    one = 1 << (design.operand_bits - 1)
    weights = np.minimum(np.rint((powers / totals).astype(np.float64) * one), one - 1)
    sums = np.rint(weights @ v.astype(np.float64) / one)
    out: Reals32 = (np.clip(sums, 1 - one, one - 1) / (1 << design.fraction_bits)).astype(np.float32)
    return out


def group_keys(design: DotaDesign, seq: int, causal: bool) -> Counts:
    """Keys that each group of rows looks at, [groups]."""
    groups = -(-seq // design.tokens)
    last = (np.arange(groups, dtype=np.int64) + 1) * design.tokens
    return np.minimum(last, seq) if causal else np.full(groups, seq, np.int64)


def head_phases(design: DotaDesign, kept: Mask, dim: int, causal: bool) -> tuple[Phases, Counts]:
    """Cycles of one head under its mask, those of the lane that ends last; and each group's counts.

    Counts are [groups, 4], see :func:`siloom.sim.engine.token_groups.visit_groups`.
    """
    seq, tokens, rank = len(kept), design.tokens, design.rank(dim)
    keys = group_keys(design, seq, causal)
    groups = len(keys)
    owners = np.empty((groups, kept.shape[1]), np.int64)
    owner_bitmaps(kept, tokens, owners)
    spent, counts = np.empty((groups, 4), np.int64), np.empty((groups, 4), np.int64)
    # Each row of a group has an equal share of the PEs: rounds side by side, or several cycles for one.
    side, each = max(1, design.pes // (tokens * dim)), -(-tokens * dim // design.pes)
    visit_groups(
        owners, buffer_order(tokens), tokens, design.keys_per_round, design.scheduler == "in_order",
        _vector_bytes(design, dim), design.port_bytes, design.rounds_ahead, side, each, spent, counts,
    )  # fmt: skip
    detect_cycles = -(-tokens * keys * rank // (design.pes * design.rate))
    select = -(-keys // design.select_lanes)
    if design.selection == "topk":  # a sorter gives its keys only once the row has been through
        select = select + -(-np.minimum(keys, design.keep(seq)) // design.select_lanes)
    bitmaps = -(-keys // design.select_lanes)
    softmax = 2 * -(-counts[:, 0] // design.mfu_lanes)  # exponentials and sums, then quotients
    # Q~ and K~ of a lane's share of the tokens.
    vectors = 2 * -(-seq // design.lanes)
    transform = -(-vectors * dim * rank // design.pes) + -(-vectors * rank * rank // (design.pes * design.rate))
    longest, last, waits = -1, 0, np.zeros(len(WAIT_CAUSES), np.int64)
    for lane in range(min(design.lanes, groups)):
        own = slice(lane, None, design.lanes)
        detection, selection, scheduling, weighing = (
            np.ascontiguousarray(cycles[own]) for cycles in (detect_cycles, select, bitmaps, softmax)
        )
        waited = np.empty(len(WAIT_CAUSES), np.int64)
        took = int(
            share_array(
                detection, selection, scheduling, spent[own].sum(axis=1), weighing, design.latency_cycles, waited
            )
        )  # fmt: skip
        if took > longest:
            longest, last, waits = took, lane, waited
    own = slice(last, None, design.lanes)
    attention = dict(zip(VISIT_CAUSES, (2 * spent[own].sum(axis=0)).tolist(), strict=True))
    attention |= dict(zip(WAIT_CAUSES, waits.tolist(), strict=True))
    return {
        "detection": {"transform": transform, "detection": int(detect_cycles[own].sum())},
        "attention": attention,
    }, counts


def head_bytes(design: DotaDesign, op: Attention) -> dict[str, int]:
    """Bytes of a head's operands and result.

    Half a lane's memory is for this head's K and V, half for the next one's; where they do not fit, they come in
    parts, and queries and unfinished results once for each.
    """
    each = op.seq * _vector_bytes(design, op.dim)
    trips = max(1, -(-2 * each // (design.sram_bytes // 2)))
    return {"q": each * trips, "k": each, "v": each, "o": each * (2 * trips - 1)}


def _vector_bytes(design: DotaDesign, dim: int) -> int:
    return -(-dim * design.operand_bits // 8)


def _lengths(allowed: Mask) -> Counts:
    """Allowed keys of each row: they are its first ones."""
    lengths: Counts = np.count_nonzero(allowed, axis=1).astype(np.int64)
    return lengths


def _matters(design: DotaDesign, head: Head) -> Mask:
    """The machine's own rule on exact scores."""
    seq = len(head.q)
    if design.selection == "topk":
        # Of numbers that are not negative, FP32's order is that of its codes.
        codes = np.ascontiguousarray(head.probabilities).view(np.int32)
        return top_of_rows(codes, _lengths(head.allowed), np.full(seq, design.keep(seq)))
    exact = head.q @ head.k.T
    above: Mask = (exact > share_threshold(exact[head.allowed], design.retention)) & head.allowed
    return above


def _notes(design: DotaDesign) -> tuple[str, ...]:
    learnt = "all" if design.calibration_stride == 1 else f"one in {design.calibration_stride}"
    return (
        "the paper was not at hand: most of the design is recalled, see siloom machines --json",
        f"the detector was fitted, by its own loss alone, to {learnt} of the tokens that it is used on",
    )


def energy_parts(design: DotaDesign, op: Attention, whole: Whole, dram_bytes: int) -> dict[str, float]:
    """Joules by component; clock, wires, registers and leakage are in no table and left out."""
    node, dim, events = design.node_nm, op.dim, whole.events
    vector, rows = _vector_bytes(design, dim), whole.heads * op.seq
    low = arithmetic.mac_energy_j(f"int{design.detector_bits}", "int32", node)
    wide = _composed(arithmetic.operation_energy_j, design) + arithmetic.operation_energy_j("add", "int64", node)
    multiply, add = (arithmetic.operation_energy_j(kind, "fp32", node) for kind in ("mul", "add"))
    width = min(vector, design.sram_bytes)
    read = sram.read_energy_j(design.sram_bytes, width, node)
    write = sram.write_energy_j(design.sram_bytes, width, node)
    compare = arithmetic.operation_energy_j("add", "int16", node)
    low_vector = design.rank(dim) * design.detector_bits / 8 / vector
    return {
        "projection": events["projection_adds"] * arithmetic.operation_energy_j("add", "int32", node),
        "detection": events["low_products"] * low,
        # A comparison of each score; each score kept is moved on by the sorter's places or pushed as a key's number.
        "selection and scheduling": (events["pairs"] + events["kept"]) * compare,
        "products": events["kept"] * dim * wide,
        "weighted sums": events["kept"] * dim * wide,
        # Scale, about six multiplies and additions for an exponential, the sum, a quotient like four multiplies.
        "softmax": events["kept"] * (11 * multiply + 7 * add),
        # K and V are written to every lane; Q is read once, the output written once and read once.
        "key and value memory": 2 * events["fetches"] * read + 2 * design.lanes * rows * write,
        "query and output memory": 2 * rows * (read + write),
        "detector memory": low_vector * (2 * rows * write + (1 + op.seq / design.tokens) * rows * read),
        "dram": 8 * dram_bytes * dram_energy.energy_per_bit_j(design.memory.split("-")[0])
        if design.memory != "ideal"
        else 0.0,
    }


def _composed(figure: Callable[[str, str, float], float], design: DotaDesign) -> float:
    """A wide multiplier from narrow ones: their figures, and those of the additions that join them."""
    unit = MultiPrecisionMul(wide_bits=_WIDE_BITS, base_bits=min(4, design.detector_bits))
    narrow = figure("mul", f"int{unit.base_bits}", design.node_nm)
    return unit.multipliers * narrow + (unit.multipliers - 1) * figure("add", f"int{_WIDE_BITS}", design.node_nm)


def area_parts(design: DotaDesign) -> dict[str, float]:
    """Square millimetres by component of all lanes."""
    node = design.node_nm
    mac = _composed(arithmetic.operation_area_mm2, design) + arithmetic.operation_area_mm2("add", "int64", node)
    multiply, add = (arithmetic.operation_area_mm2(kind, "fp32", node) for kind in ("mul", "add"))
    compare = arithmetic.operation_area_mm2("add", "int16", node)
    parts = {
        "array": design.pes * mac,
        "selection": design.tokens * design.select_lanes * compare,
        "softmax": design.mfu_lanes * (11 * multiply + 7 * add),
        "memory": sram.area_mm2(design.sram_bytes, node),
    }
    return {name: design.lanes * area for name, area in parts.items()}
