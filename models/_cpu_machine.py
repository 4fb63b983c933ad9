"""The machine that every part of ``cpu.py`` is: which model runs which operation."""

from __future__ import annotations

from siloom.models._cpu_dense import run_dense
from siloom.models._cpu_design import CpuDesign
from siloom.models._cpu_sparse import run_dense_side, run_product
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine
from siloom.sim.ops import SDDMM, Attention, Conv, Elementwise, MatMul, Operation, Reduce, SpGEMM, SpMM
from siloom.sim.result import Result


class Cpu(Machine):
    """A CPU with its libraries; subclasses give the name and the part."""

    kind = "cpu"
    operations = (SpGEMM, SpMM, SDDMM, MatMul, Conv, Attention, Elementwise, Reduce)

    design: CpuDesign

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Estimate ``op``; values are not computed."""
        if isinstance(op, SpGEMM):
            return run_product(self.label, self.design, op)
        if isinstance(op, SpMM | SDDMM):
            return run_dense_side(self.label, self.design, op)
        if isinstance(op, MatMul | Conv | Attention | Elementwise | Reduce):
            return run_dense(self.label, self.design, op)
        raise InputError(f"{self.label}: does not run {op.kind}")
