"""Softmax's weighted mean of vectors in one pass, block by block, without knowing the largest score beforehand.

FlashAttention's recurrence over blocks of scores S and vectors V::

    m' = max(m, max S)      l' = e^(m - m') l + sum of e^(S - m')      O' = e^(m - m') O + e^(S - m') V

and O / l at the end. Here it is in fixed point, as hardware would have it, and its bits are those of the order of the
blocks. Scores are whole numbers with ``score_fraction`` bits behind the point, so m is exact. Exponentials are those of
``exp_split``, in units of 2^-F; a distance beyond its range counts as the largest in it. l and the elements of O carry
``guard_bits`` more; their product with e^(m - m') is rounded to these, ties to even, and not taken at all where the
maximum stays. Within a block sums are exact, in any order. O / l is rounded to the vectors' own format, ties to even,
and stays at its ends. ``kept`` leaves scores out; of none the mean is zero.

How near it is to softmax: O and l use the same weights, each a product of at most r + 1 exponentials, where the
maximum rose r times, each of these off by less than 2 units of 2^-F. So a weight is off by at most ``2 (r + 1) 2^-F``
of the largest one. On top come half a unit of the last place of O and l for each rise, and the rounding of the
mean: :func:`online_softmax_bound`.

A shift of all scores changes no bit. Another order or size of blocks may change some, within twice that bound.

Source: Milakov and Gimelshein 2018 (recalled) for the recurrence; Dao et al., FlashAttention, 2022 for blocks with V.
Those are in floating point; the fixed point is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import FLAG, Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.jit import inline_kernel, kernel
from siloom.sim.units.exp_split import ExpSplit, exp_split_code, exp_split_reference, split_tables
from siloom.sim.units.quantizer import round_shift
from siloom.sim.units.weighted_mean import divide_even

Table = npt.NDArray[np.int64]
Numbers = tuple[int, int, int, int, int]
"""What kernels take of a design: low bits, power fraction, guard bits, largest x, largest code of a value."""

_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class OnlineSoftmax(Design):
    """The size of one unit, for up to ``most_keys`` scores in a row.

    Raises (when made):
        InputError: sums beyond 62 bits, or an exponential that ``exp_split`` has not.
    """

    block: int = parameter(4, unit="keys", source=_CHOICE, status="assumed", low=1, high=256)
    dim: int = parameter(64, unit="", source=_CHOICE, status="assumed", low=1, high=1024)
    score_bits: int = parameter(16, unit="bit", source=_CHOICE, status="assumed", low=2, high=48)
    score_fraction: int = parameter(8, unit="bit", source=_CHOICE, status="assumed", low=0, high=24)
    exponent_integer_bits: int = parameter(4, unit="bit", source=_CHOICE, status="assumed", low=2, high=6)
    power_fraction: int = parameter(12, unit="bit", source=_CHOICE, status="assumed", low=1, high=20)
    guard_bits: int = parameter(6, unit="bit", source=_CHOICE, status="assumed", low=0, high=16)
    value_bits: int = parameter(9, unit="bit", source=_CHOICE, status="assumed", low=2, high=16)
    most_keys: int = parameter(512, unit="keys", source=_CHOICE, status="assumed", low=1, high=2**16)
    loop_cycles: int = parameter(4, unit="cycle", source=_CHOICE, status="assumed", low=1, high=32)
    divide_cycles: int = parameter(18, unit="cycle", source=_CHOICE, status="assumed", low=1, high=128)

    def __post_init__(self) -> None:
        """Refuse sums that a 64-bit word cannot hold."""
        super().__post_init__()
        total = self.value_bits + self.guard_bits + 2 * (self.power_fraction + 1) + (self.most_keys - 1).bit_length()
        if total > 62:
            raise InputError(f"online_softmax: products of sums must have at most 62 bits, got {total}")
        _ = self.exponential

    @property
    def exponential(self) -> ExpSplit:
        """The exponential unit, cut in the middle."""
        bits = self.exponent_integer_bits + self.score_fraction
        return ExpSplit(
            integer_bits=self.exponent_integer_bits,
            x_fraction=self.score_fraction,
            low_bits=bits // 2,
            power_fraction=self.power_fraction,
        )

    @property
    def numbers(self) -> Numbers:
        """What kernels take of it."""
        unit = self.exponential
        top = (1 << (self.value_bits - 1)) - 1
        return unit.low_bits, self.power_fraction, self.guard_bits, unit.largest, top


@inline_kernel
def _block_step(
    scores: Codes,
    values: Codes,
    kept: Codes,
    state: Codes,
    high: Table,
    low: Table,
    numbers: Numbers,
) -> None:
    """One block: ``scores`` and ``kept`` [block], ``values`` [block, dim], ``state`` [dim + 3]: O, l, m, any yet."""
    low_bits, fraction, guard, largest, _ = numbers
    dim = values.shape[1]
    most = state[dim + 1]
    begun = state[dim + 2]
    for j in range(len(scores)):
        if kept[j] and (begun == 0 or scores[j] > most):
            most = scores[j]
            begun = 1
    if begun == 0:
        return
    if state[dim + 2] and most > state[dim + 1]:
        factor = exp_split_code(min(most - state[dim + 1], largest), high, low, low_bits, fraction)
        for c in range(dim + 1):
            state[c] = round_shift(state[c] * factor, fraction)
    state[dim + 1] = most
    state[dim + 2] = 1
    for j in range(len(scores)):
        if kept[j]:
            power = exp_split_code(min(most - scores[j], largest), high, low, low_bits, fraction) << guard
            state[dim] += power
            for c in range(dim):
                state[c] += power * values[j, c]


@inline_kernel
def _mean(state: Codes, out: Codes, top: int) -> None:
    """O / l in the vectors' format."""
    dim = len(out)
    for c in range(dim):
        mean = int(divide_even(state[c], state[dim])) if state[dim + 2] else 0
        out[c] = min(max(mean, -top - 1), top)


