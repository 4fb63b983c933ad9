"""Do the figures of an approximation mean what they say, and does the law draw what it states?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from siloom.sim.approximation import Quality, exact_probabilities
from siloom.sim.drawn_attention import Clustered, draw
from siloom.sim.errors import InputError
from siloom.sim.ops import Attention


def operands(seq=20, dim=8, seed=0):
    return np.random.default_rng(seed).standard_normal((3, seq, dim)).astype(np.float32)


@pytest.mark.parametrize("causal", [False, True])
def test_exact_probabilities_are_a_softmax_in_double_precision(causal):
    q, k, _ = operands()
    found = exact_probabilities(q, k, causal)
    for i in range(20):
        keys = range(i + 1 if causal else 20)
        powers = [
            math.exp(sum(float(a) * float(b) for a, b in zip(q[i], k[j], strict=True)) / math.sqrt(8)) for j in keys
        ]
        expected = np.zeros(20)
        expected[: len(powers)] = np.array(powers) / sum(powers)
        assert np.allclose(found[i], expected, atol=1e-6)


def test_figures_by_hand():
    v = operands(seq=2)[2]
    p = np.array([[0.75, 0.25], [0.5, 0.5]], np.float32)
    kept = np.array([[True, False], [True, True]])
    matters = np.array([[True, True], [False, True]])
    quality = Quality()
    quality.add(p, v, kept, matters, p @ v, False)
    figures = quality.figures()
    assert figures["recall"] == pytest.approx(2 / 3)
    assert figures["precision"] == pytest.approx(2 / 3)
    assert figures["mass_kept"] == pytest.approx((0.75 + 1.0) / 2)
    assert figures["candidate_ratio"] == 0.75
    assert figures["output_error"] == 0.0


def test_everything_kept_and_everything_exact_is_perfect_and_nothing_kept_is_said():
    q, k, v = operands()
    p = exact_probabilities(q, k)
    every, none = np.ones((2, 20, 20), np.bool_)
    none[:] = False
    best, worst = Quality(), Quality()
    best.add(p, v, every, p > 0.05, p @ v, False)
    worst.add(p, v, none, none, np.zeros_like(v), False)
    figures = best.figures()
    # Each probability is rounded to float32, so a row's sum is 1 to half an ulp: which way is the processor's exp.
    assert figures.pop("mass_kept") == pytest.approx(1.0, abs=2**-24)
    figures.pop("precision")
    assert figures == {"recall": 1.0, "output_error": 0.0, "candidate_ratio": 1.0}
    assert worst.figures()["output_error"] == pytest.approx(1.0)
    assert worst.figures()["mass_kept"] == 0.0


def test_a_seed_draws_the_same_operands_and_another_does_not():
    first, again, other = (draw(Clustered(seed=seed), 2, 4, 2, 33, 16) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert [x.shape for x in first] == [(2, 4, 33, 16), (2, 2, 33, 16), (2, 2, 33, 16)]
    assert all(x.dtype == np.float32 for x in first)


def mean_probabilities(**law):
    q, k, _ = draw(Clustered(**law), 1, 8, 8, 128, 64)
    return np.mean([exact_probabilities(q[0, h], k[0, h]) for h in range(8)], axis=0)


def test_a_concentration_of_none_weighs_all_keys_alike():
    assert np.allclose(mean_probabilities(concentration=0.0), 1 / 128, atol=1e-6)


def test_a_sharper_law_keeps_its_mass_on_fewer_keys():
    sums = [np.sort(mean_probabilities(concentration=c), axis=1)[:, -13:].sum(axis=1).mean() for c in (1, 4, 12)]
    assert sums == sorted(sums)


def near(p):
    i, j = np.indices(p.shape)
    return p[np.abs(i - j) <= 4].sum() / len(p)


def test_locality_puts_mass_near_the_diagonal():
    assert near(mean_probabilities(locality=0.9)) > 1.5 * near(mean_probabilities(locality=0.0, stretch=1.0))


def test_global_tokens_are_looked_at_by_all():
    p = mean_probabilities(global_tokens=2)
    assert p[:, :2].mean() > 3 * p[:, 2:].mean()


def test_spread_makes_rows_differ():
    def deviation(spread):
        q, k, _ = draw(Clustered(spread=spread), 1, 1, 1, 128, 64)
        p = exact_probabilities(q[0, 0], k[0, 0])
        return np.std(-(p * np.log(p)).sum(axis=1))

    assert deviation(0.6) > 1.2 * deviation(0.0)


def test_operands_must_come_together_and_fit():
    x = np.zeros((1, 2, 8, 4), np.float32)
    with pytest.raises(InputError, match="q, k and v must be given together, got q alone"):
        Attention(seq=8, heads=2, dim=4, q=x)
    with pytest.raises(InputError, match="attention: v must be 1 x 2 x 8 x 4, got 1 x 1 x 8 x 4"):
        Attention(seq=8, heads=2, dim=4, q=x, k=x, v=x[:, :1])
    for wrong, got in ((x.astype(complex), "complex128"), ([[0.0]], "list"), (x.astype(object), "object")):
        with pytest.raises(InputError, match=f"attention: q must be an array of real numbers, got {got}"):
            Attention(seq=8, heads=2, dim=4, q=wrong, k=x, v=x)
    with pytest.raises(InputError, match="attention: kept must be an array of booleans, got int64"):
        Attention(seq=8, heads=2, dim=4, kept=np.ones((1, 2, 8, 8), np.int64))
    with pytest.raises(InputError, match="attention: v must lie within 1e\\+15, got 1e\\+300"):
        Attention(seq=8, heads=2, dim=4, q=x, k=x, v=x.astype(np.float64) + 1e300)
    double = Attention(seq=8, heads=2, dim=4, q=x.astype(np.float64), k=x, v=x)
    assert double.operands().q.dtype == np.float32
    with pytest.raises(InputError, match="attention: kept must be 1 x 2 x 8 x 8, got 8 x 8"):
        Attention(seq=8, heads=2, dim=4, kept=np.ones((8, 8), np.bool_))


def test_shared_keys_are_handed_to_their_heads():
    op = Attention(seq=8, heads=4, dim=4, kv_heads=2)
    given = op.operands()
    assert given.k.shape == (1, 4, 8, 4)
    assert np.array_equal(given.k[0, 0], given.k[0, 1])
    assert not np.array_equal(given.k[0, 1], given.k[0, 2])
