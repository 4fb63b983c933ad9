"""Are products those of APyTypes, an independent library, where its accumulators are right?

Version 0.5.1 does not saturate at every step and gives sums out beyond the width that was asked for; so sums are
compared exactly where the accumulator holds them, else modulo its range, and sums in half precision.
"""

from __future__ import annotations

import numpy as np
import pytest

from siloom.sim.contract import FP8_E4M3FN
from siloom.sim.units.float_gemm import float_gemm
from siloom.sim.units.fp_gemm import decoded
from siloom.sim.units.fp_mac import FpMac
from siloom.sim.units.int_gemm import int_gemm
from siloom.sim.units.mac import Mac

apytypes = pytest.importorskip("apytypes", reason="APyTypes, another hand, is not installed")


def fixed(codes):
    return apytypes.APyFixedArray.from_float(codes.astype(float), int_bits=8, frac_bits=0)


@pytest.mark.parametrize("acc_bits", [15, 16, 18, 24, 32])
def test_whole_numbers_that_wrap(acc_bits):
    rng = np.random.default_rng(acc_bits)
    a, b = (rng.integers(-127, 128, shape).astype(np.float32) for shape in ((5, 300), (300, 4)))
    context = apytypes.APyFixedAccumulatorContext(
        int_bits=acc_bits, frac_bits=0, overflow=apytypes.OverflowMode.WRAP, quantization=apytypes.QuantizationMode.TRN
    )
    with context:
        theirs = (fixed(a) @ fixed(b)).to_numpy()
    ours = int_gemm(a[None], b[None], Mac(acc_bits=acc_bits, overflow="wrap")).values[0]
    size = 1 << acc_bits
    assert np.array_equal(ours, (theirs + size / 2) % size - size / 2)
    if acc_bits >= 24:
        assert np.array_equal(ours, theirs)


def test_floats_in_half_precision():
    rng = np.random.default_rng(0)
    numbers = decoded(FP8_E4M3FN)[np.abs(decoded(FP8_E4M3FN)) <= 16]
    a, b = rng.choice(numbers, (5, 60)), rng.choice(numbers, (60, 4))
    context = apytypes.APyFloatAccumulatorContext(
        exp_bits=5, man_bits=10, quantization=apytypes.QuantizationMode.TIES_EVEN
    )
    with context:
        x, y = (apytypes.APyFloatArray.from_float(v.astype(float), exp_bits=5, man_bits=10) for v in (a, b))
        theirs = (x @ y).to_numpy()
    unit = FpMac(acc_exponent_bits=5, acc_mantissa_bits=10)
    assert np.array_equal(float_gemm(a[None], b[None], unit)[0][0], theirs)
