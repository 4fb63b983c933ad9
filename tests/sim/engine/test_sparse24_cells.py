"""Does an array of 2:4 cells give the product, in the cycles of the closed form?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.contract import Whole
from siloom.sim.engine.sparse24_cells import dense_words, multiply_words, sparse_words
from siloom.sim.engine.systolic import array_cycles
from siloom.sim.units.sparse24_cell import STAGES, Sparse24Cell
from siloom.sim.units.sparse24_select import encode24, expand24


def drawn(rng, m, n, k, bits):
    half = 2 ** (bits - 1)
    return rng.integers(-half, half, (m, k)), rng.integers(-half, half, (k, n))


def pruned(b, bits):
    """A column's groups of four along k, pruned: kept and places (k / 4, n, 2), and the matrix that is left."""
    fours = b.reshape(-1, 4, b.shape[1]).transpose(0, 2, 1)
    kept, places = encode24(fours.reshape(-1, 4), Whole(bits))
    left = expand24(kept, places).reshape(fours.shape).transpose(0, 2, 1).reshape(b.shape)
    shape = (*fours.shape[:2], 2)
    return kept.reshape(shape), places.reshape(shape), left


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_sparse_product_is_that_of_the_pruned_matrix_in_the_cycles_of_half_as_many_rows(data):
    rows, cols, m, n, groups = (data.draw(st.integers(1, top)) for top in (5, 5, 9, 9, 9))
    bits = data.draw(st.sampled_from([4, 8, 16]))
    a, b = drawn(np.random.default_rng(data.draw(st.integers(0, 2**32))), m, n, 4 * groups, bits)
    kept, places, left = pruned(b, bits)
    ran = multiply_words(Sparse24Cell(bits=bits, acc_bits=64), rows, cols, sparse_words(a, kept, places, bits))
    assert (ran.product == a @ left).all()
    assert ran.cycles == array_cycles("ws", rows, cols, m, n, groups, stages=STAGES)
    assert ran.cycles == array_cycles("ws", rows, cols, m, n, groups) + 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_dense_product_takes_a_row_for_every_two_neighbours(data):
    rows, cols, m, n, k = (data.draw(st.integers(1, top)) for top in (5, 5, 9, 9, 17))
    a, b = drawn(np.random.default_rng(data.draw(st.integers(0, 2**32))), m, n, k, 8)
    ran = multiply_words(Sparse24Cell(acc_bits=64), rows, cols, dense_words(a, b, 8))
    assert (ran.product == a @ b).all()
    assert ran.cycles == array_cycles("ws", rows, cols, m, n, -(-k // 2), stages=STAGES)


def test_sums_wrap_at_the_cells_width():
    a, b = np.full((2, 18), -8), np.full((18, 3), -8)
    ran = multiply_words(Sparse24Cell(bits=4, acc_bits=8), 2, 2, dense_words(a, b, 4))
    assert (ran.product == (18 * 64 + 128) % 256 - 128).all()


@pytest.mark.parametrize("place", range(4))
def test_every_place_of_a_group_is_reached(place):
    a = np.array([[3, 5, 7, 11]])
    words = sparse_words(a, np.array([[[1, 0]]]), np.array([[[place, 0]]]), 8)
    assert multiply_words(Sparse24Cell(), 1, 1, words).product == a[0, place]
