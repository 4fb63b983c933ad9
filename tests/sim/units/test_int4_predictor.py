"""Are predicted products exact, and predicted scores those of Sanger's software?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.units.int4_predictor import (
    Int4Predictor,
    contract,
    int4_predictor_reference,
    predicted_scores,
    shared_scale,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-7, 7), st.integers(-7, 7)), min_size=64, max_size=64))
def test_predicted_products_are_exact_in_13_bits(pairs):
    q, k = zip(*pairs, strict=True)
    design = Int4Predictor()
    assert design.score.bits == 13
    assert contract(design).answer(np.array([[*q, *k]], np.int64)).beats[0, 0] == int4_predictor_reference(q, k)


def test_predicted_scores_follow_the_softwares_steps():
    rng = np.random.default_rng(4)
    q, k = rng.standard_normal((2, 40, 64)).astype(np.float32)
    sq, sk = shared_scale(q, 4), shared_scale(k, 4)
    found = predicted_scores(q, k, sq, sk, 4)
    for i in range(0, 40, 7):
        for j in range(0, 40, 5):
            qn, kn = math.sqrt(sum(float(x) ** 2 for x in q[i])), math.sqrt(sum(float(x) ** 2 for x in k[j]))
            qc = [max(-7, min(7, round(float(x) / qn * float(sq)))) for x in q[i]]
            kc = [max(-7, min(7, round(float(x) / kn * float(sk)))) for x in k[j]]
            acc = sum(a * b for a, b in zip(qc, kc, strict=True))
            assert found[i, j] == pytest.approx(acc / (float(sq) * float(sk)) * qn * kn / 8, rel=1e-4, abs=1e-5)


def test_more_bits_predict_better():
    rng = np.random.default_rng(4)
    q, k = rng.standard_normal((2, 200, 64)).astype(np.float32)
    exact = q @ k.T / 8
    errors = [
        np.abs(predicted_scores(q, k, shared_scale(q, b), shared_scale(k, b), b) - exact).mean() for b in (2, 4, 6, 8)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01
