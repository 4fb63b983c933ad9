"""The machine that every board of ``gpu.py`` is: which model runs which operation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from siloom.models._gpu_dense import run_dense
from siloom.models._gpu_design import GpuDesign
from siloom.models._gpu_sparse import run_dense_side, run_product
from siloom.models._masked import MASK_NEEDED, NOTE24, fits24, products24, run_masked, supports_masked
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine
from siloom.sim.ops import SDDMM, Attention, Conv, Elementwise, Item, MatMul, Operation, Reduce, SpGEMM, SpMM
from siloom.sim.result import Phase, Result

_WAITED_FOR = (MatMul, Conv, Elementwise, Reduce)
"""Whose time alone has the wait for their end in it, as the products had that it was fitted on."""


class Gpu(Machine):
    """A GPU with its libraries; subclasses give the name and the board."""

    kind = "gpu"
    operations = (SpGEMM, SpMM, SDDMM, MatMul, Conv, Attention, Elementwise, Reduce)
    ends_apart = ("first",)  # the host's one wait is told with it

    design: GpuDesign

    def supports(self, op: Operation) -> bool:
        """As declared; with ``attention=masked`` attention needs a mask, with ``sparse24`` one that is 2:4."""
        if not super().supports(op) or not isinstance(op, Attention):
            return super().supports(op)
        needs = {"masked": supports_masked, "sparse24": fits24}.get(self.design.attention)
        return needs is None or needs(op)

    def needs(self, op: Operation) -> str:
        """Attention's mask, where the setting asks for one."""
        if not isinstance(op, Attention) or self.design.attention not in ("masked", "sparse24"):
            return ""
        return MASK_NEEDED + (" and keeps two of every four keys" if self.design.attention == "sparse24" else "")

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Estimate ``op``; values are not computed, but for attention under a mask.

        Raises:
            InputError: an operation that boards do not run, or attention without the mask that it needs.
        """
        if isinstance(op, Attention) and self.design.attention in ("masked", "sparse24"):
            if not self.supports(op):
                raise InputError(f"{self.label}: attention={self.design.attention} needs a mask kept that it can use")
            if self.design.attention == "masked":
                return run_masked(self, op, values=values)
            return run_masked(self, op, values=values, lowered=products24(op), note=NOTE24)
        if isinstance(op, SpGEMM):
            return run_product(self.label, self.design, op)
        if isinstance(op, SpMM | SDDMM):
            return run_dense_side(self.label, self.design, op)
        if isinstance(op, MatMul | Conv | Attention | Elementwise | Reduce):
            return run_dense(self.label, self.design, op)
        raise InputError(f"{self.label}: does not run {op.kind}")

    def run_in_order(self, items: Sequence[Item], *, values: bool = False) -> Sequence[Result]:
        """The calls of a workload of several operations are queued: the host runs ahead, and waits once for the end.

        The wait is told with the first operation that has one where it is alone: a workload is no faster than a part
        of it.
        """
        if self.design.calls != "auto" or (len(items) == 1 and items[0].repeat == 1):
            return super().run_in_order(items, values=values)
        queued = type(self)(replace(self.design, calls="queued"), self.label)
        asked = self.design.as_dict()
        results = [queued.run(item.op, values=values) for item in items]
        wait_s = max((self._wait_s(item.op) for item in items), default=0.0)
        for place, item in enumerate(items):
            if isinstance(item.op, _WAITED_FOR):
                results[place] = _waited(results[place], self.design, item.repeat, wait_s)
                break
        about = {"design_hash": self.design.content_hash()}
        return [replace(r, design=asked, provenance={**r.provenance, **about}) for r in results]

    def _wait_s(self, op: Operation) -> float:
        """What an operation's call alone has beyond its launch: a library's, or a kernel's own."""
        if not isinstance(op, _WAITED_FOR):
            return 0.0
        timed = replace(self.design, calls="timed")
        call_s = timed.call_overhead_s if isinstance(op, MatMul | Conv) else timed.kernel_overhead_s
        return max(0.0, call_s - self.design.launch_s)


def _waited(result: Result, design: GpuDesign, repeat: int, wait_s: float) -> Result:
    """One of ``repeat`` repetitions with its share of one wait: the board idles until the host is told."""
    cycles = math.ceil(wait_s * design.clock_hz / repeat)
    before, share_s = result.cycles or 0, cycles / design.clock_hz
    seconds = (before + cycles) / design.clock_hz
    first, *others = result.phases
    stalls = {"launch": first.stalls.get("launch", 0) + cycles}
    called = Phase(first.name, (first.cycles or 0) + cycles, first.seconds + share_s, {**first.stalls, **stalls})
    energy = {**result.energy_parts, "idle": result.energy_parts["idle"] + design.idle_w * share_s}
    return replace(
        result,
        seconds=seconds,
        cycles=before + cycles,
        overhead_s=(result.overhead_s or 0.0) + share_s,
        energy_j=math.fsum(energy.values()),
        energy_parts=energy,
        phases=(called, *others),
        stalls={**result.stalls, "launch": result.stalls.get("launch", 0) + cycles},
        utilization=(result.utilization or 0.0) * result.seconds / seconds,
    )
