"""Are a Kronecker hash's bits the signs of the whole matrix's product, and its angles as good as a free matrix's?"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.hash_angle import angle_bias_rad, angle_errors, projection_matrix
from siloom.sim.units.srp_hash import SrpHash, sides_for, srp_hash_reference, srp_hash_vectors

SIDES = [(4, 4, 4), (8, 8, 1), (4, 4, 2), (5, 3, 2), (8, 4, 4), (16, 1, 1)]


def hashes(x, design):
    return srp_hash_vectors(np.array(x, np.int32), *design.factors)


@pytest.mark.parametrize("sides", [(2, 1, 1), (2, 2, 1), (4, 1, 1)])
def test_every_vector_of_small_numbers(sides):
    a, b, c = sides
    design = SrpHash(side_a=a, side_b=b, side_c=c, x_bits=3, factor_bits=4)
    vectors = list(product(range(-4, 4), repeat=design.dim))
    expected = [srp_hash_reference(x, design.factors) for x in vectors]
    assert hashes(vectors, design)[:, 0].tolist() == expected


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([(4, 4, 4), (8, 8, 1), (4, 4, 2), (5, 3, 2), (8, 4, 4), (16, 1, 1)]),
    st.integers(0, 2**31),
    st.data(),
)
def test_any_vector_and_any_sides(sides, seed, data):
    a, b, c = sides
    design = SrpHash(side_a=a, side_b=b, side_c=c, seed=seed)
    ends = st.sampled_from([-256, 255, -1, 0, 1])
    x = data.draw(st.lists(st.one_of(ends, st.integers(-256, 255)), min_size=design.dim, max_size=design.dim))
    words = hashes([x], design)[0]
    assert sum(int(word) << (64 * at) for at, word in enumerate(words)) == srp_hash_reference(x, design.factors)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 200])
def test_blocks_of_vectors_do_not_mix(count):
    design = SrpHash()
    x = np.random.default_rng(3).integers(-255, 256, (count, 64)).astype(np.int32)
    assert hashes(x, design)[:, 0].tolist() == [srp_hash_reference(row.tolist(), design.factors) for row in x]


def test_64_elements_take_768_multiplies_in_3_cycles():
    assert (SrpHash().multiplies, SrpHash().cycles) == (3 * 64 * 4, 3)
    assert SrpHash(side_a=8, side_b=8, side_c=1).multiplies == 2 * 64 * 8


def test_sides_are_the_cheapest_and_lengths_without_are_refused():
    assert [sides_for(d) for d in (64, 32, 128, 16, 13)] == [(4, 4, 4), (4, 4, 2), (8, 4, 4), (4, 4, 1), (13, 1, 1)]
    for dim in range(2, 300):
        every = [s for s in product(range(1, 17), repeat=3) if np.prod(s) == dim]
        if not every:
            with pytest.raises(InputError, match=f"which {dim} is not; no Kronecker projection fits it"):
                sides_for(dim)
        else:
            assert sum(s for s in sides_for(dim) if s > 1) == min(sum(s for s in t if s > 1) for t in every)


def test_negating_a_vector_flips_every_bit_that_is_not_a_zero():
    design = SrpHash()
    x = np.random.default_rng(0).integers(-255, 256, (500, 64)).astype(np.int32)
    whole = np.kron(np.kron(*design.factors[:2]), design.factors[2]).astype(np.int64)
    zeros = (x.astype(np.int64) @ whole.T == 0).any(axis=1)
    same = hashes(x, design) ^ hashes(-x, design)
    assert (same[~zeros, 0] == np.uint64(2**64 - 1)).all()


@pytest.mark.parametrize("kind", ["kronecker", "orthogonal"])
def test_the_80th_percentile_of_the_angles_error_is_0_127(kind):
    errors = angle_errors(kind, 64, matrices=100, pairs=2000)
    assert np.percentile(errors, 80) == pytest.approx(0.127, abs=0.003)
    assert errors.std() == pytest.approx(0.151, abs=0.003)


def test_gaussian_directions_are_worse_and_other_lengths_have_a_bias_of_their_own():
    assert np.percentile(angle_errors("gaussian", 64), 80) == pytest.approx(0.165, abs=0.004)
    assert angle_bias_rad("kronecker", 64) == pytest.approx(0.127, abs=0.002)
    assert angle_bias_rad("kronecker", 32) > 1.2 * angle_bias_rad("kronecker", 64)


def test_the_units_own_bits_have_the_same_angles():
    design = SrpHash()
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((2, 100_000, 64))
    a, b = (srp_hash_vectors(np.rint(z * 8).astype(np.int32), *design.factors)[:, 0] for z in (x, y))
    differ = np.bitwise_count(a ^ b)
    true = np.arccos(np.einsum("pd,pd->p", x, y) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1))
    assert np.percentile(np.pi * differ / 64 - true, 80) == pytest.approx(0.127, abs=0.003)


def test_the_matrix_of_a_kind_that_is_none_is_refused():
    with pytest.raises(InputError, match="projection must be one of kronecker, orthogonal, gaussian, none, got 'fft'"):
        projection_matrix("fft", 64, 0)


def test_sums_beyond_32_bits_are_refused():
    with pytest.raises(InputError, match="must fit 32 bits"):
        SrpHash(side_a=16, side_b=16, side_c=16, x_bits=16, factor_bits=12)
