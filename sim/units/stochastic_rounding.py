"""A number rounded to a narrower format, up or down by chance: so that the mean of many roundings is the number.

Between two neighbours of the target format the one farther from zero (of whole numbers the upper one) is taken with a
probability that is the number's distance from the other one. The chance comes with the beat: ``random_bits`` bits r,
all values alike; no generator is in here. With f the place between the neighbours, from 0 to 1, the farther is taken

- with ``rest`` ``cut`` where ``f + r / 2**random_bits >= 1``. Over all r the mean of the results is the number itself
  where f has no more bits than r; else it lies nearer to zero, by less than ``2**-random_bits`` of the gap.
- with ``rest`` ``half`` where ``f + (r + 1/2) / 2**random_bits >= 1``. The mean is then off by at most half of that, to
  either side, and is the same as with ``cut`` where f has no more bits than r.

Numbers that the target has come out as they are, whatever r. So r = 0 always takes the nearer to zero.

Floating point (``fp32``, ``fp16``, ``bf16`` to ``fp16``, ``bf16``, ``fp8_e4m3``, ``fp8_e5m2``): magnitudes are rounded
and signs kept. Subnormals are kept on both sides; below the smallest one its own gap, from zero, counts. What is beyond
the largest number after rounding becomes infinite (NaN where there is no infinity), or stays at the largest
(``overflow``): only then is the mean another. Infinities and NaNs as in ``floats``; all NaNs come out as one.

``fixed``: two's complement of ``in_bits`` loses ``shift`` bits; neighbours are floor and floor + 1. Beyond ``out_bits``
it stays at the end (``saturate``) or wraps (``infinity``, which whole numbers have not).

Source: Gupta et al., ICML 2015, for training with it (recalled); few random bits and what to do with the rest:
Fitzgibbon and Felix 2025 (recalled).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from siloom.sim.contract import (
    BF16,
    FP8_E4M3FN,
    FP8_E5M2,
    FP16,
    FP32,
    Answer,
    Codes,
    Contract,
    Float,
    Format,
    Port,
    Stream,
    Unit,
    Whole,
)
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.jit import inline_kernel, kernel
from siloom.sim.units.floats import FINITE, Layout, layout, leading_one_to, pack, unpack

FORMATS: Mapping[str, Float] = {
    "fp32": FP32, "fp16": FP16, "bf16": BF16, "fp8_e4m3": FP8_E4M3FN, "fp8_e5m2": FP8_E5M2,
}  # fmt: skip
"""Floating-point formats by the names that a design gives them."""

FIXED = "fixed"
_CHOICE = "free choice of the design"
_LEADING = 47
"""Place of a significand's leading one: its bits and those below the target's last place."""


@dataclass(frozen=True, kw_only=True)
class StochasticRounding(Design):
    """The size of one rounding unit; ``in_bits``, ``shift`` and ``out_bits`` are of ``fixed`` alone.

    Raises (when made):
        InputError: a floating-point and a fixed-point format together, or a target wider than its source.
    """

    source: str = parameter("fp32", unit="", source=_CHOICE, status="assumed", choices=(*FORMATS, FIXED))
    target: str = parameter("bf16", unit="", source=_CHOICE, status="assumed", choices=(*FORMATS, FIXED))
    random_bits: int = parameter(16, unit="bit", source=_CHOICE, status="assumed", low=1, high=32)
    rest: str = parameter("cut", unit="", source=_CHOICE, status="assumed", choices=("cut", "half"))
    overflow: str = parameter("infinity", unit="", source=_CHOICE, status="assumed", choices=("infinity", "saturate"))
    in_bits: int = parameter(32, unit="bit", source=_CHOICE, status="assumed", low=2, high=48)
    shift: int = parameter(16, unit="bit", source=_CHOICE, status="assumed", low=0, high=47)
    out_bits: int = parameter(16, unit="bit", source=_CHOICE, status="assumed", low=2, high=48)
    stages: int = parameter(2, unit="cycle", source=_CHOICE, status="assumed", low=1, high=8)

    def __post_init__(self) -> None:
        """Refuse pairs of formats between which nothing is to be rounded."""
        super().__post_init__()
        if (self.source == FIXED) != (self.target == FIXED):
            both = f"{self.source} and {self.target}"
            raise InputError(f"stochastic_rounding: source and target must both be fixed or neither, got {both}")
        if not self.fixed and FORMATS[self.source].mantissa_bits < FORMATS[self.target].mantissa_bits:
            both = f"{self.source} to {self.target}"
            raise InputError(f"stochastic_rounding: target must not have more mantissa than source, got {both}")
        if self.fixed and self.shift >= self.in_bits:
            raise InputError(f"stochastic_rounding: shift must be below in_bits, {self.in_bits}, got {self.shift}")

    @property
    def fixed(self) -> bool:
        """Whether numbers are whole."""
        return self.source == FIXED

    @property
    def forms(self) -> tuple[Format, Format]:
        """Formats of what comes and of what goes."""
        if self.fixed:
            return Whole(self.in_bits, fraction=self.shift), Whole(self.out_bits)
        return FORMATS[self.source], FORMATS[self.target]


@inline_kernel
def _takes_farther(rest: int, drop: int, chance: int, random_bits: int, half: bool) -> bool:
    """Whether ``rest / 2**drop`` and chance together reach one; rest has at most 48 bits and no more than ``drop``."""
    if half:
        # Twice as fine: chance is an odd number of halves.
        random_bits += 1
        chance = 2 * chance + 1
    # Below the last bit that both have, no sum carries: whichever is finer is cut.
    if drop < random_bits:
        return rest + (chance >> (random_bits - drop)) >= 1 << drop
    return (rest >> min(drop - random_bits, 62)) + chance >= 1 << random_bits


@inline_kernel
def round_float(
    code: int, chance: int, source: Layout, target: Layout, random_bits: int, half: bool, saturate: bool
) -> int:
    """The code of one number in the target's format."""
    negative, significand, exponent, kind = unpack(code, source)
    if kind != FINITE or significand == 0:
        return pack((negative, significand, exponent, kind), target, saturate)
    # The last place that is kept, as in floats.pack: mantissa_bits below the leading one, or that of subnormals.
    significand, exponent = leading_one_to(_LEADING, significand, exponent)
    lowest = 2 - (1 << (target[0] - 1)) - target[1]
    drop = max(exponent + _LEADING - target[1], lowest) - exponent
    kept = significand >> min(drop, 62)
    if _takes_farther(significand - (kept << min(drop, 62)), drop, chance, random_bits, half):
        kept += 1
    # A whole number of the target's last places: pack has nothing to round, only to judge what is beyond the largest.
    return pack((negative, kept, exponent + drop, FINITE), target, saturate)


