"""Compressed activations: what layers keep for their backward pass is kept in a few bits, rounded by chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

from siloom.sim.design import parameter
from siloom.sim.errors import InputError, UsageError
from siloom.workloads.torch.calls import memory_of
from siloom.workloads.torch.few_bits import FewBits, few_bits, packed, unpacked
from siloom.workloads.torch.meter import Done, note_done
from siloom.workloads.torch.recipe import Recipe
from siloom.workloads.torch.technique import Technique

_ACTNN = "ActNN, Chen et al. 2021, arXiv 2104.14129"
_PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d)
_BYTES = "bytes kept for the backward pass"


@dataclass(frozen=True, kw_only=True)
class Activations(Technique):
    """Inputs of dense layers and convolutions are kept in ``bits`` bits; of a ReLU's output one bit, its sign.

    Each ``group`` of numbers has a range, in float32, and is rounded by chance, so that the gradient of the weights,
    which is linear in what is kept, is in the mean what it was without; a ReLU's is the same. What other functions
    keep, norms, GELU and attention among them, is not linear in its gradient and stays whole; the paper compresses
    norms, too. The saving that is reported is of all that the network keeps, each memory once.
    """

    name = "activations"
    summary = "saved activations in two bits, rounded by chance (ActNN)"

    bits: int = parameter(2, unit="", source=_ACTNN, low=1, high=8)
    group: int = parameter(256, unit="numbers", source=_ACTNN, status="recalled", low=8, high=2**20)

    def __post_init__(self) -> None:
        """Refuse what does not fill bytes."""
        super().__post_init__()
        if 8 % self.bits:
            raise InputError(f"activations: bits must be 1, 2, 4 or 8, got {self.bits}")
        if self.group % 8:
            raise InputError(f"activations: group must be a multiple of 8, got {self.group}")

    def fit(self, network: nn.Module, recipe: Recipe) -> None:
        """Lay hooks on what the layers keep, and on what all of the network does."""
        if recipe.remat:
            raise UsageError("train: technique activations is for activations that are kept, not for remat=1")
        ledger = _Ledger()
        _within(network, ledger.opened)
        for layer in network.modules():
            if isinstance(layer, _PRODUCTS):
                _within(layer, lambda layer: saved_tensors_hooks(self._keeping(layer, ledger), _real))
            elif isinstance(layer, nn.ReLU):
                _within(layer, lambda _: saved_tensors_hooks(_signs(ledger), _positive))

    def _keeping(self, layer: nn.Module, ledger: _Ledger) -> Callable[[torch.Tensor], torch.Tensor | FewBits]:
        def keep(x: torch.Tensor) -> torch.Tensor | FewBits:
            if memory_of(x) in _weights_of(layer) or not x.numel():
                return x
            with torch.no_grad():
                made = few_bits(x, self.bits, self.group)
            ledger.instead(x, made.nbytes)
            return made

        return keep


class _Ledger:
    """Bytes that a forward pass keeps, beside those that it would have kept: each memory counts once."""

    def __init__(self) -> None:
        self._whole: dict[int, StorageWeakRef] = {}
        self._kept: dict[int, StorageWeakRef] = {}

    def opened(self, network: nn.Module) -> saved_tensors_hooks:
        """Begin with a forward pass of the network: what no layer of its own keeps in another way is noted."""
        self._whole, self._kept = {}, {}
        weights = {memory_of(weight) for weight in (*network.parameters(), *network.buffers())}

        def note(x: torch.Tensor) -> torch.Tensor:
            if memory_of(x) not in weights:
                size = x.untyped_storage().nbytes()
                note_done(_BYTES, Done(size * self._first(self._kept, x), size * self._first(self._whole, x)))
            return x

        return saved_tensors_hooks(note, lambda x: x)

    def instead(self, x: torch.Tensor, kept: int) -> None:
        """So many bytes are kept in the place of ``x``."""
        note_done(_BYTES, Done(kept, x.untyped_storage().nbytes() * self._first(self._whole, x)))

    @staticmethod
    def _first(seen: dict[int, StorageWeakRef], x: torch.Tensor) -> bool:
        """Whether a memory was not there before. Its weak reference keeps its number from being given to another."""
        if memory_of(x) in seen:
            return False
        seen[memory_of(x)] = StorageWeakRef(x.untyped_storage())  # type: ignore[no-untyped-call]
        return True


def _within(layer: nn.Module, opened: Callable[[nn.Module], saved_tensors_hooks]) -> None:
    """Run every forward pass of a layer within a context."""
    contexts: list[saved_tensors_hooks] = []

    def enter(layer: nn.Module, _: Any) -> None:
        contexts.append(opened(layer))
        contexts[-1].__enter__()

    def leave(_: nn.Module, __: Any, ___: Any) -> None:
        contexts.pop().__exit__()

    layer.register_forward_pre_hook(enter)
    layer.register_forward_hook(leave, always_call=True)


def _weights_of(layer: nn.Module) -> set[int]:
    """Memories of a layer's own parameters and masks, and of the weights that are made of both."""
    own = (*layer.parameters(recurse=False), *layer.buffers(recurse=False), layer.weight)
    return {memory_of(value) for value in own if isinstance(value, torch.Tensor)}


def _real(kept: torch.Tensor | FewBits) -> torch.Tensor:
    return kept.real() if isinstance(kept, FewBits) else kept


class _Signs(tuple[torch.Tensor, torch.Size]):
    """One bit a number, eight to a byte, and the shape."""


def _signs(ledger: _Ledger) -> Callable[[torch.Tensor], _Signs]:
    def keep(x: torch.Tensor) -> _Signs:
        with torch.no_grad():
            positive = (x > 0).flatten().to(torch.uint8)
            made = packed(torch.nn.functional.pad(positive, (0, -len(positive) % 8)), 1)
        ledger.instead(x, made.nbytes)
        return _Signs((made, x.shape))

    return keep


def _positive(kept: _Signs) -> torch.Tensor:
    """1 where a number was above 0: all that the gradient of a ReLU asks for."""
    made, shape = kept
    return unpacked(made, 1)[: shape.numel()].view(shape).float()
