"""The exact product of two vectors of whole numbers: a query's score of a key, before any scale (ELSA).

Both vectors come in one beat. All products and their sum are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siloom.sim.contract import Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter

_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class DotProduct(Design):
    """The size of one unit; sums have at most 60 bits."""

    dim: int = parameter(64, unit="", source=_CHOICE, status="assumed", low=1, high=4096)
    a_bits: int = parameter(9, unit="bit", source=_CHOICE, status="assumed", low=2, high=24)
    b_bits: int = parameter(9, unit="bit", source=_CHOICE, status="assumed", low=2, high=24)
    stages: int = parameter(3, unit="cycle", source=_CHOICE, status="assumed", low=1, high=16)

    @property
    def total(self) -> Whole:
        """Format of the sum."""
        return Whole(self.a_bits + self.b_bits + (self.dim - 1).bit_length())


def dot_products(beats: Codes, dim: int) -> Codes:
    """Products of the first ``dim`` columns with the rest, [beats, 1]."""
    products: Codes = (beats[:, :dim] * beats[:, dim:]).sum(axis=1, keepdims=True)
    return products


def dot_product_reference(a: Sequence[int], b: Sequence[int]) -> int:
    """The product in Python's exact integers."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def contract(design: DotProduct) -> Contract:
    """What a unit of this size promises: a pair of vectors every cycle, its product ``stages`` cycles later."""

    def function(beats: Codes) -> Answer:
        return Answer(dot_products(beats, design.dim), np.arange(len(beats)))

    return Contract(
        name="dot_product",
        inputs=Stream(
            (
                Port("a", Whole(design.a_bits), "elements of one vector", design.dim),
                Port("b", Whole(design.b_bits), "elements of the other", design.dim),
            )
        ),
        outputs=Stream((Port("product", design.total, "the exact sum of products"),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
    )


UNIT = Unit(
    name="dot_product",
    summary="exact product of two vectors of whole numbers (ELSA)",
    design_type=DotProduct,
    contract=contract,
    sizes=(DotProduct(dim=1, a_bits=3, b_bits=3, stages=1), DotProduct(), DotProduct(dim=12, b_bits=4, stages=6)),
)
