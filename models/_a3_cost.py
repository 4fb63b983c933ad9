"""What A3's work costs: energy and area by component, from counts of what happened.

Clock, wires, registers and leakage are in no table and left out.
"""

from __future__ import annotations

from siloom.models._a3_design import A3Design, row_bits
from siloom.models._attention import Whole, dram_energy_j
from siloom.sim.cost import arithmetic, sram
from siloom.sim.ops import Attention


def _memories(design: A3Design, op: Attention) -> dict[str, int]:
    """Bytes of one pipeline's memories: for the design's keys and lanes, or this operation's where it has more."""
    seq, dim = max(design.keys, op.seq), max(design.lanes, op.dim)
    each = seq * -(-dim * design.operand_bits // 8)
    out = {"k": each, "v": each}
    if design.iterations_share:
        entry = design.operand_bits + row_bits(seq)
        out["sorted"] = design.sorted_places(seq) * -(-dim * entry // 8)
    return out


def _column_bytes(design: A3Design, seq: int) -> int:
    """Bytes of the buffer in which one column is sorted: where it comes from and where it goes."""
    return max(256, 2 * -(-seq * (design.operand_bits + row_bits(seq)) // 8))


def energy_parts(design: A3Design, op: Attention, whole: Whole, dram_bytes: int) -> dict[str, float]:
    """Joules by component.

    Of a tree of comparators the path that changed is counted, of a refilled buffer one product.
    """
    node, bits, dim, events = design.node_nm, design.operand_bits, op.dim, whole.events

    def add(width: int) -> float:
        return arithmetic.operation_energy_j("add", f"int{min(width, 64)}", node)

    def multiply(width: int) -> float:
        return arithmetic.operation_energy_j("mul", f"int{width}", node)

    memories = _memories(design, op)
    wide = 2 * bits + row_bits(dim)
    vector = -(-dim * bits // 8)
    rows = whole.heads * op.seq
    power = design.weight_fraction_bits + 1
    table = max(256, (1 << design.exponential.low_bits) * power // 8)
    out = {
        "products": events["candidates"] * dim * (multiply(bits) + add(wide)),
        "exponentials": events["kept"]
        * (add(wide) + multiply(16) + multiply(power) + 2 * sram.read_energy_j(table, 4, node)),
        "division": events["kept"] * arithmetic.operation_energy_j("mul", "int32", node),
        "weighted sums": events["kept"] * dim * (multiply(max(bits, power)) + add(bits + power + row_bits(op.seq))),
        "key memory": events["candidates"] * sram.read_energy_j(memories["k"], vector, node)
        + rows * sram.write_energy_j(memories["k"], vector, node),
        "value memory": events["kept"] * sram.read_energy_j(memories["v"], vector, node)
        + rows * sram.write_energy_j(memories["v"], vector, node),
    }
    if design.post_threshold_percent:
        out["post scoring"] = events["candidates"] * add(wide)
    if design.iterations_share:
        entry = -(-(bits + row_bits(op.seq)) // 8)
        ends, column = max(256, memories["sorted"]), _column_bytes(design, op.seq)
        sort = sram.read_energy_j(column, entry, node) + sram.write_energy_j(column, entry, node)
        taken = 2 * events["iterations"]
        filled = 2 * rows * design.search_fill_cycles * dim
        passes = max(1, (op.seq - 1).bit_length())
        out["search"] = (
            (taken + filled) * multiply(bits)
            + taken * (row_bits(dim) * add(2 * bits) + 2 * add(wide))
            + filled * add(2 * bits)
            + rows * op.seq * add(wide)
        )
        written = whole.heads * design.sorted_places(op.seq) * dim
        out["sorted memory"] = (taken + filled) * sram.read_energy_j(ends, entry, node)
        out["sorted memory"] += written * sram.write_energy_j(ends, entry, node)
        out["sorting"] = events["comparisons"] * add(bits) + rows * dim * passes * sort
    return out | dram_energy_j(design.memory, dram_bytes)


def area_parts(design: A3Design, op: Attention) -> dict[str, float]:
    """Square millimetres by component of all pipelines."""
    node, bits = design.node_nm, design.operand_bits

    def add(width: int) -> float:
        return arithmetic.operation_area_mm2("add", f"int{min(width, 64)}", node)

    def multiply(width: int) -> float:
        return arithmetic.operation_area_mm2("mul", f"int{width}", node)

    seq, dim = max(design.keys, op.seq), max(design.lanes, op.dim)
    power = design.weight_fraction_bits + 1
    wide = 2 * bits + row_bits(dim)
    table_bytes = 2 * max(256, (1 << design.exponential.low_bits) * power // 8)
    parts = {
        "products": design.lanes * (multiply(bits) + add(wide)),
        "exponentials": add(wide) + multiply(16) + multiply(power) + sram.area_mm2(table_bytes, node),
        "division": arithmetic.operation_area_mm2("mul", "int32", node),
        "weighted sums": design.lanes * (multiply(max(bits, power)) + add(bits + power + row_bits(seq))),
        "memories": sum(sram.area_mm2(size, node) for size in _memories(design, op).values()),
    }
    if design.post_threshold_percent:
        parts["post scoring"] = design.scan_width * add(wide)
    if design.iterations_share:
        # A multiplier and a comparator for each column and end, and an adder for each end's greedy score.
        parts["search"] = 2 * design.lanes * (multiply(bits) + add(2 * bits)) + (2 + design.scan_width) * add(wide)
    if design.sorters:
        parts["sorting"] = design.sorters * add(bits) + sram.area_mm2(_column_bytes(design, seq), node)
    return {name: design.copies * area for name, area in parts.items()}
