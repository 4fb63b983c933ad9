"""Are the products of fp8 and bf16 what their rules say, by ml_dtypes and by the units' own integer steps?"""

from __future__ import annotations

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from siloom.sim.arithmetic import arithmetic
from siloom.sim.arithmetic.floating import accumulator
from siloom.sim.contract import BF16, FP8_E4M3FN, FP8_E5M2, FP16, FP32, Float
from siloom.sim.errors import InputError
from siloom.sim.jit import kernel
from siloom.sim.units.chance import CHANCE_BITS, STEP, mixed, seed, word
from siloom.sim.units.float_gemm import float_gemm
from siloom.sim.units.floats import convert, layout
from siloom.sim.units.fp_gemm import decoded, encoded, gemm_codes
from siloom.sim.units.fp_mac import FpMac
from siloom.sim.units.stochastic_rounding import StochasticRounding, round_floats, stochastic_rounding_reference

F = np.float32
KINDS = {FP8_E4M3FN: ml_dtypes.float8_e4m3fn, FP8_E5M2: ml_dtypes.float8_e5m2, BF16: ml_dtypes.bfloat16}
FORMS = {"e4m3": FP8_E4M3FN, "e5m2": FP8_E5M2}
TOPS = {FP8_E4M3FN: 448.0, FP8_E5M2: 57344.0}


def plain_codes(x, form, top):
    """Numbers of a format and the scale factor, by ml_dtypes."""
    scale = max(F(np.abs(x).max(initial=0)) / F(top), F(2.0**-126))
    return (x / scale).astype(KINDS[form]).astype(F), scale


def plain_sums(x, y, a_form, b_form, form, chunk=0, saturate=False):
    """The sums of numbers (m, k) by (k, n), by the unit's steps in integers."""
    codes = encoded(x, a_form)[None], encoded(y, b_form)[None]
    outer = FP32 if chunk else form
    found = gemm_codes(*codes, layout(a_form), layout(b_form), layout(form), layout(outer), chunk, saturate)[0]
    return encoded_single(found, outer)


def encoded_single(codes, form):
    """The numbers of codes of a format of any width."""
    flat = convert(codes.ravel(), layout(form), layout(FP32), False).astype(np.uint32).view(F)
    return flat.reshape(codes.shape)


def numbers(rng, m, k, n):
    """Operands with sizes far apart, so that sums lose places."""
    a = (rng.standard_normal((m, k)) * 2.0 ** rng.integers(-12, 3, (m, k))).astype(F)
    b = (rng.standard_normal((k, n)) * 2.0 ** rng.integers(-12, 3, (k, n))).astype(F)
    return a, b


ACCUMULATORS = (
    "fp32",
    "fp16",
    "bf16",
    "e5m10",
    "e8m13",
    "e8m10",
    "e6m9",
    "e5m7",
    "e4m3",
    "e8m23",
    "e3m2",
    "e7m14",
    "e6m5",
)


@pytest.mark.parametrize("acc", ACCUMULATORS)
@pytest.mark.parametrize("settings", ["", ",overflow=saturate", ",chunk=7", ",chunk=32,overflow=saturate"])
@pytest.mark.parametrize("direction", ["forward", "grad_weight"])
def test_fp8_is_the_steps_of_its_unit(acc, settings, direction):
    rng = np.random.default_rng(len(acc) + len(settings))
    way = arithmetic(f"fp8:headroom=none,acc={acc}{settings}")
    form, chunk = accumulator("fp8", acc), way.chunk
    a_form = FP8_E4M3FN if direction == "forward" else FP8_E5M2
    for m, k, n in ((1, 1, 1), (17, 70, 3), (3, 33, 17), (9, 40, 35)):
        a, b = numbers(rng, m, k, n)
        x, x_scale = plain_codes(a, a_form, TOPS[a_form])
        y, y_scale = plain_codes(b, FP8_E4M3FN, 448.0)
        sums = plain_sums(x, y, a_form, FP8_E4M3FN, form, chunk, way.overflow == "saturate")
        with np.errstate(over="ignore", invalid="ignore"):
            expected = (sums.astype(float) * (float(x_scale) * float(y_scale))).astype(F)
        got = way.product(a[None], b[None], direction)
        assert np.array_equal(got.values[0], expected, equal_nan=True)
        assert np.array_equal(np.signbit(got.values[0][expected == 0]), np.signbit(expected[expected == 0]))
        if way.overflow == "infinity" and not chunk:
            assert got.counts.saturated == int((~np.isfinite(sums)).sum())


