"""Attention without a kernel of its own: products and softmax, with S and P as tensors in memory.

A list of kernels, each with the tensors that it reads and writes, as an eager framework runs them.
With a mask (causal or another: one tensor) and dropout, and fp16, a score costs 18 passes over an N x N
tensor of 2 bytes: forward S, mask in and out, softmax in and out, dropout in and out with its mask
(1 byte a score), P; backward P, dP, dropout in and out with the mask, softmax in, in and out, dS
twice. An additive mask costs nothing backward: its gradient is the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from siloom.models._gpu_board import DenseBoard
from siloom.models._gpu_kernels import softmax_work
from siloom.sim.ops import FORMAT_BITS, Attention


@dataclass(frozen=True)
class KernelStep:
    """One kernel: bytes by tensor, tensor-core FLOPs, other operations, exponentials, reciprocals, scattered loads.

    ``scattered`` elements lie each in a cache line of its own, beside what the lanes of its warp load.
    """

    name: str
    read: Mapping[str, float]
    written: Mapping[str, float]
    flops: int = 0
    other_flops: int = 0
    exps: int = 0
    reciprocals: int = 0
    scattered: int = 0

    @property
    def bytes_moved(self) -> float:
        """Bytes read and written."""
        return math.fsum(self.read.values()) + math.fsum(self.written.values())


def standard_steps(op: Attention, number_format: str, layout_copies: bool = False) -> list[KernelStep]:
    """The kernels of one pass, in order.

    ``layout_copies``: Q, K and V (backward: the gradients) are copied from token-major to head-major order, K
    transposed besides, as ``attention_pytorch`` of the FlashAttention benchmarks does; its O is left as it comes.
    """
    return _Steps(op, number_format, layout_copies).all()


def step_parts(board: DenseBoard, step: KernelStep, rate_flops: float) -> dict[str, float]:
    """Causes of a kernel's seconds.

    Products of these shapes have a short inner length or few columns, so a tile's loads, its products
    and its write-out follow one another: times add. Everything else streams: memory or arithmetic.
    """
    memory = step.bytes_moved / board.stream_bytes_per_s
    parts = {"launch": board.launch_s, "tensor": step.flops / rate_flops, "memory": memory}
    busy = {
        "fp32": step.other_flops / (board.fp32_flops / 2.0),
        "exp": (step.exps + step.reciprocals) / board.exp_per_s,
        # A multiprocessor's L1 cache looks up one line a clock.
        "lines": step.scattered / (board.sms * board.clock_hz),
    }
    beyond = max(0.0, math.fsum(busy.values()) - memory)
    if beyond:
        # What exceeds the stream is shared out as the work is.
        scale = beyond / math.fsum(busy.values())
        parts.update({cause: seconds * scale for cause, seconds in busy.items() if seconds})
    return parts


class _Steps:
    """Sizes in bytes of the tensors, and the lists of kernels made of them."""

    def __init__(self, op: Attention, number_format: str, layout_copies: bool) -> None:
        width = FORMAT_BITS[number_format] / 8
        self.op, self.layout_copies = op, layout_copies
        self.s = op.scores * width
        self.drawn = float(op.scores)  # the mask of dropout: one byte a score
        self.q = op.q_elements * width
        self.kv = op.kv_elements * width
        self.mask = op.seq * op.seq * width
        self.flops = 2 * op.dense_multiplies // op.products

    def all(self) -> list[KernelStep]:
        return self.forward() if self.op.direction == "fwd" else self.backward()

    def copy(self, name: str, size: float, scattered: int = 0) -> list[KernelStep]:
        step = KernelStep(f"copy of {name}", {name: size}, {name: size}, scattered=scattered)
        return [step] if self.layout_copies else []

    def forward(self) -> list[KernelStep]:
        n, s = self.op.scores, self.s
        steps = [*self.copy("q", self.q), *self.copy("k", self.kv, self.op.kv_elements), *self.copy("v", self.kv)]
        steps.append(KernelStep("Q K^T", {"q": self.q, "k": self.kv}, {"s": s}, self.flops))
        if self.op.causal or self.op.mask:
            steps.append(KernelStep("mask", {"s": s, "mask": self.mask}, {"s": s}, other_flops=n))
        each = softmax_work(self.op.seq)
        counts = (each.ordinary * n, each.exponentials * n, each.reciprocals * n)
        steps.append(KernelStep("softmax", {"s": s}, {"p": s}, 0, *counts))
        if self.op.dropout:
            steps.append(KernelStep("dropout", {"p": s}, {"p": s, "drawn": self.drawn}, other_flops=2 * n))
        steps.append(KernelStep("P V", {"p": s, "v": self.kv}, {"o": self.q}, self.flops))
        return steps

    def backward(self) -> list[KernelStep]:
        n, s = self.op.scores, self.s
        steps = [
            *self.copy("do", self.q),
            KernelStep("P^T dO", {"p": s, "do": self.q}, {"dv": self.kv}, self.flops),
            KernelStep("dO V^T", {"do": self.q, "v": self.kv}, {"dp": s}, self.flops),
        ]
        if self.op.dropout:
            steps.append(KernelStep("dropout", {"dp": s, "drawn": self.drawn}, {"dp": s}, other_flops=n))
        steps += [
            KernelStep("softmax", {"dp": s, "p": s}, {"ds": s}, other_flops=Attention.SOFTMAX_GRADIENT * n),
            KernelStep("dS K", {"ds": s, "k": self.kv}, {"dq": self.q}, self.flops),
            KernelStep("dS^T Q", {"ds": s, "q": self.q}, {"dk": self.kv}, self.flops),
        ]
        return [*steps, *self.copy("dq", self.q), *self.copy("dk", self.kv), *self.copy("dv", self.kv)]
