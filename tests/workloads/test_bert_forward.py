"""Does the numpy encoder compute BERT? Held to another implementation: float64, one token and head at a time."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from siloom.workloads.bert_checkpoint import open_checkpoint
from siloom.workloads.bert_forward import Bert, LayerValues, gelu_tanh, silu, softmax_scores

IDS = np.array([[2, 5, 6, 7, 8, 11, 3], [2, 20, 21, 22, 5, 5, 3]])


@pytest.fixture
def bert(tiny_bert, tmp_path: Path) -> Bert:
    return open_checkpoint(tiny_bert.write(tmp_path)).read()[0]


class Oracle:
    """BERT from its description: plain loops over tokens, heads and elements, in Python's floats."""

    def __init__(self, weights: dict[str, np.ndarray], config: dict) -> None:
        self.w = {name: value.astype(np.float64) for name, value in weights.items()}
        self.config = config

    def affine(self, name: str, x: np.ndarray) -> np.ndarray:
        return np.einsum("oi,i->o", self.w[f"{name}.weight"], x) + self.w[f"{name}.bias"]

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        deviation = math.sqrt(np.var(x) + self.config["layer_norm_eps"])
        return self.w[f"{name}.weight"] * ((x - np.mean(x)) / deviation) + self.w[f"{name}.bias"]

    def activate(self, x: float) -> float:
        if self.config["hidden_act"] == "relu":
            return max(0.0, x)
        return x * math.erfc(-x / math.sqrt(2.0)) / 2.0

    def sequence(self, ids: np.ndarray) -> list[dict[str, np.ndarray]]:
        words, positions, types = (
            self.w[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")
        )
        x = [self.norm("embeddings.LayerNorm", words[n] + positions[at] + types[0]) for at, n in enumerate(ids)]
        layers = []
        for number in range(self.config["num_hidden_layers"]):
            at = f"encoder.layer.{number}"
            q, k, v = (
                np.array([self.affine(f"{at}.attention.self.{name}", token) for token in x])
                for name in ("query", "key", "value")
            )
            x = [self.token(at, token, q[n], k, v) for n, token in enumerate(x)]
            layers.append({"q": q, "k": k, "v": v, "hidden": np.array(x)})
        return layers

    def token(self, at: str, x: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        heads = self.config["num_attention_heads"]
        dim = len(q) // heads
        mixed = []
        for head in range(heads):
            part = slice(head * dim, (head + 1) * dim)
            weights = [math.exp(np.dot(q[part], key[part]) / math.sqrt(dim)) for key in k]
            mixed.append(sum(w * value[part] for w, value in zip(weights, v, strict=True)) / sum(weights))
        attended = self.affine(f"{at}.attention.output.dense", np.concatenate(mixed))
        x = self.norm(f"{at}.attention.output.LayerNorm", x + attended)
        inner = np.array([self.activate(element) for element in self.affine(f"{at}.intermediate.dense", x)])
        return self.norm(f"{at}.output.LayerNorm", x + self.affine(f"{at}.output.dense", inner))


def _joined(values: LayerValues, name: str) -> np.ndarray:
    array = getattr(values, name)
    return array if name == "hidden" else array.swapaxes(1, 2).reshape(*array.shape[::2], -1)


@pytest.mark.parametrize("changed", [{}, {"hidden_act": "relu"}, {"layer_norm_eps": 0.5}, {"num_attention_heads": 6}])
def test_every_layer_equals_another_implementation(tiny_bert, tmp_path: Path, changed: dict) -> None:
    bert, _ = open_checkpoint(tiny_bert.write(tmp_path, **changed)).read()
    found = list(bert.forward(IDS))
    oracle = Oracle(tiny_bert.tensors(**changed), tiny_bert.config | changed)
    assert len(found) == tiny_bert.config["num_hidden_layers"]
    for sequence, ids in enumerate(IDS):
        for layer, expected in zip(found, oracle.sequence(ids), strict=True):
            for name, array in expected.items():
                ours = getattr(layer, name)
                assert ours.dtype == np.float32
                assert np.abs(_joined(layer, name)[sequence] - array).max() < 2e-5 * max(1.0, np.abs(array).max())


def test_heads_are_slices_of_the_width_in_order(bert: Bert) -> None:
    values = next(bert.forward(IDS))
    assert values.q.shape == (2, 3, 7, 4)
    assert all(array.flags.c_contiguous for array in (values.q, values.k, values.v))


def test_rows_of_attention_sum_to_one(bert: Bert) -> None:
    for values in bert.forward(IDS):
        rows = softmax_scores(values.q, values.k).sum(axis=-1)
        assert np.abs(rows - 1).max() < 1e-6


def test_sequences_do_not_see_one_another(bert: Bert) -> None:
    together = list(bert.forward(IDS))
    for turned, straight in zip(bert.forward(IDS[::-1]), together, strict=True):
        assert np.array_equal(turned.hidden[::-1], straight.hidden)
    for alone, both in zip(bert.forward(IDS[1:]), together, strict=True):
        assert np.allclose(alone.hidden[0], both.hidden[1], atol=1e-6)


def test_order_matters_through_positions_alone(bert: Bert) -> None:
    order = np.array([0, 3, 1, 2, 5, 4, 6])
    *_, straight = bert.forward(IDS[:1])
    *_, mixed = bert.forward(IDS[:1, order])
    assert not np.allclose(mixed.hidden, straight.hidden[:, order], atol=1e-3)
    bert.positions_SH[:] = 0
    *_, straight = bert.forward(IDS[:1])
    *_, mixed = bert.forward(IDS[:1, order])
    assert np.allclose(mixed.hidden, straight.hidden[:, order], atol=1e-5)


def test_later_layers_are_not_computed_until_asked(bert: Bert) -> None:
    bert.layers[2].query.weight[:] = np.nan
    first, second, last = bert.forward(IDS)
    assert np.isfinite(second.hidden).all() and not np.isfinite(last.q).any()
    assert np.isfinite(next(bert.forward(IDS)).hidden).all() and first.hidden.shape == (2, 7, 12)


def test_activations_are_their_formulas() -> None:
    x = np.linspace(-6, 6, 101, dtype=np.float32)
    wide = x.astype(np.float64)
    assert np.allclose(silu(x), wide / (1 + np.exp(-wide)), atol=1e-6)
    tanh = np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3))
    assert np.allclose(gelu_tanh(x), wide / 2 * (1 + tanh), atol=1e-6)
    assert silu(x).dtype == gelu_tanh(x).dtype == np.float32
