"""Kernels beside the matrix products: elementwise, reductions, direct convolutions.

One launch, then the longer of: bytes at streaming bandwidth, and the units' work, of which an ordinary lane
does one operation a clock and the special-function units the exponentials. Operands come from memory and results
go there: what the L2 cache may still hold of the kernel before is not counted.

A normalisation has a block of threads a row. Up to ``HELD_LENGTH`` elements stay in its registers; a longer row is
read once for each of its statistics and once more for the result. Those later passes come from the L2 cache while
the rows that all blocks are at fit into it, from memory beyond. Softmax is counted to the instruction, since its
accurate exponentials (twice an element of a long row) and its division bind it where the bandwidth does not: what
separates measured softmax from a stream. Its exponentials and the rest are one chain, as in ``_gpu_attention``.

Not modelled: the time of passes that hit the L2 cache, and kernels too short to reach the full bandwidth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from siloom.models._gpu_board import DenseBoard
from siloom.sim.ops import Conv, Elementwise, Reduce, format_bytes

EXPONENTIALS: Mapping[str, int] = {"exp": 1, "gelu": 1, "sigmoid": 1, "silu": 1, "swish": 1, "tanh": 1}
"""Exponentials an element of an elementwise function needs; none of those not named."""
HELD_LENGTH = 1024
"""The longest row that is normalised in registers (PyTorch's SoftMax.cu and its compiled normalisations)."""
_ROW_PASSES: Mapping[str, int] = {"softmax": 3, "layernorm": 3, "rmsnorm": 2}
"""Times that a longer row is read: for each statistic (maximum and sum, mean and variance) and for the result."""
_ROW_THREADS: Mapping[str, int] = {"softmax": 512, "layernorm": 256, "rmsnorm": 256}
"""Threads of a longer row: SoftMax.cu's for rows from 16384 on, and those of PyTorch's compiled reductions."""
_SM_THREADS: Mapping[str, int] = {"turing": 1024, "ada": 1536}
_MOST_SM_THREADS = 2048
"""Threads that a multiprocessor holds, in generations not named (CUDA C++ Programming Guide, recalled)."""
_L2_SHARE = 0.5
"""Of the L2 cache, what rows may take that are read again: results pass through the rest, as beside products."""

_CONVERT = _MAXIMUM = _SUBTRACT = _ADD = 1
_EXPONENTIAL = 6
"""fp32 instructions around ex2 in the accurate expf: range reduction in five, one product (compiled code, recalled)."""
_DIVIDE = 6
"""fp32 instructions after the reciprocal in an IEEE division (compiled code, recalled)."""


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


@dataclass(frozen=True)
class SoftmaxWork:
    """What an element of a softmax costs: instructions of an ordinary lane, exponentials, reciprocals."""

    ordinary: int
    exponentials: int
    reciprocals: int = 1

    @property
    def special(self) -> int:
        """Operations of the special-function units."""
        return self.exponentials + self.reciprocals


def softmax_work(length: int) -> SoftmaxWork:
    """Of an element of a row so long. One in registers keeps what it was raised to; of a longer row it is done anew."""
    held = _MAXIMUM + _SUBTRACT + _EXPONENTIAL + _ADD + _DIVIDE + 2 * _CONVERT
    if length <= HELD_LENGTH:
        return SoftmaxWork(held, 1)
    return SoftmaxWork(held + _SUBTRACT + _EXPONENTIAL + 2 * _CONVERT, 2)


def elementwise(board: DenseBoard, call_s: float, op: Elementwise, number_format: str) -> KernelEstimate:
    """One pass over all elements."""
    exponentials = op.elements * EXPONENTIALS.get(op.function, 0)
    read = {"a": float(format_bytes(number_format, op.elements * op.reads))}
    written = {"c": float(format_bytes(number_format, op.elements * op.writes))}
    busy = max(op.flops / _lane_operations(board), exponentials / board.exp_per_s)
    parts = _streamed(board, call_s, busy, read["a"] + written["c"], 1.0)
    return KernelEstimate(parts, 0, op.flops, exponentials, read, written)


def reduction(board: DenseBoard, call_s: float, op: Reduce, number_format: str) -> KernelEstimate:
    """One block a row of a normalisation; see the module.

    Normalisations keep a row on one multiprocessor, so fewer rows than multiprocessors leave the
    others idle (``few_rows``); sums and maxima are cut into parts.
    """
    kept = op.function not in ("sum", "max")
    elements = op.rows * op.length
    read = {"a": float(format_bytes(number_format, elements)) * _row_reads(board, op, number_format)}
    written = {"c": float(format_bytes(number_format, elements if kept else op.rows))}
    exponentials, busy = 0, op.flops / _lane_operations(board)
    if op.function == "softmax":
        work = softmax_work(op.length)
        exponentials = elements * work.exponentials
        busy = elements * (work.ordinary / _lane_operations(board) + work.special / board.exp_per_s)
    idle = max(1.0, board.sms / op.rows) if kept else 1.0
    parts = _streamed(board, call_s, busy, read["a"] + written["c"], idle)
    return KernelEstimate(parts, 0, op.flops, exponentials, read, written)


def _row_reads(board: DenseBoard, op: Reduce, number_format: str) -> int:
    """How often a row comes from memory."""
    if op.function not in _ROW_PASSES or op.length <= HELD_LENGTH:
        return 1
    threads = _SM_THREADS.get(board.generation, _MOST_SM_THREADS)
    rows = min(op.rows, board.sms * (threads // _ROW_THREADS[op.function]))
    fits = format_bytes(number_format, rows * op.length) <= _L2_SHARE * board.l2_bytes
    return 1 if fits else _ROW_PASSES[op.function]


def _lane_operations(board: DenseBoard) -> float:
    """Operations a second of the ordinary lanes, one a clock each: half of a peak of multiply-adds."""
    return board.fp32_flops / 2.0


def direct_convolution(board: DenseBoard, call_s: float, op: Conv, number_format: str) -> KernelEstimate:
    """A grouped convolution on the ordinary fp32 units, its input read once."""
    rows, cols = op.out_hw
    read = {
        "a": float(format_bytes(number_format, op.touched)),
        "b": float(format_bytes(number_format, op.k * (op.c // op.groups) * op.r * op.s)),
    }
    written = {"c": float(format_bytes(number_format, op.batch * op.k * rows * cols))}
    moved = sum(read.values()) + written["c"]
    parts = _streamed(board, call_s, op.flops / board.fp32_flops, moved, 1.0)
    return KernelEstimate(parts, op.multiplies, op.multiplies, 0, read, written)


def _streamed(board: DenseBoard, call_s: float, busy: float, moved: float, idle: float) -> dict[str, float]:
    """Causes of a kernel's time: computing, the wait for memory beyond it, and idle multiprocessors."""
    even = max(busy, moved / board.stream_bytes_per_s)
    return {"launch": call_s, "compute": busy, "memory": even - busy, "few_rows": even * (idle - 1.0)}
