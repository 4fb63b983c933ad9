"""ELSA (Ham et al., ISCA 2021): keys are filtered by hashes before their products are computed.

A head's keys are hashed, by a Kronecker sign random projection, and their lengths taken. For each query the
distance of its hash to every key's gives an estimate of the score; keys whose estimate passes a learnt threshold are
candidates, and only their scores are computed, exactly. See ``sim/units`` for the arithmetic of each stage and
``sim/engine/candidate_queues.py`` for their cycles.

One pipeline has ``attention_units`` banks of keys with ``selectors`` each; ``copies`` pipelines share a memory, as the
paper sets 12 of them against one V100. Heads are dealt out to pipelines as these become free.

Where the paper is silent: keys are dealt to banks one by one; a head's operands come when the one before is done, all
through one port; where no key of a query passes, the one with the best estimate is taken. Exponentials are of scores
as they are, without a maximum taken off: beyond e^67 they stay where they are (``saturated_powers``).

Fields, gaps of their sources and what is recalled, and the units of a pipeline: ``_elsa_design.py``. The pipeline is
built in ``rtl/machines/elsa.py``, for heads that its memories hold, and takes the same cycles from memories that are
ideal; of the time that a slower one takes nothing is hidden here behind the hashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from siloom.models._attention import (
    FORWARD_ONLY,
    Head,
    HeadRun,
    Port,
    Whole,
    attention_result,
    dram_energy_j,
    on_copies,
    pins_bytes_per_s,
    require_attention,
    run_heads,
    supports_attention,
    weighted_output,
    with_dram,
)
from siloom.models._columns import each
from siloom.models._elsa_bound import bound as attention_bound
from siloom.models._elsa_design import ElsaDesign
from siloom.sim.approximation import Mask
from siloom.sim.cost import arithmetic, sram
from siloom.sim.drawn_attention import Reals32
from siloom.sim.engine.candidate_queues import CAUSES, causes, scan_and_work
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.fixed_point import Codes32, exact_products, to_codes
from siloom.sim.machine import Bound, Columns, Machine
from siloom.sim.ops import Attention, Operation
from siloom.sim.result import Result
from siloom.sim.selection.hashed_keys import learn_threshold, threshold_code
from siloom.sim.units.exp_float import exp_float_codes
from siloom.sim.units.srp_hash import sides_for


def learnt_threshold(head: Head, p: float) -> float:
    """The threshold of one head for keys above ``p / n`` of the softmax, n being the keys that a query may look at.

    With ``p`` 0 all keys are kept: -1.
    """
    return -1.0 if p == 0 else learn_threshold(head.q, head.k, head.above_share(p))


def head_threshold(design: ElsaDesign, head: Head) -> int:
    """The code of the threshold that a head is given: by hand, or learnt on its own operands."""
    given = design.given_threshold()
    return threshold_code(learnt_threshold(head, design.p) if given is None else given)


def require_room(label: str, design: ElsaDesign, seq: int, dim: int) -> None:
    """Raise InfeasibleError where memories of a given size do not hold a head."""
    if design.max_seq and seq > design.max_seq:
        raise InfeasibleError(f"{label}: seq must be at most max_seq, {design.max_seq}, got {seq}")
    if design.dim and dim != design.dim:
        raise InfeasibleError(f"{label}: heads must be as long as dim, {design.dim}, got {dim}")


class Elsa(Machine):
    """Hash-filtered attention."""

    name = "elsa"
    kind = "accelerator"
    summary = "attention over keys chosen by their hashes (Ham et al., ELSA, ISCA 2021)"
    operations = (Attention,)
    design_type = ElsaDesign
    design: ElsaDesign
    bound_one_by_one = ("node_nm", "operand_bits", "max_seq")

    def supports(self, op: Operation) -> bool:
        """Attention's forward pass."""
        return supports_attention(op)

    def needs(self, op: Operation) -> str:
        """The forward pass."""
        return FORWARD_ONLY

    def bound(self, op: Operation, columns: Columns) -> Bound | None:
        """Hashing and the banks' look at every key; see :mod:`siloom.models._elsa_bound`."""
        if not isinstance(op, Attention):
            return None
        return attention_bound(op, columns, ElsaDesign(), sum(area_parts(columns, op).values()))

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Run attention on its operands; ``values``: the output that the hardware would give.

        Raises:
            InputError: another operation, a key of length zero, or a head's length that no Kronecker product fits.
            InfeasibleError: heads that the memories do not hold.
        """
        op, design = require_attention(self.label, op), self.design
        require_room(self.label, design, op.seq, op.dim)
        sides_for(op.dim)
        moved = head_bytes(design, op)
        port = Port.of(design.memory, design.memory_channels, sum(moved.values()), design.clock_hz)
        whole = run_heads(op, op.operands(), self._head, on_copies(design.copies, port, design.heads_held))
        traffic = {name: each * whole.heads for name, each in moved.items()}
        traffic = with_dram(traffic, traffic["o"])
        return attention_result(
            self.label,
            op,
            design,
            whole,
            clock_hz=design.clock_hz,
            precision=(f"int{design.operand_bits}",),
            peak_multiplies_per_cycle=design.copies * design.attention_units * 2 * op.dim,
            bytes_per_s=pins_bytes_per_s(design.memory, design.memory_channels),
            energy=energy_parts(design, op, whole, traffic["dram_read"] + traffic["dram_write"]),
            area=area_parts(design, op),
            traffic=traffic,
            notes=_notes(design),
            values=values,
        )

    def _head(self, head: Head) -> HeadRun:
        design = self.design
        seq, dim = head.q.shape
        units = design.units(dim)
        if not np.linalg.norm(head.k, axis=1).all():
            at = int(np.argmin(np.linalg.norm(head.k, axis=1)))
            raise InputError(f"{self.label}: keys must have a length above 0, key {at} has none")
        (q, q_cut), (k, k_cut), (v, v_cut) = (
            to_codes(x, design.operand_bits, design.fraction_bits) for x in (head.q, head.k, head.v)
        )
        kept, rescued, norms_cut = design.selection.select(q, k, head_threshold(design, head), head.allowed)
        ends, counts = np.empty(seq, np.int64), np.empty((seq, design.attention_units), np.int64)
        hashing, finish = units.hash_cycles, units.finish_cycles
        sizes = design.attention_units, design.selectors, design.queue_entries, design.queries_held
        scan_and_work(kept, rescued, sizes, (hashing, finish), (units.look_depth, units.work_depth), ends, counts)
        spent = np.zeros(len(CAUSES), np.int64)
        causes(ends, counts, seq, design.selectors, hashing, finish, spent)
        attention = dict(zip(CAUSES, spent.tolist(), strict=True))
        attention["fill"] += units.start_cycles(seq) - (seq + 1) * hashing + units.output_depth
        chosen = int(np.count_nonzero(kept))
        pairs = seq * seq
        output, powers_cut = self._attend(q, k, v, kept)
        return HeadRun(
            phases={"preprocessing": {"hash": (seq + 1) * hashing}, "attention": attention},
            output=output,
            kept=kept,
            matters=head.above_share(design.p),
            events={
                "kept": chosen,
                "pairs": pairs,
                "hashes": 2 * seq,
                "multiplies": 2 * dim * chosen,
                "adds": 2 * dim * chosen,
                # Hashes, norms of the keys, and a norm times a cosine for every pair.
                "predictor_multiplies": 2 * seq * units.hash_multiplies + seq * dim + pairs,
            },
            counters={
                "saturations": q_cut + k_cut + v_cut,
                "saturated_norms": norms_cut,
                "saturated_powers": powers_cut,
                "queries_without_candidate": int(np.count_nonzero(rescued)),
            },
        )

    def _attend(self, q: Codes32, k: Codes32, v: Codes32, kept: Mask) -> tuple[Reals32, int]:
        """The output, back from its codes; and how many powers were the largest there is, or none."""
        design = self.design
        unit = design.units(q.shape[1]).power
        codes = exp_float_codes(exact_products(q, k, design.operand_bits), unit)
        cut = int(np.count_nonzero(((codes == unit.largest) | (codes == 0)) & kept))
        weights = (codes << (23 - unit.mantissa_bits)).astype(np.uint32).view(np.float32)
        banks = design.attention_units
        return weighted_output(weights, v, kept, banks, design.operand_bits, design.fraction_bits), cut


def head_bytes(design: ElsaDesign, op: Attention) -> dict[str, int]:
    """Bytes of a head's operands and result, rows padded to whole bytes."""
    each = op.seq * -(-op.dim * design.operand_bits // 8)
    return {"q": each, "k": each, "v": each, "o": each}


def _notes(design: ElsaDesign) -> tuple[str, ...]:
    notes = ["the paper was not at hand: most of the design is recalled, see siloom machines --json"]
    if design.given_threshold() is None and design.p:
        notes.append("thresholds were learnt on the same operands that they are used on")
    return tuple(notes)


def energy_parts(design: ElsaDesign, op: Attention, whole: Whole, dram_bytes: int) -> dict[str, float]:
    """Joules by component; clock, wires, registers and leakage are in no table and left out."""
    node, bits, dim = design.node_nm, design.operand_bits, op.dim
    events = whole.events
    operand = f"int{bits}"
    multiply = arithmetic.operation_energy_j("mul", operand, node)
    add = arithmetic.operation_energy_j("add", f"int{2 * bits}", node)
    single = arithmetic.operation_energy_j("add", "fp32", node)
    vector = -(-dim * bits // 8)
    keys = design.attention_units
    memories = _memories(design, op)

    def read(name: str, width: int) -> float:
        size = max(256, memories[name] // keys)
        return sram.read_energy_j(size, min(width, size), node)

    def write(name: str, width: int) -> float:
        size = max(256, memories[name] // keys)
        return sram.write_energy_j(size, min(width, size), node)

    hash_bytes = -(-dim // 8)
    rows = whole.heads * op.seq
    return {
        "hash": events["hashes"] * design.units(dim).hash_multiplies * (multiply + add),
        # A popcount of dim bits is about as many one-bit additions; then a product with the norm and a comparison.
        "selection": events["pairs"] * (dim / 8 * arithmetic.operation_energy_j("add", "int8", node) + multiply + add),
        "products": events["kept"] * dim * (multiply + add),
        "exponentials": events["kept"] * (multiply + sram.read_energy_j(256, 2, node)),
        "weighted sums": events["kept"] * dim * (multiply + single),
        "division": rows * dim * arithmetic.operation_energy_j("mul", "fp32", node),
        "hash memory": events["pairs"] * (read("hash", hash_bytes) + read("norm", 1))
        + rows * (write("hash", hash_bytes) + write("norm", 1)),
        "key memory": (events["kept"] + rows) * read("k", vector) + rows * write("k", vector),
        "value memory": events["kept"] * read("v", vector) + rows * write("v", vector),
        "query and output memories": 2 * rows * (read("q", vector) + write("q", vector)),
        # A bank's worker reads a query's row once for all of its candidates.
        "query rows": rows * keys * (read("query rows", vector) + write("query rows", vector)),
        **dram_energy_j(design.memory, dram_bytes),
    }


def _memories(design: ElsaDesign | Columns, op: Attention) -> dict[str, Any]:
    """Bytes of one pipeline's memories: of the design's size, or for this operation's."""
    seq, row = design.max_seq or op.seq, -(-op.dim * design.operand_bits // 8)
    each = design.heads_held * seq * row
    return {
        "hash": seq * -(-op.dim // 8),
        "norm": -(-seq * design.norm_bits // 8),
        "k": each,
        "v": each,
        "q": each,
        "o": each,
        "query rows": design.attention_units * design.queries_held * row,
    }


def area_parts(design: ElsaDesign | Columns, op: Attention) -> dict[str, Any]:
    """Square millimetres by component of all pipelines, with memories as large as the design or this operation says."""
    node, dim, banks = design.node_nm, op.dim, design.attention_units
    operand = f"int{design.operand_bits}"
    multiply = arithmetic.operation_area_mm2("mul", operand, node)
    add = arithmetic.operation_area_mm2("add", f"int{2 * design.operand_bits}", node)
    single = arithmetic.operation_area_mm2("add", "fp32", node)
    selector = dim / 8 * arithmetic.operation_area_mm2("add", "int8", node) + multiply + add
    parts: Mapping[str, Any] = {
        "hash": design.hash_multipliers * (multiply + add),
        "selection": banks * design.selectors * selector,
        "products": banks * dim * (multiply + add),
        "weighted sums": banks * dim * (multiply + single),
        "division": design.output_multipliers * arithmetic.operation_area_mm2("mul", "fp32", node),
        "memories": sum(
            each(lambda size: sram.area_mm2(max(256, size), node), size) for size in _memories(design, op).values()
        ),
    }
    return {name: design.copies * area for name, area in parts.items()}
