"""Does the multiply-accumulate kernel compute what exact integers say?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError, UsageError
from siloom.sim.units.mac import UNIT, Mac, contract, mac_reference, mac_stream


def stream(a, b, clear, last, acc_bits, saturate):
    return mac_stream(*(np.array(x, np.int64) for x in (a, b, clear, last)), acc_bits, saturate)


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
def test_every_pair_of_4_bit_operands_onto_every_6_bit_sum(overflow):
    total, a, b = (g.ravel() for g in np.meshgrid(np.arange(-32, 32), np.arange(-8, 8), np.arange(-8, 8)))
    n = len(total)
    # Two beats each: total*1 starts the sum, a*b is added to it and sends it out.
    pairs = [np.stack(x, axis=1).ravel() for x in ((total, a), (np.ones(n, int), b))]
    flags = np.tile([1, 0], n), np.tile([0, 1], n)
    sums, cause = stream(*pairs, *flags, 6, overflow == "saturate")
    exact = total + a * b
    expected = np.clip(exact, -32, 31) if overflow == "saturate" else (exact + 32) % 64 - 32
    assert (sums == expected).all()
    assert (cause == np.arange(1, 2 * n, 2)).all()


def test_every_pair_of_8_bit_operands():
    a, b = (g.ravel() for g in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)))
    ones = np.ones(len(a), np.int64)
    for acc_bits in (16, 20):
        assert (stream(a, b, ones, ones, acc_bits, True)[0] == a * b).all()
    assert (stream(a, b, ones, ones, 12, False)[0] == (a * b + 2048) % 4096 - 2048).all()


@st.composite
def streams(draw):
    a_bits, b_bits, acc_bits = draw(st.integers(2, 32)), draw(st.integers(2, 32)), draw(st.integers(2, 64))

    def operand(bits):
        ends = st.sampled_from([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, -1, 0, 1])
        return st.one_of(ends, st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))

    beat = st.tuples(operand(a_bits), operand(b_bits), st.integers(0, 9).map(lambda x: int(x == 0)), st.integers(0, 1))
    beats = draw(st.lists(beat, min_size=1, max_size=60))
    return [list(x) for x in zip(*beats, strict=True)], acc_bits


@settings(max_examples=300, deadline=None)
@given(streams(), st.booleans())
def test_kernel_equals_the_plain_reference_at_any_width(case, saturate):
    columns, acc_bits = case
    sums, cause = stream(*columns, acc_bits, saturate)
    assert sums.tolist() == mac_reference(*columns, acc_bits, saturate)
    assert cause.tolist() == [i for i, ends in enumerate(columns[3]) if ends]


@settings(deadline=None)
@given(streams(), st.randoms())
def test_a_wrapped_sum_does_not_depend_on_the_order(case, shuffler):
    (a, b, _, _), acc_bits = case
    ends = [0] * (len(a) - 1) + [1]
    never = [0] * len(a)
    pairs = list(zip(a, b, strict=True))
    shuffler.shuffle(pairs)
    shuffled_a, shuffled_b = zip(*pairs, strict=True)
    in_order = stream(a, b, never, ends, acc_bits, False)[0]
    assert in_order == stream(shuffled_a, shuffled_b, never, ends, acc_bits, False)[0]


@settings(deadline=None)
@given(streams())
def test_both_rules_agree_with_a_dot_product_while_nothing_overflows(case):
    (a, b, _, _), _ = case
    a, b = [x % 2**15 for x in a], [x % 2**15 for x in b]
    ends = [0] * (len(a) - 1) + [1]
    for saturate in (False, True):
        assert stream(a, b, [0] * len(a), ends, 48, saturate)[0] == np.dot(a, b)


def test_a_saturated_sum_comes_back_from_the_limit_not_from_the_true_sum():
    a, b = [7, 7, -1], [7, 7, 1]
    assert stream(a, b, [1, 0, 0], [1, 1, 1], 7, True)[0].tolist() == [49, 63, 62]
    assert stream(a, b, [1, 0, 0], [1, 1, 1], 7, False)[0].tolist() == [49, 98 - 128, 97 - 128]


def test_sums_start_at_zero_and_go_on_after_being_sent():
    answer = contract(Mac()).answer(np.array([[2, 3, 0, 1], [4, 5, 0, 1], [1, 1, 1, 1], [9, 9, 0, 0]]))
    assert answer.beats[:, 0].tolist() == [6, 26, 1]
    assert answer.cause.tolist() == [0, 1, 2]
    assert len(contract(Mac()).answer(np.zeros((0, 4), np.int64)).beats) == 0


def test_the_contract_takes_its_numbers_from_the_design():
    promise = contract(Mac(a_bits=5, b_bits=7, acc_bits=13, stages=3))
    assert [p.format.bits for p in promise.inputs.ports] == [5, 7, 1, 1]
    assert promise.outputs.bits == 13
    assert (promise.latency, promise.interval, promise.capacity) == (3, 1, 3)


def test_settings_out_of_range_and_unknown_ones_are_named():
    with pytest.raises(InputError, match="a_bits must be at most 32 bit, got 33"):
        UNIT.design_type(a_bits=33)
    with pytest.raises(InputError, match="acc_bits must be at least 2 bit, got 1"):
        UNIT.design_type().with_settings("mac", {"acc_bits": "1"})
    with pytest.raises(UsageError, match="mac: no field 'accbits' - did you mean 'acc_bits'"):
        UNIT.design_type().with_settings("mac", {"accbits": "8"})
