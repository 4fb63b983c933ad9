"""Are weighted sums those of single precision, rounded at every step in the stated order?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.weighted_sum import WeightedSum, contract, weighted_sum_reference, weighted_sums

weight = st.integers(0, 2047).map(lambda m: m * 2.0**-6)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5).flatmap(
        lambda d: st.lists(st.tuples(weight, *[st.integers(-256, 255)] * d), min_size=1, max_size=30)
    )
)
def test_one_sum_equals_the_plain_reference(beats):
    weights = np.array([[beat[0] for beat in beats]], np.float32)
    values = np.array([beat[1:] for beat in beats], np.float32)
    found = weighted_sums(weights, values, np.ones(weights.shape, np.bool_), 1)[0]
    assert found.tolist() == weighted_sum_reference([beat[0] for beat in beats], [beat[1:] for beat in beats])


def test_banks_are_summed_apart_and_then_in_order():
    rng = np.random.default_rng(0)
    weights = (rng.integers(0, 2048, (4, 37)) / 64).astype(np.float32)
    values = rng.integers(-255, 256, (37, 3)).astype(np.float32)
    kept = rng.random((4, 37)) < 0.5
    found = weighted_sums(weights, values, kept, 5)
    for i in range(4):
        total = np.zeros(4, np.float32)
        for bank in range(5):
            mine = [j for j in range(bank, 37, 5) if kept[i, j]]
            part = (
                weighted_sum_reference([float(weights[i, j]) for j in mine], values[mine].astype(int).tolist())
                if mine
                else [0.0] * 4
            )
            total += np.array(part, np.float32)
        assert found[i].tolist() == total.tolist()


def test_the_stream_starts_anew_where_it_is_told():
    design = WeightedSum(dim=2)
    one = 127 << design.mantissa_bits  # 1.0
    beats = np.array([[one, 3, -4, 1, 0], [one, 5, 6, 0, 1], [one, 7, 8, 1, 1]], np.int64)
    answer = contract(design).answer(beats)
    sums = answer.beats.astype(np.uint32).view(np.float32).reshape(-1, 3)
    assert sums.tolist() == [[8.0, 2.0, 2.0], [7.0, 8.0, 1.0]]
    assert answer.cause.tolist() == [1, 2]


def test_products_that_would_be_rounded_are_refused():
    with pytest.raises(InputError, match="at most 24 together, got 20 and 10"):
        WeightedSum(value_bits=20, mantissa_bits=10)
