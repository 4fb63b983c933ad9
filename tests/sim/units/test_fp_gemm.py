"""Does the fast matrix product give the bits of the integer kernel, and those of libraries where they apply?"""

from __future__ import annotations

import ctypes
import math
import platform

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.contract import BF16, FP8_E4M3FN, FP8_E5M2, FP16, FP32, Float
from siloom.sim.units import float_gemm
from siloom.sim.units.float_gemm import Step, step_of
from siloom.sim.units.float_tile import DEEP, DEEP_ODD, ODD, SATURATE, SHALLOW
from siloom.sim.units.floats import convert, layout
from siloom.sim.units.fp_gemm import decoded, encoded, fp_dot, fp_gemm, fp_gemm_values, gemm_codes
from siloom.sim.units.fp_mac import OPERANDS, FpMac, fp_mac_steps
from siloom.sim.units.fp_mac_reference import code_of, dot_reference, is_negative, value_of
from siloom.sim.units.host_floats import all_in_format, odd_sum, plain_sum_is_safe, rounded, rounding

FORMATS = tuple(OPERANDS)
ACCUMULATORS = ((8, 23), (8, 7), (5, 10), (5, 2), (4, 3), (8, 13), (6, 9), (2, 1), (8, 1), (5, 23), (3, 20))


def unit(a, b, accumulator, overflow="infinity"):
    exponent_bits, mantissa_bits = accumulator
    return FpMac(a_format=a, b_format=b, acc_exponent_bits=exponent_bits, acc_mantissa_bits=mantissa_bits,
                 overflow=overflow)  # fmt: skip


def exact(a, b, design, chunk=0, outer=FP32):
    """The integer kernel's answer."""
    forms = (layout(form) for form in (design.a, design.b, design.accumulator, outer))
    return gemm_codes(a[None], b[None], *forms, chunk, design.saturate)[0]


def operands(rng, form, shape, kind):
    """Codes: any, corners among them, or finite ones only."""
    any_code = rng.integers(0, 1 << form.bits, shape)
    if kind == "corners":
        return np.where(rng.random(shape) < 0.3, rng.choice(np.array(form.corners()), shape), any_code)
    finite = any_code & ((1 << (form.bits - 1)) - 1) <= form.largest
    return np.where(finite, any_code, 0) if kind == "finite" else any_code


@pytest.mark.parametrize("kind", ["any", "corners", "finite"])
@pytest.mark.parametrize("b_format", FORMATS)
@pytest.mark.parametrize("a_format", FORMATS)
def test_fast_product_equals_the_integers_whatever_the_formats(a_format, b_format, kind):
    rng = np.random.default_rng(5)
    for accumulator in ACCUMULATORS:
        for overflow in ("infinity", "saturate"):
            design = unit(a_format, b_format, accumulator, overflow)
            a, b = operands(rng, design.a, (4, 9), kind), operands(rng, design.b, (9, 33), kind)
            for chunk, outer in ((0, FP32), (4, FP32), (3, BF16)):
                got = fp_gemm(a, b, design, chunk=chunk, outer=outer)
                assert (got == exact(a, b, design, chunk, outer)).all(), (design, chunk)


@pytest.mark.parametrize("accumulator", [(8, 23), (5, 10), (8, 13), (4, 3)], ids=str)
def test_long_sums_of_ordinary_numbers_equal_the_integers(accumulator):
    rng = np.random.default_rng(6)
    for name, form in OPERANDS.items():
        design = unit(name, name, accumulator)
        # 520 columns: more than are carried at a time.
        a, b = (encoded(rng.standard_normal(s).astype(np.float32), form) for s in ((1, 700), (700, 520)))
        for chunk in (0, 128):
            assert (fp_gemm(a, b, design, chunk=chunk) == exact(a, b, design, chunk)).all()