@kernel
def online_softmax_rows(
    scores: Codes, values: Codes, kept: npt.NDArray[np.bool_], block: int, high: Table, low: Table, numbers: Numbers
) -> Codes:
    """Means [rows, dim]: ``scores`` and ``kept`` [rows, keys], ``values`` [keys, dim], keys in blocks in order."""
    rows, keys = scores.shape
    dim = values.shape[1]
    out = np.empty((rows, dim), np.int64)
    state = np.empty(dim + 3, np.int64)
    flags = np.empty(keys, np.int64)
    for i in range(rows):
        state[:] = 0
        for j in range(keys):
            flags[j] = kept[i, j]
        for first in range(0, keys, block):
            last = min(keys, first + block)
            _block_step(scores[i, first:last], values[first:last], flags[first:last], state, high, low, numbers)
        _mean(state, out[i], numbers[4])
    return out


@kernel
def online_softmax_stream(
    scores: Codes, values: Codes, kept: Codes, clear: Codes, last: Codes, high: Table, low: Table, numbers: Numbers
) -> tuple[Codes, Codes]:
    """All beats from reset -> the means sent out, [results, dim], and the beat that completed each.

    ``scores`` and ``kept`` [beats, block], ``values`` [beats, block * dim], key by key.
    """
    count = 0
    for i in range(len(last)):
        count += last[i]
    beats, block = scores.shape
    dim = values.shape[1] // block
    out = np.empty((count, dim), np.int64)
    cause = np.empty(count, np.int64)
    state = np.zeros(dim + 3, np.int64)
    k = 0
    for i in range(beats):
        if clear[i]:
            state[:] = 0
        _block_step(scores[i], values[i].reshape(block, dim), kept[i], state, high, low, numbers)
        if last[i]:
            _mean(state, out[k], numbers[4])
            cause[k] = i
            k += 1
    return out, cause


