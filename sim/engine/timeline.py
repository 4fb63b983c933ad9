"""Activity over time in a fixed number of bins whose width doubles as the run grows.

A run's length is not known beforehand; when an event falls behind the last bin, neighbouring bins
are added up and the width doubles. Sums are never lost, so a timeline's total equals its counter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from siloom.sim.jit import inline_kernel

BINS = 128
FIRST_SHIFT = 8
"""The first bins are 2**8 = 256 cycles wide."""


def new_timeline(lanes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bins [lanes, BINS] and the shift [1] whose power of two is the bins' width in cycles."""
    return np.zeros((lanes, BINS), np.int64), np.full(1, FIRST_SHIFT, np.int64)


@inline_kernel
def _widen(bins: NDArray[np.int64], shift: NDArray[np.int64]) -> None:
    """Double the bins' width: neighbours are added up, the upper half is free again."""
    half = bins.shape[1] // 2
    for row in range(bins.shape[0]):
        for i in range(half):
            bins[row, i] = bins[row, 2 * i] + bins[row, 2 * i + 1]
        for i in range(half, bins.shape[1]):
            bins[row, i] = 0
    shift[0] += 1


@inline_kernel
def record(bins: NDArray[np.int64], shift: NDArray[np.int64], lane: int, cycle: int, amount: int) -> None:
    """Add ``amount`` to ``lane`` at ``cycle``."""
    while cycle >> shift[0] >= bins.shape[1]:
        _widen(bins, shift)
    bins[lane, cycle >> shift[0]] += amount
