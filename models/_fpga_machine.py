"""The machine that every part of ``fpga.py`` is: its resources, its timing, its energy."""

from __future__ import annotations

import math

from siloom.models._fpga_design import FpgaDesign
from siloom.models._fpga_resources import (
    RESOURCES,
    bits_of,
    buffers,
    dsp_cells,
    measured_cell,
    placed_array,
    require_fit,
)
from siloom.models._systolic_array import Core, Run, run_steps
from siloom.models._systolic_lower import lower
from siloom.sim.cost import arithmetic, dram_energy, sram, table, table_hash
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine
from siloom.sim.memory import idle_latency_s, part, stream_bytes_per_s, write_costs
from siloom.sim.ops import Conv, MatMul, Operation
from siloom.sim.result import Result, utilization

_TABLES = ("fpga", "synthesis", "horowitz", "cacti_sram", "node_scaling", "dram_energy", "dram_parts")
_WORD_BYTES = 8
_ESTIMATE = "estimated from a synthesised cell of another kind"


class Fpga(Machine):
    """An array on an FPGA; subclasses give the name and the part."""

    kind = "fpga"
    operations = (MatMul, Conv)

    design: FpgaDesign

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Run one product or convolution; values are not computed.

        Raises:
            InfeasibleError: the part has not got what the array needs, or a buffer holds no fold.
            InputError: an operation of another kind, or more work than can be counted.
        """
        if not isinstance(op, MatMul | Conv):
            raise InputError(f"{self.label}: does not run {op.kind}")
        design = self.design
        used = require_fit(self.name, design)
        core = core_of(design)
        run = run_steps(
            core, lower(op, core, design.precision, design.accumulator), design.precision, design.accumulator
        )
        seconds = run.cycles / design.clock_hz
        energy = energy_parts(design, run, seconds)
        operations = {
            "multiplies": run.multiplies,
            "adds": run.multiplies,
            "effective_multiplies": op.multiplies,
        }
        peaks = {
            "operations_per_s": 2.0 * design.rows * design.cols * design.clock_hz,
            "bytes_per_s": design.memory_bytes_per_s,
        }
        return Result(
            machine=self.label,
            workload=op.name or op.kind,
            precision=(design.precision,),
            seconds=seconds,
            overhead_s=0.0,
            cycles=run.cycles,
            clock_hz=design.clock_hz,
            energy_j=math.fsum(energy.values()),
            energy_parts=energy,
            operations=operations,
            traffic_bytes=_traffic(design, run),
            phases=run.as_phases(design.clock_hz),
            stalls=run.stalls,
            utilization=utilization(operations, op.flops, peaks, seconds),
            counters={RESOURCES[name]: count for name, count in used.items()},
            peaks=peaks,
            notes=_notes(design, op, used),
            design=design.as_dict(),
            provenance={
                "design_hash": design.content_hash(),
                "tables": {name: table_hash(name) for name in _TABLES},
                "resources": _origins(design),
            },
        )


def core_of(design: FpgaDesign) -> Core:
    """What the timing reads: the array, its buffers, and memory at the share of its peak that streams reach."""
    rate, latency = design.memory_bytes_per_s, 0.0
    costs: tuple[float, ...] = (1.0,)
    if design.memory != "sram":
        rate *= stream_bytes_per_s(design.memory) / part(design.memory).peak_bytes_per_s
        latency, costs = idle_latency_s(design.memory), write_costs(design.memory)
    return Core(
        rows=design.rows,
        cols=design.cols,
        dataflow=design.dataflow,
        double=design.double_buffer,
        ifmap_bytes=design.ifmap_bytes,
        filter_bytes=design.filter_bytes,
        ofmap_bytes=design.ofmap_bytes,
        vector_lanes=1,
        bytes_per_cycle=rate / design.clock_hz,
        write_costs=costs,
        latency=math.ceil(latency * design.clock_hz),
    )


def energy_parts(design: FpgaDesign, run: Run, seconds: float) -> dict[str, float]:
    """Joules by component."""
    node = design.node_nm
    fabric = {name: table("fpga")["fabric", name].value for name in ("dynamic_lut", "dynamic_dsp")}
    in_blocks = dsp_cells(design) / (design.rows * design.cols)
    product = arithmetic.operation_energy_j("mul", design.precision, node)
    addition = arithmetic.operation_energy_j("add", design.accumulator, node)
    over = in_blocks * fabric["dynamic_dsp"] + (1 - in_blocks) * fabric["dynamic_lut"]
    parts = {
        "multipliers": run.multiplies * product * over,
        "adders": run.multiplies * addition * fabric["dynamic_lut"],
        "buffers": _buffer_energy(design, run),
        "static": design.static_w * seconds,
    }
    if design.memory != "sram":
        bits = 8 * (run.read_bytes + run.write_bytes)
        parts["dram"] = bits * dram_energy.energy_per_bit_j(design.memory.split("-")[0])
    return parts


def _buffer_energy(design: FpgaDesign, run: Run) -> float:
    """What the array and the memory port read and write, in words of a block; blocks are hard: SRAM's own cost."""
    block = design.bram_bits // 8
    word = min(_WORD_BYTES, block)
    read = sram.read_energy_j(block, word, design.node_nm) / word
    write = sram.write_energy_j(block, word, design.node_nm) / word
    operand, total = bits_of(design.precision) / 8, bits_of(design.accumulator) / 8
    out = 0.0
    for name in buffers(design):
        each = total if name == "ofmap" else operand
        out += each * (run.words.get(f"{name}_read", 0) * read + run.words.get(f"{name}_write", 0) * write)
    return out + run.read_bytes * write + run.write_bytes * read


