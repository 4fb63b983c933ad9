"""Are int8's products what its rules say, by exact integers and plain float32 steps?"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from siloom.sim.arithmetic import arithmetic
from siloom.sim.errors import InputError
from siloom.sim.units.chance import CHANCE_BITS, STEP, mixed, seed

F = np.float32


def plain_scale(numbers):
    return max(F(np.abs(numbers).max(initial=0)) / F(127), F(2.0**-126))


def plain_product(a, b, acc, overflow="saturate"):
    """One product (m, k) by (k, n) under a scale factor a tensor: nothing but int64 steps."""
    scales = plain_scale(a), plain_scale(b)
    x, y = (np.rint(v / s).astype(np.int64) for v, s in zip((a, b), scales, strict=True))
    half = 1 << (acc - 1)
    total, beyond = np.zeros((len(x), y.shape[1]), np.int64), np.zeros((len(x), y.shape[1]), bool)
    for k in range(x.shape[1]):
        free = total + np.outer(x[:, k], y[k])
        total = np.clip(free, -half, half - 1) if overflow == "saturate" else (free + half) % (2 * half) - half
        beyond |= total != free
    return (total * (float(scales[0]) * float(scales[1]))).astype(F), int(beyond.sum())


@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
@pytest.mark.parametrize("acc", [15, 16, 18, 24, 32])
def test_under_one_scale_factor_a_tensor(acc, overflow):
    rng = np.random.default_rng(acc)
    way = arithmetic(f"int8:acc={acc},overflow={overflow}")
    for m, k, n in ((1, 1, 1), (17, 513, 3), (8, 130, 16), (5, 2048, 7)):
        a, b = (rng.standard_normal(shape).astype(F) for shape in ((m, k), (k, n)))
        values, beyond = plain_product(a, b, acc, overflow)
        got = way.product(a[None], b[None], "forward")
        assert np.array_equal(got.values[0], values)
        assert got.values.dtype == F
        assert got.counts == (m * n, beyond, m * k + k * n, 0)
        turned = way.product(a.T.copy().T[None], b.T.copy().T[None], "forward")
        assert np.array_equal(turned.values[0], values)


def test_a_stack_has_one_scale_factor_and_may_share_b():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((3, 9, 40)).astype(F), rng.standard_normal((1, 40, 5)).astype(F)
    got = arithmetic("int8:acc=20").product(a, b, "forward").values
    expected, _ = plain_product(a.reshape(27, 40), b[0], 20)
    assert np.array_equal(got, expected.reshape(3, 9, 5))


def test_a_factor_a_row_of_a_and_a_column_of_b():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 6, 50)).astype(F) * 10, rng.standard_normal((2, 50, 4)).astype(F)
    a[0, 2] *= 1000
    got = arithmetic("int8:acc=19,scaling=channel").product(a, b, "grad_input").values
    for s in range(2):
        for i in range(6):
            for j in range(4):
                expected, _ = plain_product(a[s, i : i + 1], b[s, :, j : j + 1], 19)
                assert got[s, i, j] == expected[0, 0]


@pytest.mark.parametrize("block", [2, 32, 50, 1000])
def test_a_power_of_two_a_block_of_k(block):
    rng = np.random.default_rng(block)
    a, b = rng.standard_normal((1, 5, 99)).astype(F), rng.standard_normal((1, 99, 4)).astype(F)
    a[0, 0, :40] = 0
    got = arithmetic(f"int8:acc=20,scaling=block,block={block}").product(a, b, "forward")
    expected = np.zeros((5, 4), F)
    for left in range(0, 99, block):
        x, y = a[0, :, left : left + block], b[0, left : left + block]
        for i in range(5):
            for j in range(4):
                powers = []
                for line in (x[i], y[:, j]):
                    power = F(2.0**-126)
                    while np.abs(line).max() > 127 * power:
                        power *= 2
                    powers.append(power)
                codes = [np.rint(v / p).astype(np.int64) for v, p in zip((x[i], y[:, j]), powers, strict=True)]
                total = 0
                for p, q in zip(*codes, strict=True):
                    total = min(max(total + p * q, -(2**19)), 2**19 - 1)
                expected[i, j] += F(total * float(powers[0]) * float(powers[1]))
    assert np.array_equal(got.values[0], expected)
    assert got.counts.sums == 20 * -(-99 // block)
    assert got.counts.clipped == 0


@pytest.mark.parametrize("scaling", ["tensor", "channel", "block"])
def test_zeros_subnormals_and_huge_numbers(scaling):
    way = arithmetic(f"int8:scaling={scaling}")
    one = np.eye(3, dtype=F)[None]
    for size in (0.0, 1e-45, 1e-40, 2.0**-126, 1e-37, 1e30, 3e38):
        got = way.product(one * F(size), one, "forward").values
        # Below 127 times the smallest normal number a code's worth is that number.
        expected = F(np.rint(size / max(size / 127, 2.0**-126)) * max(size / 127, 2.0**-126))
        assert got == pytest.approx(np.eye(3)[None] * expected, rel=0.02)
        assert np.isfinite(got).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("scaling", ["tensor", "channel", "block"])
def test_numbers_that_are_none_are_refused(bad, scaling):
    a, b = np.ones((2, 3, 4), F), np.ones((2, 4, 5), F)
    b[1, 2, 3] = bad
    way = arithmetic(f"int8:scaling={scaling}")
    with pytest.raises(InputError, match=r"int8, grad_weight: b must hold finite numbers only, got (nan|-?inf) at"):
        way.product(a, b, "grad_weight")


def test_an_accumulator_too_narrow_for_one_product_is_refused():
    with pytest.raises(InputError, match="acc must be at least 15 bits, which one product of two codes takes, got 14"):
        arithmetic("int8:acc=14")


def test_operands_by_chance_are_one_of_both_neighbours_by_exact_fractions():
    rng = np.random.default_rng(4)
    x = rng.standard_normal(500).astype(F)
    x[:3] = 127, -127, 0.5  # the scale factor is 1
    got = arithmetic("int8:rounding=stochastic").product(x[None, :, None], np.full((1, 1, 1), 127, F), "forward", 11)
    for n, (number, taken) in enumerate(zip(x.tolist(), got.values.ravel().tolist(), strict=True)):
        chance = mixed((seed(11, 0) + n * STEP) % 2**64) >> (64 - CHANCE_BITS)
        place = Fraction(number) - math.floor(number)
        assert taken == 127 * (math.floor(number) + (place + Fraction(chance, 2**CHANCE_BITS) >= 1))


def test_chance_depends_on_key_and_index_alone_and_rounds_right_on_average():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 7, 33)).astype(F), rng.standard_normal((2, 33, 5)).astype(F)
    way = arithmetic("int8:rounding=stochastic")
    first = way.product(a, b, "forward", 1).values
    assert np.array_equal(first, way.product(a, b, "forward", 1).values)
    assert np.array_equal(first, way.product(a.transpose(0, 2, 1).copy().transpose(0, 2, 1), b, "forward", 1).values)
    runs = np.stack([way.product(a, b, "forward", key).values for key in range(400)])
    exact = np.matmul(a.astype(float), b.astype(float))
    deviation = runs.std(0) / np.sqrt(len(runs))
    assert (np.abs(runs.mean(0) - exact) < 5 * deviation).all()
    assert (runs.std(0) > 0).all()
