"""BERT's encoder run forward in numpy, to have the queries, keys and values of real text.

As published (Devlin et al., NAACL 2019): the sum of token, position and type embeddings, normalised; then
layers of attention and of two dense products, each added to its input and normalised *after* the sum.
No dropout, no padding and so no mask, all tokens of type 0, and no pooler or head: nothing after the
last layer. All is float32, and products are the BLAS's: their last bits may differ between computers.

Shapes are suffixes: B sequences, S tokens, H hidden width, N heads, D elements a head (H = N D), I the width
between the two dense products, V words. Weights are [out, in], as checkpoints store them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Reals32 = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Activation = Callable[[Reals32], Reals32]


@dataclass(frozen=True, eq=False)
class Dense:
    """``x W^T + b``."""

    weight: Reals32
    bias: Reals32

    def __call__(self, x: Reals32) -> Reals32:
        """From [..., in] to [..., out]."""
        out: Reals32 = x @ self.weight.T
        out += self.bias
        return out


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """Each token's vector to mean 0 and variance 1, then scaled and shifted."""

    scale_H: Reals32
    shift_H: Reals32
    epsilon: float

    def __call__(self, x_BSH: Reals32) -> Reals32:
        """The same shape."""
        centred: Reals32 = x_BSH - x_BSH.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        centred /= np.sqrt(variance + np.float32(self.epsilon))
        centred *= self.scale_H
        centred += self.shift_H
        return centred


@dataclass(frozen=True, eq=False)
class EncoderLayer:
    """The weights of one layer."""

    query: Dense
    key: Dense
    value: Dense
    attention_output: Dense
    attention_norm: LayerNorm
    dense_in: Dense
    dense_out: Dense
    output_norm: LayerNorm


@dataclass(frozen=True, eq=False)
class LayerValues:
    """What one layer gave: ``q``, ``k``, ``v`` [B, N, S, D] and its output ``hidden`` [B, S, H]."""

    q: Reals32
    k: Reals32
    v: Reals32
    hidden: Reals32


@dataclass(frozen=True, eq=False)
class Bert:
    """An encoder: its tables, its layers, and how its heads and activation are."""

    words_VH: Reals32
    positions_SH: Reals32
    type0_H: Reals32
    norm: LayerNorm
    layers: tuple[EncoderLayer, ...]
    heads: int
    activation: str = "gelu"

    def embed(self, ids_BS: Ids) -> Reals32:
        """What the first layer reads, [B, S, H]."""
        seq = ids_BS.shape[1]
        return self.norm(self.words_VH[ids_BS] + self.positions_SH[:seq] + self.type0_H)

    def forward(self, ids_BS: Ids) -> Iterator[LayerValues]:
        """Layer after layer; stop asking, and the later ones are not computed."""
        x_BSH = self.embed(ids_BS)
        for layer in self.layers:
            q, k, v = (split_heads(project(x_BSH), self.heads) for project in (layer.query, layer.key, layer.value))
            attended = layer.attention_output(join_heads(softmax_scores(q, k) @ v))
            x_BSH = layer.attention_norm(x_BSH + attended)
            inner_BSI = ACTIVATIONS[self.activation](layer.dense_in(x_BSH))
            x_BSH = layer.output_norm(x_BSH + layer.dense_out(inner_BSI))
            yield LayerValues(q, k, v, x_BSH)


def split_heads(x_BSH: Reals32, heads: int) -> Reals32:
    """[B, S, H] to [B, N, S, D]."""
    batch, seq, hidden = x_BSH.shape
    return np.ascontiguousarray(x_BSH.reshape(batch, seq, heads, hidden // heads).swapaxes(1, 2))


def join_heads(x_BNSD: Reals32) -> Reals32:
    """[B, N, S, D] to [B, S, H]."""
    batch, heads, seq, dim = x_BNSD.shape
    return x_BNSD.swapaxes(1, 2).reshape(batch, seq, heads * dim)


def softmax_scores(q_BNSD: Reals32, k_BNSD: Reals32) -> Reals32:
    """softmax(q k^T / sqrt(D)), [B, N, S, S]."""
    scores: Reals32 = q_BNSD @ k_BNSD.swapaxes(-1, -2)
    scores *= np.float32(1.0 / math.sqrt(q_BNSD.shape[-1]))
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


def gelu(x: Reals32) -> Reals32:
    """X times the normal distribution's integral up to x, by the error function."""
    from scipy.special import erf

    out = 0.5 * x * (1.0 + erf(x * (1.0 / math.sqrt(2.0))))
    return out.astype(np.float32, copy=False)


def gelu_tanh(x: Reals32) -> Reals32:
    """GELU's approximation by a hyperbolic tangent."""
    out = 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))
    return out.astype(np.float32, copy=False)


def relu(x: Reals32) -> Reals32:
    """The larger of x and 0."""
    out: Reals32 = np.maximum(x, 0.0)
    return out


def silu(x: Reals32) -> Reals32:
    """X times its logistic function, written so that no exponential overflows."""
    out: Reals32 = (0.5 * x * (1.0 + np.tanh(0.5 * x))).astype(np.float32, copy=False)
    return out


ACTIVATIONS: Mapping[str, Activation] = {"gelu": gelu, "gelu_tanh": gelu_tanh, "relu": relu, "silu": silu}
"""By the names of :class:`siloom.workloads.transformer.Transformer`."""
