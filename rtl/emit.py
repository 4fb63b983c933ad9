"""A unit as a folder of files that stand alone: its Verilog and what one must know to connect it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from siloom.rtl.registry import Block, UnitBlock
from siloom.rtl.verilog import verilog
from siloom.sim.contract import Contract, CycleKernel, Stream
from siloom.sim.errors import InputError


def make_files(block: Block) -> dict[str, str]:
    """File name -> text of everything that is emitted for a unit or machine of this size.

    Raises:
        MissingPartError: Amaranth or its Yosys is not installed or does not work.
    """
    files = {f"{block.name}.v": verilog(block.make(), block.name)}
    if isinstance(block, UnitBlock):
        files["README.md"] = _readme(block, block.unit.contract(block.design))
    return files


def write_files(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Put files into ``folder``, made if absent; all of them or, on any failure, none of them.

    Raises:
        InputError: the folder cannot be made or written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".siloom-", dir=folder if folder.is_dir() else folder.parent))
        try:
            for name, text in files.items():
                (draft / name).write_text(text, encoding="utf-8")
            if folder.is_dir():
                for name in files:
                    (draft / name).replace(folder / name)
            else:
                draft.chmod(0o755)
                draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from None
    return [folder / name for name in files]


def _readme(unit: UnitBlock, contract: Contract) -> str:
    settings = "\n".join(f"| `{name}` | {value} |" for name, value in unit.design.as_dict().items())
    return f"""\
# {unit.name}

{unit.summary[0].upper()}{unit.summary[1:]}.

Made by `siloom rtl emit {unit.name}:{unit.size}`; `siloom rtl check {unit.name}` compares it with its
model, bit for bit and cycle for cycle. The one module is `{unit.name}` in `{unit.name}.v`.

| setting | value |
|---|---|
{settings}

## Ports

| port | direction | bits | meaning |
|---|---|---|---|
| `clk` | in | 1 | clock; everything happens at its rising edge |
| `rst` | in | 1 | synchronous reset, active high; hold it for one cycle or more |
| `s_axis_tdata` | in | {contract.inputs.bits} | operands, laid out below |
| `s_axis_tvalid` | in | 1 | operands are there |
| `s_axis_tready` | out | 1 | operands are taken at the next edge if `s_axis_tvalid` is high |
| `m_axis_tdata` | out | {contract.outputs.bits} | results, laid out below |
| `m_axis_tvalid` | out | 1 | a result is there; it stays, unchanged, until it is taken |
| `m_axis_tready` | in | 1 | the result is taken at the next edge if `m_axis_tvalid` is high |

`tdata` has exactly the bits that are used; where a fabric asks for whole bytes, leave the upper bits of
`s_axis_tdata` unconnected and pad `m_axis_tdata`.

### `s_axis_tdata`

{_layout(contract.inputs)}

### `m_axis_tdata`

{_layout(contract.outputs)}

Formats: `s8` is a two's complement number of 8 bits, `u1` an unsigned one, `s16.8` has 8 bits behind the
binary point, `e4m3` is a floating-point number with a sign, 4 bits of exponent and 3 of mantissa.

## Timing, in cycles

| promise | cycles |
|---|---|
| latency: from operands taken to the first result they complete being valid | {_cycles(contract.latency)} |
| interval: from operands taken to being ready for the next | {_cycles(contract.interval)} |
| capacity: beats held while nobody takes the results | {contract.capacity} |

{_turnaround(contract)}
"""


def _layout(side: Stream) -> str:
    rows, at = ["| bits | name | format | meaning |", "|---|---|---|---|"], 0
    for port in side.ports:
        bits = port.format.bits * port.lanes
        form = str(port.format) if port.lanes == 1 else f"{port.lanes} x {port.format}"
        rows.append(f"| {at + bits - 1}:{at} | `{port.name}` | {form} | {port.meaning} |")
        at += bits
    return "\n".join(rows)


def _cycles(promise: int | CycleKernel) -> str:
    return str(promise) if isinstance(promise, int) else "depends on the operands"


def _turnaround(contract: Contract) -> str:
    if contract.turnaround == 0:
        return "`m_axis_tready` reaches `s_axis_tready` in the same cycle, through logic."
    return f"Room that a result gives free is offered again {contract.turnaround} cycles after it was taken."
