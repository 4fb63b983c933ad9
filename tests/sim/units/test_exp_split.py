"""How far is a product of two table entries from e^-x?"""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.exp_split import UNIT, ExpSplit, contract, exp_split_reference, exp_split_stream, split_tables


def powers(design, x):
    return exp_split_stream(np.array(x, np.int64), *split_tables(design), design.low_bits, design.power_fraction)


def errors(design, x):
    """Error in units of the last place of every power, against Decimal's exponential."""
    with localcontext() as context:
        context.prec = 40
        exact = [(-Decimal(v) / 2**design.x_fraction).exp() * 2**design.power_fraction for v in x]
        return [float(abs(Decimal(p) - e)) for p, e in zip(powers(design, x).tolist(), exact, strict=True)]


@pytest.mark.parametrize(("fraction", "most"), [(8, 1.55), (10, 1.68), (12, 1.58), (16, 1.56)])
def test_every_12_bit_exponent_is_within_the_stated_error(fraction, most):
    design = ExpSplit(power_fraction=fraction)
    assert round(max(errors(design, range(4096))), 2) == most


@pytest.mark.parametrize("design", [ExpSplit(power_fraction=f) for f in (8, 10, 12, 16)] + list(UNIT.sizes))
def test_kernel_equals_the_plain_reference_for_every_exponent(design):
    step = max(1, design.largest // 4096)
    x = list(range(0, design.largest + 1, step))
    assert powers(design, x).tolist() == [exp_split_reference(v, design) for v in x]


@st.composite
def sizes(draw):
    integer, fraction = draw(st.integers(0, 5)), draw(st.integers(2, 20))
    total = integer + fraction
    low = draw(st.integers(max(1, total - 16), min(16, total - 1)))
    return ExpSplit(integer_bits=integer, x_fraction=fraction, low_bits=low, power_fraction=draw(st.integers(1, 30)))


@settings(max_examples=100, deadline=None)
@given(sizes(), st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_no_size_is_off_by_more_than_two_units_and_none_is_above_one(design, shares):
    x = [0, *(round(share * design.largest) for share in shares)]
    found = powers(design, x)
    assert found[0] == 1 << design.power_fraction
    assert found.max() == found[0] and found.min() >= 0
    assert max(errors(design, x)) <= 2 + 2.0**-design.power_fraction
    assert found.tolist() == [exp_split_reference(v, design) for v in x]


def test_the_largest_exponent_has_no_power_left():
    for fraction in range(1, 23):
        assert powers(ExpSplit(power_fraction=fraction), [4095])[0] == 0


def test_a_cut_in_the_middle_takes_the_fewest_entries():
    def entries(low):
        return sum(len(t) for t in split_tables(ExpSplit(low_bits=low)))

    assert min(range(1, 12), key=entries) == 6
    assert entries(6) == 128


def test_the_contract_takes_its_numbers_from_the_design():
    promise = contract(ExpSplit(power_fraction=12, stages=3))
    assert (promise.inputs.bits, promise.outputs.bits) == (12, 13)
    assert (promise.latency, promise.interval, promise.capacity) == (3, 1, 3)
    assert promise.answer(np.array([[0], [256], [4095]])).beats[:, 0].tolist() == [4096, 1507, 0]


def test_cuts_that_leave_nothing_are_refused():
    with pytest.raises(InputError, match="exp_split: low_bits must leave 1 to 16 of 12 bits above it, got 12"):
        ExpSplit(low_bits=12)
