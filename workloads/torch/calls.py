"""One dispatched operation as the recorder sees it: its arguments by name, its results, and what of them is moved."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_leaves

from siloom.sim.drawn_attention import Reals32
from siloom.sim.ops import FORMAT_BITS

_BY_BYTES = {1: "int8", 2: "fp16", 4: "fp32", 8: "fp64"}
_FORMATS = {torch.bfloat16: "bf16", torch.float8_e4m3fn: "fp8", torch.float8_e5m2: "fp8"}

_FREE = frozenset({
    "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view", "lift_fresh", "set_",
    "resize_", "_local_scalar_dense", "unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk",
})  # fmt: skip
"""Free though their schemas do not say so: memory that is not filled, a view that is not declared as one, the one
number that Python asks for."""

_OVERWRITING = frozenset({
    "copy_", "fill_", "zero_", "normal_", "uniform_", "bernoulli_", "random_", "exponential_", "_foreach_zero_",
    "_foreach_copy_",
})  # fmt: skip
"""In-place operations that do not read what they write over."""


def format_of(tensor: torch.Tensor) -> str:
    """The format whose elements are as wide as the tensor's: whole numbers go by their bytes."""
    return _FORMATS.get(tensor.dtype) or _BY_BYTES.get(tensor.element_size(), "fp64")


def distinct(tensor: torch.Tensor) -> int:
    """Elements in memory: those that an expanded axis repeats are one."""
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(size for size, stride in pairs if stride != 0) if tensor.numel() else 0


def values_of(tensor: torch.Tensor) -> Reals32:
    """A copy of the numbers, float32: the step goes on to change them."""
    copied: Reals32 = np.array(tensor.detach().cpu().to(torch.float32).contiguous().numpy(), order="C")
    return copied


@dataclass(frozen=True, eq=False)
class Call:
    """A dispatched operation, after it was run. ``label`` names what is made of it; ``data``: tensors hold numbers."""

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    label: str
    backward: bool
    data: bool

    @cached_property
    def full_name(self) -> str:
        """As ``aten.mm.default``."""
        return str(self.func)

    @cached_property
    def name(self) -> str:
        """As ``mm``; of an operation that is not torch's own with its namespace, ``siloom.product``."""
        space, _, name = str(self.func.overloadpacket).partition(".")
        return name if space == "aten" else f"{space}.{name}"

    @cached_property
    def named(self) -> dict[str, Any]:
        """Arguments by the names of the schema, defaults too."""
        out: dict[str, Any] = {}
        for position, argument in enumerate(self.func._schema.arguments):
            if position < len(self.args):
                out[argument.name] = self.args[position]
            elif argument.name in self.kwargs:
                out[argument.name] = self.kwargs[argument.name]
            else:
                out[argument.name] = argument.default_value
        return out

    @cached_property
    def results(self) -> list[torch.Tensor]:
        """All tensors returned."""
        return [leaf for leaf in tree_leaves(self.result) if isinstance(leaf, torch.Tensor)]

    def _arguments(self) -> Iterator[tuple[bool, torch.Tensor]]:
        """Tensors among the arguments, and whether each is written to."""
        for argument in self.func._schema.arguments:
            writes = argument.alias_info is not None and argument.alias_info.is_write
            for leaf in tree_leaves(self.named[argument.name]):
                if isinstance(leaf, torch.Tensor):
                    yield writes, leaf

    @cached_property
    def read(self) -> list[torch.Tensor]:
        """Tensors whose elements are read."""
        overwrites = self.name in _OVERWRITING or "out" in self.kwargs
        return [tensor for writes, tensor in self._arguments() if not (writes and overwrites)]

    @cached_property
    def written(self) -> list[torch.Tensor]:
        """Tensors whose elements are written, each once: results, and arguments that are changed."""
        changed = [tensor for writes, tensor in self._arguments() if writes]
        out = {id(tensor): tensor for tensor in (*self.results, *changed) if tensor.numel()}
        return list(out.values())

    @property
    def free(self) -> bool:
        """Whether no elements are moved: a view, memory that is not filled, or nothing that is written."""
        return self.func.is_view or self.name in _FREE or not self.written


def memory_of(tensor: torch.Tensor) -> int:
    """What views of one memory have in common, while one of them is held."""
    return int(tensor.untyped_storage()._cdata)


def bytes_of(tensors: list[torch.Tensor]) -> int:
    """Bytes of the distinct elements."""
    return sum(distinct(tensor) * tensor.element_size() for tensor in tensors)


def element_bytes(number_format: str) -> int:
    """Bytes of an element of a format that torch knows."""
    return FORMAT_BITS[number_format] // 8
