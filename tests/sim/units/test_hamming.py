"""Are distances counts of differing bits, and their cosines those of the angle less its bias?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.hamming import Hamming, contract, cosine_table, distances, hamming_reference


def test_every_pair_of_4_bit_hashes():
    design = Hamming(bits=4, cosine_fraction=3)
    beats = np.array([(one, other) for one in range(16) for other in range(16)], np.int64)
    expected = [hamming_reference(*map(int, beat), 4, design.bias_rad, 3) for beat in beats]
    assert [tuple(row) for row in contract(design).answer(beats).beats.tolist()] == expected


word = st.one_of(st.sampled_from([0, 1, 2**64 - 1, 2**63]), st.integers(0, 2**64 - 1))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.tuples(*[word] * (2 * n)), min_size=1, max_size=5)))
def test_any_number_of_words(pairs):
    words = len(pairs[0]) // 2
    keys = np.array([pair[words:] for pair in pairs], np.uint64)
    queries = np.array([pair[:words] for pair in pairs], np.uint64)
    expected = [[sum((int(a) ^ int(b)).bit_count() for a, b in zip(q, k, strict=True)) for k in keys] for q in queries]
    assert distances(queries, keys).tolist() == expected


def test_distance_is_a_metric():
    rng = np.random.default_rng(0)
    h = rng.integers(0, 2**63, (60, 1)).astype(np.uint64)
    d = distances(h, h).astype(np.int64)
    assert (d == d.T).all()
    assert (np.diagonal(d) == 0).all()
    assert (d[:, :, None] + d[None, :, :].transpose(0, 2, 1) >= d[:, None, :]).all()


def test_the_table_of_the_paper():
    table = cosine_table(64, 0.127, 7)
    assert table[:3].tolist() == [128, 128, 128]  # below the bias the angle is taken as none
    assert table[3] == 128  # cos(0.020) is one within the last place
    assert (table[:35] > 0).all()
    assert (table[35:] < 0).all()
    assert (np.diff(table) <= 0).all()
    assert table[64] == round(128 * math.cos(math.pi - 0.127))


def test_more_than_a_word_must_be_whole_words():
    with pytest.raises(InputError, match="bits above 64 must be a multiple of it, got 80"):
        Hamming(bits=80)