def online_softmax_reference(
    scores: Sequence[int], values: Sequence[Sequence[int]], kept: Sequence[bool], design: OnlineSoftmax
) -> list[int]:
    """One row by exact fractions, as plainly as can be said."""
    unit, one, grain = design.exponential, 2**design.power_fraction, 2 ** (design.power_fraction + design.guard_bits)
    top = 2 ** (design.value_bits - 1) - 1

    def power(distance: int) -> Fraction:
        return Fraction(exp_split_reference(min(distance, unit.largest), unit), one)

    def rounded(number: Fraction) -> Fraction:
        return Fraction(round(number * grain), grain)

    largest: int | None = None
    total, sums = Fraction(0), [Fraction(0)] * len(values[0])
    for first in range(0, len(scores), design.block):
        here = [j for j in range(first, min(len(scores), first + design.block)) if kept[j]]
        if not here:
            continue
        before, largest = largest, max([scores[j] for j in here] + ([] if largest is None else [largest]))
        if before is not None:
            factor = power(largest - before)
            total, sums = rounded(total * factor), [rounded(s * factor) for s in sums]
        for j in here:
            weight = power(largest - scores[j])
            total += weight
            sums = [s + weight * v for s, v in zip(sums, values[j], strict=True)]
    if largest is None:
        return [0] * len(sums)
    return [min(max(round(s / total), -top - 1), top) for s in sums]


def online_softmax_bound(design: OnlineSoftmax, keys: int, rises: int, largest_value: float) -> float:
    """How far a mean may be from softmax's own, in the vectors' last place, for scores within the tables' range.

    For ``keys`` scores of a row whose maximum rises ``rises`` times after its first block, and vectors whose elements
    are at most ``largest_value``. With weights w, their errors e and the mean u, O - u l is the sum of e (v - u), each
    ``|v - u|`` at most twice ``largest_value``, and of the roundings; l is at least one, but for its own.
    """
    weight = 2 * (rises + 1) * 2.0**-design.power_fraction
    rounded = rises * 0.5 * 2.0 ** -(design.power_fraction + design.guard_bits)
    return (2 * keys * weight * largest_value + rounded * (1 + largest_value)) / max(1 - rounded, 0.5) + 0.5


def contract(design: OnlineSoftmax) -> Contract:
    """What a unit of this size promises: a block every ``loop_cycles``; a mean after its last block's division."""
    block, dim = design.block, design.dim
    high, low = split_tables(design.exponential)
    numbers = design.numbers
    latency = design.loop_cycles + design.divide_cycles
    ends = np.cumsum([block, block * dim, block]).tolist()

    def function(beats: Codes) -> Answer:
        scores, values, kept, flags = (np.ascontiguousarray(part) for part in np.split(beats, ends, axis=1))
        clear, last = np.ascontiguousarray(flags[:, 0]), np.ascontiguousarray(flags[:, 1])
        return Answer(*online_softmax_stream(scores, values, kept, clear, last, high, low, numbers))

    def cycles(beats: Codes) -> Codes:
        spent: Codes = np.where(beats[:, -1] == 1, latency, design.loop_cycles).astype(np.int64)
        return spent

    value = Whole(design.value_bits)
    return Contract(
        name="online_softmax",
        inputs=Stream(
            (
                Port("score", Whole(design.score_bits, fraction=design.score_fraction), "scores of a block", block),
                Port("value", value, "their vectors, one after another", block * dim),
                Port("kept", FLAG, "1: this score counts", block),
                Port("clear", FLAG, "1: the row starts with this block"),
                Port("last", FLAG, "1: the mean, this block included, is sent out"),
            )
        ),
        outputs=Stream((Port("mean", value, "nearest even", dim),)),
        # The maximum of one block is needed by the next; a division and its result hold all up until that is fetched.
        latency=cycles,
        interval=cycles,
        capacity=1,
        function=function,
        legal=lambda beats: _legal(beats, design),
    )


def _legal(beats: Codes, design: OnlineSoftmax) -> Codes:
    """No row of more scores than the sums have room for."""
    legal = beats.copy()
    legal[:: max(1, design.most_keys // design.block), -2] = 1
    return legal


UNIT = Unit(
    name="online_softmax",
    summary="softmax's weighted mean of vectors in one pass over blocks of scores (FlashAttention), in fixed point",
    design_type=OnlineSoftmax,
    contract=contract,
    sizes=(
        OnlineSoftmax(
            block=1, dim=1, score_bits=2, score_fraction=1, power_fraction=3, guard_bits=1, value_bits=2, most_keys=4,
            loop_cycles=1, divide_cycles=1,
        ),
        OnlineSoftmax(dim=4),
        OnlineSoftmax(block=2, dim=3, score_bits=22, power_fraction=16, guard_bits=4, loop_cycles=3, divide_cycles=7),
    ),
)  # fmt: skip
