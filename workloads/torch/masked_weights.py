"""Which tensors are masked weights, and where they may differ from zero.

Weights are masked by ``torch.nn.utils.prune``, which multiplies ``weight_orig`` by the buffer ``weight_mask`` before
every forward pass, or by a caller who holds the parameter's masked elements at zero and gives the mask. Filters of a
convolution are taken as the matrix that its lowered product has: a row for each filter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from siloom.sim.sparse import Csr
from siloom.workloads.torch.calls import Call, memory_of, values_of

Mask = NDArray[np.bool_]
_MASK, _UNMASKED = "_mask", "_orig"


@dataclass(frozen=True, eq=False)
class Masked:
    """Weights (out, in) and their mask. Holding the tensor keeps its memory its own."""

    weight: torch.Tensor
    mask: Mask

    @cached_property
    def sparse24(self) -> bool:
        """Whether two of every four neighbours along a row are kept, as 2:4 hardware wants it."""
        out, inputs = self.mask.shape
        return inputs % 4 == 0 and bool((self.mask.reshape(out, -1, 4).sum(-1) == 2).all())

    def turned(self, tensor: torch.Tensor) -> bool | None:
        """Whether ``tensor``, a view of these weights, is their transpose; None where it is neither."""
        for turned, own in ((False, self.weight), (True, self.weight.t())):
            if tensor.shape == own.shape and tensor.stride() == own.stride():
                return turned
        return None

    def csr(self, *, transposed: bool = False) -> Csr:
        """The weights with the numbers that they have now."""
        values = values_of(self.weight)
        return csr_of(self.mask.T, values.T) if transposed else csr_of(self.mask, values)

    def pattern(self, *, transposed: bool = False) -> Csr:
        """Ones where weights are kept."""
        mask = self.mask.T if transposed else self.mask
        return csr_of(mask, mask)


def csr_of(mask: Mask, values: NDArray[Any]) -> Csr:
    """``values`` where ``mask`` is true; zeros among them are kept."""
    rows, cols = np.nonzero(mask)
    indptr = np.zeros(mask.shape[0] + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=mask.shape[0]), out=indptr[1:])
    return Csr((mask.shape[0], mask.shape[1]), indptr, cols.astype(np.int64), values[rows, cols].astype(np.float64))


class MaskedWeights:
    """What is known of masked weights while a step is recorded."""

    def __init__(self, model: nn.Module, masks: Mapping[str, torch.Tensor]) -> None:
        """``masks``: parameter's name -> mask of its shape, for parameters whose masked elements are zero."""
        parameters = dict(model.named_parameters())
        self._masks = {
            memory_of(mask): mask
            for name, mask in model.named_buffers()
            if name.endswith(_MASK) and name.removesuffix(_MASK) + _UNMASKED in parameters
        }
        self._weights: dict[int, Masked] = {}
        for name, mask in masks.items():
            self._note(parameters[name], mask)

    @property
    def any(self) -> bool:
        """Whether there may be masked weights."""
        return bool(self._masks or self._weights)

    def see(self, call: Call) -> None:
        """Note weights that are being masked."""
        if call.backward or not call.data or call.name != "mul" or not self._masks:
            return
        mask = next((self._masks[memory_of(t)] for t in call.read if memory_of(t) in self._masks), None)
        if mask is not None:
            self._note(call.results[0], mask)

    def find(self, tensor: torch.Tensor) -> Masked | None:
        """The masked weights that ``tensor`` is a view of; None where it is of none, or where no weight is left out."""
        found = self._weights.get(memory_of(tensor))
        return None if found is None or found.mask.all() else found

    def _note(self, weight: torch.Tensor, mask: torch.Tensor) -> None:
        if weight.dim() < 2 or not weight.is_contiguous():
            return
        kept = np.array(mask.detach().cpu().flatten(1).numpy() != 0)
        self._weights[memory_of(weight)] = Masked(weight.detach().flatten(1), kept)
