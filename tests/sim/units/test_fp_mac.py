"""Does the floating-point multiply-accumulate round the exact sum once, in every format and at every corner?"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from siloom.sim.contract import BF16, FP8_E4M3FN, FP8_E5M2, FP16, FP32, Float
from siloom.sim.errors import InputError
from siloom.sim.units.floats import layout
from siloom.sim.units.fp_mac import OPERANDS, UNIT, FpMac, contract, fp_mac_steps, fp_mac_stream
from siloom.sim.units.fp_mac_reference import (
    code_of,
    dot_reference,
    is_negative,
    mac_reference,
    nan_code,
    product_of,
    sum_code,
    value_of,
)

ACCUMULATORS = (FP32, BF16, FP16, FP8_E5M2, Float(4, 3), Float(8, 13), Float(6, 9), Float(2, 1), Float(3, 20))


def steps(cases, a_form, b_form, form, saturate):
    """The kernel's answer to a list of (total, a, b)."""
    columns = (np.array(column, np.int64) for column in zip(*cases, strict=True))
    return fp_mac_steps(*columns, layout(a_form), layout(b_form), layout(form), saturate).tolist()


def codes(form):
    """Any code, those at which arithmetic tends to go wrong often."""
    return st.one_of(st.integers(0, (1 << form.bits) - 1), st.sampled_from(form.corners()))


@st.composite
def steps_of_any_unit(draw):
    a, b = (draw(st.sampled_from(list(OPERANDS.values()))) for _ in range(2))
    form = draw(st.one_of(st.sampled_from(ACCUMULATORS), st.builds(Float, st.integers(2, 8), st.integers(1, 23))))
    cases = draw(st.lists(st.tuples(codes(form), codes(a), codes(b)), min_size=1, max_size=20))
    return cases, a, b, form, draw(st.booleans())


@settings(max_examples=200, deadline=None)
@given(steps_of_any_unit())
def test_kernel_equals_exact_arithmetic_rounded_once(case):
    cases, *forms = case
    assert steps(cases, *forms) == [mac_reference(*one, *forms) for one in cases]


@st.composite
def near_ties(draw):
    """A product that lies half-way between two accumulators, or nearly, and a total that decides or just fails to."""
    a = draw(st.sampled_from([BF16, FP16]))
    form = Float(draw(st.sampled_from([5, 6, 8])), draw(st.integers(1, 12)))
    one = a.bias << a.mantissa_bits
    x = one + draw(st.integers(0, (1 << a.mantissa_bits) - 1))
    y = draw(st.integers(1, (1 << a.exponent_bits) - 2)) << a.mantissa_bits
    y += draw(st.one_of(st.just(0), st.integers(0, (1 << a.mantissa_bits) - 1)))
    sign = draw(st.integers(0, 1)) << (form.bits - 1)
    total = draw(st.one_of(st.integers(0, 3), st.integers(0, form.largest))) | sign
    return (total, x, y), a, a, form, draw(st.booleans())


@settings(max_examples=300, deadline=None)
@given(near_ties())
def test_kernel_equals_exact_arithmetic_about_ties(case):
    one, *forms = case
    assert steps([one], *forms) == [mac_reference(*one, *forms)]


def ocp_values(exponent_bits, mantissa_bits, bias, finite):
    """All 256 numbers of an FP8 format by OCP's formula, in float64."""
    code = np.arange(256)
    field, mantissa = code >> mantissa_bits & (1 << exponent_bits) - 1, code & (1 << mantissa_bits) - 1
    normal = np.ldexp(1 + mantissa / 2**mantissa_bits, field - bias)
    size = np.where(field > 0, normal, np.ldexp(mantissa / 2**mantissa_bits, 1 - bias))
    if finite:
        size[code & 127 == 127] = np.nan
    else:
        size[field == (1 << exponent_bits) - 1] = np.nan
        size[(code & 127) == 124] = np.inf
    return np.where(code < 128, size, -size)


