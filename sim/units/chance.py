"""Chance for stochastic rounding: bits that depend on a key and a counter alone, on no order and no threads.

The bits of counter n under a key are a mixture of ``key + n * STEP`` in 64-bit words; STEP is odd, so that no two
counters of a key share a word. The mixture is two rounds of multiplying and folding, as in SplitMix64 (Steele, Lea and
Flood, OOPSLA 2014; recalled), with its constants.
"""

from __future__ import annotations

import numpy as np

from siloom.sim.jit import inline_kernel

STEP = 0x9E3779B97F4A7C15
MIXERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
FOLDS = (30, 27, 31)

CHANCE_BITS = 24
"""Random bits of every rounding: the unit ``stochastic_rounding`` of this size, its ``rest`` cut."""

_MASK = (1 << 64) - 1


def mixed(word: int) -> int:
    """A word of 64 bits, mixed; in Python's own integers."""
    for fold, mixer in zip(FOLDS, (*MIXERS, 1), strict=True):
        word = ((word ^ word >> fold) * mixer) & _MASK
    return word


def seed(key: int, stream: int) -> int:
    """The key of one of a product's streams of chance: 0 and 1 are the operands', 2 is that of the sums."""
    return mixed((mixed(key & _MASK) + stream * STEP) & _MASK)


@inline_kernel
def word(key: np.uint64, counter: np.uint64) -> np.uint64:
    """The 64 bits of a counter."""
    bits = key + counter * np.uint64(STEP)
    bits = (bits ^ (bits >> np.uint64(FOLDS[0]))) * np.uint64(MIXERS[0])
    bits = (bits ^ (bits >> np.uint64(FOLDS[1]))) * np.uint64(MIXERS[1])
    return bits ^ (bits >> np.uint64(FOLDS[2]))


@inline_kernel
def chance(key: np.uint64, counter: np.uint64) -> np.uint64:
    """The CHANCE_BITS random bits of a counter, the highest of its 64."""
    return word(key, counter) >> np.uint64(64 - CHANCE_BITS)
