"""Do lanes over heads round as exact fractions do, and is the fitted codec the one that loses least?"""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units import head_mix
from siloom.sim.units.head_mix import (
    HeadMix,
    fit_codec,
    head_mix_reference,
    head_mix_stream,
    mixed_heads,
    weight_codes,
)


def test_every_code_and_weight_of_the_smallest_lane() -> None:
    size = head_mix.UNIT.sizes[0]
    beats = np.array(list(product(range(-2, 2), repeat=4)), np.int64)
    got = head_mix.contract(size).function(beats).beats[:, 0]
    expected = [head_mix_reference(b[:2], b[2:], size.weight_fraction, size.code_bits) for b in beats.tolist()]
    assert got.tolist() == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 16), st.integers(2, 16), st.integers(0, 15), st.integers(0, 2**32 - 1))
def test_whole_heads_beat_by_beat_and_by_fractions_are_one(heads: int, bits: int, fraction: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    half = 1 << (bits - 1)
    x = rng.integers(-half, half, (heads, 5))
    w = rng.integers(-half, half, (3, heads))
    whole, held = mixed_heads(x, w, fraction, bits)
    exact = [[sum(a * b for a, b in zip(x[:, j].tolist(), row.tolist(), strict=True)) for j in range(5)] for row in w]
    assert held == sum(not -half - 0.5 <= value / 2**fraction < half - 0.5 for row in exact for value in row)
    for made in range(3):
        lane = head_mix_stream(np.ascontiguousarray(x.T), np.tile(w[made], (5, 1)), fraction, -half, half - 1)[:, 0]
        assert lane.tolist() == whole[made].tolist()
        assert lane[0] == head_mix_reference(x[:, 0].tolist(), w[made].tolist(), fraction, bits)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_no_other_pair_of_maps_loses_less(heads: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal((heads, heads)) @ rng.standard_normal((heads, 40))
    losses = []
    for kept in range(1, heads + 1):
        codec = fit_codec(samples, kept)
        lost = np.linalg.norm(samples - codec.decoder @ (codec.encoder @ samples))
        values = np.linalg.svd(samples, compute_uv=False)
        assert lost == pytest.approx(np.linalg.norm(values[kept:]), abs=1e-6 * values[0])
        other = rng.standard_normal((kept, heads))
        best_decoder = samples @ np.linalg.pinv(other @ samples)
        assert lost <= np.linalg.norm(samples - best_decoder @ (other @ samples)) + 1e-6 * values[0]
        losses.append(lost)
    assert all(more <= less + 1e-9 for less, more in pairwise(losses))
    assert losses[-1] == pytest.approx(0, abs=1e-6 * np.linalg.norm(samples))


def test_all_heads_kept_come_back_within_a_code() -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(-60, 60, (4, 200))
    codec = fit_codec(x.astype(float), 4)
    enc, dec = (weight_codes(w, 12, 10) for w in (codec.encoder, codec.decoder))
    coded, held = mixed_heads(x, enc, 10, 12)
    back, _ = mixed_heads(coded, dec, 10, 12)
    assert held == 0
    # Half a code for every encoded head through weights of a rotation, half for the last rounding, and the weights'.
    assert np.abs(back - x).max() <= 2


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="kept must be 1 to 2 heads, got 3"):
        fit_codec(np.ones((2, 4)), 3)
    with pytest.raises(InputError, match="samples must be finite"):
        fit_codec(np.full((2, 4), np.nan), 1)
    with pytest.raises(InputError, match="weight_fraction must be below weight_bits"):
        HeadMix(weight_bits=4, weight_fraction=4)
