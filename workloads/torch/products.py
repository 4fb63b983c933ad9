"""Matrix products of a network in one of ``sim.arithmetic``'s ways, as an operation of torch's own dispatcher.

``siloom::product`` is called for every product of a converted network, forward and backward. Being registered, it is
seen by whoever records what is dispatched, and it has a fake for shapes alone. Its numbers are numpy views of the
tensors' memory; nothing is copied but by the arithmetic itself.
"""

from __future__ import annotations

from typing import cast

import torch
from torch._subclasses.fake_tensor import FakeTensor

from siloom.sim.arithmetic import Arithmetic, Direction, arithmetic
from siloom.sim.errors import InputError
from siloom.workloads.torch.meter import note_product

_NAMES = {
    "forward": ("input", "weights or second input"),
    "grad_input": ("gradient", "weights or other input"),
    "grad_weight": ("gradient", "input"),
}
"""What both operands are, by direction."""


class NotFiniteError(InputError):
    """An operand of a product holds a number that is none; ``direction`` says of which pass."""

    def __init__(self, place: str, direction: str, what: str, found: str) -> None:
        super().__init__(f"layer {place}, {direction}: its {what} must be finite, got {found}")
        self.place, self.direction = place, direction


@torch.library.custom_op("siloom::product", mutates_args=(), device_types="cpu")
def product(
    a: torch.Tensor, b: torch.Tensor, arithmetic_text: str, direction: str, place: str, key: int
) -> torch.Tensor:
    """A (s, m, k) times B (s or 1, k, n), as ``sim.arithmetic`` defines it; ``place`` names the layer.

    No gradient of its own: the layers that call it have theirs.

    Raises:
        InputError: operands that are no float32, or whose shapes do not fit.
        NotFiniteError: infinity, or what is no number, among the operands.
    """
    return multiply(a, b, arithmetic_text, direction, place, key)


@product.register_fake
def _(a: torch.Tensor, b: torch.Tensor, arithmetic_text: str, direction: str, place: str, key: int) -> torch.Tensor:
    return a.new_empty((a.shape[0], a.shape[1], b.shape[2]))


def multiply(
    a: torch.Tensor, b: torch.Tensor, arithmetic_text: str, direction: str, place: str, key: int
) -> torch.Tensor:
    """What :func:`product` does, for operations that are made of several."""
    for x, what in zip((a, b), _NAMES[direction], strict=True):
        _check(x, what, direction, place)
    if a.shape[2] != b.shape[1] or b.shape[0] not in (1, a.shape[0]):
        shapes = f"(s, m, k) and (s or 1, k, n), got {tuple(a.shape)} and {tuple(b.shape)}"
        raise InputError(f"layer {place}, {direction}: shapes of a product must be {shapes}")
    # The dispatcher passes plain texts; callers are held to a Direction by their own types.
    result = arithmetic(arithmetic_text).product(
        a.detach().numpy(), b.detach().numpy(), cast("Direction", direction), key
    )
    note_product(place, direction, result.counts)
    return torch.from_numpy(result.values)


def key_for(way: Arithmetic) -> int:
    """A key for a product: of torch's generator where the arithmetic rounds by chance, so that its state is all.

    Whoever puts back the generator's state, as checkpoints do, rounds alike again.
    """
    if not way.by_chance:
        return 0
    drawn = torch.randint(2**62, ())
    return int(drawn.item()) if has_numbers(drawn) else 0


def has_numbers(x: torch.Tensor) -> bool:
    """Whether a tensor has elements, and not a shape alone."""
    return not (x.is_meta or isinstance(x, FakeTensor))


def _check(x: torch.Tensor, what: str, direction: str, place: str) -> None:
    if x.dtype != torch.float32:
        raise InputError(f"layer {place}, {direction}: its {what} must be float32, got {x.dtype}")
    # A sum is finite wherever all numbers are, but for one that overflows: then each is looked at.
    if not torch.isfinite(x.sum()) and not torch.isfinite(x).all():
        raise NotFiniteError(place, direction, what, "NaN" if x.isnan().any() else "infinity")
