"""Length of a vector, rounded to nearest: what ELSA stores of every key.

The squares are summed exactly; the root of the sum, a whole number in units of the elements' last place, is rounded to
nearest (no ties: the square of a half is never whole) and stays at the largest code where it has no room.

``norm`` has the elements' binary point. Its default, 8 bits with 3 behind the point, holds lengths below 32.

Source: Ham et al., ELSA, ISCA 2021 (8-bit norms, recalled; where their point lies was not published).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.jit import inline_kernel, kernel

_CHOICE = "free choice of the design"
_ELSA = "Ham et al., ELSA, ISCA 2021"


@dataclass(frozen=True, kw_only=True)
class Norm(Design):
    """The size of one norm unit."""

    dim: int = parameter(64, unit="", source=_ELSA, status="recalled", low=1, high=4096)
    x_bits: int = parameter(9, unit="bit", source=_ELSA, status="recalled", low=2, high=16)
    fraction: int = parameter(3, unit="bit", source=_ELSA, status="recalled", low=0, high=15)
    norm_bits: int = parameter(8, unit="bit", source=_ELSA, status="recalled", low=1, high=24)
    multipliers: int = parameter(64, unit="", source=_CHOICE, status="assumed", low=1, high=4096)
    root_cycles: int = parameter(2, unit="cycle", source=_CHOICE, status="assumed", low=1, high=32)

    @property
    def interval(self) -> int:
        """Cycles between vectors."""
        return -(-self.dim // self.multipliers)


@inline_kernel
def nearest_root(total: np.int64) -> np.int64:
    """The whole number nearest to the square root of ``total`` (below 2^52)."""
    root = np.int64(np.sqrt(np.float64(total)))
    while root * root > total:
        root -= 1
    while (root + 1) * (root + 1) <= total:
        root += 1
    return root + 1 if total > root * root + root else root


@kernel
def norms(x: npt.NDArray[np.int32], bits: int) -> npt.NDArray[np.int32]:
    """Codes of the lengths of vectors x [n, dim]."""
    out = np.empty(len(x), np.int32)
    top = np.int64((1 << bits) - 1)
    for i in range(len(x)):
        total = np.int64(0)
        for j in range(x.shape[1]):
            total += np.int64(x[i, j]) * np.int64(x[i, j])
        out[i] = min(nearest_root(total), top)
    return out


def norm_reference(x: Sequence[int], bits: int) -> int:
    """The code of one vector's length: the nearer of the two whole numbers around the root."""
    total = sum(value * value for value in x)
    below = isqrt(total)
    # The root lies beyond below + 1/2 where four times the sum lies beyond (2 below + 1)^2.
    return min(below + int(4 * total > (2 * below + 1) ** 2), int(2**bits - 1))


def contract(design: Norm) -> Contract:
    """What a unit of this size promises: a vector every ``interval``, its length ``root_cycles`` after its sum."""

    def function(beats: Codes) -> Answer:
        found = norms(np.ascontiguousarray(beats.astype(np.int32)), design.norm_bits)
        return Answer(found.astype(np.int64).reshape(-1, 1), np.arange(len(beats)))

    latency = design.interval + design.root_cycles
    return Contract(
        name="norm",
        inputs=Stream((Port("x", Whole(design.x_bits, fraction=design.fraction), "elements", design.dim),)),
        outputs=Stream(
            (Port("norm", Whole(design.norm_bits, signed=False, fraction=design.fraction), "length, saturating"),)
        ),
        latency=latency,
        interval=design.interval,
        capacity=-(-latency // design.interval),
        function=function,
    )


UNIT = Unit(
    name="norm",
    summary="length of a vector of whole numbers, to nearest (ELSA)",
    design_type=Norm,
    contract=contract,
    sizes=(
        Norm(dim=2, x_bits=3, fraction=0, norm_bits=3),
        Norm(),
        Norm(dim=32, norm_bits=9, multipliers=16, root_cycles=5),
    ),
)
