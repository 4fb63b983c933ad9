"""A weighted mean of vectors in fixed point: softmax's division and the product with V (Sanger).

Each beat is an unsigned weight, as ``exp_sanger`` gives, and a vector of whole numbers. Weights and products are summed
exactly; with ``last`` every sum is divided by the weights' sum, to nearest, ties to even, and sent out in the vector's
own format: a mean lies within its values, so it always fits. Where all weights are zero the mean is zero.

``clear`` starts the sums with this beat. The division is not pipelined: ``divide_cycles`` pass from the last beat to
the result, and the unit takes no beat until that is fetched. Other beats are done with in a cycle.

Source: Sanger divides by the row's sum after the product with V (Lu et al., MICRO 2021); widths and the divider are
assumed.
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

_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class WeightedMean(Design):
    """The size of one unit, for up to ``most_beats`` vectors in a mean.

    Raises (when made):
        InputError: sums beyond 62 bits.
    """

    dim: int = parameter(64, unit="", source=_CHOICE, status="assumed", low=1, high=1024)
    weight_bits: int = parameter(32, unit="bit", source=_CHOICE, status="assumed", low=1, high=40)
    value_bits: int = parameter(16, unit="bit", source="Lu et al., Sanger, MICRO 2021", low=2, high=32)
    most_beats: int = parameter(4096, unit="", source=_CHOICE, status="assumed", low=1, high=2**20)
    divide_cycles: int = parameter(18, unit="cycle", source=_CHOICE, status="assumed", low=1, high=128)

    def __post_init__(self) -> None:
        """Refuse sums that a 64-bit word cannot hold."""
        super().__post_init__()
        if self.weight_bits + self.value_bits + (self.most_beats - 1).bit_length() > 62:
            raise InputError(f"weighted_mean: sums must have at most 62 bits, got {self.weight_bits} and more")


@inline_kernel
def divide_even(total: int, by: np.int64) -> np.int64:
    """``total / by`` to nearest, ties to even; by > 0."""
    whole = total // by
    rest = total - whole * by
    return whole + (2 * rest > by or (2 * rest == by and whole & 1 == 1))


@kernel
def weighted_means(weights: Codes, values: Codes, kept: npt.NDArray[np.bool_]) -> Codes:
    """Means [rows, dim] over the keys kept; ``weights`` and ``kept`` [rows, keys], ``values`` [keys, dim]."""
    rows, keys = kept.shape
    dim = values.shape[1]
    out = np.zeros((rows, dim), np.int64)
    for i in range(rows):
        total = np.int64(0)
        for j in range(keys):
            if kept[i, j]:
                weight = weights[i, j]
                total += weight
                for c in range(dim):
                    out[i, c] += weight * values[j, c]
        if total > 0:
            for c in range(dim):
                out[i, c] = divide_even(out[i, c], total)
    return out


@kernel
def weighted_mean_stream(weights: Codes, values: Codes, clear: Codes, last: Codes) -> tuple[Codes, Codes]:
    """All beats from reset -> the means sent out, [results, dim], and the beat that completed each."""
    count = 0
    for i in range(len(last)):
        count += last[i]
    dim = values.shape[1]
    out = np.zeros((count, dim), np.int64)
    cause = np.empty(count, np.int64)
    sums = np.zeros(dim, np.int64)
    total = np.int64(0)
    k = 0
    for i in range(len(weights)):
        if clear[i]:
            sums[:] = 0
            total = np.int64(0)
        total += weights[i]
        for c in range(dim):
            sums[c] += weights[i] * values[i, c]
        if last[i]:
            if total > 0:
                for c in range(dim):
                    out[k, c] = divide_even(sums[c], total)
            cause[k] = i
            k += 1
    return out, cause


def weighted_mean_reference(weights: Sequence[int], values: Sequence[Sequence[int]]) -> list[int]:
    """One mean, by exact fractions."""
    total = sum(weights)
    if total == 0:
        return [0] * len(values[0])
    return [
        round(Fraction(sum(w * v for w, v in zip(weights, column, strict=True)), total))
        for column in zip(*values, strict=True)
    ]


def contract(design: WeightedMean) -> Contract:
    """What a unit of this size promises: a beat every cycle, but for the time that a division takes."""
    dim = design.dim

    def function(beats: Codes) -> Answer:
        weights, clear, last = (np.ascontiguousarray(beats[:, c]) for c in (0, dim + 1, dim + 2))
        means, cause = weighted_mean_stream(weights, np.ascontiguousarray(beats[:, 1 : dim + 1]), clear, last)
        return Answer(means, cause)

    def cycles(beats: Codes) -> Codes:
        spent: Codes = np.where(beats[:, dim + 2] == 1, design.divide_cycles, 1).astype(np.int64)
        return spent

    return Contract(
        name="weighted_mean",
        inputs=Stream(
            (
                Port("weight", Whole(design.weight_bits, signed=False), "weight of this vector"),
                Port("value", Whole(design.value_bits), "elements of the vector", dim),
                Port("clear", FLAG, "1: the sums start with this beat"),
                Port("last", FLAG, "1: the mean, this beat included, is sent out"),
            )
        ),
        outputs=Stream((Port("mean", Whole(design.value_bits), "nearest even", dim),)),
        latency=cycles,
        interval=cycles,
        capacity=1,
        function=function,
        legal=lambda beats: _legal(beats, design),
    )


def _legal(beats: Codes, design: WeightedMean) -> Codes:
    """No mean of more vectors than the sums have room for."""
    legal = beats.copy()
    legal[:: design.most_beats, design.dim + 1] = 1
    return legal


UNIT = Unit(
    name="weighted_mean",
    summary="a weighted mean of vectors in fixed point: softmax's division and the product with V (Sanger)",
    design_type=WeightedMean,
    contract=contract,
    sizes=(
        WeightedMean(dim=1, weight_bits=2, value_bits=2, most_beats=8, divide_cycles=1),
        WeightedMean(dim=8),
        WeightedMean(dim=4, weight_bits=16, value_bits=9, divide_cycles=9),
    ),
)
