"""Is a key a candidate exactly where its length times its cosine passes the bound?"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.units.candidate_select import (
    CandidateSelect,
    bound_code,
    candidate_select_reference,
    candidate_select_stream,
    candidates,
    contract,
)
from siloom.sim.units.hamming import cosine_table


def test_every_norm_cosine_and_bound_of_a_small_unit():
    design = CandidateSelect(norm_bits=3, norm_fraction=1, cosine_fraction=2)
    ports = contract(design).inputs.ports
    grids = np.meshgrid(*(np.arange(p.format.low, p.format.high + 1) for p in ports), indexing="ij")
    beats = np.stack([g.ravel() for g in grids], axis=1)
    expected = [
        candidate_select_reference(Fraction(int(n), 2), Fraction(int(c), 4), Fraction(int(b), 8)) for n, c, b in beats
    ]
    assert contract(design).answer(beats).beats[:, 0].tolist() == expected
    assert candidate_select_stream(beats)[:, 0].tolist() == expected


@settings(max_examples=60, deadline=None)
@given(st.floats(-1, 1), st.lists(st.integers(0, 255), min_size=1, max_size=20), st.integers(0, 2**31))
def test_the_bounds_floor_loses_nothing(threshold, lengths, seed):
    norm = np.array(lengths, np.int32)
    table = cosine_table(64, 0.127, 7)
    distance = np.random.default_rng(seed).integers(0, 65, (5, len(norm))).astype(np.uint16)
    bound = bound_code(threshold, int(norm.max()), 7)
    exact = Fraction(threshold) * int(norm.max())
    expected = [
        [n * Fraction(int(table[h]), 128) > exact for n, h in zip(lengths, row, strict=True)] for row in distance
    ]
    assert candidates(distance, norm, table, bound).tolist() == expected


def test_a_stricter_threshold_never_keeps_more():
    rng = np.random.default_rng(2)
    norm = rng.integers(1, 256, 100).astype(np.int32)
    distance = rng.integers(0, 65, (50, 100)).astype(np.uint16)
    table = cosine_table(64, 0.127, 7)
    before = np.ones((50, 100), np.bool_)
    for threshold in np.linspace(-1, 1, 41):
        kept = candidates(distance, norm, table, bound_code(float(threshold), int(norm.max()), 7))
        assert not (kept & ~before).any()
        before = kept
    assert not before.any()
