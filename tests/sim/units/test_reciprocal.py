"""Is a reciprocal the single nearest to the exact quotient?"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.units.reciprocal import MOST_FIELD, Reciprocal, contract, reciprocal_reference, reciprocals


@settings(max_examples=200, deadline=None)
@given(st.integers(1, MOST_FIELD), st.one_of(st.sampled_from([0, 1, 2**23 - 1]), st.integers(0, 2**23 - 1)))
def test_any_normal_number(field, mantissa):
    total = np.array([field << 23 | mantissa], np.uint32).view(np.float32)
    found = reciprocals(total)
    assert Fraction(float(found[0])) == reciprocal_reference(Fraction(float(total[0])))
    assert found[0] >= np.finfo(np.float32).tiny


@pytest.mark.parametrize("size", [Reciprocal(), Reciprocal(stages=1)])
def test_of_nothing_nothing(size):
    assert contract(size).answer(np.zeros((1, 1), np.int64)).beats.tolist() == [[0]]
