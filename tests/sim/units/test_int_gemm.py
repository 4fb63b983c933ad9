"""Are products proved, chunked or stepped always what a row of integer units gives, bit by bit?"""

from __future__ import annotations

import numpy as np
import pytest

from siloom.sim.units.int_gemm import int_gemm
from siloom.sim.units.mac import Mac, mac_reference

OVERFLOWS = ("saturate", "wrap")
SHAPES = [(1, 1, 1, 1), (2, 3, 17, 513), (1, 17, 513, 33), (1, 8, 2048, 16), (3, 9, 64, 15), (1, 1, 3, 17)]


def plain(a, b, acc_bits, overflow):
    """The sums by whole numbers of 64 bits, all at once a step, and how many were ever beyond."""
    half = 1 << (acc_bits - 1)
    a, b = a.astype(np.int64), b.astype(np.int64)
    total = np.zeros((a.shape[0], a.shape[1], b.shape[2]), np.int64)
    beyond = np.zeros(total.shape, bool)
    for k in range(a.shape[2]):
        free = total + a[:, :, k, None] * b[:, None, k, :]
        total = np.clip(free, -half, half - 1) if overflow == "saturate" else (free + half) % (2 * half) - half
        beyond |= total != free
    return total, int(beyond.sum())


def check(a, b, acc_bits, overflow):
    sums, beyond = int_gemm(a, b, Mac(acc_bits=acc_bits, overflow=overflow))
    expected, expected_beyond = plain(a, b, acc_bits, overflow)
    assert np.array_equal(sums, expected)
    assert beyond == expected_beyond
    return beyond


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("acc_bits", [15, 16, 17, 18, 20, 22, 23, 24, 25, 28, 32])
def test_random_codes_of_every_size_and_shape(acc_bits, overflow):
    rng = np.random.default_rng(acc_bits)
    for s, m, k, n in SHAPES:
        for spread in (127, 30, 2):
            a, b = (rng.integers(-spread, spread + 1, shape).astype(np.float32) for shape in ((s, m, k), (s, k, n)))
            check(a, b, acc_bits, overflow)
            # A few lines far larger than the others: some tiles are proved, some are not.
            a[:, 0], b[:, :, -1] = 127, -127
            check(a, b, acc_bits, overflow)


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("acc_bits", [15, 18, 24, 26])
def test_sums_that_leave_the_range_and_come_back(acc_bits, overflow):
    inner = 3 * ((1 << (acc_bits - 1)) // 127**2 + 70)
    signs = np.where(np.arange(inner) < inner // 2, 1, -1)
    a = np.full((1, 9, inner), 127, np.float32)
    b = np.repeat((127 * signs).astype(np.float32)[None, :, None], 17, axis=2)
    assert check(a, b, acc_bits, overflow) == 9 * 17
    alternating = np.where(np.arange(inner) % 2 == 0, 127, -127).astype(np.float32)
    assert check(a, np.repeat(alternating[None, :, None], 17, axis=2), acc_bits, overflow) == 0


@pytest.mark.parametrize("overflow", OVERFLOWS)
def test_the_sum_just_within_the_range_and_the_one_just_beyond(overflow):
    # 8 * 127 * 127 + 2039 = 131071, the end of 18 bits.
    for last, beyond in ((2039 // 127, 0), (127, 1)):
        a = np.array([[[127] * 8 + [127, 1, 1]]], np.float32)
        b = np.array([[[127]] * 8 + [[last], [2039 - 127 * (2039 // 127)], [0]]], np.float32).reshape(1, -1, 1)
        assert check(a, b, 18, overflow) == beyond


def test_the_unit_itself_agrees():
    rng = np.random.default_rng(5)
    a, b = (rng.integers(-127, 128, 300) for _ in range(2))
    for overflow in OVERFLOWS:
        flags = [1] + [0] * 299, [0] * 299 + [1]
        expected = mac_reference(a.tolist(), b.tolist(), *flags, 17, overflow == "saturate")
        got = int_gemm(
            a.astype(np.float32)[None, None], b.astype(np.float32)[None, :, None], Mac(acc_bits=17, overflow=overflow)
        )
        assert got.values.ravel().tolist() == expected


def test_operands_that_lie_otherwise_in_memory_or_are_shared():
    rng = np.random.default_rng(6)
    a, b = (rng.integers(-127, 128, shape).astype(np.float32) for shape in ((4, 19, 70), (4, 70, 35)))
    turned = [np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order)) for x in (a, b)
              for order in ((0, 2, 1), (1, 0, 2), (2, 1, 0))]  # fmt: skip
    for x in (a, *turned[:3], np.repeat(a, 2, axis=2)[:, :, ::2]):
        for y in (b, *turned[3:], b[:1], turned[3][1:2]):
            check(x, y, 18, "saturate")


def test_empty_products_and_zeros():
    assert int_gemm(np.zeros((1, 2, 0), np.float32), np.zeros((1, 0, 3), np.float32), Mac(acc_bits=16)).beyond == 0
    assert int_gemm(np.zeros((0, 2, 9), np.float32), np.zeros((1, 9, 3), np.float32), Mac(acc_bits=16)).beyond == 0
    sums = int_gemm(np.zeros((1, 2, 900), np.float32), np.zeros((1, 900, 3), np.float32), Mac(acc_bits=15))
    assert not sums.values.any()
    assert sums.beyond == 0


def test_what_does_not_fit_is_named():
    one = np.ones((1, 2, 2), np.float32)
    with pytest.raises(ValueError, match=r"got \(1, 2, 2\) and \(2, 2, 2\)"):
        int_gemm(one, np.ones((2, 2, 2), np.float32), Mac())
    with pytest.raises(ValueError, match="within 53 bits, got acc_bits 54"):
        int_gemm(one, one, Mac(acc_bits=54))


@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
@pytest.mark.parametrize("bits", [2, 9, 12, 14])
def test_a_single_product_may_leave_the_range(bits, overflow):
    draw = np.random.default_rng(bits)
    a, b = (draw.integers(-127, 128, shape).astype(np.float32) for shape in ((2, 17, 131), (2, 131, 33)))
    check(a, b, bits, overflow)
    check(np.full_like(a, 127), np.full_like(b, -127), bits, overflow)
