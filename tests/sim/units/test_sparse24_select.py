"""Does the 2:4 selector hand on the right operands, and does the encoder keep the right ones?"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.contract import BF16, FP16, FP32, FP64, Whole
from siloom.sim.errors import InputError
from siloom.sim.units.sparse24_select import (
    UNIT,
    Sparse24Select,
    contract,
    encode24,
    expand24,
    keep_two,
    sparse24_select_reference,
    sparse24_select_stream,
)


def test_every_four_2_bit_values_and_every_two_places():
    beats = np.array(list(product(range(4), repeat=6)), np.int64)
    answer = contract(Sparse24Select(bits=2, groups=1)).answer(beats)
    for beat, chosen in zip(beats.tolist(), answer.beats.tolist(), strict=True):
        assert chosen == [beat[beat[4]], beat[beat[5]]]
    assert answer.cause.tolist() == list(range(len(beats)))


@st.composite
def many_beats(draw):
    bits, groups = draw(st.integers(1, 62)), draw(st.integers(1, 9))
    beat = st.tuples(
        st.lists(st.integers(0, 2**bits - 1), min_size=4 * groups, max_size=4 * groups),
        st.lists(st.integers(0, 3), min_size=2 * groups, max_size=2 * groups),
    )
    return draw(st.lists(beat, min_size=1, max_size=8))


@settings(max_examples=100, deadline=None)
@given(many_beats())
def test_kernel_equals_the_plain_reference_at_any_width(beats):
    values, places = (np.array(part, np.int64) for part in zip(*beats, strict=True))
    expected = [sparse24_select_reference(v, p) for v, p in beats]
    assert sparse24_select_stream(values, places).tolist() == expected


def test_the_encoder_keeps_the_two_largest_of_every_four_3_bit_numbers():
    fours = np.array(list(product(range(-4, 4), repeat=4)), np.int64)
    kept, places = encode24(fours, Whole(3))
    # By another road: of all six pairs, in rising order, the first with the largest two magnitudes.
    pairs = list(combinations(range(4), 2))
    for four, values, chosen in zip(fours.tolist(), kept.tolist(), places.tolist(), strict=True):
        ranked = [sorted((abs(four[i]), abs(four[j])), reverse=True) for i, j in pairs]
        assert tuple(chosen) == pairs[ranked.index(max(ranked))]
        assert values == [four[i] for i in chosen]


def test_ties_go_to_the_lower_place():
    assert keep_two(np.array([[5, 5, 5, 5], [0, 1, 1, 1], [7, 7, 9, 7], [0, 0, 0, 0]])).tolist() == [
        [0, 1],
        [1, 2],
        [0, 2],
        [0, 1],
    ]


def test_the_ends_of_a_64_bit_range_compare_by_size():
    low, high = -(2**63), 2**63 - 1
    assert encode24(np.array([[high, 3, low, -1]]), Whole(64))[1].tolist() == [[0, 2]]
    assert encode24(np.array([[0, -1, 0, 0]]), Whole(64))[1].tolist() == [[0, 1]]
    assert encode24(np.array([[0, 0, 0, -1]]), Whole(64))[1].tolist() == [[0, 3]]


@pytest.mark.parametrize(
    ("form", "number", "word"), [(FP16, np.float16, np.uint16), (FP32, np.float32, np.uint32), (FP64, float, np.int64)]
)
def test_floating_point_patterns_are_kept_by_absolute_value(form, number, word):
    rng = np.random.default_rng(3)
    values = (rng.standard_normal((500, 4)) * 2.0 ** rng.integers(-20, 12, (500, 4))).astype(number)
    codes = values.view(word).astype(np.int64)
    places = encode24(codes, form)[1]
    size = np.abs(values.astype(float))
    expected = np.sort(np.argsort(-size, axis=1, kind="stable")[:, :2], axis=1)
    assert (places == expected).all()


def test_infinity_and_nan_are_never_pruned():
    one, infinity, nan = 0x3F80, 0xFF80, 0x7FC0
    kept, places = encode24(np.array([[one, infinity, one, nan]]), BF16)
    assert places.tolist() == [[1, 3]]
    assert kept.tolist() == [[infinity, nan]]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(-128, 127), min_size=4, max_size=4), min_size=1, max_size=20), st.randoms())
def test_half_the_products_of_the_kept_equal_the_whole_product_of_the_pruned(weights, chance):
    weights = np.array(weights, np.int64)
    operand = np.array([[chance.randint(0, 255) for _ in range(4)] for _ in weights], np.int64)
    kept, places = encode24(weights, Whole(8))
    chosen = sparse24_select_stream(operand.reshape(1, -1), places.reshape(1, -1)).reshape(-1, 2)
    pruned = expand24(kept, places)
    assert (kept * chosen).sum() == (pruned * operand).sum()
    assert ((pruned == weights) | (pruned == 0)).all()
    assert (np.count_nonzero(pruned, axis=1) <= 2).all()


def test_what_is_2_4_already_comes_back_whole():
    fours = np.array([four for four in product(range(-2, 3), repeat=4) if four.count(0) >= 2], np.int64)
    assert (expand24(*encode24(fours, Whole(8))) == fours).all()


def test_the_contract_takes_its_numbers_from_the_design():
    promise = contract(Sparse24Select(bits=8, groups=4, stages=3))
    assert (promise.inputs.bits, promise.outputs.bits) == (4 * (4 * 8 + 2 * 2), 4 * 2 * 8)
    assert (promise.latency, promise.interval, promise.capacity) == (3, 1, 3)
    assert len(promise.answer(np.zeros((0, 24), np.int64)).beats) == 0


def test_wrong_shapes_and_settings_are_named():
    with pytest.raises(ValueError, match=r"encode24: codes must be groups of 4, got an array of shape \(2, 3\)"):
        encode24(np.zeros((2, 3), np.int64), Whole(8))
    with pytest.raises(InputError, match="groups must be at least 1, got 0"):
        UNIT.design_type(groups=0)
