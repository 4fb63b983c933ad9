"""Products with masked weights, as sparse products with the real pattern.

Weights are masked by ``torch.nn.utils.prune``, which multiplies ``weight_orig`` by the buffer ``weight_mask`` before
every forward pass, or by a caller who holds the parameter's masked elements at zero and gives the mask. Of a layer
Y = X W' three products are told apart: Y and dX, in which W is an operand, are sparse times dense; dW is sampled at
the mask, and is known by its shape and by X, which the forward product had as its operand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from siloom.sim.ops import SDDMM, Item, SpMM
from siloom.sim.sparse import Csr
from siloom.workloads.torch.calls import Call, memory_of, values_of
from siloom.workloads.torch.lower_products import operands_of

_MASK, _UNMASKED = "_mask", "_orig"


@dataclass(frozen=True, eq=False)
class _Masked:
    """Weights (out, in) and where they may differ from zero. Holding the tensors keeps their memory theirs."""

    weight: torch.Tensor
    mask: NDArray[np.bool_]


class SparseWeights:
    """What is known of masked weights while a step is recorded."""

    def __init__(self, model: nn.Module, masks: Mapping[str, torch.Tensor]) -> None:
        """``masks``: parameter's name -> mask of its shape, for parameters whose masked elements are zero."""
        parameters = dict(model.named_parameters())
        self._masks = {
            memory_of(mask): mask
            for name, mask in model.named_buffers()
            if name.endswith(_MASK) and name.removesuffix(_MASK) + _UNMASKED in parameters
        }
        self._weights = {memory_of(parameters[name]): _masked(parameters[name], mask) for name, mask in masks.items()}
        self._inputs: dict[int, tuple[torch.Tensor, _Masked]] = {}

    @property
    def any(self) -> bool:
        """Whether there may be masked weights."""
        return bool(self._masks or self._weights)

    def see(self, call: Call) -> None:
        """Note weights that are being masked."""
        if call.backward or not call.data or call.name != "mul" or not self._masks:
            return
        mask = next((self._masks[memory_of(t)] for t in call.read if memory_of(t) in self._masks), None)
        if mask is not None and call.results[0].dim() == 2:
            self._weights[memory_of(call.results[0])] = _masked(call.results[0], mask)

    def lower(self, call: Call) -> list[Item] | None:
        """The sparse product that a matrix product is; None where no masked weights take part."""
        operands = operands_of(call) if self._weights and call.data else None
        if operands is None:
            return None
        a, b = (t[0] if t.dim() == 3 and t.shape[0] == 1 else t for t in operands)
        if a.dim() != 2 or b.dim() != 2:
            return None
        if (left := self._oriented(a)) is not None:
            self._note_input(b, a)
            return [Item(SpMM(name=call.label, a=left, n=b.shape[1], b=values_of(b)))]
        if (right := self._oriented(b.t())) is not None:
            self._note_input(a, b)
            return [Item(SpMM(name=call.label, a=right, n=a.shape[0], b=values_of(a.t())))]
        return self._weight_gradient(call, a, b) if call.backward else None

    def _note_input(self, x: torch.Tensor, weight: torch.Tensor) -> None:
        self._inputs[memory_of(x)] = (x, self._weights[memory_of(weight)])

    def _oriented(self, tensor: torch.Tensor) -> Csr | None:
        """Masked weights or their transpose, as ``tensor`` views them."""
        known = self._weights.get(memory_of(tensor))
        if known is None or known.mask.all():
            return None
        own, turned = known.weight, known.weight.t()
        if tensor.shape == own.shape and tensor.stride() == own.stride():
            return _csr(known.mask, values_of(tensor))
        if tensor.shape == turned.shape and tensor.stride() == turned.stride():
            return _csr(known.mask.T, values_of(tensor))
        return None

    def _weight_gradient(self, call: Call, a: torch.Tensor, b: torch.Tensor) -> list[Item] | None:
        for operand in (a, b):
            _, known = self._inputs.get(memory_of(operand), (None, None))
            if known is None:
                continue
            shape = (a.shape[0], b.shape[1])
            # Of square weights the input tells: it is the right operand of dY' X, the left one of X' dY.
            mask = known.mask if operand is b else known.mask.T
            if mask.shape == shape:
                pattern = _csr(mask, mask.astype(np.float32))
                return [Item(SDDMM(name=call.label, mask=pattern, k=a.shape[1], x=values_of(a), y=values_of(b)))]
        return None


def _masked(weight: torch.Tensor, mask: torch.Tensor) -> _Masked:
    return _Masked(weight.detach(), np.array(mask.detach().cpu().numpy() != 0))


def _csr(mask: NDArray[np.bool_], values: NDArray[Any]) -> Csr:
    rows, cols = np.nonzero(mask)
    indptr = np.zeros(mask.shape[0] + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=mask.shape[0]), out=indptr[1:])
    return Csr((mask.shape[0], mask.shape[1]), indptr, cols.astype(np.int64), values[rows, cols].astype(np.float64))
