"""What ViTCoD's work costs: energy and area by component, from counts of what happened.

Clock, wires, registers, control and leakage are in no table and left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from siloom.models._attention import dram_energy_j
from siloom.models._vitcod_design import ViTCoDDesign
from siloom.sim.cost import arithmetic, sram

_TABLE_BYTES = 256
_SCORE_BYTES = 2


@dataclass(frozen=True, kw_only=True)
class Events:
    """Counts of a product.

    ``vectors_read`` and ``vectors_written`` are a token's elements of one head, ``vector_bytes`` long, from and to
    the operands' memories; ``vectors_forwarded`` queries were handed on by the denser engine instead. Scores are
    written to their memory as they are made, and read from it, an exponential each, for the product with V.
    """

    engine_macs: int
    decode_macs: int
    vectors_read: int
    vectors_forwarded: int
    vectors_written: int
    scores_written: int
    scores_read: int
    vector_bytes: int

    @classmethod
    def sum_of(cls, many: Sequence[Events]) -> Events:
        """All together; their vectors have one length."""
        sums = {f.name: sum(getattr(own, f.name) for own in many) for f in dataclasses.fields(cls)}
        return cls(**{**sums, "vector_bytes": max(own.vector_bytes for own in many)})


def energy_parts(design: ViTCoDDesign, events: Events, divided: int, dram_bytes: int) -> dict[str, float]:
    """Joules by component; ``divided`` elements of the output are divided by their row's sum of weights."""
    node, operand = design.node_nm, f"int{design.operand_bits}"
    multiply = arithmetic.operation_energy_j("mul", operand, node)
    mac = multiply + arithmetic.operation_energy_j("add", "int32", node)
    size = design.operand_sram_bytes
    width = min(max(1, events.vector_bytes), size)
    score = min(_SCORE_BYTES, design.output_sram_bytes)
    read, write = sram.read_energy_j(size, width, node), sram.write_energy_j(size, width, node)
    return {
        "engines": events.engine_macs * mac,
        "decoder": events.decode_macs * mac,
        "exponentials": events.scores_written
        * (arithmetic.operation_energy_j("mul", "int32", node) + sram.read_energy_j(_TABLE_BYTES, 2, node)),
        "division": divided * arithmetic.operation_energy_j("mul", "fp32", node),
        "operand memories": events.vectors_read * read + events.vectors_written * write,
        "score memory": events.scores_written * sram.write_energy_j(design.output_sram_bytes, score, node)
        + events.scores_read * sram.read_energy_j(design.output_sram_bytes, score, node),
        **dram_energy_j(design.memory, dram_bytes),
    }


def area_parts(design: ViTCoDDesign) -> dict[str, float]:
    """Square millimetres by component."""
    node, operand = design.node_nm, f"int{design.operand_bits}"
    mac = arithmetic.operation_area_mm2("mul", operand, node) + arithmetic.operation_area_mm2("add", "int32", node)
    return {
        "engines and decoder": design.macs * mac,
        "exponentials": design.pe_width * arithmetic.operation_area_mm2("mul", "int32", node),
        "division": design.pe_height * arithmetic.operation_area_mm2("mul", "fp32", node),
        "memories": sram.area_mm2(design.sram_bytes, node),
    }
