"""Sanger (Lu et al., MICRO 2021): 4-bit scores predict which ones matter, and a reconfigurable array does those.

For each head all scores are predicted from 4-bit operands (``sim/units/int4_predictor.py``), go through a softmax
and are held against a threshold; what is left is a mask. Its rows are packed and split into sub-rows of up to
``pes_per_row`` keys out of ``tile_columns`` (``pack_split.py``). ``tile_rows`` of them make one pass of the array:
scores are computed in place, go through the exponential, and stay there while the values of V pass by.

Times. A head is predicted while the one before is attended to, a third one's operands are fetched, and the sums of one
that is done are divided: a tandem of heads (:mod:`siloom.models._sanger_units`). Prediction takes, for every tile, the
products and, as in the authors' RTL, a move of the scores along their row; behind a row's last tile, two sweeps
over its keys, one for its powers and their sum, one to compare them. A pass takes ``dim`` cycles for the scores and as
many for the values. All places of a row work in step (the authors' PEs wait as many cycles as their key's column, so
that a pass would have to wait for the one before), and scores of one pass and values of the one before take turns, so
that nothing waits for the exponential; the array fills but once a head.

``convention`` ``authors-v1`` and ``authors-v2`` are the authors' own closed forms instead, projections included
(:mod:`siloom.models._sanger_authors`), for a ``density`` and ``load_balance`` that are given.

All arithmetic behind the quantizer is whole numbers, as hardware has them. Vectors come in as codes with a scale each,
which ``score_scale.py`` multiplies back onto their products; quantizer and lengths are outside, as in the authors' RTL.

Where the paper is silent: the row's largest predicted score stands in for its largest score in the exponential;
powers below ``exp(-window)`` of it are zero, and those above ``exp(11.1 - window)`` stay there
(``rows_without_weight``, ``saturated_powers``); a row of which nothing passes keeps its likeliest key.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from siloom.models._attention import (
    FORWARD_ONLY,
    Head,
    HeadRun,
    Phases,
    Port,
    Whole,
    attention_result,
    require_attention,
    run_heads,
    supports_attention,
    with_dram,
)
from siloom.models._columns import each
from siloom.models._sanger_authors import v1_seconds, v2_seconds
from siloom.models._sanger_bound import bound as attention_bound
from siloom.models._sanger_units import (
    HEADS_HELD,
    HeadTimes,
    divide_latency,
    exponential_waits,
    fill_cycles,
    schedule,
    tail_cycles,
)
from siloom.sim.approximation import Mask
from siloom.sim.cost import arithmetic, dram_energy, sram
from siloom.sim.design import Design, parameter, same_parameter
from siloom.sim.drawn_attention import Reals32
from siloom.sim.errors import InputError
from siloom.sim.fixed_point import exact_products, to_codes
from siloom.sim.machine import Bound, Columns, Machine
from siloom.sim.ops import Attention, Operation
from siloom.sim.result import Phase, Result
from siloom.sim.selection.predicted_scores import EXP, SCALE, PredictedScores
from siloom.sim.units.exp_sanger import largest_input
from siloom.sim.units.int4_predictor import shared_scale
from siloom.sim.units.pack_split import sub_row_counts
from siloom.sim.units.score_scale import scaled_scores
from siloom.sim.units.weighted_mean import weighted_means

_PAPER = "Lu et al., Sanger, MICRO 2021 (from a reading note of the full text)"
_CODE = "hatsu3/Sanger, bench_sanger_v2.py"
_RTL = "hatsu3/Sanger, Dense_PE_Array and ExpUnitFixPoint"
_SILENT = "the paper gives none"


@dataclass(frozen=True)
class SangerDesign(Design):
    """The choices that define one Sanger.

    Raises (when made):
        InputError: a field out of its range, or a sub-row longer than its tile.
    """

    clock_hz: float = parameter(5.0e8, unit="Hz", source=_PAPER, low=1e6, high=1e10)
    tile_rows: int = parameter(64, unit="sub-rows", source=_CODE, low=1, high=1024)
    tile_columns: int = parameter(64, unit="keys", source=_CODE, low=2, high=64)
    pes_per_row: int = parameter(16, unit="PEs", source=_CODE, low=1, high=64)
    packing: str = parameter(
        "pack_split",
        unit="",
        source="pack_split; split: rows without a key take a place too; none: a tile waits for its fullest row",
        choices=("pack_split", "split", "none"),
    )
    predictor_bits: int = same_parameter(PredictedScores, "predictor_bits")
    threshold: float = same_parameter(PredictedScores, "threshold")
    exponent: str = same_parameter(PredictedScores, "exponent")
    window: float = same_parameter(PredictedScores, "window")
    operand_bits: int = parameter(16, unit="bit", source=_PAPER, low=4, high=16)
    fraction_bits: int = parameter(8, unit="bit", source=_SILENT, status="assumed", low=0, high=15)
    memory_bytes_per_s: float = parameter(128e9, unit="B/s", source=_PAPER, low=1e6, high=1e15)
    memory_latency_s: float = parameter(1e-7, unit="s", source=_SILENT, status="assumed", low=0.0, high=1e-3)
    kv_sram_bytes: int = parameter(3 * 2**17, unit="B", source=_SILENT, status="assumed", low=256, high=2**33)
    node_nm: float = parameter(55.0, unit="nm", source=_PAPER, low=7.0, high=130.0)
    convention: str = parameter(
        "physical",
        unit="",
        source="physical, or the authors' closed forms",
        status="assumed",
        choices=("physical", "authors-v1", "authors-v2"),
    )
    density: float = parameter(
        0.1, unit="", source="of the authors' forms alone: scores kept", status="assumed", low=0.0, high=1.0
    )
    load_balance: float = parameter(
        0.7, unit="", source="of the authors' forms alone: PEs at work", status="assumed", low=1e-6, high=1.0
    )

    def __post_init__(self) -> None:
        """Check what fields must hold together."""
        super().__post_init__()
        if self.pes_per_row > self.tile_columns:
            raise InputError(
                f"sanger: pes_per_row must be at most tile_columns, {self.tile_columns}, got {self.pes_per_row}"
            )
        if self.fraction_bits >= self.operand_bits:
            raise InputError(f"sanger: fraction_bits must be below operand_bits, got {self.fraction_bits}")

    @property
    def selection(self) -> PredictedScores:
        """How keys are chosen."""
        return PredictedScores(
            predictor_bits=self.predictor_bits,
            threshold=self.threshold,
            exponent=self.exponent,
            window=self.window,
        )

    @property
    def pes(self) -> int:
        """Multiply-accumulators of the sparse array."""
        return self.tile_rows * self.pes_per_row


class Sanger(Machine):
    """Attention at the scores that 4-bit operands predict to matter."""

    name = "sanger"
    kind = "accelerator"
    summary = (
        "attention under masks predicted at 4 bits, packed and split for a reconfigurable array (Sanger, MICRO 2021)"
    )
    operations = (Attention,)
    design_type = SangerDesign
    design: SangerDesign
    bound_one_by_one = ("node_nm", "operand_bits", "predictor_bits")

    def supports(self, op: Operation) -> bool:
        """Attention's forward pass."""
        return supports_attention(op)

    def needs(self, op: Operation) -> str:
        """The forward pass."""
        return FORWARD_ONLY

    def bound(self, op: Operation, columns: Columns) -> Bound | None:
        """A key for each row, no more; see :mod:`siloom.models._sanger_bound`. None for the authors' own forms."""
        if not isinstance(op, Attention) or columns.convention != "physical":
            return None
        return attention_bound(op, columns, sum(area_parts(columns, op).values()))

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Run attention on its operands; ``values``: the output that the hardware would give.

        Raises:
            InputError: another operation.
        """
        op, design = require_attention(self.label, op), self.design
        if design.convention != "physical":
            return _authors_result(self.label, design, op)
        given = op.operands()
        scales = shared_scale(given.q, design.predictor_bits), shared_scale(given.k, design.predictor_bits)
        moved, port = head_bytes(design, op), operand_port(design, op)
        whole = run_heads(op, given, lambda head: self._head(head, scales), lambda runs: _phases(design, port, runs))
        traffic = {name: each * whole.heads for name, each in moved.items()}
        traffic = with_dram(traffic, (traffic["o"] + traffic["k"]) // 2)  # of k trips, k - 1 come back
        return attention_result(
            self.label,
            op,
            design,
            whole,
            clock_hz=design.clock_hz,
            precision=(f"int{design.operand_bits}",),
            peak_multiplies_per_cycle=design.pes,
            bytes_per_s=design.memory_bytes_per_s,
            energy=energy_parts(design, op, whole, traffic["dram_read"] + traffic["dram_write"]),
            area=area_parts(design, op),
            traffic=traffic,
            notes=("the predictor's scale was taken on the same operands that it is used on",),
            values=values,
        )

    def _head(self, head: Head, scales: tuple[np.float32, np.float32]) -> HeadRun:
        design = self.design
        seq, dim = head.q.shape
        kept, largest, rescued = design.selection.select(head.q, head.k, scales, head.allowed)
        (q, q_cut), (k, k_cut), (v, v_cut) = (
            to_codes(x, design.operand_bits, design.fraction_bits) for x in (head.q, head.k, head.v)
        )
        packed, passes = sub_rows_and_passes(design, kept)
        chosen = int(np.count_nonzero(kept))
        output, clipped, empty = _attend(design, q, k, v, kept, largest)
        tiles = -(-seq // design.tile_rows) * -(-seq // design.tile_columns)
        matters = (head.probabilities > design.threshold) & head.allowed if design.threshold else head.allowed
        return HeadRun(
            phases={
                "prediction": {
                    "prediction": tiles * (dim + design.tile_columns),
                    "softmax": tail_cycles(_whole(seq, design.tile_columns), design.tile_columns),
                },
                "attention": attention_causes(design, dim, chosen, packed, passes),
                "division": {"division": seq * -(-dim // design.tile_rows)},
            },
            output=output,
            kept=kept,
            matters=matters,
            events={
                "kept": chosen,
                "pairs": seq * seq,
                "multiplies": 2 * dim * chosen,
                "adds": 2 * dim * chosen,
                "predictor_multiplies": dim * seq * seq,
                "sub_rows": packed,
                "passes": passes,
            },
            counters={
                "sub_rows": packed,
                "passes": passes,
                "scores_kept": chosen,
                "saturations": q_cut + k_cut + v_cut,
                "saturated_powers": clipped,
                "rows_without_weight": empty,
                "queries_without_candidate": rescued,
            },
        )


def sub_rows_and_passes(design: SangerDesign, kept: Mask) -> tuple[int, int]:
    """Rows of PEs that a mask takes up, and passes of the array, under the design's packing."""
    counts = sub_row_counts(kept, design.tile_columns, design.pes_per_row)
    if design.packing == "none":
        tiles = np.arange(0, len(counts), design.tile_rows)
        passes = int(np.maximum(np.maximum.reduceat(counts, tiles, axis=0), 1).sum())
        return passes * design.tile_rows, passes
    if design.packing == "split":
        counts = np.maximum(counts, 1)
    return int(counts.sum()), int((-(-counts.sum(axis=0) // design.tile_rows)).sum())


def attention_causes(design: SangerDesign, dim: int, chosen: int, packed: int, passes: int) -> dict[str, int]:
    """Cycles of the sparse array for one head, by cause.

    ``compute`` is what ``chosen`` scores need of all PEs; ``empty_places`` what sub-rows that are not full add to
    it, ``partial_passes`` what passes of fewer than ``tile_rows`` sub-rows do; ``exponential`` is waiting for powers
    that no other pass hides; ``fill`` the way through the array and into the sums.
    """
    each = 2 * dim
    compute = -(-chosen * each // design.pes)
    full = -(-packed * each // design.tile_rows)
    return {
        "compute": compute,
        "empty_places": full - compute,
        "partial_passes": passes * each - full,
        "exponential": exponential_waits(dim, passes) if passes else 0,
        "fill": fill_cycles(design.tile_rows) if passes else 0,
    }


def _phases(design: SangerDesign, port: Port, runs: Sequence[HeadRun]) -> Phases:
    """What all heads take: the sparse array's time, and of everything else what it waits for."""
    times = [
        HeadTimes(
            load=port.cycles,
            products=run.phases["prediction"]["prediction"],
            tail=run.phases["prediction"]["softmax"],
            attention=sum(run.phases["attention"].values()),
            division=run.phases["division"]["division"],
        )
        for run in runs
    ]
    spent = {"memory": port.latency, "prediction": 0, "softmax": 0, "division": divide_latency(design.operand_bits)}
    attention: dict[str, int] = {}
    attended = predicted = divided = 0
    for run, time, ends in zip(runs, times, schedule(times), strict=True):
        # The array waits for room behind it, then, looking back, for the mask, for its products and for their operands.
        waited = ends.begun - attended
        blocked = min(waited, ends.begun - ends.masked)
        softmax = min(waited - blocked, time.tail)
        late = min(waited - blocked - softmax, max(0, ends.loaded - predicted))
        for cause, cycles in (("division", blocked), ("softmax", softmax), ("memory", late)):
            spent[cause] += cycles
        spent["prediction"] += waited - blocked - softmax - late
        attended, predicted, divided = ends.attended, ends.predicted, ends.divided
        for cause, cycles in run.phases["attention"].items():
            attention[cause] = attention.get(cause, 0) + cycles
    spent["division"] += divided - attended
    return {
        "loads": {"memory": spent["memory"]},
        "prediction": {cause: spent[cause] for cause in ("prediction", "softmax")},
        "attention": attention,
        "division": {"division": spent["division"]},
    }


def _whole(size: int, tile: int) -> int:
    """``size`` rounded up to whole tiles."""
    return -(-size // tile) * tile


def threshold_for(probabilities: Sequence[Reals32], mass: float) -> float:
    """The largest threshold whose masks keep ``mass`` (0 to 1) of the softmax, over calibration heads [seq, seq] each.

    On exact probabilities, all rows of all heads together: the paper chooses its threshold by the accuracy of a network
    instead, which is not at hand here. 0 where everything is needed.

    Raises:
        InputError: a mass outside 0 to 1, or no head.
    """
    if not 0.0 <= mass <= 1.0:
        raise InputError(f"sanger: mass must be between 0 and 1, got {mass}")
    if not probabilities:
        raise InputError("sanger: a threshold needs at least one calibration head")
    falling = np.sort(np.concatenate([p.ravel() for p in probabilities]).astype(np.float64))[::-1]
    kept = np.cumsum(falling)
    needed = int(np.searchsorted(kept, mass * kept[-1] * (1.0 - 1e-12)))
    # Strictly above it lie the needed ones and all that equal the last of them.
    below = falling[needed:][falling[needed:] < falling[needed]]
    return float(below[0]) if len(below) else 0.0


def root_code(dim: int) -> int:
    """One over the root of ``dim``, as a scale whose bits but one lie behind its point."""
    code: int = round(2 ** (SCALE.row_bits - 1) / math.sqrt(dim))
    return code


def exact_scores(design: SangerDesign, q: npt.NDArray[np.int32], k: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Codes of the scores of the sparse array, [queries, keys], of operands' codes [n, dim]."""
    products = exact_products(q, k, design.operand_bits)
    # Twice, for the bit that the root's code leaves free: so the shift is never negative.
    rows, keys = np.full(len(q), root_code(q.shape[1])), np.full(len(k), 2)
    shift = 2 * design.fraction_bits + SCALE.row_bits - SCALE.fraction
    return scaled_scores(products, rows, keys, shift, SCALE.score_bits)


def _attend(
    design: SangerDesign,
    q: npt.NDArray[np.int32],
    k: npt.NDArray[np.int32],
    v: npt.NDArray[np.int32],
    kept: Mask,
    largest: npt.NDArray[np.int64],
) -> tuple[Reals32, int, int]:
    """Exact scores, the table's exponential, and the mean of V in fixed point, back from its codes.

    And how many kept scores are further above the predicted maximum than the exponential reaches, and how many rows
    lie so far below it that no weight is left.
    """
    below = exact_scores(design, q, k) - largest[:, None]
    weights = design.selection.powers(below)
    means = weighted_means(weights, v.astype(np.int64), kept)
    clipped = below + design.selection.window_code > largest_input(EXP)
    empty = ~np.any(weights, axis=1, where=kept)
    output = (means / (1 << design.fraction_bits)).astype(np.float32)
    return output, int(np.count_nonzero(clipped & kept)), int(np.count_nonzero(empty))


def head_bytes(design: SangerDesign, op: Attention) -> dict[str, int]:
    """Bytes of a head's operands and result.

    The memory holds K and V of three heads, one worked on, one predicted and one loaded. Where they do not fit they
    come in parts, for each of which the queries come again and sums leave and come back.
    """
    each = op.seq * -(-op.dim * design.operand_bits // 8)
    trips = max(1, -(-2 * HEADS_HELD * each // design.kv_sram_bytes))
    return {"q": each * trips, "k": each, "v": each, "o": each * (2 * trips - 1)}


def operand_port(design: SangerDesign, op: Attention) -> Port:
    """The port of all heads: as fast as the memory, but no faster than words are written on the chip, one a cycle.

    A word holds an element of every key of a tile, or one tile's height of a query's elements.
    """
    moved = sum(head_bytes(design, op).values())
    keys = 2 * -(-op.seq // design.tile_columns) * op.dim
    queries = op.seq * -(-op.dim // design.tile_rows)
    return Port(
        cycles=max(math.ceil(moved / design.memory_bytes_per_s * design.clock_hz), keys, queries),
        latency=math.ceil(design.memory_latency_s * design.clock_hz),
    )


def energy_parts(design: SangerDesign, op: Attention, whole: Whole, dram_bytes: int) -> dict[str, float]:
    """Joules by component; clock, wires, registers and leakage are in no table and left out."""
    node, dim, events = design.node_nm, op.dim, whole.events
    low, wide = f"int{design.predictor_bits}", f"int{design.operand_bits}"
    low_mac = arithmetic.operation_energy_j("mul", low, node) + arithmetic.operation_energy_j("add", "int16", node)
    mac = arithmetic.operation_energy_j("mul", wide, node) + arithmetic.operation_energy_j("add", "int64", node)
    power = 2 * arithmetic.operation_energy_j("add", "int32", node) + sram.read_energy_j(256, 4, node)
    vector = -(-dim * design.operand_bits // 8)
    each = op.seq * vector
    size = max(512, min(2 * each, design.kv_sram_bytes))
    rows = whole.heads * op.seq

    def moved(reads: float, writes: float) -> float:
        width = min(vector, size)
        return reads * sram.read_energy_j(size, width, node) + writes * sram.write_energy_j(size, width, node)

    # A pass streams a tile's keys and values once, and each sub-row's query; sums of a sub-row are read and written.
    streamed = events["passes"] * 2 * design.tile_columns + events["sub_rows"]
    low_vectors, low_share = rows * (1 + op.seq / design.tile_rows), design.predictor_bits / design.operand_bits
    return {
        "prediction": events["pairs"] * dim * low_mac,
        "predicted softmax": events["pairs"] * (power + arithmetic.operation_energy_j("mul", "int32", node)),
        "products": events["kept"] * dim * mac,
        "exponentials": events["kept"] * power,
        "weighted sums": events["kept"] * dim * mac,
        "division": rows * dim * arithmetic.operation_energy_j("mul", "int32", node),
        "memories": moved(streamed + rows, 4 * rows) + moved(events["sub_rows"], events["sub_rows"]),
        "prediction memories": moved(low_vectors * low_share, 2 * rows * low_share),
        "dram": 8 * dram_bytes * dram_energy.energy_per_bit_j("hbm2"),
    }


def area_parts(design: SangerDesign | Columns, op: Attention) -> dict[str, Any]:
    """Square millimetres by component."""
    node, pes = design.node_nm, design.tile_rows * design.pes_per_row
    low, wide = f"int{design.predictor_bits}", f"int{design.operand_bits}"
    low_mac = arithmetic.operation_area_mm2("mul", low, node) + arithmetic.operation_area_mm2("add", "int16", node)
    mac = arithmetic.operation_area_mm2("mul", wide, node) + arithmetic.operation_area_mm2("add", "int64", node)
    adder = arithmetic.operation_area_mm2("add", "int32", node)
    return {
        "prediction array": design.tile_rows * design.tile_columns * low_mac,
        "sparse array": pes * mac,
        "exponentials": (pes + design.tile_rows) * 2 * adder,
        "division": design.tile_rows * arithmetic.operation_area_mm2("mul", "int32", node),
        "key and value memory": each(lambda size: sram.area_mm2(size, node), design.kv_sram_bytes),
    }


def _authors_result(label: str, design: SangerDesign, op: Attention) -> Result:
    form = v1_seconds if design.convention == "authors-v1" else v2_seconds
    parts = {
        name: op.batch * spent
        for name, spent in form(op.seq, op.heads * op.dim, design.density, design.load_balance).items()
    }
    return Result(
        machine=label,
        workload=op.name or op.kind,
        seconds=math.fsum(parts.values()),
        overhead_s=0.0,
        operations={"effective_multiplies": op.multiplies},
        phases=tuple(Phase(name, None, spent) for name, spent in parts.items()),
        precision=(f"int{design.operand_bits}",),
        notes=(
            "the authors' closed form at 1 GHz, projections included: it knows a density and a load balance, no mask",
        ),
        design=design.as_dict(),
        provenance={"design_hash": design.content_hash()},
    )
