"""The predicted loss of variance in a narrow accumulator, against walks that are simulated."""

from __future__ import annotations

import numpy as np
import pytest

from siloom.sim.errors import InputError
from siloom.sim.variance_retention import enough, least_bits, retention


def walked(bits: int, length: int, walks: int = 20_000) -> float:
    """Variance of walks that stop where they are beyond 2^bits, over that of free ones."""
    rng = np.random.default_rng(0)
    total, moving = np.zeros(walks), np.ones(walks, bool)
    for _ in range(length):
        total += np.where(moving, rng.standard_normal(walks), 0.0)
        moving &= np.abs(total) <= 2.0**bits
    return float(total.var() / length)


@pytest.mark.parametrize(("bits", "length"), [(3, 64), (4, 128), (4, 512), (5, 512), (6, 512)])
def test_the_ratio_is_near_that_of_simulated_walks(bits: int, length: int) -> None:
    """Near only, as the formula takes steps for independent; where less than half is left it is not even near."""
    assert retention(bits, length) == pytest.approx(walked(bits, length), abs=0.2)


def test_a_wide_accumulator_keeps_all_and_more_bits_keep_more() -> None:
    assert retention(20, 4096) == pytest.approx(1.0)
    kept = [retention(bits, 4096) for bits in range(1, 12)]
    assert kept == sorted(kept)


def test_four_times_as_long_a_sum_needs_one_bit_more() -> None:
    """Its deviation doubles."""
    bits = [least_bits(4**k * 16) for k in range(1, 7)]
    assert bits[-1] - bits[0] == pytest.approx(5, abs=1)


def test_the_least_width_is_the_border() -> None:
    bits = least_bits(2048)
    assert enough(bits, 2048)
    assert not enough(bits - 1, 2048)


def test_no_bits_are_refused() -> None:
    with pytest.raises(InputError, match="bits and length must be at least 1, got 0 and 5"):
        retention(0, 5)
    with pytest.raises(InputError, match="65536 products need more than 3 bits"):
        least_bits(65536, most=3)