@inline_kernel
def round_whole(code: int, chance: int, shift: int, random_bits: int, half: bool, out_bits: int, saturate: bool) -> int:
    """One whole number without its last ``shift`` bits."""
    kept = code >> shift
    if shift and _takes_farther(code - (kept << shift), shift, chance, random_bits, half):
        kept += 1
    top = (1 << (out_bits - 1)) - 1
    if saturate:
        return min(max(kept, -top - 1), top)
    return ((kept + top + 1) & (2 * top + 1)) - top - 1


@kernel
def round_floats(
    codes: Codes, chance: Codes, source: Layout, target: Layout, random_bits: int, half: bool, saturate: bool
) -> Codes:
    """Codes (n,) of numbers in one format -> in another, each with its own ``chance`` (n,)."""
    out = np.empty(len(codes), np.int64)
    for i in range(len(codes)):
        out[i] = round_float(codes[i], chance[i], source, target, random_bits, half, saturate)
    return out


@kernel
def round_wholes(
    codes: Codes, chance: Codes, shift: int, random_bits: int, half: bool, out_bits: int, saturate: bool
) -> Codes:
    """Whole numbers (n,) without their last ``shift`` bits, each with its own ``chance`` (n,)."""
    out = np.empty(len(codes), np.int64)
    for i in range(len(codes)):
        out[i] = round_whole(codes[i], chance[i], shift, random_bits, half, out_bits, saturate)
    return out