@pytest.mark.parametrize("b_format", FORMATS[:2])
@pytest.mark.parametrize("a_format", FORMATS[:2])
def test_every_pair_of_fp8_after_every_other_product(a_format, b_format):
    """Sums of two products: all 65536 first ones are reached by (row, 0), the second by (row, 1)."""
    every = np.arange(256)
    for accumulator in ((8, 23), (5, 10), (8, 7), (4, 3)):
        design = unit(a_format, b_format, accumulator)
        for first in (0x3B, 0x81, 0x05):
            a = np.stack([np.full(256, first), every], axis=1)
            b = np.stack([np.roll(every, 77), every])
            assert (fp_gemm(a, b, design) == exact(a, b, design)).all()


def windowed(rng, form, shape):
    """Numbers of a format whose sizes lie in a few binades, and zeros."""
    every = decoded(form)[np.isfinite(decoded(form)) & (decoded(form) > 0)]
    lowest = rng.choice(every)
    near = every[(every >= lowest) & (every <= lowest * 2.0 ** rng.integers(0, 13))]
    found = rng.choice(near, shape) * rng.choice([-1, 0, 1, 1], shape)
    return found.astype(np.float32)


@pytest.mark.parametrize("b_format", FORMATS)
@pytest.mark.parametrize("a_format", FORMATS)
def test_a_step_chosen_for_the_numbers_gives_the_bits_of_the_integers(a_format, b_format, monkeypatch):
    seen = set()
    monkeypatch.setattr(float_gemm, "step_of", lambda *about: seen.add(step_of(*about)) or step_of(*about))
    rng = np.random.default_rng(10)
    for accumulator in (*ACCUMULATORS, (6, 5), (8, 10)):
        for overflow in ("infinity", "saturate"):
            design = unit(a_format, b_format, accumulator, overflow)
            for inner in (2, 3, 3, 30):
                a, b = windowed(rng, design.a, (13, inner)), windowed(rng, design.b, (inner, 21))
                for chunk in (0, 2):
                    codes = encoded(a, design.a), encoded(b, design.b)
                    got = fp_gemm(*codes, design, chunk=chunk)
                    assert (got == exact(*codes, design, chunk)).all(), (design, chunk)
    # Products of more than 8 bits are too wide for the shortest of steps.
    narrow = a_format.startswith("fp8") and b_format.startswith("fp8")
    wanted = {SHALLOW, DEEP, ODD, DEEP_ODD, SATURATE} if narrow else {ODD, DEEP_ODD}
    assert {Step(kind, True) for kind in wanted} <= seen


def test_integer_product_is_the_plain_reference_in_order_and_in_chunks():
    rng = np.random.default_rng(7)
    for name, accumulator, outer in (("fp8_e4m3", (4, 3), FP16), ("bf16", (8, 7), FP32), ("fp16", (5, 10), BF16)):
        design = unit(name, name, accumulator)
        a, b = operands(rng, design.a, (3, 11), "finite"), operands(rng, design.a, (11, 5), "finite")
        for chunk in (0, 1, 4, 11, 99):
            expected = [
                [
                    dot_reference(row, column, design.a, design.b, design.accumulator, False, chunk, outer)
                    for column in b.T.tolist()
                ]
                for row in a.tolist()
            ]
            assert exact(a, b, design, chunk, outer).tolist() == expected


def test_fp32_sums_are_those_of_numpy_one_after_the_other():
    rng = np.random.default_rng(8)
    for name in ("fp8_e4m3", "fp8_e5m2", "fp16"):  # their products are exact in float32
        values = [decoded(OPERANDS[name])[encoded(rng.standard_normal(s).astype(np.float32), OPERANDS[name])]
                  for s in ((6, 300), (300, 8))]  # fmt: skip
        a, b = values
        total = np.zeros((6, 8), np.float32)
        for k in range(300):
            total += a[:, k : k + 1] * b[k]
        assert (fp_gemm_values(a, b, unit(name, name, (8, 23))) == total).all()


