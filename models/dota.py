"""DOTA (Qu et al., ASPLOS 2022): a learnt low-rank detector finds weak scores, and groups of queries share strong ones.

A head's queries and keys go through a fixed ternary projection and learnt low-rank weights at 4 or 2 bits; the product
of the two says which scores matter (:mod:`siloom.sim.selection.low_rank_scores`). Each row keeps its ``r`` best keys,
``r = ceil(retention * n)``, or all above a threshold. ``tokens`` rows at a time then work on their keys together,
out of order, so that a key that several rows keep is fetched once (``sim/units/token_scheduler.py``). Scores are
computed in FX16, their exponentials in FP32, and the softmax is quantised to FX16 before it meets V.

Times. Groups of rows are dealt to ``lanes`` in turn. In a lane one array, the RMMU, does detection, scores and values
of its groups in a fixed order while selection, scheduling and softmax go on beside it; the rounds of every group
come from its own mask: :mod:`siloom.sim.engine.token_groups`. A head begins when the one before has left
all lanes, because its K~ has to be there, made in equal shares by the lanes. The next head's operands are fetched
meanwhile: :mod:`siloom.sim.engine.pipeline`.

Arithmetic. Scores are exact; softmax is that of ``_dota_softmax.py``: exponentials by a table, an exact sum, quotients
rounded to a signed number of ``operand_bits`` with all but the sign behind the point. The product with V is exact and
rounded, half to even and cut off symmetrically, to V's own format.

Queries and keys are projected by additions, as many in a cycle as a lane has PEs, and go on through a quantizer and all
columns of the weights at once: a vector for each projection, ``TRANSFORM_FILL`` cycles until the first is through.

Of scores and values ``compute`` is what they would take of all PEs. A round takes ``tokens`` times ``dim`` of them: as
many rounds as fit run side by side, and a longer one takes several cycles. PEs left over idle, as do those of a last
round that is not full (``shape``).

Where the paper, which was not at hand, is silent: detection fills the array whatever its shape; each query of a
group has an equal share of its PEs and of the softmax unit; the scheduler gives a round a cycle; lanes exchange K~ at
no cost; K and V of a head lie in every lane's memory; of causal scores those behind a group's last query are not
computed, and rows with fewer than r keys keep all.

What is recalled and what assumed stands with each field, in ``_dota_design.py``; energy and area: ``_dota_cost.py``.
"""

from __future__ import annotations

import math

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
    pins_bytes_per_s,
    pipelined,
    require_attention,
    run_heads,
    supports_attention,
    with_dram,
)
from siloom.models._dota_cost import area_parts, energy_parts
from siloom.models._dota_design import DotaDesign, vector_bytes
from siloom.models._dota_softmax import SOFTMAX_FILL, softmax_weights
from siloom.sim.approximation import Mask
from siloom.sim.drawn_attention import Reals32
from siloom.sim.engine.token_groups import VISIT_CAUSES, WAIT_CAUSES, owner_bitmaps, share_array, visit_groups
from siloom.sim.fixed_point import Codes32, exact_products, to_codes
from siloom.sim.machine import Machine
from siloom.sim.ops import Attention, Operation
from siloom.sim.result import Result
from siloom.sim.selection.best_key import keep_best_where_none
from siloom.sim.selection.low_rank_scores import calibrate
from siloom.sim.units.row_topk import top_of_rows
from siloom.sim.units.ternary_projection import TernaryProjection
from siloom.sim.units.token_scheduler import buffer_order

Counts = npt.NDArray[np.int64]

