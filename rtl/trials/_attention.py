"""What attention machines' trials are made of: operands, drawn, real or to the formats' ends, and stalls."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from siloom.sim.drawn_attention import Clustered
from siloom.sim.errors import MissingPartError
from siloom.sim.ops import Attention

_LAYER, _SEQ = 3, 256


def drawn(seq: int, dim: int, seed: int, heads: int = 1, causal: bool = False) -> Attention:
    """Heads drawn by the law that is fitted to a real BERT."""
    return Attention(seq=seq, heads=heads, dim=dim, causal=causal, law=Clustered(seed=seed))


def wild(seq: int, dim: int, seed: int, scale: float) -> Attention:
    """A head of independent numbers, ``scale`` their deviation: large enough, they are cut off and powers saturate."""
    q, k, v = (np.random.default_rng(seed).standard_normal((3, 1, 1, seq, dim)) * scale).astype(np.float32)
    return Attention(seq=seq, heads=1, dim=dim, q=q, k=k, v=v)


def real(seq: int, dim: int, first: int = 0) -> Attention | None:
    """A head of all-MiniLM-L6-v2 on this file's own text; None where it is not installed or has too few heads.

    Its heads have 32 elements. Of shorter ones the first elements are taken; longer ones are several heads side by
    side, from head ``first`` on. There are at most 256 tokens.
    """
    found = _layer()
    if found is None or found.q is None or found.k is None or found.v is None:
        return None
    own, seq = found.dim, min(seq, found.seq)
    if first - -dim // own > found.heads:
        return None
    joined = [np.concatenate(list(x[0, first : first - -dim // own]), axis=1) for x in (found.q, found.k, found.v)]
    q, k, v = (np.ascontiguousarray(x[None, None, :seq, :dim]) for x in joined)
    return Attention(seq=seq, heads=1, dim=dim, q=q, k=k, v=v)


def idle(rng: np.random.Generator, beats: int) -> list[int]:
    """Mostly none, sometimes a few cycles, now and then many."""
    waits = np.where(rng.random(beats) < 0.9, rng.integers(0, 4, beats), rng.integers(0, 60, beats))
    return [int(wait) for wait in waits]


def ready(rng: np.random.Generator, cycles: int) -> list[bool]:
    """Single cycles and long bursts of not being ready."""
    bursts = np.repeat(rng.random(cycles // 40 + 1) < 0.7, 40)[:cycles]
    return [bool(r) for r in (rng.random(cycles) < 0.7) & bursts]


@cache
def _layer() -> Attention | None:
    from siloom.workloads.generators.minilm import Minilm

    try:
        items, _ = Minilm(text=str(Path(__file__)), seq=_SEQ, layer=_LAYER, threshold=0.0).build()
    except MissingPartError:
        return None
    found = items[0].op
    return found if isinstance(found, Attention) else None
