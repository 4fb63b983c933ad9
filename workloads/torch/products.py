"""Matrix products of a network in one of ``sim.arithmetic``'s ways, as an operation of torch's own dispatcher.

``siloom::product`` is called for every product of a converted network, forward and backward. Being registered, it is
seen by whoever records what is dispatched, and it has a fake for shapes alone. Its numbers are numpy views of the
tensors' memory; nothing is copied but by the arithmetic itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch

from siloom.sim.arithmetic import Counts, Direction, arithmetic

_METERS: list[Meter] = []


class Meter:
    """Counts of products by place and direction, while it is open."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], Counts] = defaultdict(Counts)

    def add(self, place: str, direction: str, counts: Counts) -> None:
        """Take the counts of one product."""
        self.counts[place, direction] = self.counts[place, direction].plus(counts)


@contextmanager
def metered() -> Iterator[Meter]:
    """Count every product that is computed within."""
    meter = Meter()
    _METERS.append(meter)
    try:
        yield meter
    finally:
        _METERS.remove(meter)


@torch.library.custom_op("siloom::product", mutates_args=(), device_types="cpu")
def product(
    a: torch.Tensor, b: torch.Tensor, arithmetic_text: str, direction: str, place: str, key: int
) -> torch.Tensor:
    """A (s, m, k) times B (s or 1, k, n), as ``sim.arithmetic`` defines it; ``place`` names the layer.

    No gradient of its own: the layers that call it have theirs.
    """
    way = arithmetic(arithmetic_text)
    # The dispatcher passes plain texts; callers are held to a Direction by their own types.
    result = way.product(a.detach().numpy(), b.detach().numpy(), cast("Direction", direction), key)
    for meter in _METERS:
        meter.add(place, direction, result.counts)
    return torch.from_numpy(result.values)


@product.register_fake
def _(a: torch.Tensor, b: torch.Tensor, arithmetic_text: str, direction: str, place: str, key: int) -> torch.Tensor:
    return a.new_empty((a.shape[0], a.shape[1], b.shape[2]))
