"""A multiplier that is put together from narrow ones, and can come apart into them: DOTA's RMMU.

An operand of ``wide_bits`` is cut into digits of ``base_bits``; the highest one is signed, the others are not. With
``a = aH 2^w + aL`` the product is ``aH bH 2^2w + (aH bL + aL bH) 2^w + aL bL``, and so on down to digits, so a 16-bit
product takes 16 multipliers of 4-bit digits, or 64 of 2-bit digits.

In ``mode`` m both operands hold ``2^m`` numbers of ``wide_bits / 2^m`` bits each, the lowest bits first, and all
``4^m`` products of a number of ``a`` and one of ``b`` are given: lane ``i 2^m + j`` holds number i of ``a`` times
number j of ``b``, the other lanes are zero. Operands are no wider than before, so the same wires feed more products.

Source: Qu et al., DOTA, ASPLOS 2022 (from a reading note) for the composition; that low-precision products are those of
all pairs is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.jit import kernel

_DOTA = "Qu et al., DOTA, ASPLOS 2022"
_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class MultiPrecisionMul(Design):
    """The size of one multiplier.

    Raises (when made):
        InputError: a wide operand that is no digits' width doubled some number of times.
    """

    wide_bits: int = parameter(16, unit="bit", source=_DOTA, low=2, high=32)
    base_bits: int = parameter(4, unit="bit", source=_DOTA, status="recalled", low=2, high=16)
    stages: int = parameter(2, unit="cycle", source=_CHOICE, status="assumed", low=1, high=16)

    def __post_init__(self) -> None:
        """Refuse widths that do not halve down to the digits'."""
        super().__post_init__()
        if self.base_bits << (self.modes - 1) != self.wide_bits:
            raise InputError(
                f"multi_precision_mul: wide_bits must be base_bits, {self.base_bits}, times a power of 2, "
                f"got {self.wide_bits}"
            )

    @property
    def digits(self) -> int:
        """Digits of a wide operand."""
        return self.wide_bits // self.base_bits

    @property
    def multipliers(self) -> int:
        """Narrow multipliers, and lanes of products."""
        return self.digits * self.digits

    @property
    def modes(self) -> int:
        """Modes 0 (one wide product) to ``modes - 1`` (digits alone)."""
        return max(1, self.digits.bit_length())

    @property
    def mode(self) -> Whole:
        """Format of the mode."""
        return Whole(max(1, (self.modes - 1).bit_length()), signed=False)


def rate_factor(wide_bits: int, bits: int, pairs: bool) -> int:
    """Products of ``bits`` a cycle for each wide one.

    ``pairs``: all pairs, as this unit gives; else only as many as the operands' wires bring pairs of their own.

        >>> [rate_factor(16, bits, True) for bits in (8, 4, 2)]
        [4, 16, 64]
    """
    each = wide_bits // bits
    return each * each if pairs else each


@kernel
def multi_precision_stream(
    a: Codes, b: Codes, mode: npt.NDArray[np.int64], wide_bits: int, base_bits: int
) -> npt.NDArray[np.int64]:
    """Products [beats, lanes] from those of digits; ``a``, ``b`` and ``mode`` [beats]."""
    digits = wide_bits // base_bits
    out = np.zeros((len(a), digits * digits), np.int64)
    part_a = np.empty(digits, np.int64)
    part_b = np.empty(digits, np.int64)
    mask = (1 << base_bits) - 1
    for beat in range(len(a)):
        many = 1 << mode[beat]  # numbers in an operand
        each = digits >> mode[beat]  # digits in a number
        for d in range(digits):
            part_a[d] = (a[beat] >> (d * base_bits)) & mask
            part_b[d] = (b[beat] >> (d * base_bits)) & mask
            if d % each == each - 1:  # the highest digit of a number has its sign
                part_a[d] -= (part_a[d] >> (base_bits - 1)) << base_bits
                part_b[d] -= (part_b[d] >> (base_bits - 1)) << base_bits
        for i in range(many):
            for j in range(many):
                total = np.int64(0)
                for x in range(each):
                    for y in range(each):
                        total += (part_a[i * each + x] * part_b[j * each + y]) << ((x + y) * base_bits)
                out[beat, i * many + j] = total
    return out


def multi_precision_reference(a: int, b: int, mode: int, wide_bits: int, lanes: int) -> list[int]:
    """One beat: the numbers are taken apart and multiplied whole."""
    many = 1 << mode
    bits = wide_bits // many

    def number(word: int, at: int) -> int:
        code = (word >> (at * bits)) % (1 << bits)
        return code - (1 << bits) if code >> (bits - 1) else code

    products = [number(a, i) * number(b, j) for i in range(many) for j in range(many)]
    return products + [0] * (lanes - len(products))


def contract(design: MultiPrecisionMul) -> Contract:
    """What a unit of this size promises: a beat every cycle, in any mode, its products ``stages`` cycles later."""
    operand = Whole(design.wide_bits)

    def function(beats: Codes) -> Answer:
        a, b, mode = (np.ascontiguousarray(beats[:, c]) for c in range(3))
        products = multi_precision_stream(a, b, mode, design.wide_bits, design.base_bits)
        return Answer(products, np.arange(len(beats)))

    return Contract(
        name="multi_precision_mul",
        inputs=Stream(
            (
                Port("a", operand, "2^mode numbers, the lowest bits first"),
                Port("b", operand, "2^mode numbers, the lowest bits first"),
                Port("mode", design.mode, "how often the operands are halved"),
            )
        ),
        outputs=Stream((Port("product", Whole(2 * design.wide_bits), "of all pairs, exact", design.multipliers),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
        legal=lambda beats: np.minimum(beats, np.array([operand.high, operand.high, design.modes - 1])),
    )


UNIT = Unit(
    name="multi_precision_mul",
    summary="a wide multiplier made of narrow ones, or as many narrow ones as it holds (DOTA's RMMU)",
    design_type=MultiPrecisionMul,
    contract=contract,
    sizes=(
        MultiPrecisionMul(wide_bits=4, base_bits=2, stages=1),
        MultiPrecisionMul(),
        MultiPrecisionMul(wide_bits=16, base_bits=2, stages=3),
    ),
)