FP8 = {FP8_E4M3FN: ocp_values(4, 3, 7, True), FP8_E5M2: ocp_values(5, 2, 15, False)}


def test_fp8_formats_are_those_of_ocp():
    # OCP 8-bit Floating Point Specification (OFP8), revision 1.0, table 2: values in binary there.
    e4m3 = {0x7E: 448.0, 0x08: 2.0**-6, 0x07: 0.875 * 2.0**-6, 0x01: 2.0**-9, 0xFE: -448.0}
    e5m2 = {0x7B: 57344.0, 0x04: 2.0**-14, 0x03: 0.75 * 2.0**-14, 0x01: 2.0**-16, 0x7C: math.inf, 0xFC: -math.inf}
    for form, published in ((FP8_E4M3FN, e4m3), (FP8_E5M2, e5m2)):
        assert {code: FP8[form][code] for code in published} == published
    assert np.flatnonzero(np.isnan(FP8[FP8_E4M3FN])).tolist() == [0x7F, 0xFF]
    assert np.flatnonzero(np.isnan(FP8[FP8_E5M2])).tolist() == [0x7D, 0x7E, 0x7F, 0xFD, 0xFE, 0xFF]


def test_a_format_without_infinities_has_its_own_corners():
    assert (str(FP8_E4M3FN), FP8_E4M3FN.largest, str(Float(4, 3)), Float(4, 3).largest) == (
        "e4m3fn",
        0x7E,
        "e4m3",
        0x77,
    )
    assert {0x00, 0x01, 0x07, 0x08, 0x38, 0x78, 0x7E, 0x7F, 0x80, 0xFE, 0xFF} <= set(FP8_E4M3FN.corners())
    assert (FP16.largest, BF16.largest, FP32.largest) == (0x7BFF, 0x7F7F, 0x7F7FFFFF)


def to_fp32(sums):
    return sums.astype(np.float32).view(np.uint32).astype(np.int64)


def to_fp16(sums):
    return sums.astype(np.float16).view(np.uint16).astype(np.int64)


def to_bf16(sums):
    """Exact float32 sums only: round the upper half of the pattern, as adding the lower half's rounding bit does."""
    pattern = sums.astype(np.float32).view(np.uint32).astype(np.int64)
    return np.where(np.isnan(sums), 0x7FC0, pattern + 0x7FFF + (pattern >> 16 & 1) >> 16)


HALVES = [0.0, 2.0**-24, -(2.0**-14), 1.0, -1.0009765625, 0.3332519531, 48.0, -2048.0, 65504.0, -65504.0, math.inf]
NUMPY = {
    "fp32": (FP32, to_fp32, np.array([*HALVES, math.nan, 2.0**-30, -1.0000001, 3.1415927, 131071.99])),
    "fp16": (FP16, to_fp16, np.array([*HALVES, math.nan])),
    "bf16": (BF16, to_bf16, np.array([0.0, 1.0, -0.99609375, 2.0**-7, 3.15625, -24.0, math.inf, math.nan])),
}


@pytest.mark.parametrize("name", NUMPY)
@pytest.mark.parametrize("a_form", FP8, ids=str)
@pytest.mark.parametrize("b_form", FP8, ids=str)
def test_every_pair_of_fp8_onto_sums_of_every_size_as_numpy_rounds_them(a_form, b_form, name):
    form, encode, totals = NUMPY[name]
    a, b = (g.ravel() for g in np.meshgrid(np.arange(256), np.arange(256)))
    with np.errstate(invalid="ignore", over="ignore"):
        start = encode(totals)
        held = {FP32: np.float32, FP16: np.float16}.get(form, np.float64)
        for code, total in zip(start, totals.astype(held).astype(np.float64), strict=True):
            got = fp_mac_steps(np.full(a.size, code), a, b, layout(a_form), layout(b_form), layout(form), False)
            # Products have 8 bits, between 2**-32 and 2**32: these sums are exact in float64 ...
            exact = FP8[a_form][a] * FP8[b_form][b] + total
            if form == BF16:  # ... and where float32 has them too, the second rounding there is the only one
                keep = (exact.astype(np.float32) == exact) | np.isnan(exact)
                assert keep.mean() > 0.5
            else:
                keep = np.ones(a.size, bool)
            expected = np.where(np.isnan(exact), nan_code(form), encode(exact))
            assert (got == expected)[keep].all()