def test_products_of_e5m2_below_half_precisions_subnormals():
    # 2**-16 * 2**-16 lies eight places below the last one of FP16, half of it is 2**-25.
    small = decoded(FP8_E5M2)[:64]
    unit = FpMac(a_format="fp8_e5m2", b_format="fp8_e5m2", acc_exponent_bits=5, acc_mantissa_bits=10)
    rng = np.random.default_rng(0)
    for inner in (1, 2, 40):
        a, b = (rng.choice(np.concatenate([small, -small]), shape).astype(F) for shape in ((64, inner), (inner, 64)))
        got, _ = float_gemm(a[None], b[None], unit)
        assert np.array_equal(got[0], plain_sums(a, b, FP8_E5M2, FP8_E5M2, Float(5, 10)))
    a, b = small.reshape(-1, 1), small.reshape(1, -1)
    exact = np.float64(a) * np.float64(b)
    got, _ = float_gemm(a[None], b[None], unit)
    assert np.array_equal(got[0], exact.astype(np.float16).astype(F))


@pytest.mark.parametrize(("acc", "chunk"), [("fp32", 0), ("bf16", 0), ("e8m13", 16), ("e6m5", 0)])
def test_bf16_is_the_steps_of_its_unit(acc, chunk):
    rng = np.random.default_rng(4)
    a, b = numbers(rng, 9, 60, 19)
    got = arithmetic(f"bf16:acc={acc},chunk={chunk}").product(a[None], b[None], "forward").values[0]
    x, y = (v.astype(ml_dtypes.bfloat16).astype(F) for v in (a, b))
    assert np.array_equal(got, plain_sums(x, y, BF16, BF16, accumulator("bf16", acc), chunk))


def test_bf16_cuts_off_what_would_round_to_infinity():
    top = F(3.3895314e38)
    a = np.array([[[top, F(3.4028235e38), F(-3.4028235e38), 1e-45]]], F)
    got = arithmetic("bf16").product(a, np.eye(4, dtype=F)[None], "forward")
    assert got.values.ravel().tolist() == [top, top, -top, 0.0]
    assert got.counts.clipped == 2


@pytest.mark.parametrize("form", [FP8_E4M3FN, FP8_E5M2], ids=str)
def test_every_number_and_midpoint_is_rounded_as_ml_dtypes_does(form):
    every = decoded(form)[np.isfinite(decoded(form))]
    ordered = np.sort(every)
    middles = (ordered[1:].astype(float) + ordered[:-1]) / 2
    near = [np.nextafter(middles.astype(F), F(way)) for way in (-np.inf, np.inf)]
    values = np.concatenate([every, middles.astype(F), *near])
    values = values[np.abs(values) <= TOPS[form]]
    direction = "forward" if form == FP8_E4M3FN else "grad_input"
    # The largest number is among them: the scale factor is 1, and a product with 1 in FP32 is the code.
    one = np.full((1, 1, 1), 448, F)
    got = arithmetic("fp8:headroom=none").product(values[None, :, None], one, direction)
    assert np.array_equal(got.values[0, :, 0], values.astype(KINDS[form]).astype(F) * 448)
    assert got.counts.clipped == 0


@pytest.mark.parametrize(("overflow", "end"), [("infinity", np.inf), ("saturate", np.finfo(F).max)])
def test_a_sum_of_chunks_beyond_its_range_is_counted_though_every_chunk_stays_within_it(overflow, end):
    way = arithmetic(f"bf16:chunk=1,overflow={overflow}")
    a = np.array([[[2.0**127, 2.0**127], [2.0**127, 2.0**126], [-(2.0**127), 2.0**127]]], F)
    got = way.product(a, np.ones((1, 2, 1), F), "grad_weight")
    assert got.values.ravel().tolist() == [end, 1.5 * 2.0**127, 0]
    assert got.counts.saturated == 1


@pytest.mark.parametrize("overflow", ["infinity", "saturate"])
def test_a_sum_of_chunks_in_half_precision_leaves_it_half_a_place_above_its_largest_number(overflow):
    unit = FpMac(a_format="bf16", b_format="bf16", overflow=overflow)
    # 65504 is the largest; 65519 is rounded to it, 65520 to what there is not.
    for last, saturated in ((0.0, 0), (15.0, 0), (16.0, 1)):
        a = np.array([[[65280.0, 224.0, last]]], F)
        got, beyond = float_gemm(a, np.ones((1, 3, 1), F), unit, chunk=1, outer=FP16)
        assert beyond == saturated
        assert got == (np.inf if saturated and overflow == "infinity" else 65504.0)


