"""Is a product put together from digits the product, in every mode?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.multi_precision_mul import (
    UNIT,
    MultiPrecisionMul,
    contract,
    multi_precision_reference,
    multi_precision_stream,
    rate_factor,
)


def stream(a, b, mode, wide, base):
    return multi_precision_stream(*(np.array(x, np.int64) for x in (a, b, mode)), wide, base)


@pytest.mark.parametrize("base", [2, 4, 8])
def test_every_pair_of_8_bit_operands_is_multiplied(base):
    a, b = (g.ravel() for g in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)))
    products = stream(a, b, np.zeros(len(a)), 8, base)
    assert (products[:, 0] == a * b).all()
    assert not products[:, 1:].any()


def test_every_pair_of_8_bit_words_gives_all_products_of_their_halves():
    a, b = (g.ravel() for g in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)))

    def halves(x):
        return np.stack([((x >> at & 15) + 8) % 16 - 8 for at in (0, 4)])

    expected = np.einsum("in,jn->nij", halves(a), halves(b)).reshape(len(a), 4)
    assert (stream(a, b, np.ones(len(a)), 8, 4) == expected).all()


words = st.one_of(st.sampled_from([-(2**15), 2**15 - 1, -1, 0, 0x5555, -0x5556]), st.integers(-(2**15), 2**15 - 1))


@settings(max_examples=300, deadline=None)
@given(words, words, st.sampled_from([2, 4, 8, 16]), st.integers(0, 3))
def test_16_bit_words_equal_the_reference_in_every_mode(a, b, base, mode):
    mode = min(mode, MultiPrecisionMul(base_bits=base).modes - 1)
    lanes = (16 // base) ** 2
    assert stream([a], [b], [mode], 16, base)[0].tolist() == multi_precision_reference(a, b, mode, 16, lanes)


@settings(deadline=None)
@given(words, words)
def test_weighted_products_of_digits_in_the_narrowest_mode_differ_from_the_wide_one_by_signs_alone(a, b):
    # Without the reference: the wide product is that of numbers made of signed digits, corrected by their carries.
    def signed_digits(x):
        digits = []
        for _ in range(4):
            digit = (x + 8) % 16 - 8
            digits.append(digit)
            x = (x - digit) >> 4
        return digits, x

    (da, carry_a), (db, carry_b) = signed_digits(a), signed_digits(b)

    def word(digits):
        return (sum((d % 16) << (4 * at) for at, d in enumerate(digits)) + 2**15) % 2**16 - 2**15

    lanes = stream([word(da)], [word(db)], [2], 16, 4)[0].reshape(4, 4)
    weights = np.array([16**at for at in range(4)], np.int64)
    low_a, low_b = a - (carry_a << 16), b - (carry_b << 16)
    assert weights @ lanes @ weights == low_a * low_b


def test_the_wide_product_is_that_of_its_numbers_in_the_narrow_mode_where_all_are_positive():
    a, b = 0x1234, 0x4321
    lanes = stream([a], [b], [2], 16, 4)[0].reshape(4, 4)
    weights = 16 ** np.arange(4)
    assert weights @ lanes @ weights == a * b


def test_rates_and_sizes():
    assert [rate_factor(16, bits, True) for bits in (16, 8, 4, 2)] == [1, 4, 16, 64]
    assert [rate_factor(16, bits, False) for bits in (16, 8, 4, 2)] == [1, 2, 4, 8]
    assert (MultiPrecisionMul().multipliers, MultiPrecisionMul(base_bits=8).multipliers) == (16, 4)
    promise = contract(MultiPrecisionMul(base_bits=8))
    assert promise.answer(np.array([[-(2**15), -(2**15), 0]])).beats[0, 0] == 2**30
    with pytest.raises(InputError, match="wide_bits must be base_bits, 3, times a power of 2, got 16"):
        MultiPrecisionMul(base_bits=3)


@pytest.mark.parametrize("size", UNIT.sizes, ids=lambda size: size.content_hash()[:6])
def test_every_size_keeps_its_formats_and_its_rate(size):
    promise = contract(size)
    rng = np.random.default_rng(1)
    beats = np.stack([rng.integers(form.low, form.high + 1, 300) for form in promise.inputs.formats], axis=1)
    beats = promise.legal(beats) if promise.legal else beats
    answer = promise.answer(beats)
    timed = promise.schedule(beats, np.zeros(300, np.int64), np.ones(0, bool))
    assert len(timed.left) == len(answer.beats) > 0
    assert (np.diff(timed.left) >= 1).all()
