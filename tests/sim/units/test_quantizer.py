"""Does the quantizer round half to even and cut off symmetrically?"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.units.quantizer import quantize, quantizer_reference, quantizer_stream


def test_every_4_bit_number_and_scale_rounds_half_to_even():
    for shift in (0, 1, 3, 5):
        x, scale = (g.ravel() for g in np.meshgrid(np.arange(-8, 8), np.arange(16)))
        found = quantizer_stream(x[:, None].astype(np.int64), scale.astype(np.int64), shift, 7)
        expected = [quantizer_reference(int(a), int(b), shift, 7) for a, b in zip(x, scale, strict=True)]
        assert found[:, 0].tolist() == expected


def test_every_8_bit_number_at_some_scales():
    x = np.arange(-128, 128)
    for scale in (1, 3, 37, 64, 255):
        found = quantizer_stream(x[:, None].astype(np.int64), np.full(256, scale, np.int64), 6, 127)
        assert found[:, 0].tolist() == [quantizer_reference(int(a), scale, 6, 127) for a in x]


@settings(max_examples=100, deadline=None)
@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**30 - 1), st.integers(0, 61), st.integers(2, 16))
def test_any_number_scale_and_shift(x, scale, shift, bits):
    top = 2 ** (bits - 1) - 1
    found = quantizer_stream(np.array([[x]], np.int64), np.array([scale], np.int64), shift, top)
    assert found[0, 0] == quantizer_reference(x, scale, shift, top)


def test_the_software_quantizer_never_uses_its_most_negative_code():
    x = np.linspace(-2, 2, 4001).astype(np.float32)
    codes = quantize(x, np.float32(7.0), 4)
    assert (codes.min(), codes.max()) == (-7, 7)
    assert quantize(np.array([0.5, 1.5, 2.5, -0.5], np.float32), np.float32(1), 4).tolist() == [0, 2, 2, 0]
