"""Is every kept key of a mask in exactly one sub-row, in order, and no sub-row fuller than a row of PEs?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.units.pack_split import PackSplit, contract, occupancy, pack_split_reference, sub_row_counts


@pytest.mark.parametrize("places", [1, 2, 3, 8])
def test_every_row_of_8_columns(places):
    design = PackSplit(columns=8, places=places)
    answer = contract(design).answer(np.arange(256, dtype=np.int64)[:, None])
    found: dict[int, list[list[int]]] = {}
    for cause, beat in zip(answer.cause.tolist(), answer.beats.tolist(), strict=True):
        found.setdefault(cause, []).append(beat[: beat[-1]])
        assert beat[beat[-1] : -1] == [beat[beat[-1] - 1]] * (places - beat[-1])
    for row in range(256):
        assert found.get(row, []) == pack_split_reference([bool(row >> c & 1) for c in range(8)], places)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=10), st.integers(1, 64))
def test_no_key_is_lost_or_doubled(rows, places):
    beats = np.array(rows, np.uint64).view(np.int64)[:, None]
    answer = contract(PackSplit(places=places)).answer(beats)
    kept = [
        (cause, c) for cause, b in zip(answer.cause.tolist(), answer.beats.tolist(), strict=True) for c in b[: b[-1]]
    ]
    assert kept == [(i, c) for i, row in enumerate(rows) for c in range(64) if row >> c & 1]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 20), st.integers(1, 150), st.integers(2, 64), st.integers(1, 64), st.floats(0, 1), st.integers(0, 99)
)
def test_counts_are_those_of_the_rule(rows, keys, columns, places, density, seed):
    mask = np.random.default_rng(seed).random((rows, keys)) < density
    parts = -(-keys // columns)
    expected = [
        [-(-int(mask[i, p * columns : (p + 1) * columns].sum()) // places) for p in range(parts)] for i in range(rows)
    ]
    counts = sub_row_counts(mask, columns, places)
    assert counts.tolist() == expected
    total = counts.sum()
    assert occupancy(mask, columns, places) == (mask.sum() / (total * places) if total else 1.0)


def test_a_full_mask_leaves_no_place_empty_and_one_key_a_row_leaves_most():
    assert occupancy(np.ones((5, 128), np.bool_), 64, 16) == 1.0
    assert occupancy(np.eye(64, dtype=np.bool_), 64, 16) == 1 / 16
