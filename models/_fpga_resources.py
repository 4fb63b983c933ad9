"""What an array takes of an FPGA: its cells as they were measured or else estimated, and what is around them.

A cell's LUTs and flip-flops are those of the hardware ``systolic_cell``, its handshake included, of the array's
widths, dataflow and registers, where ``siloom rtl synth`` measured it in a part of the family
(``sim/cost/synthesis.csv``). Otherwise they are estimated. LUTs are then those of Yosys on one weight-stationary
cell of each width and family, in Verilog ``if (load) w <= w_in; a_out <= a_in; s_out <= s_in + a_in * w;`` with
signed operands, taken for all dataflows; flip-flops are counted: the operand passed on, the weight (two where
double-buffered), the sum. Cells whose multiplier is in LUTs though the part has blocks are estimated too.

The triangles of registers that skew operands and straighten sums at the edges are counted. Buffers take as many
memory blocks as their bytes or their width ask for, the larger. Control is an assumed constant.

Whole arrays that were placed (4 x 4 and 8 x 8 on the ECP5, with a memory port and no operand buffers) take 23 to 29 %
more LUTs and 9 to 16 % fewer flip-flops than this counts, and the same multipliers. A result's notes say
what clock such an array reached, where the design's is above it.

Not in it: routing that fails before the last LUT is used, multiplier blocks that hold two products,
adders inside multiplier blocks, and clocks that a full part does not reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from siloom.models._fpga_design import FpgaDesign
from siloom.models.systolic import SystolicDesign
from siloom.sim.cost import table
from siloom.sim.cost.synthesis import Synthesised, synthesised, synthesised_sizes
from siloom.sim.errors import InfeasibleError
from siloom.sim.units.systolic_cell import SystolicCell

RESOURCES = {"LUT": "luts", "FF": "ffs", "DSP": "dsps", "BRAM": "brams", "URAM": "urams"}
"""Resource as messages name it -> the part's field."""


MEASURED_IN = {"ice40": "ice40-hx8k", "ecp5": "ecp5-85k"}
"""Family -> the part in which its cells were measured."""


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


def measured_cell(design: FpgaDesign) -> Synthesised | None:
    """The array's cell as it was measured in a part of the design's family; None where it was not."""
    operand = bits_of(design.precision)
    cell = SystolicCell(
        dataflow=_held(design.dataflow),
        a_bits=operand,
        b_bits=operand,
        acc_bits=bits_of(design.accumulator),
        double=design.double_buffer,
    )
    part = MEASURED_IN.get(design.family)
    return None if part is None else synthesised(part, "systolic_cell", cell.settings_text())


class PlacedArray(NamedTuple):
    """A whole array of the hardware of ``systolic``, placed with its own drain buffer and memory port."""

    rows: int
    cols: int
    measured: Synthesised


def placed_array(design: FpgaDesign) -> PlacedArray | None:
    """The largest array that was placed, no larger than the design's and of its kind; None where none was.

    Of its kind: in a part of the family, of the same widths, registers and what stays, with the same share of its
    products in multiplier blocks.
    """
    part = MEASURED_IN.get(design.family)
    found = []
    for settings in [] if part is None else synthesised_sizes(part, "systolic"):
        given = dict(setting.split("=") for setting in settings.split(","))
        of = {field: given.get(field, str(getattr(SystolicDesign, field))) for field in _KIND}
        measured = synthesised(str(part), "systolic", settings)
        if measured is None or not all(_same(field, value, design) for field, value in of.items()):
            continue
        rows, cols = (int(given.get(side, getattr(SystolicDesign, side))) for side in ("rows", "cols"))
        alike = measured.dsp * design.rows * design.cols == dsp_cells(design) * rows * cols
        if rows <= design.rows and cols <= design.cols and alike:
            found.append(PlacedArray(rows, cols, measured))
    return max(found, key=lambda array: array.rows * array.cols, default=None)


_KIND = ("dataflow", "double_buffer", "precision", "accumulator")


def _same(field: str, value: str, design: FpgaDesign) -> bool:
    own = str(getattr(design, field))
    return _held(value) == _held(own) if field == "dataflow" else value == own


def _held(dataflow: str) -> str:
    """Inputs or weights that stay are the same hardware."""
    return "os" if dataflow == "os" else "ws"


def resources(design: FpgaDesign) -> dict[str, int]:
    """LUT, FF, DSP, BRAM and URAM that the design takes."""
    rows, cols = design.rows, design.cols
    operand, total = bits_of(design.precision), bits_of(design.accumulator)
    blocks = dsp_cells(design)
    lut_each = _cell(design, "luts")
    dsp_each = total  # the sum's adder; what the synthesised cells show too
    cell_ffs = operand * (3 if design.double_buffer else 2) + total
    if (cell := measured_cell(design)) is not None:
        cell_ffs = cell.ff
        if cell.dsp:
            dsp_each = cell.lut
        else:
            lut_each = cell.lut
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