# The proof's condition, looked at from both sides.


def sum_by_floats(total, product, design, plain):
    """One step by the host's floats: the accumulator's number, given that of the product."""
    to = rounding(design.accumulator, design.saturate)
    return rounded(total + product if plain else odd_sum(product, total), to)


@st.composite
def steps_about_ties(draw):
    design = unit(
        draw(st.sampled_from(FORMATS)),
        draw(st.sampled_from(FORMATS)),
        (draw(st.integers(2, 8)), draw(st.integers(1, 23))),
        draw(st.sampled_from(["infinity", "saturate"])),
    )
    a, b = (
        draw(st.one_of(st.sampled_from(form.corners()), st.integers(0, (1 << form.bits) - 1)))
        for form in (design.a, design.b)
    )
    form = design.accumulator
    total = draw(st.one_of(st.integers(0, 3), st.sampled_from(form.corners()), st.integers(0, form.largest)))
    return design, total | draw(st.integers(0, 1)) << (form.bits - 1), a, b


@settings(max_examples=400, deadline=None)
@given(steps_about_ties())
def test_float_step_equals_the_integer_step(case):
    design, total, a, b = case
    form = design.accumulator
    if total & ((1 << (form.bits - 1)) - 1) > form.largest:
        return  # infinities and NaNs are in the products above
    number = float(value_of(total, form)) * (-1.0 if is_negative(total, form) and not value_of(total, form) else 1.0)
    product = float(decoded(design.a)[a]) * float(decoded(design.b)[b])
    columns = (np.array([x], np.int64) for x in (total, a, b))
    forms = (layout(f) for f in (design.a, design.b, form))
    expected = fp_mac_steps(*columns, *forms, design.saturate)[0]
    for plain in {False, plain_sum_is_safe(design.a, design.b, form)}:
        got = sum_by_floats(number, product, design, plain)
        assert encoded(np.array([got], np.float32), form)[0] == expected


MADE_UP_TIES = [
    # factors' formats, accumulator; two factors whose product lies half-way; a total above 0; both neighbours
    ("bf16", "bf16", (8, 7), 1.015625, 1.25, 2.0**-60, (1.265625, 1.2734375)),
    ("fp8_e4m3", "fp8_e4m3", (8, 6), 1.875, 1.875, 2.0**-60, (3.5, 3.53125)),  # 8 bits onto 7
    ("fp8_e4m3", "fp8_e5m2", (6, 5), 240.0, 57344.0, 2.0**-35, (52 * 2.0**18, 53 * 2.0**18)),
]


@pytest.mark.parametrize(("a", "b", "accumulator", "x", "y", "total", "neighbours"), MADE_UP_TIES)
def test_where_the_condition_fails_a_plain_sum_makes_up_a_tie(a, b, accumulator, x, y, total, neighbours):
    design = unit(a, b, accumulator)
    even, above = neighbours
    assert 2 * x * y == even + above
    assert not plain_sum_is_safe(design.a, design.b, design.accumulator)
    assert sum_by_floats(total, x * y, design, plain=True) == even
    assert sum_by_floats(total, x * y, design, plain=False) == above


def test_the_common_accumulators_need_no_rounding_to_odd():
    for a in OPERANDS.values():
        for b in OPERANDS.values():
            assert plain_sum_is_safe(a, b, FP32)
            assert plain_sum_is_safe(a, b, FP16)
    for wide in (BF16, Float(8, 13)):
        assert plain_sum_is_safe(FP8_E4M3FN, FP8_E4M3FN, wide)


