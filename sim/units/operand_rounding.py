"""Real numbers onto the codes of a product's operands, and sums of codes back to real numbers.

Codes are held in float32, arrays of operands are flat. A number is divided by its scale factor in float32 (one
rounding), and the quotient is rounded to the format: to nearest, ties to even, or by chance as the unit
``stochastic_rounding`` does it, bit n of chance being that of the n-th number. Quotients beyond the largest code are
cut off at it; the kernels return how many.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from siloom.sim.jit import kernel
from siloom.sim.units.chance import CHANCE_BITS, chance
from siloom.sim.units.host_floats import Rounding, bits_of, float_of, rounded

Singles = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Patterns = npt.NDArray[np.int32]

NOT_FINITE = 0x7F80_0000
"""Patterns without sign from here on are infinities and NaNs."""
_SIGNLESS = 0x7FFF_FFFF
_MAGIC = np.float32(1.5 * 2.0**23)
"""Added to a float32 below 2**22 and subtracted again, it leaves the nearest whole number."""
_EXPONENT = 0x7FF0_0000_0000_0000
_STEPS = np.float32(1 << CHANCE_BITS)
_ONE, _ZERO = np.float32(1), np.float32(0)


@kernel
def largest_pattern(patterns: Patterns) -> int:
    """The pattern of the largest size among float32 given by their patterns; patterns of sizes are in their order."""
    largest = np.int32(0)
    for i in range(len(patterns)):
        largest = max(largest, np.int32(patterns[i] & np.int32(_SIGNLESS)))
    return int(largest)


@kernel
def to_wholes(values: Singles, scale: np.float32, top: np.float32, out: Singles) -> int:
    """Nearest whole numbers from -top to top, top below 2**21."""
    clipped = 0
    for i in range(len(values)):
        quotient = values[i] / scale
        quotient = quotient if quotient < top + top else top + top
        quotient = quotient if quotient > -top - top else -top - top
        near = (quotient + _MAGIC) - _MAGIC
        clipped += 1 if abs(near) > top else 0
        near = near if near < top else top
        out[i] = near if near > -top else -top
    return clipped


@kernel
def to_wholes_by_chance(values: Singles, scale: np.float32, top: np.float32, key: np.uint64, out: Singles) -> int:
    """One of both neighbouring whole numbers, the upper one as often as the quotient is near to it."""
    clipped = 0
    for i in range(len(values)):
        quotient = values[i] / scale
        lower = np.floor(quotient)
        # The place between both, in steps of chance, and what chance is compared with are float32 without rounding.
        place = (quotient - lower) * _STEPS
        near = lower + (_ONE if place >= _STEPS - np.float32(chance(key, np.uint64(i))) else _ZERO)
        clipped += 1 if abs(near) > top else 0
        near = near if near < top else top
        out[i] = near if near > -top else -top
    return clipped


@kernel
def to_floats(values: Singles, scale: np.float32, to: Rounding, out: Singles) -> int:
    """Nearest numbers of a format whose rounding does not saturate."""
    top = to[3]
    clipped = 0
    for i in range(len(values)):
        quotient = np.float64(values[i] / scale)
        near = rounded(quotient, to)
        fits = abs(near) <= top  # beyond it lies infinity, or NaN
        clipped += 0 if fits else 1
        out[i] = np.float32(near if fits else np.copysign(top, quotient))
    return clipped


@kernel
def to_floats_by_chance(values: Singles, scale: np.float32, to: Rounding, key: np.uint64, out: Singles) -> int:
    """One of both neighbouring numbers of a format, the farther from zero as often as the quotient is near to it."""
    factor, lowest, _, top, _ = to
    clipped = 0
    for i in range(len(values)):
        quotient = np.float64(values[i] / scale)
        power = float_of(bits_of(quotient) & _EXPONENT)
        gap = (power if power > lowest else lowest) * (factor / (1.5 * 2.0**52))
        place = abs(quotient) / gap
        nearer = np.floor(place)
        farther = (place - nearer) * _STEPS >= _STEPS - np.float64(chance(key, np.uint64(i)))
        near = (nearer + (1.0 if farther else 0.0)) * gap
        clipped += 1 if near > top else 0
        out[i] = np.float32(np.copysign(near if near < top else top, quotient))
    return clipped


@kernel
def rescale(sums: Reals, a_scales: Singles, b_scales: Singles, onto: Singles, add: bool) -> None:
    """Sums (s, m, n) times both factors, put into ``onto`` or added there.

    Factors are (s, m) and (s, n), or 1 long where an axis shares one. The product of the three is that of binary64, the
    two factors' first, which is exact; it is then rounded to float32.
    """
    stack, rows, columns = sums.shape
    for s in range(stack):
        a_of, b_of = a_scales[min(s, len(a_scales) - 1)], b_scales[min(s, len(b_scales) - 1)]
        for i in range(rows):
            a_scale = np.float64(a_of[min(i, len(a_of) - 1)])
            source, target = sums[s, i], onto[s, i]
            if len(b_of) == 1 and not add:
                factor = a_scale * np.float64(b_of[0])
                for j in range(columns):
                    target[j] = np.float32(source[j] * factor)
            else:
                for j in range(columns):
                    found = np.float32(source[j] * (a_scale * np.float64(b_of[min(j, len(b_of) - 1)])))
                    target[j] = target[j] + found if add else found
