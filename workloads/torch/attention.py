"""``scaled_dot_product_attention`` in an arithmetic and by a method, with its gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from siloom.workloads.torch.attention_op import attention, attention_backward
from siloom.workloads.torch.frames import Frame, add_loss, current, recomputing
from siloom.workloads.torch.learnt import learnt_of
from siloom.workloads.torch.methods import Scene
from siloom.workloads.torch.products import has_numbers, key_for


class Setting(NamedTuple):
    """What is fixed of one attention: the module that runs it, the scale of scores, and causality."""

    frame: Frame
    scale: float
    causal: bool


class _Attention(torch.autograd.Function):
    """See :mod:`siloom.workloads.torch.attention_op`."""

    @staticmethod
    def forward(
        ctx: Any,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        mask: torch.Tensor | None,
        drop: torch.Tensor | None,
        setting: Setting,
        *learnt: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The output, and P."""
        (conversion, place, _), scale, causal = setting
        way = conversion.ways.forward
        method = str(conversion.method)
        out, kept, saved = attention(q, k, v, mask, drop, learnt, scale, causal, method, str(way), place, key_for(way))
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(q, k, v, kept, saved, drop)
        ctx.setting, ctx.mask_shape = setting, None if mask is None else mask.shape
        return out, saved

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        """Gradients of q, k, v and the mask."""
        q, k, v, kept, saved, drop = ctx.saved_tensors
        (conversion, place, _), scale, causal = ctx.setting
        way, method = conversion.ways.grad_input, str(conversion.method)
        grad, to_weights = gradients
        if grad is None:
            grad = q.new_zeros((*q.shape[:3], v.shape[3]))
        dq, dk, dv, ds = attention_backward(
            grad, to_weights, q, k, v, kept, saved, drop, scale, causal, method, str(way), place, key_for(way)
        )
        to_mask = ds.sum_to_size(ctx.mask_shape) if ctx.needs_input_grad[3] else None
        return dq, dk, dv, to_mask, None, None, *(None for _ in ctx.needs_input_grad[6:])


def attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    dropout: float,
    causal: bool,
    scale: float | None,
    frame: Frame,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention of q [batch, heads, queries, dim] to k and v [batch, kv_heads, keys, dim].

    Args:
        q: see above.
        k: see above.
        v: see above.
        mask: bool, true where a query may look, or added to the scores; broadcast to [batch, heads, queries, keys].
        dropout: probability.
        causal: query i looks at keys 0 to i.
        scale: of the scores; 1/sqrt(dim) where none.
        frame: the module that this is for.

    Returns:
        The output [batch, heads, queries, length of v], and the weights behind the dropout,
        [batch, heads, queries, keys].
    """
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill(~mask, -torch.inf)
    drop = None
    if dropout > 0.0:
        drop = torch.nn.functional.dropout(q.new_ones((*q.shape[:3], k.shape[2])), dropout)
    setting = Setting(frame, 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale, causal)
    learnt = _learnt(Scene(q, k, mask, causal, setting.scale), frame)
    out, weights = _Attention.apply(q, k, v, mask, drop, setting, *learnt)  # type: ignore[no-untyped-call]
    return out, weights if drop is None else weights * drop


def _learnt(scene: Scene, frame: Frame) -> list[torch.Tensor]:
    """What the method has learnt for this attention, renewed first where the model trains."""
    method = frame.conversion.method
    learnt = learnt_of(frame.module, method, scene.q.shape[1], scene.q.shape[3])
    if frame.module.training:
        if not recomputing() and has_numbers(scene.q) and scene.allowed.numel():
            with torch.no_grad():
                method.observe(scene, learnt)
        loss = method.loss(scene, learnt)
        if loss is not None and not recomputing():
            add_loss(loss)
    return [learnt[name] for name in method.learnt(1, 1)]


def scaled_dot_product_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """As torch's, in the running module's arithmetic; leading axes are those of heads and, before them, batches."""
    tensors = [query, key, value]
    if not enable_gqa:  # heads are broadcast like batches
        lead = _shape(*(x.shape[:-2] for x in tensors))
        tensors = [x.expand(*lead, *x.shape[-2:]) for x in tensors]
    tensors = [x if x.dim() > 2 else x[None] for x in tensors]
    lead = _shape(*(x.shape[:-3] for x in tensors))
    q, k, v = (x.expand(*lead, *x.shape[-3:]).reshape(math.prod(lead), *x.shape[-3:]) for x in tensors)
    mask = attn_mask
    if mask is not None and len(lead) > 1:
        mask = mask.expand(*lead, q.shape[1], q.shape[2], k.shape[2]).flatten(0, len(lead) - 1)
    out, _ = attend(q, k, v, mask, dropout_p, is_causal, scale, current())
    return out.reshape(*lead, *out.shape[1:]) if query.dim() > 2 else out[0, 0]


def _shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    """What these shapes are broadcast to."""
    return np.broadcast_shapes(*(tuple(shape) for shape in shapes))