TRANSFORM_FILL = 8
"""Cycles of a head beside its projections: until the first vector is read, and from the last to the array."""


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

    def needs(self, op: Operation) -> str:
        """The forward pass."""
        return FORWARD_ONLY

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Run attention on its operands; ``values``: the output that the hardware would give.

        Raises:
            InputError: another operation.
        """
        op, design = require_attention(self.label, op), self.design
        moved = head_bytes(design, op)
        port = Port.of(design.memory, design.memory_channels, sum(moved.values()), design.clock_hz)
        whole = self.through(op, port)
        traffic = {name: each * whole.heads for name, each in moved.items()}
        traffic = with_dram(traffic, (traffic["o"] + traffic["k"]) // 2)  # of k trips, k - 1 come back
        vector = vector_bytes(design, op.dim)
        traffic |= dict.fromkeys(("k_sram_read", "v_sram_read"), whole.events["fetches"] * vector)
        return attention_result(
            self.label,
            op,
            design,
            whole,
            clock_hz=design.clock_hz,
            precision=(f"int{design.operand_bits}", f"int{design.detector_bits}", "fp32"),
            peak_multiplies_per_cycle=design.lanes * design.pes,
            bytes_per_s=pins_bytes_per_s(design.memory, design.memory_channels),
            energy=energy_parts(design, op, whole, traffic["dram_read"] + traffic["dram_write"]),
            area=area_parts(design),
            traffic=traffic,
            notes=_notes(design),
            values=values,
        )

    def through(self, op: Attention, port: Port) -> Whole:
        """All heads, whose operands come through ``port``."""
        return run_heads(op, op.operands(), self._head, pipelined(port))

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
        return HeadRun(
            phases=phases,
            output=attend(design, q, k, v, kept),
            kept=kept,
            matters=_matters(design, head),
            events={
                "kept": chosen,
                "pairs": pairs,
                "multiplies": 2 * dim * chosen,
                "adds": 2 * dim * chosen,
                # Of weights with projected vectors, and of Q~ with K~; the projection itself only adds.
                "predictor_multiplies": 2 * seq * rank * rank + pairs * rank,
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
    learn = slice(None, None, design.calibration_stride)
    matrix = design.detector.matrix(q.shape[1])
    detector = calibrate(q[learn], k[learn], matrix, design.detector_bits, weights=design.weights, ranges=design.ranges)
    scores = detector.scores(q, k)
    if design.selection == "topk":
        return design.detector.best(scores, allowed), 0
    threshold: float | None = design.given_threshold()
    if threshold is None:
        threshold = share_threshold(scores[learn, learn][allowed[learn, learn]], design.retention)
    kept: Mask = (scores > threshold) & allowed
    return kept, keep_best_where_none(kept, allowed, lambda rows: scores[rows])


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
    scores = exact_products(q, k, design.operand_bits)
    weights = softmax_weights(design, q.shape[1], scores, kept)
    one = 1 << (design.operand_bits - 1)
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
        vector_bytes(design, dim), design.port_bytes, design.rounds_ahead, side, each, spent, counts,
    )  # fmt: skip
    detect_cycles = -(-tokens * keys * rank // (design.pes * design.rate))
    select = -(-keys // design.select_lanes)
    if design.selection == "topk":  # a sorter gives its keys only once the row has been through
        select = select + -(-np.minimum(keys, design.keep(seq)) // design.select_lanes)
    bitmaps = -(-keys // design.select_lanes)
    # Exponentials and sums, then quotients; each row of a group has an equal share of the lanes.
    softmax = 2 * -(-tokens * counts[:, 1] // design.mfu_lanes) + SOFTMAX_FILL
    # Q~ and K~ of a lane's share of the tokens.
    projection = TernaryProjection(dim=dim, rank=rank, adders=design.pes, seed=design.seed)
    transform = 2 * -(-seq // design.lanes) * projection.cycles + TRANSFORM_FILL
    longest, last, waits = -1, 0, np.zeros(len(WAIT_CAUSES), np.int64)
    for lane in range(min(design.lanes, groups)):
        own = slice(lane, None, design.lanes)
        detection, selection, scheduling, given, weighing = (
            np.ascontiguousarray(cycles[own]) for cycles in (detect_cycles, select, bitmaps, counts[:, 3], softmax)
        )
        waited = np.empty(len(WAIT_CAUSES), np.int64)
        took = int(
            share_array(
                detection, selection, scheduling, given, spent[own].sum(axis=1), weighing, design.latency_cycles, waited
            )
        )  # fmt: skip
        if took > longest:
            longest, last, waits = took, lane, waited
    own = slice(last, None, design.lanes)
    visits = dict(zip(VISIT_CAUSES, (2 * spent[own].sum(axis=0)).tolist(), strict=True))
    compute = -(-2 * dim * int(counts[own, 0].sum()) // design.pes)
    attention = {"compute": compute, "shape": visits.pop("even") - compute, **visits}
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
    each = op.seq * vector_bytes(design, op.dim)
    trips = max(1, -(-2 * each // (design.sram_bytes // 2)))
    return {"q": each * trips, "k": each, "v": each, "o": each * (2 * trips - 1)}


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
