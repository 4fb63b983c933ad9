"""Methods of attention: which scores are computed at all. One file a method; there is no list.

A method is named like an arithmetic, ``elsa:p=1``, and chooses by the very functions that its machine chooses by
(:mod:`siloom.sim.selection`), on the operands of each head. The choice is a mask that is taken as given: no gradient
flows through it, scores that it leaves out get none, and all others get that of the softmax over what was kept. What
a method learns beside the model lies in a :class:`Learnt` of the module that attends.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from siloom.sim.approximation import Mask
from siloom.sim.choices import choices, chosen, shortest_text
from siloom.sim.design import Design
from siloom.sim.drawn_attention import Reals32

Tensors = Mapping[str, torch.Tensor]

UNSEEN = -1e4
"""A number added to a score that leaves nothing of it: such a key counts as one that may not be looked at."""


class Stack(NamedTuple):
    """Heads one behind the other, those of an example together.

    q and k are [stack, n, dim], allowed is [stack, queries, keys]; keys that heads share stand there for each of them.
    Rows are independent of one another in most of what a method does, and then go through it all at once: calls for
    one head after another take longer than short heads themselves.
    """

    q: Reals32
    k: Reals32
    allowed: Mask


@dataclass(frozen=True, eq=False)
class Scene:
    """Operands of one attention: q [batch, heads, queries, dim], k [batch, kv_heads, keys, dim], without gradients.

    ``mask`` is added to the scaled scores, and broadcast to them; ``scale`` is theirs. Methods see of a mask only where
    nobody may look: of what else it adds, no machine's selection knows.
    """

    q: torch.Tensor
    k: torch.Tensor
    mask: torch.Tensor | None
    causal: bool
    scale: float

    @cached_property
    def allowed(self) -> torch.Tensor:
        """Keys that a query may look at, broadcast to [batch, heads, queries, keys]."""
        ones = torch.ones(self.q.shape[2], self.k.shape[2], dtype=torch.bool, device=self.q.device)
        allowed = ones.tril() if self.causal else ones
        if self.mask is not None:
            allowed = allowed & (self.mask > UNSEEN)
        return allowed.expand(*self.q.shape[:3], self.k.shape[2])

    @cached_property
    def stack(self) -> Stack:
        """All heads of all examples; machines divide scores by the root of dim, so another scale goes into q."""
        own = np.float32(self.scale * math.sqrt(self.q.shape[3]))
        q, k, allowed = (np.ascontiguousarray(x.detach().numpy()) for x in (self.q, self.k, self.allowed))
        q = q * own if own != 1 else q
        k = np.repeat(k, q.shape[1] // k.shape[1], 1)
        return Stack(*(x.reshape(-1, *x.shape[2:]) for x in (q, k, allowed)))

    def masks(self, kept: Mask) -> torch.Tensor:
        """Masks of a stack as [batch, heads, queries, keys]."""
        return torch.from_numpy(kept.reshape(self.allowed.shape))


@dataclass(frozen=True, kw_only=True)
class Method(Design, ABC):
    """One way to choose scores; its fields are the settings of its name."""

    name: ClassVar[str]
    summary: ClassVar[str]

    def learnt(self, heads: int, dim: int) -> dict[str, torch.Tensor]:
        """What a layer learns beside the model, as it is before any data; a ``Parameter`` is trained with the model."""
        return {}

    def observe(self, scene: Scene, learnt: Tensors) -> None:
        """Renew in place what is learnt from operands.

        Called in training, before :meth:`select`, but not where a forward pass is computed again for a backward one:
        that must see what the first saw. So between the two there must be no other pass of the same layer.
        """

    @abstractmethod
    def select(self, scene: Scene, learnt: Tensors) -> torch.Tensor:
        """The scores to be computed: bool, [batch, heads, queries, keys]."""

    def loss(self, scene: Scene, learnt: Tensors) -> torch.Tensor | None:
        """What is added to the model's loss for this layer; by default nothing."""
        return None

    def __str__(self) -> str:
        """The name with the settings that differ from its own."""
        return shortest_text(self.name, self)


@lru_cache(maxsize=1)
def methods() -> dict[str, type[Method]]:
    """Every method by its name."""
    return choices(Method, __name__)  # type: ignore[type-abstract]


@lru_cache(maxsize=256)
def method(text: str) -> Method:
    """The method that a text names: ``sanger:threshold=0.02``.

    Raises:
        UsageError: an unknown name or field.
        InputError: a value that its field refuses.
    """
    return chosen(Method, __name__, text, "attention")  # type: ignore[type-abstract]