@pytest.mark.parametrize("saturate", [False, True])
@pytest.mark.parametrize("form", [FP8_E4M3FN, FP8_E5M2, BF16, FP16, Float(4, 3), Float(6, 9), Float(2, 1)], ids=str)
def test_rounding_by_floats_equals_rounding_by_integers(form, saturate):
    rng = np.random.default_rng(9)
    patterns = np.concatenate([rng.integers(0, 1 << 32, 2000), np.array(FP32.corners())])
    every = np.arange(1 << form.bits) if form.bits <= 8 else np.arange(0, 1 << form.bits, 37)
    codes = convert(every, layout(form), layout(FP32), False)
    patterns = np.concatenate([patterns, codes, codes[:-1] + codes[1:] >> 1])  # the numbers, and half-way
    values = patterns.astype(np.uint32).view(np.float32)
    to = rounding(form, saturate)
    for value, code in zip(
        values.tolist(), convert(patterns, layout(FP32), layout(form), saturate).tolist(), strict=True
    ):
        if math.isinf(value) and form.finite:
            continue  # no infinity among operands is kept there: integers alone round into such a format
        expected = decoded(form)[code]
        assert np.array_equal(np.float32(rounded(value, to)), expected, equal_nan=True)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*OPERANDS.values(), Float(4, 3)]), st.floats(width=32), st.booleans())
def test_codes_of_numbers_are_the_nearest(form, value, saturate):
    exact_value = value_of(int(np.float32(value).view(np.uint32)), FP32)
    expected = code_of(exact_value, math.copysign(1.0, value) < 0, form, saturate)
    assert encoded(np.array([value], np.float32), form, saturate)[0] == expected


@pytest.mark.parametrize(
    ("form", "name"),
    [(FP8_E4M3FN, "float8_e4m3fn"), (Float(4, 3), "float8_e4m3"), (FP8_E5M2, "float8_e5m2"), (BF16, "bfloat16")],
    ids=str,
)
def test_numbers_and_rounding_are_those_of_ml_dtypes(form, name):
    kind = getattr(pytest.importorskip("ml_dtypes", reason="ml_dtypes, a second opinion, is not installed"), name)
    word = np.uint8 if form.bits == 8 else np.uint16
    every = np.arange(1 << form.bits).astype(word)
    assert np.array_equal(decoded(form), every.view(kind).astype(np.float32), equal_nan=True)
    numbers = decoded(form)[np.isfinite(decoded(form))]
    # Each number, each half-way point, and what lies just beside it; and random ones far beyond.
    with np.errstate(over="ignore"):
        middle = (np.sort(numbers)[1:] / 2 + np.sort(numbers)[:-1] / 2).astype(np.float32)
        beside = [np.nextafter(middle, np.float32(way)) for way in (-np.inf, np.inf)]
        rng = np.random.default_rng(1)
        values = np.concatenate([numbers, middle, *beside, rng.standard_normal(999) * 10.0 ** rng.uniform(-9, 9, 999)])
        theirs = values.astype(np.float32).astype(kind).astype(np.float32)
    ours = decoded(form)[encoded(values, form)]
    assert np.array_equal(ours, theirs, equal_nan=True)
    assert (np.signbit(ours) == np.signbit(theirs))[~np.isnan(ours)].all()


def test_half_precision_is_that_of_numpy():
    every = np.arange(1 << 16).astype(np.uint16)
    assert np.array_equal(decoded(FP16), every.view(np.float16).astype(np.float32), equal_nan=True)


# What is asked of the caller.


def test_stacks_are_products_side_by_side_and_empty_ones_are_zero():
    rng = np.random.default_rng(2)
    design = unit("fp8_e4m3", "fp8_e5m2", (5, 10))
    a, b = rng.integers(0, 126, (3, 4, 5)), rng.integers(0, 123, (3, 5, 6))
    assert np.array_equal(fp_gemm(a, b, design), [fp_gemm(x, y, design) for x, y in zip(a, b, strict=True)])
    assert np.array_equal(fp_gemm(a[0], b[0].T.copy().T, design), fp_gemm(a[0], b[0], design))
    assert fp_dot(a[0, 0], b[0, :, 2], design) == fp_gemm(a[0], b[0], design)[0, 2]
    for chunk in (0, 8):
        assert fp_gemm(np.zeros((2, 0), int), np.zeros((0, 3), int), design, chunk=chunk).tolist() == [[0] * 3] * 2
    assert fp_gemm(np.zeros((0, 4), np.uint8), np.zeros((4, 3), np.uint8), design).shape == (0, 3)


