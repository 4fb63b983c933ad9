"""A machine of one's own, in one file: dot products of int8 vectors, a row of memory at a time.

siloom run examples/my_machine.py gemm:m=64,n=64,k=64
siloom check-machine examples/my_machine.py
siloom explore examples/my-machine.toml
"""

from __future__ import annotations

from dataclasses import dataclass

from siloom.sim.design import Design, parameter
from siloom.sim.errors import InfeasibleError
from siloom.sim.machine import Machine
from siloom.sim.ops import MatMul, Operation
from siloom.sim.result import Result

_MULTIPLIER_MM2, _ROW_MM2_PER_BYTE = 400e-6, 0.6e-6
_MULTIPLY_J, _READ_J_PER_BYTE = 0.3e-12, 1.0e-12


@dataclass(frozen=True)
class DotDesign(Design):
    """How many dot products at once, and how long they are."""

    lanes: int = parameter(8, unit="", source="an example", status="assumed", low=1, high=256)
    length: int = parameter(16, unit="elements", source="an example", status="assumed", low=1, high=256)
    row_bytes: int = parameter(64, unit="B", source="an example", status="assumed", low=8, high=1024)
    clock_hz: float = parameter(5e8, unit="Hz", source="an example", status="assumed", low=1e8, high=2e9)


class Dot(Machine):
    """Waits for a row of memory or for its multipliers, whichever is slower."""

    name = "dot"
    kind = "accelerator"
    summary = "dot products, an example of a machine of one's own"
    operations = (MatMul,)
    design_type = DotDesign
    design: DotDesign

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """One product: both operands stream once for every block of the result."""
        assert isinstance(op, MatMul)
        d = self.design
        if d.length > d.row_bytes:
            raise InfeasibleError(f"{self.label}: a row of {d.row_bytes} B must hold length, {d.length}")
        steps = op.batch * op.m * -(-op.n // d.lanes) * -(-op.k // d.length)
        rows = steps * -(-(d.lanes * d.length) // d.row_bytes)
        cycles = max(steps, rows)
        area = {"multipliers": d.lanes * d.length * _MULTIPLIER_MM2, "row": d.row_bytes * 64 * _ROW_MM2_PER_BYTE}
        energy = {"multipliers": op.multiplies * _MULTIPLY_J, "row": rows * d.row_bytes * _READ_J_PER_BYTE}
        return Result(
            machine=self.label,
            workload=op.name or op.kind,
            precision=("int8",),
            seconds=cycles / d.clock_hz,
            cycles=cycles,
            clock_hz=d.clock_hz,
            stalls={"compute": steps, "memory": cycles - steps},
            operations={"multiplies": op.multiplies, "adds": op.multiplies, "effective_multiplies": op.multiplies},
            energy_j=sum(energy.values()),
            energy_parts=energy,
            area_mm2=sum(area.values()),
            area_parts=area,
            design=d.as_dict(),
            provenance={"design_hash": d.content_hash()},
        )