def test_headroom_keeps_the_largest_sum_within_a_narrow_accumulator():
    for inner in (1, 128, 2048):
        ones = np.ones((1, 2, inner), F), np.ones((1, inner, 2), F)
        for acc in ("fp16", "e5m7", "e4m3"):
            for direction in ("forward", "grad_weight"):
                got = arithmetic(f"fp8:acc={acc}").product(*ones, direction)
                assert got.counts.saturated == 0
                assert np.isfinite(got.values).all()
    got = arithmetic("fp8:acc=fp16,headroom=none").product(*ones, "forward")
    assert got.counts.saturated == 4
    assert np.isposinf(got.values).all()


@pytest.mark.parametrize("name", ["fp8", "fp8:acc=fp16,chunk=64", "fp8:scaling=channel", "fp8:scaling=block", "bf16"])
def test_near_the_product_that_is_meant(name):
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((3, 20, 300)).astype(F), rng.standard_normal((1, 300, 30)).astype(F)
    for direction in ("forward", "grad_input", "grad_weight"):
        got = arithmetic(name).product(a, b, direction).values
        exact = np.matmul(a.astype(float), b.astype(float))
        assert np.abs(got - exact).std() < 0.06 * exact.std()
        turned = a.transpose(2, 0, 1).copy().transpose(1, 2, 0), b.transpose(0, 2, 1).copy().transpose(0, 2, 1)
        assert np.array_equal(arithmetic(name).product(*turned, direction).values, got)


def test_blocks_are_scaled_and_added_one_after_the_other():
    rng = np.random.default_rng(2)
    a, b = numbers(rng, 5, 70, 6)
    got = arithmetic("fp8:acc=e8m7,scaling=block,block=32").product(a[None], b[None], "forward").values[0]
    for i in range(5):
        for j in range(6):
            total = None
            for left in (0, 32, 64):
                lines = a[i, left : left + 32], b[left : left + 32, j]
                powers = [2.0 ** np.ceil(np.log2(np.abs(line).max() / 448)) for line in lines]
                x, y = (
                    (v / F(p)).astype(ml_dtypes.float8_e4m3fn).astype(F) for v, p in zip(lines, powers, strict=True)
                )
                part = plain_sums(x[None], y[:, None], FP8_E4M3FN, FP8_E4M3FN, BF16)[0, 0] * F(powers[0] * powers[1])
                total = part if total is None else total + part
            assert got[i, j] == total


def test_a_sum_that_vanishes_keeps_its_sign_in_one_block_and_in_more():
    # Neither operand is scaled beyond 1 here; e2m1 has nothing between 0 and 1/2.
    way = arithmetic("fp8:acc=e2m1,scaling=block,block=2")
    for blocks in (1, 2):
        a, b = np.tile(np.array([1, -(2.0**-9)], F), blocks), np.tile(np.array([0, 1], F), blocks)
        got = way.product(a[None, None], b[None, :, None], "forward").values
        assert got == 0
        assert np.signbit(got).all()


# Chance.


def plain_word(key, counter):
    return mixed((key + counter * STEP) % 2**64)


def test_a_word_of_chance_by_plain_integers():
    compiled = kernel(lambda key, counter: word(key, counter))
    for key in (0, 1, 2**64 - 1):
        for counter in (0, 1, 2**63):
            assert int(compiled(np.uint64(key), np.uint64(counter))) == plain_word(key, counter)
    # SplitMix64's published first outputs of seed 1234567: its counter begins at one.
    assert plain_word(1234567, 1) == 6457827717110365317
    assert plain_word(1234567, 2) == 3203168211198807973


@pytest.mark.parametrize("form", [FP8_E4M3FN, FP8_E5M2], ids=str)
def test_operands_by_chance_are_the_units(form):
    rng = np.random.default_rng(7)
    x = (rng.standard_normal(400) * 2.0 ** rng.integers(-20, 1, 400)).astype(F)
    x[0] = np.abs(x).max() * 2
    way = arithmetic("fp8:rounding=stochastic,headroom=none")
    direction = "forward" if form == FP8_E4M3FN else "grad_input"
    got = way.product(x[None, :, None], np.full((1, 1, 1), 448, F), direction, 99).values[0, :, 0]
    scale = F(np.abs(x).max()) / F(TOPS[form])
    chances = np.array([plain_word(seed(99, 0), n) >> (64 - CHANCE_BITS) for n in range(400)])
    codes = (x / scale).view(np.uint32).astype(np.int64)
    rounded = round_floats(codes, chances, layout(FP32), layout(form), CHANCE_BITS, False, True)
    assert np.array_equal(got, (decoded(form)[rounded].astype(float) * 448 * float(scale)).astype(F))


