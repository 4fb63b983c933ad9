"""Does the comparison without a division agree with exact fractions?"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.units.mask_threshold import MaskThreshold, above_threshold, above_threshold_reference


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20), st.floats(0, 1))
def test_the_threshold_is_held_without_a_division(powers, threshold):
    design = MaskThreshold(threshold=threshold)
    total = sum(powers)
    found = above_threshold(np.array([powers]), np.array([total]), design.constant, design.threshold_bits)[0]
    assert found.tolist() == [
        above_threshold_reference(p, total, design.constant, design.threshold_bits) for p in powers
    ]
    if total and abs(design.constant / 2**design.threshold_bits - threshold) < 1e-12:
        assert found.tolist() == [Fraction(p, total) > Fraction(threshold) for p in powers]
