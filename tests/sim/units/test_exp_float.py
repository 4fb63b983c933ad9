"""Is e to a score what exact integers and the table say, and how far from e^x?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.exp_float import ExpFloat, exp_float_codes, exp_float_reference

SMALL = ExpFloat(score_bits=8, unit=0.125, scale_bits=8, table_bits=3, mantissa_bits=4)


def powers(scores, design):
    return exp_float_codes(np.array(scores, np.int64), design)


def values(codes, design):
    return (codes << (23 - design.mantissa_bits)).astype(np.uint32).view(np.float32).astype(np.float64)


def test_every_8_bit_score():
    scores = range(-128, 128)
    assert powers(scores, SMALL).tolist() == [exp_float_reference(score, SMALL) for score in scores]


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 14), st.integers(1, 23), st.floats(1e-4, 1.0), st.lists(st.integers(-(2**22), 2**22), min_size=1))
def test_any_design_and_score(table_bits, mantissa_bits, unit, scores):
    design = ExpFloat(unit=unit, table_bits=min(table_bits, 12), mantissa_bits=mantissa_bits)
    assert powers(scores, design).tolist() == [exp_float_reference(score, design) for score in scores]


def test_the_error_is_that_of_the_cut():
    design = ExpFloat()
    scores = np.arange(-20_000, 20_000, 7)
    relative = values(powers(scores, design), design) / np.exp(scores * design.unit) - 1
    assert relative.max() <= 2.0**-10  # the table's rounding; the cut only lowers
    assert relative.min() >= 2.0**-0.015625 - 1 - 2.0**-10


def test_beyond_the_exponents_range_it_is_the_largest_number_or_zero():
    design = ExpFloat()
    top, bottom = powers([2**22, -(2**22)], design)
    assert values(np.array([top]), design)[0] == (2 - 2.0**-10) * 2.0**96
    assert bottom == 0
    edge = math.floor(-126 * math.log(2) / design.unit)
    assert powers([edge + 2], design)[0] > 0


def test_it_never_falls():
    assert (np.diff(powers(range(-5000, 5000), ExpFloat())) >= 0).all()


def test_a_constant_without_bits_is_refused():
    with pytest.raises(InputError, match="exp_float"):
        ExpFloat(unit=1e-12, scale_bits=4, table_bits=1)
