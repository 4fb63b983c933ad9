"""Kernels beside the matrix products: elementwise, reductions, direct convolutions.

One launch, then the longest of: bytes at streaming bandwidth, operations on the fp32 units,
exponentials on the special-function units. Operands come from memory and results go there: what the
L2 cache may still hold of the kernel before is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from siloom.models._gpu_board import DenseBoard
from siloom.sim.ops import Conv, Elementwise, Reduce, format_bytes

EXPONENTIALS: Mapping[str, int] = {"exp": 1, "gelu": 1, "sigmoid": 1, "silu": 1, "swish": 1, "tanh": 1, "softmax": 1}
"""Exponentials an element of a function needs; none of those not named."""
_FP32_BYTES = 4
_ROW_PASSES = 2
"""Times that a row too long for shared memory is read: once for its statistics, once to use them."""


@dataclass(frozen=True)
class KernelEstimate:
    """Seconds by cause, operations on the ordinary units, and bytes of DRAM by tensor."""

    parts: Mapping[str, float]
    multiplies: int
    adds: int
    exponentials: int
    read: Mapping[str, float]
    written: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """The whole call."""
        return math.fsum(self.parts.values())


def elementwise(board: DenseBoard, call_s: float, op: Elementwise, number_format: str) -> KernelEstimate:
    """One pass over all elements."""
    exponentials = op.elements * EXPONENTIALS.get(op.function, 0)
    read = {"a": float(format_bytes(number_format, op.elements * op.reads))}
    written = {"c": float(format_bytes(number_format, op.elements * op.writes))}
    parts = _streamed(board, call_s, op.flops / board.fp32_flops, exponentials, read["a"] + written["c"], 1.0)
    return KernelEstimate(parts, 0, op.flops, exponentials, read, written)


def reduction(board: DenseBoard, call_s: float, op: Reduce, number_format: str) -> KernelEstimate:
    """One block a row. A row that shared memory holds is read once, a longer one twice.

    Normalisations keep a row on one multiprocessor, so fewer rows than multiprocessors leave the
    others idle (``few_rows``); sums and maxima are cut into parts.
    """
    kept = op.function not in ("sum", "max")
    elements = op.rows * op.length
    exponentials = elements * EXPONENTIALS.get(op.function, 0)
    passes = _ROW_PASSES if kept and op.length * _FP32_BYTES > board.smem_bytes else 1
    read = {"a": float(format_bytes(number_format, elements)) * passes}
    written = {"c": float(format_bytes(number_format, elements if kept else op.rows))}
    idle = max(1.0, board.sms / op.rows) if kept else 1.0
    parts = _streamed(board, call_s, op.flops / board.fp32_flops, exponentials, read["a"] + written["c"], idle)
    return KernelEstimate(parts, 0, op.flops, exponentials, read, written)


def direct_convolution(board: DenseBoard, call_s: float, op: Conv, number_format: str) -> KernelEstimate:
    """A grouped convolution on the ordinary fp32 units, its input read once."""
    rows, cols = op.out_hw
    read = {
        "a": float(format_bytes(number_format, op.batch * op.c * op.h * op.w)),
        "b": float(format_bytes(number_format, op.k * (op.c // op.groups) * op.r * op.s)),
    }
    written = {"c": float(format_bytes(number_format, op.batch * op.k * rows * cols))}
    moved = sum(read.values()) + written["c"]
    parts = _streamed(board, call_s, op.flops / board.fp32_flops, 0, moved, 1.0)
    return KernelEstimate(parts, op.multiplies, op.multiplies, 0, read, written)


def _streamed(
    board: DenseBoard, call_s: float, compute_s: float, exponentials: int, moved: float, idle: float
) -> dict[str, float]:
    """Causes of a kernel's time: computing, the wait for memory beyond it, and idle multiprocessors."""
    busy = max(compute_s, exponentials / board.exp_per_s)
    even = max(busy, moved / board.stream_bytes_per_s)
    return {"launch": call_s, "compute": busy, "memory": even - busy, "few_rows": even * (idle - 1.0)}
