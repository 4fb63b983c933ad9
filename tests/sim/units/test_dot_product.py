"""Is the product of two vectors the exact sum of their elements' products?"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.units.dot_product import DotProduct, contract, dot_product_reference

element = st.one_of(st.sampled_from([-(2**23), 2**23 - 1]), st.integers(-(2**23), 2**23 - 1))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12).flatmap(lambda n: st.lists(st.lists(element, min_size=2 * n, max_size=2 * n), min_size=1)))
def test_any_vectors(beats):
    dim = len(beats[0]) // 2
    found = contract(DotProduct(dim=dim, a_bits=24, b_bits=24)).answer(np.array(beats, np.int64)).beats
    assert found[:, 0].tolist() == [dot_product_reference(beat[:dim], beat[dim:]) for beat in beats]


def test_the_largest_sum_fits():
    design = DotProduct(dim=64)
    assert contract(design).answer(np.full((1, 128), -256, np.int64)).beats.tolist() == [[64 * 2**16]]
    assert design.total.high >= 64 * 2**16
    assert DotProduct(dim=4096, a_bits=24, b_bits=24).total.bits == 60
