"""Is the length of a vector the whole number nearest to it?"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.units.norm import norm_reference, norms


def test_every_pair_of_5_bit_elements():
    vectors = list(product(range(-16, 16), repeat=2))
    found = norms(np.array(vectors, np.int32), 5)
    assert found.tolist() == [norm_reference(x, 5) for x in vectors]
    assert found.tolist() == [min(31, round(math.hypot(*x))) for x in vectors]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.sampled_from([-32768, 32767]), st.integers(-32768, 32767)), min_size=1, max_size=40))
def test_any_vector(x):
    assert norms(np.array([x], np.int32), 24)[0] == norm_reference(x, 24)


def test_around_every_square_and_every_half():
    roots = np.arange(1, 2000)
    # Sums next to (r + 1/2)^2, written as sums of four squares by choosing vectors of ones and a root.
    for extra in (0, 1):
        x = np.zeros((len(roots), 4001), np.int32)
        x[:, 0] = roots
        for row, root in enumerate(roots):
            x[row, 1 : 1 + root + extra] = 1  # r^2 + r, then r^2 + r + 1
        assert (norms(x, 24) == roots + extra).all()


def test_scaling_a_vector_scales_its_length():
    x = np.random.default_rng(1).integers(-100, 101, (200, 64)).astype(np.int32)
    assert (np.abs(norms(4 * x, 24) - 4 * norms(x, 24)) <= 2).all()