def test_known_steps():
    bits16, bits32 = (lambda v: int(np.float16(v).view(np.uint16))), (lambda v: int(np.float32(v).view(np.uint32)))
    e4m3, e5m2 = FP8_E4M3FN, FP8_E5M2
    one, two, big, tiny = 0x38, 0x40, 0x7E, 0x01  # of E4M3: 1, 2, 448, 2**-9
    cases = [
        # a tie goes to the even neighbour, down and up
        (e4m3, FP16, bits16(2048), one, one, bits16(2048)),
        (e4m3, FP16, bits16(2050), one, one, bits16(2052)),
        # E5M2's smallest product, 2**-32, is far below half of FP16's least subnormal: sign of the underflow kept
        (e5m2, FP16, 0, 0x01, 0x01, 0),
        (e5m2, FP16, 0, 0x81, 0x01, 0x8000),
        (e5m2, FP16, 0, 0x81, 0x18, 0x8000),  # -2**-16 * 2**-9: a tie between 0 and the least subnormal
        (e5m2, FP16, 0x8001, 0x81, 0x18, 0x8002),  # the next tie, away from zero
        (e4m3, FP16, 0, tiny, tiny, 0x0040),  # 2**-18 is a subnormal of FP16
        # overflow: 65504 + 16 is half-way to 2**16 and goes up, one less does not
        (e4m3, FP16, bits16(65504), 0x58, one, 0x7C00),
        (e4m3, FP16, bits16(65504), 0x57, one, bits16(65504)),
        (e4m3, FP16, 0, big, big, 0x7C00),
        (e4m3, FP32, 0, big, big, bits32(448.0**2)),
        # signed zeros
        (e4m3, FP32, 0, 0x80, one, 0),
        (e4m3, FP32, 0x8000_0000, 0x80, one, 0x8000_0000),
        (e4m3, FP32, bits32(-2), one, two, 0),
    ]
    for operand, form, total, a, b, expected in cases:
        assert steps([(total, a, b)], operand, operand, form, False) == [expected]
        assert mac_reference(total, a, b, operand, operand, form, False) == expected


def test_saturation_holds_the_largest_number_at_every_step_but_keeps_infinities():
    e5m2, half = FP8_E5M2, FP16
    big, infinity, nan = 0x7B, 0x7C, 0x7F  # 57344, infinity and a NaN of E5M2
    one = 0x3C
    assert steps([(0x7BFF, big, one), (0xFBFF, big | 0x80, one)], e5m2, e5m2, half, True) == [0x7BFF, 0xFBFF]
    # 65504 - 57344 = 8160: it comes back from the largest number, not from the true sum
    assert value_of(steps([(0x7BFF, big | 0x80, one)], e5m2, e5m2, half, True)[0], half) == 8160
    for saturate in (False, True):
        cases = [(0, infinity, one), (0x7C00, big | 0x80, one), (0x7C00, infinity | 0x80, one), (0, infinity, 0)]
        assert steps(cases, e5m2, e5m2, half, saturate) == [0x7C00, 0x7C00, 0x7E00, 0x7E00]
        assert steps([(0x7C00, nan, one), (0xFFFF, one, one)], e5m2, e5m2, half, saturate) == [0x7E00, 0x7E00]


# Deliberately wrong units. Each differs from the reference in one rule of the docstring; the cases that the kernel
# passes above must tell every one of them apart.