@pytest.mark.parametrize(
    ("acc", "direction"), [(acc, way) for acc in ("fp16", "bf16") for way in ("forward", "grad_input")]
)
@pytest.mark.parametrize("largest", [1.0, 2.0**-6])
def test_sums_by_chance_are_the_units_step_by_step(acc, direction, largest):
    rng = np.random.default_rng(8)
    a_form = FP8_E4M3FN if direction == "forward" else FP8_E5M2
    form = accumulator("fp8", acc)
    unit = FpMac(
        a_format="fp8_e4m3" if direction == "forward" else "fp8_e5m2",
        b_format="fp8_e4m3",
        acc_exponent_bits=form.exponent_bits,
        acc_mantissa_bits=form.mantissa_bits,
    )
    a, b = numbers(rng, 9, 30, 17)
    # Of the whole range of both formats, and so small that no sum comes near the accumulator's largest number.
    (x, x_scale), (y, y_scale) = (plain_codes(v, f, TOPS[f] * largest) for v, f in ((a, a_form), (b, FP8_E4M3FN)))
    got, _ = float_gemm(x[None], y[None], unit, key=seed(5, 2))
    if largest == 1:
        way = arithmetic(f"fp8:acc={acc},acc_rounding=stochastic,headroom=none")
        scaled = (got.astype(float) * (float(x_scale) * float(y_scale))).astype(F)
        assert np.array_equal(way.product(a[None], b[None], direction, 5).values, scaled, equal_nan=True)
    design = StochasticRounding(target=acc, random_bits=CHANCE_BITS)
    for i, j in ((0, 0), (3, 16), (8, 2), (8, 16)):
        total, start = Fraction(0), plain_word(seed(5, 2), i * 17 + j)
        for k in range(30):
            chance = plain_word(start, k) >> (64 - CHANCE_BITS)
            total = stochastic_rounding_reference(
                total + Fraction(float(x[i, k])) * Fraction(float(y[k, j])), chance, design
            )
            if total is None:
                break
        if total is None:
            assert not np.isfinite(got[0, i, j])
        else:
            assert got[0, i, j] == F(float(total))


def test_sums_by_chance_are_right_on_average_where_nearest_ones_stick():
    inner = 2000
    a, b = np.full((1, 8, inner), 1, F), np.full((1, inner, 16), 1, F)
    nearest = arithmetic("fp8:acc=bf16").product(a, b, "forward").values
    assert (nearest <= 512).all()  # beyond 256 times a product, half of it is lost by every step
    way = arithmetic("fp8:acc=bf16,acc_rounding=stochastic")
    runs = np.stack([way.product(a, b, "forward", key).values for key in range(12)]).ravel()
    assert abs(runs.mean() - inner) < 5 * runs.std() / np.sqrt(runs.size)
    assert runs.std() > 0


def test_another_key_is_another_chance_and_stacks_do_not_share_one():
    a = np.full((2, 8, 64), 1.1, F)
    way = arithmetic("fp8:acc=e8m4,acc_rounding=stochastic")
    first, again, other = (way.product(a, a.transpose(0, 2, 1), "forward", key).values for key in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])


# What is asked of the caller.


def test_accumulators_are_named_and_checked():
    assert accumulator("fp8", "e5m10") == accumulator("fp8", "fp16") == Float(5, 10)
    for wrong in ("fp64", "e9m3", "e5m24", "e1m3", "e5m0", "e0m0", "e99m1", "e12m52", "m5e2", "e5m10x"):
        with pytest.raises(InputError, match="fp8: acc must be fp32, fp16, bf16 or eXmY with X from 2 to 8"):
            arithmetic(f"fp8:acc={wrong}")


def test_settings_that_exclude_each_other():
    with pytest.raises(InputError, match="chunk must be 0 where blocks"):
        arithmetic("fp8:scaling=block,chunk=32")
    with pytest.raises(InputError, match="overflow must be infinity where sums are rounded by chance"):
        arithmetic("fp8:overflow=saturate,acc_rounding=stochastic")
    with pytest.raises(InputError, match="bf16, forward: a must hold finite numbers only, got nan"):
        arithmetic("bf16").product(np.full((1, 1, 1), np.nan, F), np.ones((1, 1, 1), F), "forward")


@pytest.mark.parametrize("name", ["fp8", "fp8:scaling=channel", "fp8:scaling=block", "fp8:acc=fp16", "bf16"])
def test_zeros_and_nothing(name):
    way = arithmetic(name)
    assert not way.product(np.zeros((2, 3, 4), F), np.zeros((1, 4, 5), F), "forward").values.any()
    assert way.product(np.zeros((1, 3, 0), F), np.zeros((1, 0, 5), F), "forward").values.shape == (1, 3, 5)
    assert way.product(np.zeros((0, 3, 4), F), np.zeros((1, 4, 5), F), "forward").values.shape == (0, 3, 5)
