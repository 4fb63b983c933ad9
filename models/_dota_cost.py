"""What DOTA's work costs: energy and area by component, from counts of what happened.

Clock, wires, registers and leakage are in no table and left out.
"""

from __future__ import annotations

from collections.abc import Callable

from siloom.models._attention import Whole, dram_energy_j
from siloom.models._dota_design import WIDE_BITS, DotaDesign, vector_bytes
from siloom.sim.cost import arithmetic, sram
from siloom.sim.ops import Attention
from siloom.sim.units.multi_precision_mul import MultiPrecisionMul


def energy_parts(design: DotaDesign, op: Attention, whole: Whole, dram_bytes: int) -> dict[str, float]:
    """Joules by component."""
    node, dim, events = design.node_nm, op.dim, whole.events
    vector, rows = vector_bytes(design, dim), whole.heads * op.seq
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
        "detection": events["predictor_multiplies"] * low,
        # A comparison of each score; each score kept is moved on by the sorter's places or pushed as a key's number.
        "selection and scheduling": (events["pairs"] + events["kept"]) * compare,
        "products": events["kept"] * dim * wide,
        "weighted sums": events["kept"] * dim * wide,
        # As in FP32 throughout: scale, about six multiplies and additions for an exponential, the sum, a quotient like
        # four multiplies. A table and whole numbers, as in _dota_softmax.py, take less.
        "softmax": events["kept"] * (11 * multiply + 7 * add),
        # K and V are written to every lane; Q is read once, the output written once and read once.
        "key and value memory": 2 * events["fetches"] * read + 2 * design.lanes * rows * write,
        "query and output memory": 2 * rows * (read + write),
        "detector memory": low_vector * (2 * rows * write + (1 + op.seq / design.tokens) * rows * read),
        **dram_energy_j(design.memory, dram_bytes),
    }


def _composed(figure: Callable[[str, str, float], float], design: DotaDesign) -> float:
    """A wide multiplier from narrow ones: their figures, and those of the additions that join them."""
    unit = MultiPrecisionMul(wide_bits=WIDE_BITS, base_bits=min(4, design.detector_bits))
    narrow = figure("mul", f"int{unit.base_bits}", design.node_nm)
    return unit.multipliers * narrow + (unit.multipliers - 1) * figure("add", f"int{WIDE_BITS}", design.node_nm)


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
