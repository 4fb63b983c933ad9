"""What an array takes of an FPGA: an estimate from synthesised cells, to be replaced by whole designs.

A cell's LUTs are those of Yosys on one weight-stationary cell of each width and family, in Verilog
``if (load) w <= w_in; a_out <= a_in; s_out <= s_in + a_in * w;`` with signed operands. Flip-flops are
counted: the operand passed on, the weight (two where double-buffered), the sum, and the triangles of
registers that skew operands and straighten sums at the edges. Buffers take as many memory blocks as
their bytes or their width ask for, the larger. Control is an assumed constant.

Not in it: routing that fails before the last LUT is used, multiplier blocks that hold two products,
adders inside multiplier blocks, and clocks that a full part does not reach.
"""

from __future__ import annotations

from collections.abc import Mapping

from siloom.models._fpga_design import FpgaDesign
from siloom.sim.cost import table
from siloom.sim.errors import InfeasibleError

RESOURCES = {"LUT": "luts", "FF": "ffs", "DSP": "dsps", "BRAM": "brams", "URAM": "urams"}
"""Resource as messages name it -> the part's field."""


def bits_of(format: str) -> int:
    """Bits of an integer format."""
    return int(format.removeprefix("int"))


def dsp_cells(design: FpgaDesign) -> int:
    """Cells whose multiplier is a block: with ``auto`` as many as there are blocks, with ``dsp`` all of them.

    Narrow products that the tools put into LUTs even where blocks are free take none with ``auto``.
    """
    cells = design.rows * design.cols
    if design.multiplier == "lut":
        return 0
    if design.multiplier == "dsp":
        return cells
    return min(cells, design.dsps) if _row(design, "dsp_luts") in table("fpga") else 0


def resources(design: FpgaDesign) -> dict[str, int]:
    """LUT, FF, DSP, BRAM and URAM that the design takes."""
    rows, cols = design.rows, design.cols
    operand, total = bits_of(design.precision), bits_of(design.accumulator)
    blocks = dsp_cells(design)
    lut_each = _cell(design, "luts")
    dsp_each = total  # the sum's adder; what the synthesised cells show too
    cell_ffs = operand * (3 if design.double_buffer else 2) + total
    skew = operand * rows * (rows - 1) // 2 + total * cols * (cols - 1) // 2
    brams, urams = _memory_blocks(design)
    control = {name: int(table("fpga")["control", name].value) for name in ("luts", "ffs")}
    return {
        "LUT": blocks * dsp_each + (rows * cols - blocks) * lut_each + control["luts"],
        "FF": rows * cols * cell_ffs + skew + control["ffs"],
        "DSP": blocks,
        "BRAM": brams,
        "URAM": urams,
    }


def require_fit(label: str, design: FpgaDesign) -> dict[str, int]:
    """The resources, if the part has them.

    Raises:
        InfeasibleError: with every resource that is short and by how much.
    """
    used = resources(design)
    short = [
        f"{count} {name}, part has {getattr(design, field)} ({count - getattr(design, field)} too many)"
        for name, field in RESOURCES.items()
        if (count := used[name]) > getattr(design, field)
    ]
    if short:
        array = f"{design.rows}x{design.cols} {design.precision} array"
        raise InfeasibleError(f"{label}: {array} needs {'; '.join(short)}")
    return used


def buffers(design: FpgaDesign) -> Mapping[str, tuple[int, int]]:
    """Buffer -> bytes and bits a cycle: a row of operands, a row of weights, a row of sums."""
    operand, total = bits_of(design.precision), bits_of(design.accumulator)
    return {
        "ifmap": (design.ifmap_bytes, design.rows * operand),
        "filter": (design.filter_bytes, design.cols * operand),
        "ofmap": (design.ofmap_bytes, design.cols * total),
    }


def _memory_blocks(design: FpgaDesign) -> tuple[int, int]:
    """BRAM and URAM; the largest buffers move to URAM where the BRAM would not do."""
    held = sorted(buffers(design).values(), reverse=True)
    big = table("fpga")["uram", "bits"].value, table("fpga")["uram", "width_bits"].value
    for moved in range(len(held) + 1):
        brams = sum(_blocks(buffer, design.bram_bits, design.bram_width_bits) for buffer in held[moved:])
        if brams <= design.brams or not design.urams:
            break
    return brams, sum(_blocks(buffer, int(big[0]), int(big[1])) for buffer in held[:moved])


def _blocks(buffer: tuple[int, int], bits: int, width_bits: int) -> int:
    size_bytes, width = buffer
    return max(-(-8 * size_bytes // bits), -(-width // width_bits))


def _row(design: FpgaDesign, kind: str) -> tuple[str, str]:
    return design.family, f"{kind}_{design.precision}_{design.accumulator}"


def _cell(design: FpgaDesign, kind: str) -> int:
    return int(table("fpga")[_row(design, kind)].value)
