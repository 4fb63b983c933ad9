"""Attention of all heads as one operation of torch's dispatcher, and its gradient as another.

``siloom::attention`` is P V with P = softmax(scale Q K' + mask) over the keys that a method keeps. Both products, and
the four of the gradient, go through the arithmetic, each for all heads at once; what is between them is float32. Heads
that share keys (grouped queries) are rows of one product: the sums of dK and dV then run over all of them. The four
products of the gradient meet no weights, so all take the arithmetic of ``grad_input``.

Shapes: q [batch, heads, queries, dim]; k and v [batch, kv_heads, keys, dim], v of any last length; scores
[batch, heads, queries, keys]. A query that may look at no key, by causality and ``mask``, gives zeros, as in torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from siloom.sim.errors import InputError
from siloom.workloads.torch.meter import Kept, note_kept
from siloom.workloads.torch.methods import Scene
from siloom.workloads.torch.methods import method as method_of
from siloom.workloads.torch.methods.exact import Exact
from siloom.workloads.torch.products import multiply

EXACT = Exact.name
Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Gradients = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


@torch.library.custom_op("siloom::attention", mutates_args=(), device_types="cpu")
def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    drop: torch.Tensor | None,
    learnt: Sequence[torch.Tensor],
    scale: float,
    causal: bool,
    method: str,
    arithmetic: str,
    place: str,
    key: int,
) -> Tensors:
    """The output [batch, heads, queries, length of v], the scores kept (bool; empty for all), and P.

    Args:
        q: see the module.
        k: see the module.
        v: see the module.
        mask: added to the scaled scores, -inf where a query may not look; broadcast to the scores.
        drop: factors of P behind the softmax, of the shape of the scores: 0 where dropped.
        learnt: what the method has learnt, in the order of its names; see :mod:`siloom.workloads.torch.methods`.
        scale: of the scores.
        causal: query i looks at keys 0 to i.
        method: name and settings of the method that keeps keys.
        arithmetic: of both products.
        place: the layer.
        key: for rounding by chance; the second product has the next one.
    """
    scores = _product(q, k.mT, arithmetic, "forward", f"{place}.qk", key).mul_(scale)
    if mask is not None:
        scores += mask
    if causal:
        scores.masked_fill_(_later(scores), -torch.inf)
    kept = torch.empty(0, dtype=torch.bool)
    if method != EXACT:
        kept = _kept(Scene(q, k, mask, causal, scale), method, learnt, place)
        scores.masked_fill_(~kept, -torch.inf)
    nowhere = (scores == -torch.inf).all(-1, keepdim=True)
    probabilities = torch.softmax(scores, -1).masked_fill_(nowhere, 0.0)
    weights = probabilities if drop is None else probabilities * drop
    return _product(weights, v, arithmetic, "forward", f"{place}.pv", key + 1), kept, probabilities


@attention.register_fake
def _(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    drop: torch.Tensor | None,
    learnt: Sequence[torch.Tensor],
    scale: float,
    causal: bool,
    method: str,
    arithmetic: str,
    place: str,
    key: int,
) -> Tensors:
    shape = (*q.shape[:3], k.shape[2])
    kept = q.new_empty((0,) if method == EXACT else shape, dtype=torch.bool)
    return q.new_empty((*q.shape[:3], v.shape[3])), kept, q.new_empty(shape)


@torch.library.custom_op("siloom::attention_backward", mutates_args=(), device_types="cpu")
def attention_backward(
    grad: torch.Tensor,
    grad_weights: torch.Tensor | None,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    kept: torch.Tensor,
    saved: torch.Tensor,
    drop: torch.Tensor | None,
    scale: float,
    causal: bool,
    method: str,
    arithmetic: str,
    place: str,
    key: int,
) -> Gradients:
    """Gradients of q, k, v, and of the scaled scores before the softmax; zero where a score was not kept.

    dV = P' dO and dP = dO V'; dS = P (dP - sum of P dP), dQ = dS K, dK = dS' Q. As the gradient comes first in a
    product of :mod:`siloom.sim.arithmetic`, dV is computed as (dO' P)'.

    Args:
        grad: dO.
        grad_weights: a gradient that P itself got, where somebody used it.
        q: as in :func:`attention`, like all else that is not told.
        k: see there.
        v: see there.
        kept: scores that the method kept; empty for all. P is zero on all others.
        saved: P.
        drop: see there.
        scale: see there.
        causal: see there.
        method: see there.
        arithmetic: of all four products.
        place: see there.
        key: the four products have this one and the next ones.
    """
    weights = saved if drop is None else saved * drop
    stacks = [_heads(x, k.shape[1]) for x in (grad, weights)]
    dv = multiply(stacks[0].mT, stacks[1], arithmetic, "grad_input", f"{place}.pv", key).mT.contiguous().view(v.shape)
    dp = _product(grad, v.mT, arithmetic, "grad_input", f"{place}.pv", key + 1)
    if drop is not None:
        dp *= drop
    if grad_weights is not None:
        dp += grad_weights
    ds = saved * (dp - (dp * saved).sum(-1, keepdim=True))
    scaled = ds * scale
    dq = _product(scaled, k, arithmetic, "grad_input", f"{place}.qk", key + 2)
    stacks = [_heads(x, k.shape[1]) for x in (scaled, q)]
    dk = multiply(stacks[0].mT, stacks[1], arithmetic, "grad_input", f"{place}.qk", key + 3).view(k.shape)
    return dq, dk, dv, ds


@attention_backward.register_fake
def _(
    grad: torch.Tensor,
    grad_weights: torch.Tensor | None,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    kept: torch.Tensor,
    saved: torch.Tensor,
    drop: torch.Tensor | None,
    scale: float,
    causal: bool,
    method: str,
    arithmetic: str,
    place: str,
    key: int,
) -> Gradients:
    return (
        torch.empty_like(q, memory_format=torch.contiguous_format),
        torch.empty_like(k, memory_format=torch.contiguous_format),
        torch.empty_like(v, memory_format=torch.contiguous_format),
        torch.empty_like(saved),
    )


def _kept(scene: Scene, text: str, learnt: Sequence[torch.Tensor], place: str) -> torch.Tensor:
    if not scene.allowed.numel():  # an empty batch
        return scene.allowed.contiguous()
    way = method_of(text)
    names = way.learnt(1, 1)
    try:
        kept = way.select(scene, dict(zip(names, learnt, strict=True)))
    except InputError as error:
        raise InputError(f"layer {place}: {error}") from None
    note_kept(place, Kept(int(kept.sum()), int(scene.allowed.sum())))
    return kept


def _later(scores: torch.Tensor) -> torch.Tensor:
    """Keys behind their query, [queries, keys]."""
    return torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)


def _heads(x: torch.Tensor, kv_heads: int) -> torch.Tensor:
    """[batch, heads, n, m] as one stack for each head of keys, its queries' heads one below the other."""
    return x.reshape(x.shape[0] * kv_heads, x.shape[1] // kv_heads * x.shape[2], x.shape[3])


def _product(a: torch.Tensor, b: torch.Tensor, arithmetic: str, direction: str, place: str, key: int) -> torch.Tensor:
    """A [batch, heads, m, k] times B [batch, kv_heads, k, n]."""
    made = multiply(_heads(a, b.shape[1]), b.flatten(0, 1), arithmetic, direction, place, key)
    return made.view(*a.shape[:3], b.shape[3])
