"""Arithmetics: how hardware multiplies matrices of real numbers, from float32 in to float32 out.

An :class:`Arithmetic` rounds both operands to a small format under scale factors, multiplies the codes exactly as an
array of its units would (``sim/units``), bit by bit, and scales the sums back. Training calls it for every product of
a network, forward and backward; nothing in here knows torch. It is named by a text, ``int8:acc=24``, with the class's
fields as settings. One file of this folder adds one arithmetic; there is no list.

The convention of a product: A (s, m, k) times B (s, k, n), stacked s times. ``direction`` says what it is for. In the
two backward products A is the gradient that comes from above, B the weights or inputs that were saved: formats may
differ between gradients and other numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from siloom.sim.choices import choices, chosen, shortest_text
from siloom.sim.design import Design

Singles = npt.NDArray[np.float32]
Direction = Literal["forward", "grad_input", "grad_weight"]


class Counts(NamedTuple):
    """What went beyond a range in a product, or in many."""

    sums: int = 0
    """Results."""
    saturated: int = 0
    """Results whose sum left the accumulator's range at some step, and so was cut off, wrapped or became infinite; or
    whose chunks, added up, left the range of their own sum."""
    operands: int = 0
    """Elements of both operands."""
    clipped: int = 0
    """Operands cut off at the largest number of their format."""

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(*(x + y for x, y in zip(self, other, strict=True)))


class Product(NamedTuple):
    """The result (s, m, n) and what was counted on the way."""

    values: Singles
    counts: Counts


@dataclass(frozen=True, kw_only=True)
class Arithmetic(Design, ABC):
    """One way to multiply matrices; its fields are the settings of its name."""

    name: ClassVar[str]
    summary: ClassVar[str]
    format: ClassVar[str]
    """Format of operands in memory, as ``sim.ops`` names it."""

    @property
    def by_chance(self) -> bool:
        """Whether a product's ``key`` matters: where a setting is ``stochastic``."""
        return "stochastic" in self.as_dict().values()

    @abstractmethod
    def product(self, a: Singles, b: Singles, direction: Direction, key: int = 0) -> Product:
        """A times B.

        Args:
            a: real numbers (s, m, k), of any strides; finite.
            b: real numbers (s, k, n), of any strides; with s = 1 it is shared by all of A's stack.
            direction: what the product is for.
            key: of 64 bits; two products of one key round by chance alike. Of no effect without chance.
        """

    @property
    def caution(self) -> str:
        """What makes results doubtful whatever is multiplied, in one line; empty where nothing does."""
        return ""

    def __str__(self) -> str:
        """The name with the settings that differ from its own."""
        return shortest_text(self.name, self)


@lru_cache(maxsize=1)
def arithmetics() -> dict[str, type[Arithmetic]]:
    """Every arithmetic by its name."""
    return choices(Arithmetic, __name__)  # type: ignore[type-abstract]


@lru_cache(maxsize=256)
def arithmetic(text: str) -> Arithmetic:
    """The arithmetic that a text names: ``int8:acc=24,overflow=wrap``.

    Raises:
        UsageError: an unknown name or field.
        InputError: a value that its field refuses.
    """
    return chosen(Arithmetic, __name__, text, "arithmetic")  # type: ignore[type-abstract]
