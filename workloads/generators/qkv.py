"""Attention on operands of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.sim.ops import Item
from siloom.workloads.generator import OperationGenerator, file_path, input_file, number_format


@dataclass(frozen=True)
class Qkv(OperationGenerator):
    """softmax(Q K^T / sqrt(dim)) V of the arrays in ``file``, float32; ``format`` is what machines compute in."""

    name: ClassVar[str] = "qkv"
    summary: ClassVar[str] = "attention with the operands of an .npz file: q, k, v, optionally causal and kept"
    source: ClassVar[str] = "numpy.savez"
    kinds: ClassVar[tuple[str, ...]] = ("attention",)

    file: str = input_file()
    format: str = number_format()

    def build(self) -> tuple[tuple[Item, ...], dict[str, Any]]:
        """One operation."""
        from siloom.workloads.npz_attention import read_attention

        op, about = read_attention(file_path(self.name, "file", self.file), self.format)
        return (Item(op),), about
