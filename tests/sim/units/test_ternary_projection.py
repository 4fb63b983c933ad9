"""Is the ternary projection an exact sum of additions, and does it keep lengths as Achlioptas says?"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.ternary_projection import (
    UNIT,
    TernaryProjection,
    contract,
    ternary_matrix,
    ternary_projection_reference,
    ternary_projection_vectors,
)


def project(x, matrix):
    return ternary_projection_vectors(np.array(x, np.int64), matrix.astype(np.int64))


def test_every_pair_of_4_bit_elements():
    matrix = ternary_matrix(2, 5, 1)
    vectors = list(itertools.product(range(-8, 8), repeat=2))
    assert project(vectors, matrix).tolist() == [ternary_projection_reference(x, matrix) for x in vectors]


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 8), st.integers(0, 99), st.data())
def test_kernel_equals_additions_and_fits_the_port(dim, rank, seed, data):
    design = TernaryProjection(dim=dim, rank=rank, x_bits=16, seed=seed)
    ends = st.one_of(st.sampled_from([-(2**15), 2**15 - 1]), st.integers(-(2**15), 2**15 - 1))
    x = data.draw(st.lists(st.lists(ends, min_size=dim, max_size=dim), min_size=1, max_size=4))
    answer = contract(design).answer(np.array(x, np.int64)).beats
    assert answer.tolist() == [ternary_projection_reference(row, design.matrix) for row in x]


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_projection_is_linear(seed):
    rng = np.random.default_rng(seed)
    matrix = ternary_matrix(16, 6, seed)
    x, y = rng.integers(-1000, 1000, (2, 3, 16))
    assert (project(x + y, matrix) == project(x, matrix) + project(y, matrix)).all()


def test_entries_have_their_probabilities_and_a_seed_gives_the_same_matrix():
    matrix = ternary_matrix(300, 300, 5)
    shares = [np.mean(matrix == value) for value in (-1, 0, 1)]
    assert shares == pytest.approx([1 / 6, 2 / 3, 1 / 6], abs=0.006)
    assert (matrix == ternary_matrix(300, 300, 5)).all()
    assert (matrix != ternary_matrix(300, 300, 6)).any()


def test_lengths_are_kept_in_the_mean_once_the_scale_is_applied():
    x = np.random.default_rng(3).integers(-1000, 1000, (1, 64))
    lengths = [
        design.scale**2 * float(np.sum(project(x, design.matrix) ** 2))
        for design in (TernaryProjection(rank=32, seed=seed) for seed in range(400))
    ]
    # Squares spread by sqrt(2 / rank), the mean of 400 by a twentieth of that.
    assert np.mean(lengths) == pytest.approx(float(np.sum(x**2)), rel=5 * (2 / 32) ** 0.5 / 20)


def test_cycles_are_those_of_the_additions():
    for adders in (1, 7, 512):
        design = TernaryProjection(adders=adders)
        assert design.cycles == -(-int((design.matrix != 0).sum()) // adders)


def test_sizes_out_of_range_are_named():
    with pytest.raises(InputError, match="rank must be at least 1, got 0"):
        UNIT.design_type(rank=0)


@pytest.mark.parametrize("size", UNIT.sizes, ids=lambda size: size.content_hash()[:6])
def test_every_size_keeps_its_formats_and_its_rate(size):
    promise = contract(size)
    rng = np.random.default_rng(1)
    beats = np.stack([rng.integers(form.low, form.high + 1, 300) for form in promise.inputs.formats], axis=1)
    beats = promise.legal(beats) if promise.legal else beats
    answer = promise.answer(beats)
    timed = promise.schedule(beats, np.zeros(300, np.int64), np.ones(0, bool))
    assert len(timed.left) == len(answer.beats) > 0
    assert (np.diff(timed.left) >= 1).all()
