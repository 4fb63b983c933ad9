"""Weights times values, summed in single precision: the second half of attention over chosen keys (ELSA).

Each beat is a weight, a small floating-point number as ``exp_float`` gives, and a vector of whole numbers. The
products are exact: a weight has at most 24 - ``value_bits`` significant bits. They are added to ``dim`` sums, and the
weights themselves to one more, each with one rounding to nearest even. ``clear`` starts the sums with this beat,
``last`` sends them out, this beat included.

The order of the beats is the order of the additions. No maximum is taken off and nothing is divided here.

Source: ELSA (ISCA 2021) sums in a custom floating point of its own (recalled); single precision is assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import FLAG, FP32, Answer, Codes, Contract, Float, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.jit import inline_kernel, kernel

Singles = npt.NDArray[np.float32]
_CHOICE = "free choice of the design"
_HIDDEN = 24  # bits of a single's significand


@dataclass(frozen=True, kw_only=True)
class WeightedSum(Design):
    """The size of one accumulator.

    Raises (when made):
        InputError: products that single precision cannot hold.
    """

    dim: int = parameter(64, unit="", source=_CHOICE, status="assumed", low=1, high=4096)
    value_bits: int = parameter(9, unit="bit", source=_CHOICE, status="assumed", low=2, high=20)
    mantissa_bits: int = parameter(10, unit="bit", source=_CHOICE, status="assumed", low=1, high=20)
    stages: int = parameter(4, unit="cycle", source=_CHOICE, status="assumed", low=1, high=16)

    def __post_init__(self) -> None:
        """Refuse factors whose product would be rounded."""
        super().__post_init__()
        if self.value_bits + self.mantissa_bits > _HIDDEN:
            raise InputError(
                f"weighted_sum: value_bits and mantissa_bits must be at most {_HIDDEN} together, "
                f"got {self.value_bits} and {self.mantissa_bits}"
            )

    @property
    def weight(self) -> Float:
        """Format of a weight."""
        return Float(8, self.mantissa_bits)


@inline_kernel
def add_weighted(weight: np.float32, values: npt.NDArray[np.float32], sums: Singles) -> None:
    """Add ``weight`` times each value to its sum; ``sums`` has ``dim`` entries, ``values`` too."""
    for j in range(len(values)):
        sums[j] += weight * values[j]


@kernel
def weighted_sum_stream(
    weights: Singles, values: Singles, clear: Codes, last: Codes
) -> tuple[Singles, npt.NDArray[np.int64]]:
    """All beats from reset -> sums sent out, [results, dim + 1] with the weights' sum at the end, and their beats."""
    count = 0
    for i in range(len(last)):
        count += last[i]
    dim = values.shape[1]
    out = np.empty((count, dim + 1), np.float32)
    cause = np.empty(count, np.int64)
    sums = np.zeros(dim, np.float32)
    total = np.float32(0.0)
    k = 0
    for i in range(len(weights)):
        if clear[i]:
            sums[:] = 0.0
            total = np.float32(0.0)
        add_weighted(weights[i], values[i], sums)
        total += weights[i]
        if last[i]:
            out[k, :dim] = sums
            out[k, dim] = total
            cause[k] = i
            k += 1
    return out, cause


@kernel
def weighted_sums(weights: Singles, values: Singles, kept: npt.NDArray[np.bool_], banks: int) -> Singles:
    """Sums [queries, dim + 1] over the keys kept of each query, with the weights' sum at the end.

    Key j is added in bank j % banks, in rising order; then the banks are added, the lowest first. ``weights`` and
    ``kept`` are [queries, keys], ``values`` [keys, dim].
    """
    queries, keys = kept.shape
    dim = values.shape[1]
    out = np.zeros((queries, dim + 1), np.float32)
    sums = np.empty(dim, np.float32)
    for i in range(queries):
        for bank in range(banks):
            sums[:] = 0.0
            total = np.float32(0.0)
            for j in range(bank, keys, banks):
                if kept[i, j]:
                    add_weighted(weights[i, j], values[j], sums)
                    total += weights[i, j]
            for c in range(dim):
                out[i, c] += sums[c]
            out[i, dim] += total
    return out


def weighted_sum_reference(weights: Sequence[float], values: Sequence[Sequence[int]]) -> list[float]:
    """One sum: products in double precision, where they are exact, and a rounding to single after each addition."""
    sums = [0.0] * (len(values[0]) + 1)
    for weight, row in zip(weights, values, strict=True):
        for j, value in enumerate([*row, 1]):
            sums[j] = float(np.float32(sums[j] + weight * value))
    return sums


def contract(design: WeightedSum) -> Contract:
    """What a unit of this size promises: a beat every cycle, sums ``stages`` cycles after their last."""
    dim = design.dim
    shift = FP32.mantissa_bits - design.mantissa_bits

    def function(beats: Codes) -> Answer:
        weights = (beats[:, 0] << shift).astype(np.uint32).view(np.float32)
        clear, last = (np.ascontiguousarray(column) for column in beats[:, dim + 1 :].T)
        sums, cause = weighted_sum_stream(weights, beats[:, 1 : dim + 1].astype(np.float32), clear, last)
        return Answer(sums.view(np.uint32).astype(np.int64), cause)

    return Contract(
        name="weighted_sum",
        inputs=Stream(
            (
                Port("weight", design.weight, "weight of this vector: finite and at least 0"),
                Port("value", Whole(design.value_bits), "elements of the vector", dim),
                Port("clear", FLAG, "1: the sums start with this beat"),
                Port("last", FLAG, "1: the sums, this beat included, are sent out"),
            )
        ),
        outputs=Stream(
            (
                Port("sum", FP32, "weighted elements, nearest even at every step", dim),
                Port("total", FP32, "sum of the weights"),
            )
        ),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
        legal=lambda beats: _legal(beats, design),
    )


def _legal(beats: Codes, design: WeightedSum) -> Codes:
    """Weights without sign, far enough below the largest number that no sum of a run overflows."""
    most = 191 << design.mantissa_bits
    legal = beats.copy()
    legal[:, 0] = (beats[:, 0] & ((1 << (8 + design.mantissa_bits)) - 1)) % most
    return legal


UNIT = Unit(
    name="weighted_sum",
    summary="weights times vectors of whole numbers, summed in single precision (ELSA)",
    design_type=WeightedSum,
    contract=contract,
    sizes=(WeightedSum(dim=1, value_bits=3, mantissa_bits=3, stages=1), WeightedSum(dim=4), WeightedSum(dim=64)),
)
