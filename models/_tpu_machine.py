"""The machine that every TPU from v2 on is; ``tpu.py`` gives the generations their names and designs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from siloom.models._systolic_array import ACCUMULATORS, Run, accumulator_of
from siloom.models._systolic_cost import TABLES
from siloom.models._tpu_cores import activations, precision_of, run_operation, weights
from siloom.models._tpu_design import TpuDesign
from siloom.sim.cost import table_hash
from siloom.sim.cost.arithmetic import mac_energy_j, operation_energy_j
from siloom.sim.cost.dram_energy import energy_per_bit_j
from siloom.sim.cost.sram import read_energy_j, write_energy_j
from siloom.sim.errors import InfeasibleError
from siloom.sim.machine import Machine
from siloom.sim.ops import (
    FORMAT_BITS,
    Attention,
    Conv,
    Elementwise,
    Item,
    MatMul,
    Operation,
    Reduce,
    extras_note,
    format_bytes,
)
from siloom.sim.result import Result, utilization

VMEM_BANK_BYTES, VMEM_WORD_BYTES = 131072, 8
"""A bank and what one access of it moves; how VMEM is banked was not published."""


class TpuChip(Machine):
    """A TPU with cores, a vector unit and HBM; subclasses give the name and the chip."""

    kind = "accelerator"
    operations = (MatMul, Conv, Attention, Elementwise, Reduce)
    ends_apart = ("first", "last")  # they meet HBM

    design: TpuDesign

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Run ``op`` on the whole chip, from HBM and back; values are not computed.

        Raises:
            InputError: more work than can be counted.
            InfeasibleError: a VMEM too small for one fold of the array, operands beyond the memory.
        """
        return self._run(Item(op), first=True, last=True)

    def run_in_order(self, items: Sequence[Item], *, values: bool = False) -> Sequence[Result]:
        """Between one operation and the next, activations stay in CMEM where it holds them.

        The first reads from HBM, the last writes there; and so does what gradients and the optimizer want again much
        later: ``saved`` results and ``recalled`` operands.
        """
        end = len(items) - 1
        return [self._run(item, first=place == 0, last=place == end) for place, item in enumerate(items)]

    def _run(self, item: Item, *, first: bool, last: bool) -> Result:
        design, op = self.design, item.op
        precision = precision_of(design, op)
        needed = format_bytes(precision, activations(op) + weights(op))
        if needed > design.memory_bytes:
            raise InfeasibleError(
                f"{self.label}: {op.name or op.kind} needs {needed} bytes for its operands, "
                f"memory_bytes is {design.memory_bytes:.0f}"
            )
        try:
            run = run_operation(design, item, precision, first=first, last=last)
        except InfeasibleError as error:
            raise InfeasibleError(
                f"{self.label}: vmem_bytes must hold what the arrays work on, got {design.vmem_bytes} B ({error})"
            ) from None
        seconds = run.cycles / design.clock_hz
        vector = float(design.vector_per_cycle * design.clock_hz)
        peak = design.operations_per_s(precision) if op.multiplies else vector
        peaks = {"operations_per_s": peak, "bytes_per_s": design.hbm_bytes_per_s}
        operations = {
            "multiplies": run.multiplies,
            "adds": run.multiplies,
            "effective_multiplies": op.multiplies,
            "vector_operations": run.vector_operations,
        }
        parts = _energy_parts(design, run, precision, seconds)
        return Result(
            machine=self.label,
            workload=op.name or op.kind,
            precision=(precision,) if op.multiplies else (),
            cycles=run.cycles,
            clock_hz=design.clock_hz,
            seconds=seconds,
            overhead_s=0.0,
            energy_j=math.fsum(parts.values()),
            energy_parts=parts,
            area_mm2=design.area_mm2 or None,
            area_parts={"die": design.area_mm2} if design.area_mm2 else {},
            operations=operations,
            traffic_bytes=_traffic(run, precision),
            phases=run.as_phases(design.clock_hz),
            stalls=run.stalls,
            utilization=utilization(operations, op.flops, peaks, seconds),
            peaks=peaks,
            notes=_notes(op, precision),
            design=design.as_dict(),
            provenance={
                "design_hash": design.content_hash(),
                "tables": {name: table_hash(name) for name in ("tpu", *TABLES)},
            },
        )


def _traffic(run: Run, precision: str) -> dict[str, int]:
    """Bytes over HBM, and between the arrays and VMEM."""
    element, total = FORMAT_BITS[precision] // 8, ACCUMULATORS[accumulator_of(precision)] // 8
    return {
        "dram_read": run.read_bytes,
        "dram_write": run.write_bytes,
        "sram_ifmap_read": element * run.words.get("ifmap_read", 0),
        "sram_filter_read": element * run.words.get("filter_read", 0),
        "sram_ofmap_read": total * run.words.get("ofmap_read", 0),
        "sram_ofmap_write": total * run.words.get("ofmap_write", 0),
    }


def _energy_parts(design: TpuDesign, run: Run, precision: str, seconds: float) -> dict[str, float]:
    """Energy by component in J: idle power over the time, and every event at its own energy."""
    node, moved = design.node_nm, _traffic(run, precision)
    sums = accumulator_of(precision)
    read = sum(value for name, value in moved.items() if name.startswith("sram") and name.endswith("read"))
    word = VMEM_WORD_BYTES
    vmem = read * read_energy_j(VMEM_BANK_BYTES, word, node)
    vmem += moved["sram_ofmap_write"] * write_energy_j(VMEM_BANK_BYTES, word, node)
    memory = "hbm2" if design.memory == "ideal" else design.memory.partition("-")[0]
    return {
        "idle": design.idle_w * seconds,
        "arrays": run.multiplies * mac_energy_j(precision, sums, node),
        "vmem": vmem / word,
        "vector units": run.vector_operations * operation_energy_j("mul", "fp32", node),
        "hbm": 8 * (run.read_bytes + run.write_bytes) * energy_per_bit_j(memory),
    }


def _notes(op: Operation, precision: str) -> tuple[str, ...]:
    """What the user asked for and did not get, in the same words for every operation it holds for."""
    out = ["one compiled program: operations follow one another without launches or waits for the host"]
    asked = getattr(op, "format", precision)
    if asked != precision:
        out.append(f"computed in {precision} where the workload asks for {asked}")
    if getattr(op, "sparse24", False):
        out.append("zeros of 2:4 weights are computed like others")
    return (*out, *extras_note(op))
