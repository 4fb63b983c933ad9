"""Attention out of dispatched operations, with its real operands where there are numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from siloom.sim.ops import Attention, Item, MatMul, Reduce
from siloom.workloads.torch.calls import Call, format_of, values_of
from siloom.workloads.torch.lower_products import arithmetic_format


def _attention(
    call: Call,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    causal: bool,
    backward: bool,
    mask: bool = False,
    dropout: bool = False,
    scale: float | None = None,
    kept: torch.Tensor | None = None,
    number_format: str = "",
) -> list[Item]:
    """One operation; products and a softmax where queries and keys differ in number, or keys and values in length."""
    batch, heads, seq, dim = q.shape
    form = number_format or format_of(q)
    if k.shape[-2] != seq or v.shape[-1] != dim:
        return _in_parts(call, q, k, v, backward, form)
    given: dict[str, Any] = {}
    if call.data:
        # Operation and hardware divide scores by sqrt(dim); another scale goes into q.
        own = 1.0 if scale is None else scale * math.sqrt(dim)
        given = {"q": values_of(q) * np.float32(own), "k": values_of(k), "v": values_of(v)}
        if kept is not None:
            given["kept"] = np.array(kept.detach().cpu().numpy(), dtype=np.bool_)
    op = Attention(
        name=call.label,
        seq=seq,
        heads=heads,
        dim=dim,
        batch=batch,
        causal=causal,
        direction="bwd" if backward else "fwd",
        format=form,
        kv_heads=0 if k.shape[1] == heads else k.shape[1],
        mask=mask,
        dropout=dropout,
        **given,
    )
    return [Item(op)]


def _in_parts(call: Call, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, backward: bool, form: str) -> list[Item]:
    """Q K' and P V with the softmax between; backward Q K', dO V', and the products for dV, dQ and dK."""
    heads, queries, keys = q.shape[0] * q.shape[1], q.shape[2], k.shape[2]
    dim, wide = q.shape[3], v.shape[3]

    def product(m: int, n: int, inner: int) -> Item:
        return Item(MatMul(name=call.label, m=m, n=n, k=inner, batch=heads, format=form))

    softmax = Item(Reduce(name=call.label, rows=heads * queries, length=keys, function="softmax", format=form))
    scores = product(queries, keys, dim)
    if not backward:
        return [scores, softmax, product(queries, wide, keys)]
    return [
        scores,
        softmax,
        product(queries, keys, wide),
        product(keys, wide, queries),
        product(queries, dim, keys),
        product(keys, dim, queries),
    ]


def _torchs(call: Call) -> list[Item]:
    """Fused attention of torch's own, on any device, forward or backward."""
    named = call.named
    mask = named.get("attn_mask", named.get("attn_bias"))
    return _attention(
        call,
        named["query"],
        named["key"],
        named["value"],
        causal=bool(named["is_causal"]),
        backward=call.name.endswith("backward"),
        mask=mask is not None and mask.numel() > 0,
        dropout=bool(named.get("dropout_p")),
        scale=named.get("scale"),
    )


def _silooms(call: Call) -> list[Item]:
    """A converted network's attention; the scores that a method keeps are an operand or a result, empty for all."""
    named = call.named
    backward = call.name.endswith("backward")
    kept = named["kept"] if backward else call.results[1]
    return _attention(
        call,
        named["q"],
        named["k"],
        named["v"],
        causal=bool(named.get("causal")),
        backward=backward,
        mask=named.get("mask") is not None,
        dropout=named.get("drop") is not None,
        scale=named.get("scale"),
        kept=kept if kept.numel() else None,
        number_format=arithmetic_format(named),
    )


_KERNELS = ("flash_attention_for_cpu", "flash_attention", "efficient_attention", "cudnn_attention")

LOWERINGS: Mapping[str, Callable[[Call], list[Item]]] = {
    **{f"_scaled_dot_product_{kernel}{direction}": _torchs for kernel in _KERNELS for direction in ("", "_backward")},
    "siloom.attention": _silooms,
    "siloom.attention_backward": _silooms,
}
"""By name, what makes the operations of a dispatched one."""
