"""Attention operands drawn by a stated law: clusters, neighbours, global tokens, and rows that differ.

Where nobody gives Q, K and V, a machine whose time depends on them draws them here. Scores of one head are::

    s[i, j] = c[i] * ((1 - locality) * <t[i], t[j]> + locality * <p[i], p[j]> + <g[i], g[j]>) + noise

- ``t`` are unit vectors of topics: tokens follow one another in stretches of a topic, of ``stretch`` tokens in the
  mean, and every stretch takes one of ``topics`` at random; each token lies somewhat beside its topic.
- ``p`` are positions: pairs of a cosine and a sine whose products fall off with distance about as a Gaussian
  of ``width`` tokens does.
- ``g`` is a direction of its own: every query looks along it, and only the first ``global_tokens`` keys, such
  as [CLS], lie on it.
- ``c[i]`` is how sharp row i is: log-normal around ``concentration``, one factor a head and one a row. It is what makes
  the counts of keys that matter differ between rows and heads; ``spread`` 0 makes them alike.
- noise is that of a random part of every vector.

The whole is turned by a random orthogonal matrix, so that no element of a vector means anything by
itself. V is normal with a mean that its topic shares. All randomness is ``numpy.random.default_rng(seed)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.sim.design import Design, parameter

Reals32 = npt.NDArray[np.float32]

_CHOICE = "chosen by the user"


@dataclass(frozen=True)
class Clustered(Design):
    """The law's settings; see the module."""

    concentration: float = parameter(
        6.0, unit="", low=0.0, high=100.0, source="scores of a token with itself, in units of softmax", status="assumed"
    )
    locality: float = parameter(0.4, unit="", low=0.0, high=1.0, source="share of position", status="assumed")
    global_tokens: int = parameter(1, unit="tokens", low=0, high=2**20, source=_CHOICE, status="assumed")
    topics: int = parameter(8, unit="", low=1, high=2**16, source=_CHOICE, status="assumed")
    stretch: float = parameter(12.0, unit="tokens", low=1.0, high=2.0**20, source=_CHOICE, status="assumed")
    width: float = parameter(4.0, unit="tokens", low=0.25, high=2.0**20, source=_CHOICE, status="assumed")
    spread: float = parameter(
        0.35, unit="", low=0.0, high=2.0, source="deviation of ln(sharpness), heads and rows alike", status="assumed"
    )
    noise: float = parameter(
        0.3, unit="", low=0.0, high=10.0, source="length of the random part of a vector", status="assumed"
    )
    seed: int = parameter(0, unit="", low=0, high=2**63 - 1, source=_CHOICE, status="assumed")


@dataclass(frozen=True, eq=False)
class Operands:
    """``q``, ``k`` and ``v`` of every head, each [batch, heads, seq, dim]."""

    q: Reals32
    k: Reals32
    v: Reals32


def draw(law: Clustered, batch: int, heads: int, kv_heads: int, seq: int, dim: int) -> tuple[Reals32, Reals32, Reals32]:
    """Q [batch, heads, seq, dim], K and V [batch, kv_heads, seq, dim], drawn by ``law``."""
    rng = np.random.default_rng(law.seed)
    q = np.empty((batch, heads, seq, dim), np.float32)
    k = np.empty((batch, kv_heads, seq, dim), np.float32)
    v = np.empty((batch, kv_heads, seq, dim), np.float32)
    share = heads // kv_heads
    long = math.sqrt(law.concentration * math.sqrt(dim))  # of q and k alike: scores are divided by sqrt(dim)
    for sequence in range(batch):
        topic = _topics(law, seq, rng)
        for group in range(kv_heads):
            seen, turn = _tokens(law, topic, seq, dim, rng)
            k[sequence, group] = long * ((seen + _globals(law, seq, dim)) @ turn)
            v[sequence, group] = rng.standard_normal((law.topics, dim))[topic] + rng.standard_normal((seq, dim))
            for head in range(group * share, (group + 1) * share):
                sharp = np.exp(law.spread * (rng.standard_normal() + rng.standard_normal((seq, 1))))
                asks = seen + law.noise * _unit(rng.standard_normal((seq, dim)))
                asks[:, :1] = 1.0
                q[sequence, head] = long * sharp * (asks @ turn)
    return q, k, v


def _topics(law: Clustered, seq: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """The topic of every token."""
    begins = rng.random(seq) < 1.0 / law.stretch
    drawn = rng.integers(0, law.topics, seq)
    topic: npt.NDArray[np.int64] = drawn[np.cumsum(begins) % seq]
    return topic


def _tokens(
    law: Clustered, topic: npt.NDArray[np.int64], seq: int, dim: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What every token is in one head, [seq, dim], its first element left free, and the turn, [dim, dim]."""
    pairs = max(0, (dim - 1) // 4)
    rest = dim - 1 - 2 * pairs
    out = np.zeros((seq, dim))
    if rest:
        centres = _unit(rng.standard_normal((law.topics, rest)))
        beside = _unit(centres[topic] + law.noise * _unit(rng.standard_normal((seq, rest))))
        out[:, 1 : 1 + rest] = math.sqrt(1.0 - law.locality) * beside
    if pairs:
        angle = np.outer(np.arange(seq), rng.standard_normal(pairs) / law.width)
        waves = np.concatenate((np.cos(angle), np.sin(angle)), axis=1) / math.sqrt(pairs)
        out[:, 1 + rest :] = math.sqrt(law.locality) * waves
    turn, _ = np.linalg.qr(rng.standard_normal((dim, dim)))
    return out, turn


def _globals(law: Clustered, seq: int, dim: int) -> npt.NDArray[np.float64]:
    """The direction that global keys lie on."""
    out = np.zeros((seq, dim))
    out[: law.global_tokens, 0] = 1.0
    return out


def _unit(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    longs: npt.NDArray[np.float64] = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(longs, 1e-30)
