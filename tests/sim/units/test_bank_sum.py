"""Are sums of banks added in their order, with a rounding to single each?"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.units.bank_sum import BankSum, add_banks, bank_sum_reference, contract
from siloom.sim.units.weighted_sum import weighted_sums

single = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**100), max_value=2.0**100)


@settings(max_examples=100, deadline=None)
@given(st.lists(single, min_size=1, max_size=9))
def test_one_lane_equals_the_plain_reference(parts):
    found = add_banks(np.array(parts, np.float32).reshape(-1, 1))
    assert found.tolist() == [bank_sum_reference(parts)]


def test_lanes_of_a_bank_lie_side_by_side():
    design = BankSum(banks=3, lanes=2)
    beat = np.array([[1, 2, 10, 20, 100, 200]], np.float32)
    found = contract(design).answer(beat.view(np.uint32).astype(np.int64)).beats
    assert found.astype(np.uint32).view(np.float32).tolist() == [[111.0, 222.0]]


def test_it_is_the_sum_that_attention_over_banks_makes():
    rng = np.random.default_rng(3)
    weights = (rng.integers(0, 2048, (6, 40)) / 64).astype(np.float32)
    values = rng.integers(-255, 256, (40, 3)).astype(np.float32)
    kept = rng.random((6, 40)) < 0.4
    banks = np.arange(40) % 4
    parts = np.stack([weighted_sums(weights, values, kept & (banks == bank), 4) for bank in range(4)])
    assert np.array_equal(add_banks(parts), weighted_sums(weights, values, kept, 4))
