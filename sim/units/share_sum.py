"""Shares of a total times vectors, summed in fixed point: softmax's division before the product with V (A3).

Each beat is an unsigned power, the total of its row, and a vector of whole numbers. The power's share of the total is
rounded to ``share_fraction`` bits behind the point, halves up; shares times vectors are summed exactly. With ``last``
each sum is rounded to the vector's own format, ties to even, and sent out. ``clear`` starts the sums with this beat.

Shares are rounded one by one, so they need not add up to one: n of them are off by at most n / 2 of their last
places. A sum that leaves the format on that account stays at its end. A total of zero has shares of zero.

Source: Ham et al., A3, HPCA 2020: the output module divides each exponential by their sum and multiplies with a row of
V (recalled); widths and roundings are open there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import FLAG, Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.jit import inline_kernel, kernel
from siloom.sim.units.quantizer import round_shift

_A3 = "Ham et al., A3, HPCA 2020"
_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class ShareSum(Design):
    """The size of one unit, for up to ``most_beats`` vectors in a sum; all ranges together stay within 62 bits."""

    dim: int = parameter(64, unit="", source="d = 64, A3's test chip", low=1, high=1024)
    power_bits: int = parameter(13, unit="bit", source=_CHOICE, status="assumed", low=1, high=31)
    share_fraction: int = parameter(12, unit="bit", source=_CHOICE, status="assumed", low=1, high=30)
    value_bits: int = parameter(9, unit="bit", source=_A3, status="recalled", low=2, high=16)
    most_beats: int = parameter(320, unit="", source="n = 320, A3's test chip", low=1, high=2**14)
    stages: int = parameter(9, unit="cycle", source=_A3, status="recalled", low=1, high=128)

    @property
    def total(self) -> Whole:
        """Format of a row's total."""
        return Whole(self.power_bits + (self.most_beats - 1).bit_length(), signed=False)


@inline_kernel
def share_code(power: np.int64, total: np.int64, fraction: int) -> np.int64:
    """``power / total`` with ``fraction`` bits behind the point, halves up; of nothing, nothing."""
    if total == 0:
        return np.int64(0)
    return ((power << (fraction + 1)) // total + 1) >> 1


@inline_kernel
def to_value(total: np.int64, fraction: int, top: int) -> int:
    """A sum in the vector's format."""
    return min(max(round_shift(int(total), fraction), -top - 1), top)


@kernel
def share_sums(powers: Codes, values: Codes, kept: npt.NDArray[np.bool_], fraction: int, value_bits: int) -> Codes:
    """Sums [rows, dim] over the keys kept; ``powers`` and ``kept`` [rows, keys], ``values`` [keys, dim]."""
    rows, keys = kept.shape
    dim = values.shape[1]
    top = (1 << (value_bits - 1)) - 1
    out = np.zeros((rows, dim), np.int64)
    for i in range(rows):
        total = np.int64(0)
        for j in range(keys):
            if kept[i, j]:
                total += powers[i, j]
        for j in range(keys):
            if kept[i, j]:
                share = share_code(powers[i, j], total, fraction)
                if share:
                    for c in range(dim):
                        out[i, c] += share * values[j, c]
        for c in range(dim):
            out[i, c] = to_value(out[i, c], fraction, top)
    return out


@kernel
def share_sum_stream(
    powers: Codes, totals: Codes, values: Codes, clear: Codes, last: Codes, fraction: int, value_bits: int
) -> tuple[Codes, Codes]:
    """All beats from reset -> the sums sent out, [results, dim], and the beat that completed each."""
    count = 0
    for i in range(len(last)):
        count += last[i]
    dim = values.shape[1]
    top = (1 << (value_bits - 1)) - 1
    out = np.empty((count, dim), np.int64)
    cause = np.empty(count, np.int64)
    sums = np.zeros(dim, np.int64)
    k = 0
    for i in range(len(powers)):
        if clear[i]:
            sums[:] = 0
        share = share_code(powers[i], totals[i], fraction)
        for c in range(dim):
            sums[c] += share * values[i, c]
        if last[i]:
            for c in range(dim):
                out[k, c] = to_value(sums[c], fraction, top)
            cause[k] = i
            k += 1
    return out, cause


def share_sum_reference(
    powers: Sequence[int], total: int, values: Sequence[Sequence[int]], fraction: int, value_bits: int
) -> list[int]:
    """One sum, by exact fractions."""
    one = 2**fraction
    shares = [(2 * p * one + total) // (2 * total) if total else 0 for p in powers]
    low, high = -(2 ** (value_bits - 1)), 2 ** (value_bits - 1) - 1
    exact = [sum(s * v for s, v in zip(shares, column, strict=True)) for column in zip(*values, strict=True)]
    return [min(max(round(Fraction(sum_, one)), low), high) for sum_ in exact]


def contract(design: ShareSum) -> Contract:
    """What a unit of this size promises: a beat every cycle, a sum ``stages`` cycles after its last."""
    dim = design.dim

    def function(beats: Codes) -> Answer:
        powers, totals, clear, last = (np.ascontiguousarray(beats[:, c]) for c in (0, 1, dim + 2, dim + 3))
        values = np.ascontiguousarray(beats[:, 2 : dim + 2])
        sums, cause = share_sum_stream(powers, totals, values, clear, last, design.share_fraction, design.value_bits)
        return Answer(sums, cause)

    value = Whole(design.value_bits)
    return Contract(
        name="share_sum",
        inputs=Stream(
            (
                Port("power", Whole(design.power_bits, signed=False), "weight of this vector, at most the total"),
                Port("total", design.total, "sum of the row's powers"),
                Port("value", value, "elements of the vector", dim),
                Port("clear", FLAG, "1: the sums start with this beat"),
                Port("last", FLAG, "1: the sums, this beat included, are sent out"),
            )
        ),
        outputs=Stream((Port("sum", value, "nearest even", dim),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
        legal=lambda beats: _legal(beats, design),
    )


def _legal(beats: Codes, design: ShareSum) -> Codes:
    """No power above its total, and no sum of more vectors than there is room for."""
    legal = beats.copy()
    legal[:, 0] = np.minimum(legal[:, 0], legal[:, 1])
    legal[:: design.most_beats, design.dim + 2] = 1
    return legal


UNIT = Unit(
    name="share_sum",
    summary="shares of a total times vectors, summed: softmax's division before the product with V (A3)",
    design_type=ShareSum,
    contract=contract,
    sizes=(
        ShareSum(dim=1, power_bits=2, share_fraction=2, value_bits=2, most_beats=2, stages=1),
        ShareSum(dim=8),
        ShareSum(dim=4, power_bits=17, share_fraction=16, most_beats=1000, stages=12),
    ),
)
