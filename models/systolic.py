"""A systolic array of any size: output-, weight- or input-stationary, with SRAMs, a vector unit and DRAM.

``convention=physical`` is an array as one would build it: edge folds take their own rows and columns, folds
follow one another without emptying the array, a second register a cell hides loading and draining,
sums of a cut k are read back and counted, and everything shares one DRAM port
(``siloom.sim.engine.systolic``). ``convention=scalesim`` counts as SCALE-Sim does where nothing stalls, to the
digit; it knows no memory, no padding and no energy of its own, and its words have one byte.
``siloom reproduce scalesim`` explains the difference by causes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from siloom.models._systolic_array import (
    ACCUMULATORS,
    Core,
    Run,
    Step,
    accumulator_of,
    add_runs,
    run_steps,
)
from siloom.models._systolic_cost import TABLES, area_parts, energy_parts
from siloom.models._systolic_lower import OPERATIONS, lower
from siloom.models._systolic_scalesim import run_scalesim, scalesim_product
from siloom.sim.cost import table_hash
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.machine import Machine
from siloom.sim.memory import PARTS, idle_latency_s, part, stream_bytes_per_s, write_costs
from siloom.sim.ops import FORMAT_BITS, Attention, Conv, Elementwise, MatMul, Operation, Reduce, extras_note
from siloom.sim.result import Result, utilization
from siloom.sim.scalesim_config import systolic_settings

_FREE = "free choice of the design"
_MOST_BLOCKS_SHOWN = 8


@dataclass(frozen=True)
class SystolicDesign(Design):
    """The choices that define one systolic machine.

    Raises (when made):
        InputError: a field out of its range.
        InfeasibleError: an SRAM that cannot hold one fold of the array twice over.
    """

    rows: int = parameter(32, unit="cells", source=_FREE, status="assumed", low=1, high=65536)
    cols: int = parameter(32, unit="cells", source=_FREE, status="assumed", low=1, high=65536)
    dataflow: str = parameter(
        "ws",
        unit="",
        source="what stays in the cells: sums (os), weights (ws) or inputs (is)",
        status="assumed",
        choices=("os", "ws", "is"),
    )
    convention: str = parameter(
        "physical",
        unit="",
        source="physical, or counted as SCALE-Sim 2.0.2 and 3.0.0 do where nothing stalls",
        status="assumed",
        choices=("physical", "scalesim"),
    )
    double_buffer: bool = parameter(
        True,
        unit="",
        source="a second register a cell, for the next operand (ws, is) or the last sum (os)",
        status="assumed",
    )
    precision: str = parameter(
        "auto",
        unit="",
        source="format of the operands; auto: the operation's",
        status="assumed",
        choices=("auto", *FORMAT_BITS),
    )
    accumulator: str = parameter(
        "auto",
        unit="",
        source="format of the sums; auto: int32 for integers, fp32 for floats, fp64 for fp64",
        status="assumed",
        choices=("auto", *ACCUMULATORS),
    )
    clock_hz: float = parameter(1.0e9, unit="Hz", source=_FREE, status="assumed", low=1e6, high=1e10)
    ifmap_sram_bytes: int = parameter(2**20, unit="B", source=_FREE, status="assumed", low=2, high=2**33)
    filter_sram_bytes: int = parameter(2**20, unit="B", source=_FREE, status="assumed", low=2, high=2**33)
    ofmap_sram_bytes: int = parameter(2**20, unit="B", source=_FREE, status="assumed", low=2, high=2**33)
    sram_word_bytes: int = parameter(
        8, unit="B", source="one access of a bank; a bank a row or column", status="assumed", low=1, high=64
    )
    vector_lanes: int = parameter(
        64, unit="operations/cycle", source="softmax, elementwise work, reductions", status="assumed", low=1, high=65536
    )
    memory: str = parameter(
        "ddr4-2400",
        unit="",
        source="a DRAM part, at the rate that its engine sustains at an operation's share of writes; ideal: infinite",
        status="assumed",
        choices=("ideal", *PARTS),
    )
    memory_channels: int = parameter(
        1, unit="channels", source="channels, or stacks, of the memory", status="assumed", low=1, high=1024
    )
    node_nm: float = parameter(
        22.0, unit="nm", source="node of the energy and area tables", status="assumed", low=7.0, high=130.0
    )

    config: str = parameter(
        "",
        unit="file",
        source="a SCALE-Sim .cfg, whose sizes and dataflow then replace the fields of their names",
        status="assumed",
    )

    def __post_init__(self) -> None:
        """Read the file named, if one is; check what fields must hold together.

        SRAMs are checked at the narrowest operands that the design allows; ``run`` checks them at its own.
        """
        super().__post_init__()
        if self.config:
            for name, value in systolic_settings(Path(self.config)).items():
                object.__setattr__(self, name, value)
            # Taken over: a design stands for itself, wherever it is remade.
            object.__setattr__(self, "config", "")
            super().__post_init__()  # the file's sizes have this design's ranges too
        form = min(FORMAT_BITS, key=lambda f: FORMAT_BITS[f]) if self.precision == "auto" else self.precision
        sums = accumulator_of(form) if self.accumulator == "auto" else self.accumulator
        if self.convention == "physical":
            self._require_room(FORMAT_BITS[form], ACCUMULATORS[sums])

    def _require_room(self, bits: int, sum_bits: int) -> None:
        rows, cols = self.rows, self.cols
        needs = {
            "os": (rows, cols, rows * cols),
            "ws": (rows, rows * cols, cols),
            "is": (rows * cols, rows, cols),
        }[self.dataflow]
        names = ("ifmap_sram_bytes", "filter_sram_bytes", "ofmap_sram_bytes")
        for name, elements, width in zip(names, needs, (bits, bits, sum_bits), strict=True):
            least = -(-2 * elements * width // 8)
            if getattr(self, name) < least:
                raise InfeasibleError(
                    f"SystolicDesign: {name} must be at least {least} B to hold one fold of {rows} x {cols} cells "
                    f"twice over, got {getattr(self, name)}"
                )

    @property
    def bytes_per_s(self) -> float:
        """Rate that streams of reads reach at the memory port; infinite where the memory is ideal."""
        if self.memory == "ideal":
            return math.inf
        return stream_bytes_per_s(self.memory, channels=self.memory_channels)

    @property
    def core(self) -> Core:
        """What the timing reads."""
        real = self.memory != "ideal" and self.convention == "physical"
        return Core(
            rows=self.rows,
            cols=self.cols,
            dataflow=self.dataflow,
            double=self.double_buffer,
            ifmap_bytes=self.ifmap_sram_bytes,
            filter_bytes=self.filter_sram_bytes,
            ofmap_bytes=self.ofmap_sram_bytes,
            vector_lanes=self.vector_lanes,
            bytes_per_cycle=self.bytes_per_s / self.clock_hz if real else math.inf,
            write_costs=write_costs(self.memory) if real else (1.0,),
            latency=math.ceil(idle_latency_s(self.memory) * self.clock_hz) if real else 0,
        )


class Systolic(Machine):
    """A systolic array with its SRAMs, a vector unit and DRAM."""

    name = "systolic"
    kind = "accelerator"
    summary = "systolic array of any size and dataflow, physical or as SCALE-Sim counts"
    operations = (MatMul, Conv, Attention, Elementwise, Reduce)
    design_type = SystolicDesign
    design: SystolicDesign

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Run one operation; values are not computed.

        Raises:
            InputError: more work than can be counted.
            InfeasibleError: an SRAM that does not hold one fold in the operation's format.
        """
        if not isinstance(op, OPERATIONS):
            raise InputError(f"{self.label}: does not run {op.kind}")
        design = self.design
        asked = str(op.format)
        form = asked if design.precision == "auto" else design.precision
        accumulator = accumulator_of(form) if design.accumulator == "auto" else design.accumulator
        run = self._time(op, form, accumulator)
        energy = energy_parts(design, run, form, accumulator)
        area = area_parts(design, form, accumulator)
        seconds = run.cycles / design.clock_hz
        a_cycle = 2 * design.rows * design.cols if op.multiplies else design.vector_lanes
        peaks = {"operations_per_s": float(a_cycle * design.clock_hz)}
        if design.memory != "ideal":
            peaks["bytes_per_s"] = design.memory_channels * part(design.memory).peak_bytes_per_s
        operations = {
            "multiplies": run.multiplies,
            "adds": run.multiplies,
            "effective_multiplies": op.multiplies,
            "vector_operations": run.vector_operations,
        }
        return Result(
            machine=self.label,
            workload=op.name or op.kind,
            seconds=seconds,
            overhead_s=0.0,
            cycles=run.cycles,
            clock_hz=design.clock_hz,
            energy_j=math.fsum(energy.values()),
            energy_parts=energy,
            area_mm2=math.fsum(area.values()),
            area_parts=area,
            operations=operations,
            traffic_bytes=_traffic(design, run, form, accumulator),
            phases=run.as_phases(design.clock_hz),
            stalls=run.stalls,
            precision=(form,),
            utilization=utilization(operations, op.flops, peaks, seconds),
            peaks=peaks,
            notes=_notes(design, op, form),
            design=design.as_dict(),
            provenance={
                "design_hash": design.content_hash(),
                "tables": {name: table_hash(name) for name in TABLES},
                "precision": {"operands": form, "sums": accumulator},
                "blocks": list(run.blocks[:_MOST_BLOCKS_SHOWN]),
            },
        )

    def _time(self, op: Operation, form: str, accumulator: str) -> Run:
        core = self.design.core
        if self.design.convention == "physical":
            return run_steps(core, lower(op, core, form, accumulator), form, accumulator)
        if isinstance(op, MatMul | Conv):
            return run_scalesim(core, (scalesim_product(op),))
        # SCALE-Sim has products only; what is between them takes the vector unit's time, one after the other.
        return _in_turn(core, lower(op, core, form, accumulator), form, accumulator)


