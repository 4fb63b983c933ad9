"""Does what the attention accelerators share do what each of them relies on?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siloom.models._attention import keep_best_where_none


@given(st.integers(0, 999), st.booleans(), st.sampled_from([np.int32, np.int64, np.float32]))
def test_rows_without_a_key_keep_the_first_of_their_best_allowed_ones(seed, causal, kind):
    rng = np.random.default_rng(seed)
    seq = int(rng.integers(1, 9))
    kept = rng.random((seq, seq)) < 0.2
    allowed = np.tril(np.ones((seq, seq), bool)) if causal else np.ones((seq, seq), bool)
    kept &= allowed
    scores = rng.integers(-3, 3, (seq, seq)).astype(kind)
    expected = kept.copy()
    for i in np.flatnonzero(~kept.any(axis=1)).tolist():
        expected[i, max(np.flatnonzero(allowed[i]).tolist(), key=lambda j: (scores[i, j], -j))] = True
    without = int((~kept.any(axis=1)).sum())
    assert keep_best_where_none(kept, allowed, lambda rows: scores[rows]) == without
    assert (kept == expected).all()


@pytest.mark.parametrize("least", [np.float32(-np.inf), np.int64(np.iinfo(np.int64).min)])
def test_even_where_every_score_is_the_least_there_is_the_key_is_an_allowed_one(least):
    kept = np.zeros((1, 3), bool)
    allowed = np.array([[False, True, True]])
    assert keep_best_where_none(kept, allowed, lambda rows: np.full((len(rows), 3), least)) == 1
    assert kept.tolist() == [[False, True, False]]