def test_values_and_codes_give_one_product():
    rng = np.random.default_rng(3)
    for name in FORMATS:
        design = unit(name, "fp8_e4m3", (8, 13))
        a, b = operands(rng, design.a, (5, 40), "any"), operands(rng, design.b, (40, 7), "any")
        values = fp_gemm_values(decoded(design.a)[a], decoded(design.b)[b], design)
        assert np.array_equal(values, encoded_back(fp_gemm(a, b, design), design.accumulator), equal_nan=True)


def encoded_back(codes, form):
    """The numbers of codes of a format of any width."""
    return np.array([[float(value_of(code, form)) for code in row] for row in codes.tolist()], np.float32)


def test_what_does_not_fit_is_named():
    design, one = unit("fp8_e4m3", "fp16", (8, 23)), np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match="a must hold numbers of e4m3fn only"):
        fp_gemm_values(one * np.float32(1.01), one, design)
    with pytest.raises(ValueError, match="a must hold numbers of e4m3fn only"):
        fp_gemm_values(one * np.float32(math.inf), one, design)
    assert np.isposinf(fp_gemm_values(one, one * np.float32(math.inf), design)).all()
    with pytest.raises(ValueError, match="b must hold numbers of e5m10 only"):
        fp_gemm_values(one, one * np.float32(65536), design)
    with pytest.raises(ValueError, match="a holds e4m3fn codes, 0 to 255"):
        fp_gemm([[256]], [[0]], design)
    with pytest.raises(ValueError, match="whole numbers, got float32"):
        fp_gemm(one, one, design)
    with pytest.raises(ValueError, match=r"got \(2, 2\) and \(3, 2\)"):
        fp_gemm(np.zeros((2, 2), int), np.zeros((3, 2), int), design)
    with pytest.raises(ValueError, match="chunk must be at least 0, got -1"):
        fp_gemm([[0]], [[0]], design, chunk=-1)
    with pytest.raises(ValueError, match="outer must have infinities and fit FP32, got e11m52"):
        fp_gemm([[0]], [[0]], design, chunk=1, outer=Float(11, 52))
    with pytest.raises(ValueError, match="two vectors of one length"):
        fp_dot([0], [0, 0], design)


@pytest.mark.skipif(platform.machine() != "x86_64" or platform.system() != "Linux", reason="sets x86-64's MXCSR")
def test_a_thread_that_flushes_subnormals_is_refused():
    libm, environment = ctypes.CDLL("libm.so.6"), (ctypes.c_uint32 * 8)()  # glibc: MXCSR is the last word
    libm.fegetenv(environment)
    changed = (ctypes.c_uint32 * 8)(*environment)
    changed[7] |= 0x8040
    design = FpMac()
    libm.fesetenv(changed)
    try:
        with pytest.raises(RuntimeError, match="flushes subnormals"):
            fp_gemm([[0]], [[0]], design)
    finally:
        libm.fesetenv(environment)
    assert fp_gemm([[0x38]], [[0x38]], design).tolist() == [[0x3F800000]]


def test_membership_of_a_format_is_exact():
    for form in (FP8_E4M3FN, FP8_E5M2, BF16, FP16, Float(4, 3)):
        numbers = decoded(form)
        assert all_in_format(numbers, rounding(form, False), not form.finite)
        for wrong in (1.0 + 2.0 ** -(form.mantissa_bits + 1), 2.0 ** (1 - form.bias - form.mantissa_bits) * 1.5):
            assert not all_in_format(np.array([0, wrong], np.float32), rounding(form, False), True)