def _in_turn(core: Core, steps: tuple[Step, ...], form: str, accumulator: str) -> Run:
    runs = []
    for step in steps:
        runs.append(run_scalesim(core, step.products))
        runs.append(replace(run_steps(core, (replace(step, products=()),), form, accumulator), port_bytes={}))
    return add_runs(run for run in runs if run.cycles)


def _traffic(design: SystolicDesign, run: Run, form: str, accumulator: str) -> dict[str, int]:
    """Bytes between array and SRAMs and over the DRAM port, by tensor and in all."""
    element, total = FORMAT_BITS[form], ACCUMULATORS[accumulator]
    if design.convention == "scalesim":
        element = total = 8
    bits = {"ifmap_read": element, "filter_read": element, "ofmap_read": total, "ofmap_write": total}
    out = {f"sram_{name}": -(-run.words.get(name, 0) * width // 8) for name, width in bits.items()}
    if design.convention == "physical":
        out |= {f"dram_{name}": moved for name, moved in run.port_bytes.items() if moved}
        out |= {"dram_read": run.read_bytes, "dram_write": run.write_bytes}
    else:
        del out["sram_ofmap_read"]
    return out


def _notes(design: SystolicDesign, op: Operation, form: str) -> tuple[str, ...]:
    notes = []
    if form != getattr(op, "format", form):
        notes.append(f"{op.name or op.kind} computed in {form}, the workload asks for {getattr(op, 'format', form)}")
    notes += extras_note(op)
    if design.convention == "scalesim":
        notes.append("counted as SCALE-Sim does without stalls: no memory traffic, words of one byte")
    elif design.memory == "ideal":
        notes.append("memory is ideal: traffic is counted, takes no time and no energy")
    return tuple(notes)
