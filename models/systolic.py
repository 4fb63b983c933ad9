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
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Self

from siloom.models._systolic_array import (
    ACCUMULATORS,
    Core,
    Run,
    Step,
    accumulator_of,
    add_runs,
    run_steps,
)
from siloom.models._systolic_bound import bound as systolic_bound
from siloom.models._systolic_cost import Words
from siloom.models._systolic_lower import OPERATIONS, lower
from siloom.models._systolic_result import IDEAL_NOTE, array_result
from siloom.models._systolic_scalesim import run_scalesim, scalesim_product
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.machine import Bound, Columns, Machine
from siloom.sim.memory import PARTS, idle_latency_s, stream_bytes_per_s, write_costs
from siloom.sim.ops import FORMAT_BITS, Attention, Conv, Elementwise, MatMul, Operation, Reduce
from siloom.sim.result import Result
from siloom.sim.scalesim_config import systolic_settings

_FREE = "free choice of the design"


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
        source="a SCALE-Sim .cfg, whose sizes and dataflow are those of the fields that are not given beside it",
        status="assumed",
    )

    def __post_init__(self) -> None:
        """Read the file named, if one is; check what fields must hold together.

        SRAMs are checked at the narrowest operands that the design allows; ``run`` checks them at its own.
        """
        super().__post_init__()
        if self.config:
            defaults = {field.name: field.default for field in fields(self)}
            for name, value in systolic_settings(Path(self.config)).items():
                if getattr(self, name) == defaults[name]:  # what was chosen beside a file stands
                    object.__setattr__(self, name, value)
            # Taken over: a design stands for itself, wherever it is remade.
            object.__setattr__(self, "config", "")
            super().__post_init__()  # the file's sizes have this design's ranges too
        form = min(FORMAT_BITS, key=lambda f: FORMAT_BITS[f]) if self.precision == "auto" else self.precision
        sums = accumulator_of(form) if self.accumulator == "auto" else self.accumulator
        if self.convention == "physical":
            self._require_room(FORMAT_BITS[form], ACCUMULATORS[sums])

    def with_settings(self, owner: str, settings: Mapping[str, object]) -> Self:
        """A copy with ``settings`` applied; those given beside a ``config`` go before the file's.

        Raises:
            UsageError: a name that is not a field.
            InputError: a value that the field's rule refuses, or a file that cannot be read.
            InfeasibleError: an SRAM that cannot hold one fold of the array twice over.
        """
        if settings.get("config"):
            file = systolic_settings(Path(str(settings["config"])))
            settings = {**file, **{name: value for name, value in settings.items() if name != "config"}}
        return super().with_settings(owner, settings)

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
    def multipliers(self) -> int:
        """Multipliers of all cells."""
        return self.rows * self.cols

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
    bound_one_by_one = ("node_nm",)

    def bound(self, op: Operation, columns: Columns) -> Bound | None:
        """Folds or memory; see :mod:`siloom.models._systolic_bound`."""
        return systolic_bound(op, columns)

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
        port = design.convention == "physical"
        element, total = (FORMAT_BITS[form], ACCUMULATORS[accumulator]) if port else (8, 8)
        words = Words(element, element, total)
        return array_result(self.label, design, op, run, form, accumulator, words, _notes(design), port)

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


def _notes(design: SystolicDesign) -> tuple[str, ...]:
    if design.convention == "scalesim":
        return ("counted as SCALE-Sim does without stalls: no memory traffic, words of one byte",)
    return (IDEAL_NOTE,) if design.memory == "ideal" else ()