def _traffic(design: FpgaDesign, run: Run) -> dict[str, int]:
    operand, total = bits_of(design.precision), bits_of(design.accumulator)
    bits = {"ifmap_read": operand, "filter_read": operand, "ofmap_read": total, "ofmap_write": total}
    out = {f"sram_{name}": -(-run.words.get(name, 0) * width // 8) for name, width in bits.items()}
    return {**out, "dram_read": run.read_bytes, "dram_write": run.write_bytes}


def _origins(design: FpgaDesign) -> dict[str, str]:
    """Where the resources of each part of the design come from."""
    blocks, cells = dsp_cells(design), design.rows * design.cols
    measured = measured_cell(design)
    origins = {
        "cells in multiplier blocks": _ESTIMATE if measured is None or not measured.dsp else measured.source,
        "cells in LUTs": _ESTIMATE if measured is None or measured.dsp else measured.source,
        "flip-flops of cells": "counted" if measured is None else measured.source,
        "skew": "counted",
        "buffers": "counted",
        "control": "assumed",
    }
    unused = {"cells in multiplier blocks": not blocks, "cells in LUTs": blocks == cells}
    return {name: origin for name, origin in origins.items() if not unused.get(name, False)}


def _notes(design: FpgaDesign, op: MatMul | Conv, used: dict[str, int]) -> tuple[str, ...]:
    shares = ", ".join(
        f"{count} of {have} {name}" for name, count in used.items() if (have := getattr(design, RESOURCES[name]))
    )
    cell = measured_cell(design)
    guessed = [kind for kind, origin in _origins(design).items() if origin == _ESTIMATE]
    how = "estimated from synthesised cells"
    if cell is not None:
        how = "of cells measured by synthesis" + (f" ({' and '.join(guessed)} estimated)" if guessed else "")
    notes = [f"resources {how}: {shares}; clock, static power and control are assumed"]
    if slower := _slower(design):
        notes.append(slower)
    if op.format != design.precision:
        notes.append(f"computed in {design.precision}, the workload asks for {op.format}")
    return tuple(notes)


def _slower(design: FpgaDesign) -> str:
    """That the clock is above what an array, or else a cell, of its kind was placed with; empty if it is not."""
    array, cell = placed_array(design), measured_cell(design)
    if array is not None:
        measured = array.measured
        what = f"an array of this kind of {array.rows} x {array.cols} reached, placed and routed with a memory port"
    elif cell is not None and (cell.dsp > 0) == (dsp_cells(design) > 0):
        measured, what = cell, "one cell reached, placed and routed alone"
    else:
        return ""
    if measured.clock_hz is None or measured.clock_hz >= design.clock_hz:
        return ""
    own, other = _told_apart(design.clock_hz / 1e6, measured.clock_hz / 1e6)
    return f"the clock of {own} MHz is above the {other} MHz that {what}"


def _told_apart(a: float, b: float) -> tuple[str, str]:
    """Both with as many digits behind the point as it takes to differ."""
    for digits in range(9):
        if (texts := (f"{a:.{digits}f}", f"{b:.{digits}f}"))[0] != texts[1]:
            return texts
    return repr(a), repr(b)