def farther_chance(place: Fraction, design: StochasticRounding) -> Fraction:
    """How often the farther neighbour is taken over all random bits, for a number at ``place`` in its gap, 0 to 1."""
    steps = 2**design.random_bits
    added = Fraction(1, 2) if design.rest == "half" else Fraction(0)
    return Fraction(int(place * steps + added), steps)


def stochastic_rounding_reference(number: Fraction, chance: int, design: StochasticRounding) -> Fraction | None:
    """The value of a finite number rounded, by exact fractions; None where it is beyond the target's range."""
    form = design.forms[1]
    low: int | Fraction
    high: int | Fraction
    if isinstance(form, Whole):
        gap, size, sign = Fraction(1), number, 1
        low, high = form.low, form.high
    else:
        size, sign = abs(number), -1 if number < 0 else 1
        lowest = 2 - 2 ** (form.exponent_bits - 1) - form.mantissa_bits
        place = lowest
        while size >= Fraction(2) ** (place + form.mantissa_bits + 1):
            place += 1
        gap = Fraction(2) ** place
        top_place = 2**form.exponent_bits - 2 + lowest - (0 if form.finite else 1)
        most = 2 ** (form.mantissa_bits + 1) - (2 if form.finite else 1)
        high = most * Fraction(2) ** top_place
        low = -high
    steps = 2**design.random_bits
    nearer = size // gap
    place_in_gap = size / gap - nearer
    added = Fraction(chance) + (Fraction(1, 2) if design.rest == "half" else 0)
    rounded = sign * gap * (nearer + (place_in_gap + added / steps >= 1))
    return rounded if low <= rounded <= high else None


def contract(design: StochasticRounding) -> Contract:
    """What a unit of this size promises: a number every cycle, rounded ``stages`` cycles later."""
    source, target = design.forms
    half, saturate = design.rest == "half", design.overflow == "saturate"

    def function(beats: Codes) -> Answer:
        codes, chance = (np.ascontiguousarray(column) for column in beats.T)
        if isinstance(source, Float) and isinstance(target, Float):
            forms = layout(source), layout(target)
            out = round_floats(codes, chance, *forms, design.random_bits, half, saturate)
        else:
            out = round_wholes(codes, chance, design.shift, design.random_bits, half, design.out_bits, saturate)
        return Answer(out.reshape(-1, 1), np.arange(len(beats)))

    return Contract(
        name="stochastic_rounding",
        inputs=Stream(
            (
                Port("x", source, "the number"),
                Port("random", Whole(design.random_bits, signed=False), "chance, all values alike"),
            )
        ),
        outputs=Stream((Port("y", target, "one of its two neighbours"),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
    )


UNIT = Unit(
    name="stochastic_rounding",
    summary="a number rounded to a narrower format, up or down by the beat's random bits",
    design_type=StochasticRounding,
    contract=contract,
    sizes=(
        StochasticRounding(source="fixed", target="fixed", random_bits=3, in_bits=5, shift=3, out_bits=2, stages=1),
        StochasticRounding(),
        StochasticRounding(target="fp8_e4m3", random_bits=12, rest="half", overflow="saturate"),
        StochasticRounding(source="bf16", target="fp8_e5m2", random_bits=8),
        StochasticRounding(source="fp16", target="bf16", random_bits=5, stages=4),
        StochasticRounding(source="fp32", target="fp16", random_bits=32, stages=3),
        StochasticRounding(
            source="fixed", target="fixed", random_bits=8, rest="half", overflow="saturate", out_bits=12
        ),
    ),
)
