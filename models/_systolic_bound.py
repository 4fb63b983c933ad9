"""What a systolic array takes at least, in closed form over many designs at once: its folds, or memory's best rate."""

from __future__ import annotations

from typing import Any

from siloom.models._columns import ceil_div, each, largest
from siloom.models._systolic_array import accumulator_of
from siloom.models._systolic_cost import area_of
from siloom.models._systolic_lower import matmul_product
from siloom.sim.machine import Bound
from siloom.sim.memory import stream_bytes_per_s
from siloom.sim.ops import FORMAT_BITS, Attention, Conv, Elementwise, MatMul, Operation, Reduce


def bound(op: Operation, d: Any) -> Bound | None:
    """Least seconds of an operation, and the area, which is exact; None for SCALE-Sim's way of counting."""
    if d.convention != "physical":
        return None
    cycles, elements = _cycles(op, d)
    form = d.precision if d.precision != "auto" else getattr(op, "format", "fp16")
    seconds = cycles / d.clock_hz
    if d.memory != "ideal":
        moved = elements * FORMAT_BITS[form] / 8
        seconds = largest(seconds, each(lambda n: moved / stream_bytes_per_s(d.memory, channels=n), d.memory_channels))
    sums = d.accumulator if d.accumulator != "auto" else accumulator_of(form)
    return Bound(seconds, sum(area_of(d, form, sums).values()))


def _cycles(op: Operation, d: Any) -> tuple[Any, int]:
    """Cycles of the array or the vector unit, and the elements that cross the memory port at least once."""
    if isinstance(op, MatMul):
        one = matmul_product(op)
        folds = {
            "os": ceil_div(one.m, d.rows) * ceil_div(one.n, d.cols) * one.k,
            "ws": ceil_div(one.k, d.rows) * ceil_div(one.n, d.cols) * one.m,
            "is": ceil_div(one.k, d.rows) * ceil_div(one.m, d.cols) * one.n,
        }[d.dataflow]
        return folds * one.batch, one.batch * (one.m * one.k + one.k * one.n + one.m * one.n)
    if isinstance(op, Conv | Attention):
        return op.multiplies / (d.rows * d.cols), 0
    if isinstance(op, Elementwise):
        return op.flops / d.vector_lanes, op.elements * (op.reads + op.writes)
    if isinstance(op, Reduce):
        return op.flops / d.vector_lanes, op.rows * op.length
    return 0.0 * d.rows, 0