def rounds_the_product_first(total, a, b, a_form, b_form, form, saturate):
    product, negative = product_of(a, b, a_form, b_form)
    rounded = code_of(product, negative, form, saturate)
    return sum_code(value_of(total, form), is_negative(total, form), value_of(rounded, form),
                    is_negative(rounded, form), form, saturate)  # fmt: skip


def rounds_twice(total, a, b, a_form, b_form, form, saturate):
    wide = Float(form.exponent_bits, form.mantissa_bits + 3)
    product, negative = product_of(a, b, a_form, b_form)
    once = sum_code(value_of(total, form), is_negative(total, form), product, negative, wide, saturate)
    return code_of(value_of(once, wide), is_negative(once, wide), form, saturate)


def rounds_towards_zero(total, a, b, a_form, b_form, form, saturate):
    right = mac_reference(total, a, b, a_form, b_form, form, saturate)
    exact, got = value_of(total, form) + product_of(a, b, a_form, b_form)[0], value_of(right, form)
    return right - 1 if isinstance(exact, Fraction) and abs(got) > abs(exact) else right


def ties_away_from_zero(total, a, b, a_form, b_form, form, saturate):
    right = mac_reference(total, a, b, a_form, b_form, form, saturate)
    exact, got = value_of(total, form) + product_of(a, b, a_form, b_form)[0], value_of(right, form)
    if not isinstance(exact, Fraction) or not isinstance(got, Fraction) or abs(got) >= abs(exact):
        return right
    above = value_of(right + 1, form)
    return right + 1 if isinstance(above, Fraction) and abs(above) - abs(exact) == abs(exact) - abs(got) else right


def flushes_subnormals(total, a, b, a_form, b_form, form, saturate):
    right = mac_reference(total, a, b, a_form, b_form, form, saturate)
    field = right >> form.mantissa_bits & (1 << form.exponent_bits) - 1
    return right if field else right & 1 << form.bits - 1


def reads_e4m3_as_ieee(total, a, b, a_form, b_form, form, saturate):
    a_form, b_form = (Float(f.exponent_bits, f.mantissa_bits) for f in (a_form, b_form))
    return mac_reference(total, a, b, a_form, b_form, form, saturate)


def saturates_infinities(total, a, b, a_form, b_form, form, saturate):
    right = mac_reference(total, a, b, a_form, b_form, form, saturate)
    return right - 1 if saturate and abs(value_of(right, form)) == math.inf else right


def carries_the_sign_of_nan(total, a, b, a_form, b_form, form, saturate):
    right = mac_reference(total, a, b, a_form, b_form, form, saturate)
    return right | total & 1 << form.bits - 1 if right == nan_code(form) else right


def loses_the_negative_zero(total, a, b, a_form, b_form, form, saturate):
    right = mac_reference(total, a, b, a_form, b_form, form, saturate)
    return 0 if right == 1 << form.bits - 1 else right


WRONG = [
    rounds_the_product_first, rounds_twice, rounds_towards_zero, ties_away_from_zero, flushes_subnormals,
    reads_e4m3_as_ieee, saturates_infinities, carries_the_sign_of_nan, loses_the_negative_zero,
]  # fmt: skip


def fixed_cases(form, a_form):
    """Corners by corners by corners."""
    corners = a_form.corners()
    return [(t, a, b) for t in form.corners() for a in corners[::3] for b in corners]


@pytest.fixture(scope="module")
def answers():
    """Per kind of unit: the cases, and the kernel's answers, which the reference confirms."""
    found = []
    for a_form, form, saturate in ((FP8_E4M3FN, Float(4, 3), False), (FP8_E5M2, FP8_E5M2, True), (BF16, BF16, False)):
        cases = fixed_cases(form, a_form)
        forms = (a_form, a_form, form, saturate)
        got = steps(cases, *forms)
        assert got == [mac_reference(*one, *forms) for one in cases]
        found.append((cases, forms, got))
    return found


