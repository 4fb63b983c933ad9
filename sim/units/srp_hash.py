"""Sign random projection by a Kronecker product: 64 hash bits of a vector for 768 multiplies (ELSA).

The projection is ``R = A (x) B (x) C``, three small orthogonal matrices whose sizes multiply to the length d of a
vector. ``R x`` is had by three mode products over x seen as a box, side by side: d times the sum of the sides in
multiplies instead of d^2. The hash of x is the signs of ``R x``: bit j, the lowest first, is 1 where element j is at
least 0. The angle between two vectors is then about pi / d times the number of bits that differ.

Factors are the Q of a QR decomposition of seeded Gaussian matrices, rounded to ``factor_bits`` with all but the sign
behind the point. All products are kept at full width, so a sign needs no rounding.

Source: Ham et al., ELSA, ISCA 2021, section on the Kronecker projection; widths recalled. Vectors whose length has no
factorisation into three sides of at most 16 are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.jit import kernel

Factor = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]
"""Hash words [vectors, words], bit j of a vector in word j // 64."""

MAX_SIDE = 16
WORD = 64
_BLOCK = 64
_CHOICE = "free choice of the design"
_ELSA = "Ham et al., ELSA, ISCA 2021"


@dataclass(frozen=True, kw_only=True)
class SrpHash(Design):
    """The size of one hash unit; a side of 1 is a mode that is left out.

    Raises (when made):
        InputError: sums that do not fit 32 bits.
    """

    side_a: int = parameter(4, unit="", source=_ELSA, status="recalled", low=1, high=MAX_SIDE)
    side_b: int = parameter(4, unit="", source=_ELSA, status="recalled", low=1, high=MAX_SIDE)
    side_c: int = parameter(4, unit="", source=_ELSA, status="recalled", low=1, high=MAX_SIDE)
    x_bits: int = parameter(9, unit="bit", source=_ELSA, status="recalled", low=2, high=16)
    factor_bits: int = parameter(6, unit="bit", source=_ELSA, status="recalled", low=2, high=12)
    multipliers: int = parameter(256, unit="", source=_ELSA, status="recalled", low=1, high=2**20)
    seed: int = parameter(0, unit="", source=_CHOICE, status="assumed", low=0, high=2**63 - 1)

    def __post_init__(self) -> None:
        """Refuse sums that the 32-bit adders of the model cannot hold."""
        super().__post_init__()
        most = 1 << (self.x_bits - 1)
        for factor in self.factors:
            most *= int(np.abs(factor.astype(np.int64)).sum(axis=1).max())
        if most >= 2**31:
            raise InputError(
                f"srp_hash: sums of {self.x_bits} and {self.factor_bits} bits must fit 32 bits, reach {most}"
            )

    @property
    def sides(self) -> tuple[int, int, int]:
        """Sizes of the three factors."""
        return self.side_a, self.side_b, self.side_c

    @property
    def dim(self) -> int:
        """Length of a vector, and bits of a hash."""
        return prod(self.sides)

    @property
    def multiplies(self) -> int:
        """Multiplications for one vector: modes of side 1 need none."""
        return self.dim * sum(side for side in self.sides if side > 1)

    @property
    def cycles(self) -> int:
        """Cycles for one vector."""
        return max(1, -(-self.multiplies // self.multipliers))

    @property
    def factors(self) -> tuple[Factor, Factor, Factor]:
        """The three factors as whole numbers, ``factor_bits - 1`` of whose bits lie behind the point."""
        return tuple(_factor(side, self.factor_bits, self.seed, at) for at, side in enumerate(self.sides))  # type: ignore[return-value]


def sides_for(dim: int) -> tuple[int, int, int]:
    """The cheapest three sides, each at most 16, whose product is ``dim``; of equal cost the fewest above 1.

    Raises:
        InputError: there are none.
    """
    found = [
        (a, b, dim // (a * b))
        for a in range(MAX_SIDE, 0, -1)
        if dim % a == 0
        for b in range(a, 0, -1)
        if (dim // a) % b == 0 and dim // (a * b) <= b
    ]
    if dim < 2 or not found:
        raise InputError(
            f"srp_hash: dim must be a product of three factors of at most {MAX_SIDE}, which {dim} is not; "
            "no Kronecker projection fits it"
        )
    return min(found, key=lambda sides: (sum(s for s in sides if s > 1), sum(s > 1 for s in sides), sides))


@lru_cache(maxsize=256)
def _factor(side: int, bits: int, seed: int, mode: int) -> Factor:
    if side == 1:
        return np.ones((1, 1), np.int32)
    exact = orthogonal(side, np.random.default_rng((seed, mode)))
    top = (1 << (bits - 1)) - 1
    return np.clip(np.rint(exact * (top + 1)), -top, top).astype(np.int32)


def orthogonal(size: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A random orthogonal matrix, evenly distributed: Q of a Gaussian matrix, its signs those of R's diagonal."""
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    turned: npt.NDArray[np.float64] = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return turned


@kernel
def _mode(source: npt.NDArray[np.int32], target: npt.NDArray[np.int32], factor: Factor, inner: int) -> None:
    """One mode product: source and target are [outer * side * inner, lanes]."""
    side = len(factor)
    outer = len(source) // (side * inner)
    for o in range(outer):
        for row in range(side):
            for i in range(inner):
                to = target[(o * side + row) * inner + i]
                to[:] = 0
                for m in range(side):
                    weight = factor[row, m]
                    other = source[(o * side + m) * inner + i]
                    for lane in range(_BLOCK):
                        to[lane] += weight * other[lane]


@kernel
def srp_hash_vectors(x: npt.NDArray[np.int32], a: Factor, b: Factor, c: Factor) -> Hashes:
    """Hashes of vectors x [n, dim]: blocks of vectors lie side by side, so that loops run along them."""
    count, dim = x.shape
    words = (dim + WORD - 1) // WORD
    hashes = np.zeros((count, words), np.uint64)
    here = np.zeros((dim, _BLOCK), np.int32)
    there = np.zeros((dim, _BLOCK), np.int32)
    for first in range(0, count, _BLOCK):
        lanes = min(_BLOCK, count - first)
        for lane in range(lanes):
            for j in range(dim):
                here[j, lane] = x[first + lane, j]
        _mode(here, there, c, 1)
        _mode(there, here, b, len(c))
        _mode(here, there, a, len(b) * len(c))
        for word in range(words):
            for lane in range(lanes):
                bits = np.uint64(0)
                for j in range(word * WORD, min(dim, (word + 1) * WORD)):
                    bits |= np.uint64(there[j, lane] >= 0) << np.uint64(j & (WORD - 1))
                hashes[first + lane, word] = bits
    return hashes


def srp_hash_reference(x: Sequence[int], factors: Sequence[Factor]) -> int:
    """The hash of one vector by the whole matrix ``A (x) B (x) C``, in exact integers."""
    a, b, c = (factor.astype(object) for factor in factors)
    projected = np.kron(np.kron(a, b), c) @ np.array(list(x), object)
    return sum(1 << j for j, value in enumerate(projected) if value >= 0)


def contract(design: SrpHash) -> Contract:
    """What a unit of this size promises: a vector's hash once its multiplies are done; the next vector then."""
    factors = design.factors
    words = -(-design.dim // WORD)
    word_bits = min(design.dim, WORD)

    def function(beats: Codes) -> Answer:
        hashes = srp_hash_vectors(beats.astype(np.int32), *factors).view(np.int64)
        return Answer(hashes.reshape(len(beats), words), np.arange(len(beats)))

    return Contract(
        name="srp_hash",
        inputs=Stream((Port("x", Whole(design.x_bits), "elements of a vector", design.dim),)),
        outputs=Stream((Port("hash", Whole(word_bits, signed=False), "signs, the lowest bit first", words),)),
        latency=design.cycles,
        interval=design.cycles,
        capacity=1,
        function=function,
    )


UNIT = Unit(
    name="srp_hash",
    summary="hash bits of a vector: signs of its Kronecker random projection (ELSA)",
    design_type=SrpHash,
    contract=contract,
    sizes=(
        SrpHash(side_a=2, side_b=1, side_c=1, x_bits=3, factor_bits=3, multipliers=4),
        SrpHash(),
        SrpHash(side_a=4, side_b=4, side_c=2, multipliers=64),
        SrpHash(side_a=8, side_b=8, side_c=1, multipliers=1024, seed=7),
    ),
)
