"""Examples to learn from, and the order in which they come.

The order is drawn from the seed and the number of the epoch alone, so that a run that goes on from a checkpoint needs
no more than the number of its step to meet the same examples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from siloom.sim.errors import InputError

IGNORED = -100
"""Target of a place at which nothing is asked; torch's own word for it."""


@dataclass(frozen=True, eq=False)
class Split:
    """Examples: ``inputs`` (n, ...) of any type, real or small whole numbers, and ``targets`` (n, ...) of classes."""

    inputs: torch.Tensor
    targets: torch.Tensor

    def __len__(self) -> int:
        return self.inputs.shape[0]

    def take(self, index: npt.NDArray[np.int64] | slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets of some examples, as a network takes them: float32 or int64.

        Raises:
            InputError: an input that is not a finite number.
        """
        inputs, targets = self.inputs[index], self.targets[index].long()
        if not inputs.is_floating_point():
            return inputs.long(), targets
        if not torch.isfinite(inputs).all():
            which = int((~torch.isfinite(inputs)).reshape(len(inputs), -1).any(1).nonzero()[0])
            number = range(len(self))[index][which] if isinstance(index, slice) else int(index[which])
            raise InputError(f"data: example {number} holds a number that is not finite (NaN or infinite)")
        return inputs, targets

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All examples in their own order."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))


@dataclass(frozen=True, eq=False)
class Data:
    """What a recipe learns from, what it is judged on, and what there is to say of both."""

    train: Split
    held_out: Split
    facts: Mapping[str, str | int | float] = field(default_factory=dict)

    def content_hash(self) -> str:
        """Hash of all examples (16 hex digits)."""
        digest = hashlib.blake2b(digest_size=8)
        for split in (self.train, self.held_out):
            for tensor in (split.inputs, split.targets):
                digest.update(str((tuple(tensor.shape), tensor.dtype)).encode())
                digest.update(np.ascontiguousarray(tensor.numpy()).data)
        return digest.hexdigest()


@lru_cache(maxsize=2)
def _order(examples: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(examples)


def batch_index(examples: int, size: int, seed: int, number: int) -> npt.NDArray[np.int64]:
    """Examples of the ``number``-th batch; every epoch has an order of its own and leaves its last few out."""
    epoch, place = divmod(number, examples // size)
    return _order(examples, seed, epoch)[place * size : (place + 1) * size]