@pytest.mark.parametrize("wrong", WRONG, ids=lambda f: f.__name__)
def test_a_wrong_unit_is_told_apart_at_the_corners(wrong, answers):
    assert any(
        wrong(*one, *forms) != right for cases, forms, got in answers for one, right in zip(cases, got, strict=True)
    )


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_stream_is_a_run_of_dot_products(data):
    size = data.draw(st.sampled_from(UNIT.sizes))
    beats = data.draw(
        st.lists(st.tuples(codes(size.a), codes(size.b), st.integers(0, 1), st.integers(0, 1)), max_size=30)
    )
    answer = contract(size).answer(np.array(beats, np.int64).reshape(-1, 4))
    expected, cause, run = [], [], []
    for i, (a, b, clear, last) in enumerate(beats):
        run = [(a, b)] if clear else [*run, (a, b)]
        if last:
            expected.append(dot_reference(*zip(*run, strict=True), size.a, size.b, size.accumulator, size.saturate))
            cause.append(i)
    assert answer.beats[:, 0].tolist() == expected
    assert answer.cause.tolist() == cause


def test_a_lone_negative_zero_gives_plus_zero():
    size = FpMac()
    assert contract(size).answer(np.array([[0x80, 0x38, 1, 1]])).beats.tolist() == [[0]]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-8, 8), st.integers(-8, 8)), min_size=1, max_size=60), st.randoms())
@example([(8, 8)] * 60, None)
def test_small_whole_numbers_add_up_exactly_in_any_order(pairs, shuffler):
    # E4M3 has all whole numbers up to 16, FP16 all up to 2048 and FP32 more: nothing is rounded.
    to_code = {v: c for c, v in enumerate(FP8[FP8_E4M3FN]) if v == v and (v or c == 0)}
    if shuffler:
        shuffler.shuffle(pairs)
    a, b = (np.array([to_code[x] for x in column], np.int64) for column in zip(*pairs, strict=True))
    flags = np.zeros(len(a), np.int64), np.array([0] * (len(a) - 1) + [1])
    total = sum(x * y for x, y in pairs)
    for form in (FP32,) if abs(total) > 2048 or sum(abs(x * y) for x, y in pairs) > 2048 else (FP16, FP32):
        e4m3 = layout(FP8_E4M3FN)
        sums, _ = fp_mac_stream(a, b, *flags, e4m3, e4m3, layout(form), False)
        assert value_of(int(sums[0]), form) == total


def test_the_contract_takes_its_numbers_from_the_design():
    promise = contract(FpMac(a_format="fp16", b_format="bf16", acc_exponent_bits=6, acc_mantissa_bits=9))
    assert [str(p.format) for p in promise.inputs.ports] == ["e5m10", "e8m7", "u1", "u1"]
    assert [str(p.format) for p in promise.outputs.ports] == ["e6m9"]
    assert str(contract(FpMac()).inputs.ports[0].format) == "e4m3fn"


def test_the_adder_sets_the_pace():
    beats, free = np.tile([0x38, 0x38, 0, 1], (6, 1)), np.ones(0, bool)
    for add_cycles in (1, 2, 5):
        for latency in (1, 3, 4, 8):
            promise = contract(FpMac(add_cycles=add_cycles, latency_cycles=latency))
            got = promise.schedule(beats, np.zeros(6, np.int64), free)
            assert got.left.tolist() == [latency + add_cycles * i for i in range(6)]


def test_settings_out_of_range_are_named():
    with pytest.raises(InputError, match="acc_exponent_bits must be at most 8 bit, got 9"):
        FpMac(acc_exponent_bits=9)
    with pytest.raises(InputError, match="a_format must be one of fp8_e4m3, fp8_e5m2, bf16, fp16, got 'fp8'"):
        FpMac(a_format="fp8")
