"""Is a number rounded by chance one of its neighbours, and right in the mean?"""

from __future__ import annotations

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.stochastic_rounding import (
    FORMATS,
    UNIT,
    StochasticRounding,
    contract,
    farther_chance,
    stochastic_rounding_reference,
)

TYPES = {
    "fp32": np.dtype(np.float32),
    "fp16": np.dtype(np.float16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "fp8_e4m3": np.dtype(ml_dtypes.float8_e4m3fn),
    "fp8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
}


def rounded(design, codes, chance):
    """Codes of every number of ``codes`` with the chance beside it."""
    return contract(design).answer(np.stack([codes, chance], axis=1).astype(np.int64)).beats[:, 0]


def numbers(name, codes):
    """Exact values of codes, by ml_dtypes."""
    kind = TYPES[name]
    with np.errstate(invalid="ignore"):  # signalling NaNs
        return np.asarray(codes).astype(f"u{kind.itemsize}").view(kind).astype(np.float64)


def every(design, codes):
    """Every code with every chance: [codes, chances] of each."""
    chances = np.arange(2**design.random_bits)
    pairs = np.repeat(codes, len(chances)), np.tile(chances, len(codes))
    return rounded(design, *pairs).reshape(len(codes), len(chances))


def fixed(shift, random_bits, rest, out_bits=8, overflow="saturate"):
    return StochasticRounding(
        source="fixed", target="fixed", in_bits=8, shift=shift, out_bits=out_bits, random_bits=random_bits, rest=rest,
        overflow=overflow,
    )  # fmt: skip


@pytest.mark.parametrize("rest", ["cut", "half"])
@pytest.mark.parametrize("shift", range(8))
def test_every_8_bit_whole_number_in_the_mean_over_every_chance(shift, rest):
    codes = np.arange(-128, 128)
    for bits in range(1, 9):
        design = fixed(shift, bits, rest)
        found = every(design, codes)
        for code, results in zip(codes.tolist(), found, strict=True):
            exact = Fraction(code, 2**shift)
            mean = Fraction(int(results.sum()), 2**bits)
            assert mean == exact.__floor__() + farther_chance(exact - exact.__floor__(), design)
            if bits >= shift:
                assert mean == exact
            elif rest == "cut":
                assert 0 <= exact - mean < Fraction(1, 2**bits)
            else:
                assert abs(exact - mean) <= Fraction(1, 2 ** (bits + 1))


@pytest.mark.parametrize("rest", ["cut", "half"])
@pytest.mark.parametrize("bits", [1, 2, 5])
def test_every_8_bit_float_with_every_chance(rest, bits):
    design = StochasticRounding(source="fp8_e4m3", target="fp8_e5m2", random_bits=bits, rest=rest)
    codes = np.arange(256)
    codes = codes[np.isfinite(numbers("fp8_e4m3", codes))]
    values = numbers("fp8_e5m2", every(design, codes))
    for exact, results in zip(numbers("fp8_e4m3", codes).tolist(), values, strict=True):
        expected = [stochastic_rounding_reference(Fraction(exact), r, design) for r in range(2**bits)]
        assert results.tolist() == [float(e) for e in expected]
        # E5M2 lacks one bit of E4M3, and one random bit is enough for it: the mean is exact.
        assert results.mean() == exact


floats = st.tuples(
    st.sampled_from([("fp32", "bf16"), ("fp32", "fp16"), ("fp32", "fp8_e4m3"), ("fp32", "fp8_e5m2"), ("fp16", "bf16"),
                     ("fp16", "fp8_e4m3"), ("bf16", "fp8_e4m3"), ("bf16", "fp8_e5m2")]),
    st.integers(1, 32), st.sampled_from(["cut", "half"]), st.sampled_from(["infinity", "saturate"]),
    st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.booleans(),
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(floats)
def test_any_number_is_rounded_as_the_plain_reference_says(case):
    (source, target), bits, rest, overflow, code, chance, usual = case
    design = StochasticRounding(source=source, target=target, random_bits=bits, rest=rest, overflow=overflow)
    width = FORMATS[source].bits
    code, chance = code % 2**width, chance % 2**bits
    if usual:  # of a size that the target knows
        code = int(
            np.array([(code % 2001 - 1000) * 2.0 ** (code % 23 - 19)]).astype(TYPES[source]).view(f"u{width // 8}")[0]
        )
    exact = numbers(source, [code])[0]
    found = numbers(target, rounded(design, [code], [chance]))[0]
    if not np.isfinite(exact):
        assert np.isnan(found) if np.isnan(exact) or (target == "fp8_e4m3" and overflow == "infinity") else True
        return
    expected = stochastic_rounding_reference(Fraction(exact), chance, design)
    if expected is not None:
        assert found == float(expected)
        assert np.signbit(found) == np.signbit(exact)
    elif overflow == "saturate":
        assert abs(found) == float(ml_dtypes.finfo(TYPES[target]).max) and np.sign(found) == np.sign(exact)
    else:
        assert not np.isfinite(found)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1)), min_size=1, max_size=50))
def test_fp32_to_bf16_is_the_known_addition_to_the_pattern(pairs):
    codes, chance = (np.array(part, np.int64) for part in zip(*pairs, strict=True))
    finite = np.isfinite(numbers("fp32", codes))
    codes, chance = codes[finite], chance[finite]
    found = rounded(StochasticRounding(), codes, chance)
    assert (found == (codes + chance) >> 16).all()


def test_no_chance_is_towards_zero_and_what_the_target_has_stays():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2**32, 2000)
    codes = codes[np.isfinite(numbers("fp32", codes))]
    for target in ("bf16", "fp16", "fp8_e4m3", "fp8_e5m2"):
        design = StochasticRounding(target=target, overflow="saturate", random_bits=20)
        down = numbers(target, rounded(design, codes, 0 * codes))
        up = numbers(target, rounded(design, codes, 0 * codes + 2**20 - 1))
        exact = numbers("fp32", codes)
        largest = float(ml_dtypes.finfo(TYPES[target]).max)
        assert (np.abs(down) <= np.abs(exact)).all()
        assert ((np.abs(up) >= np.abs(down)) & (np.abs(down) <= largest)).all()
        stays = np.arange(2 ** FORMATS[target].bits)
        stays = stays[np.isfinite(numbers(target, stays))]
        wide = numbers(target, stays).astype(np.float32).view(np.uint32).astype(np.int64)
        for chance in (0, 1, 2**20 - 1):
            assert (rounded(design, wide, 0 * wide + chance) == stays).all()


@pytest.mark.parametrize("target", ["bf16", "fp8_e4m3", "fp8_e5m2"])
def test_half_of_all_chance_is_rounding_to_nearest(target):
    rng = np.random.default_rng(1)
    values = rng.normal(0, 4, 3000).astype(np.float32)
    codes = values.view(np.uint32).astype(np.int64)
    found = numbers(target, rounded(StochasticRounding(target=target, random_bits=30), codes, 0 * codes + 2**29))
    nearest = values.astype(TYPES[target]).astype(float)
    assert (found == nearest).all()


def test_below_the_smallest_number_the_chance_is_its_share_of_it():
    smallest = 2.0**-9  # of E4M3
    design = StochasticRounding(target="fp8_e4m3", random_bits=8)
    code = int(np.array([smallest * 3 / 256], np.float32).view(np.uint32)[0])
    found = numbers("fp8_e4m3", every(design, np.array([code]))[0])
    assert sorted(found.tolist()) == [0.0] * 253 + [smallest] * 3
    far_below = int(np.array([1e-40], np.float32).view(np.uint32)[0])
    assert not every(design, np.array([far_below])).any()


def test_whole_numbers_beyond_the_target_stay_at_its_end_or_wrap():
    codes = np.array([127, -128])
    assert rounded(fixed(1, 1, "cut", 4), codes, [1, 0]).tolist() == [7, -8]
    assert rounded(fixed(1, 1, "cut", 4, "infinity"), codes, [1, 0]).tolist() == [0, 0]


def test_the_mean_of_many_random_roundings_is_the_number():
    rng = np.random.default_rng(5)
    value = np.float32(1.2345)
    codes = np.full(40_000, value.view(np.uint32), np.int64)
    chance = rng.integers(0, 2**16, len(codes))
    found = numbers("fp8_e4m3", rounded(StochasticRounding(target="fp8_e4m3"), codes, chance))
    assert set(found.tolist()) == {1.125, 1.25}
    assert abs(found.mean() - float(value)) < 4 * found.std() / np.sqrt(len(codes))


def test_formats_that_do_not_go_together_are_refused():
    with pytest.raises(InputError, match="both be fixed or neither, got fp32 and fixed"):
        UNIT.design_type(target="fixed")
    with pytest.raises(InputError, match="target must not have more mantissa than source, got bf16 to fp16"):
        UNIT.design_type(source="bf16", target="fp16")
    with pytest.raises(InputError, match="shift must be below in_bits, 4, got 5"):
        UNIT.design_type(source="fixed", target="fixed", in_bits=4, shift=5)
