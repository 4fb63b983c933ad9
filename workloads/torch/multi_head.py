"""``nn.MultiheadAttention``'s function in an arithmetic: projections, attention of all heads, projection."""

from __future__ import annotations

import torch
from torch.nn import functional

from siloom.sim.errors import InputError
from siloom.workloads.torch.attention import attend
from siloom.workloads.torch.dense import dense
from siloom.workloads.torch.frames import current

Maybe = torch.Tensor | None


def multi_head_attention_forward(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Maybe,
    in_proj_bias: Maybe,
    bias_k: Maybe,
    bias_v: Maybe,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: torch.Tensor,
    out_proj_bias: Maybe,
    training: bool = True,
    key_padding_mask: Maybe = None,
    need_weights: bool = True,
    attn_mask: Maybe = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Maybe = None,
    k_proj_weight: Maybe = None,
    v_proj_weight: Maybe = None,
    static_k: Maybe = None,
    static_v: Maybe = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[torch.Tensor, Maybe]:
    """As torch's: query (queries, batch, embed), key and value (keys, batch, embed), or all without the batch.

    Each projection is a product of its own, also where query, key and value are one: a unit takes the three parts of
    packed weights one after another, each under its own scale.

    Raises:
        InputError: keys or values that are given projected already (``static_k``, ``static_v``).
    """
    frame = current()
    ways, place = frame.conversion.ways, frame.place
    if static_k is not None or static_v is not None:
        raise InputError(f"layer {place}: static_k and static_v are not supported")
    alone = query.dim() == 2
    if alone:
        query, key, value = (x.unsqueeze(1) for x in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    if use_separate_proj_weight or in_proj_weight is None:
        weights = [q_proj_weight, k_proj_weight, v_proj_weight]
    else:
        weights = list(in_proj_weight.chunk(3))
    biases: list[Maybe] = [None] * 3 if in_proj_bias is None else list(in_proj_bias.chunk(3))
    parts = []
    for name, x, weight, bias in zip("qkv", (query, key, value), weights, biases, strict=True):
        assert weight is not None
        parts.append(dense(x, weight, bias, ways, f"{place}.{name}_proj"))
    q, k, v = parts
    batch, length = query.shape[1], query.shape[2]
    added = 0
    if bias_k is not None and bias_v is not None:
        k, v = (torch.cat([x, b.expand(1, batch, -1)]) for x, b in ((k, bias_k), (v, bias_v)))
        added += 1
    if add_zero_attn:
        k, v = (torch.cat([x, x.new_zeros(1, *x.shape[1:])]) for x in (k, v))
        added += 1
    # (tokens, batch, heads * dim) to (batch, heads, tokens, dim)
    q, k, v = (x.reshape(x.shape[0], batch, num_heads, -1).permute(1, 2, 0, 3) for x in (q, k, v))
    # The mask is given beside is_causal, which only says what it is; where both are, it is the mask that counts.
    causal = is_causal and attn_mask is None
    mask = _joined(attn_mask, key_padding_mask, num_heads, added)
    out, shown = attend(q, k, v, mask, dropout_p if training else 0.0, causal, None, frame)
    rows = out.permute(2, 0, 1, 3).reshape(query.shape[0], batch, length)
    made = dense(rows, out_proj_weight, out_proj_bias, ways, f"{place}.out_proj")
    if not need_weights:
        return (made.squeeze(1) if alone else made), None
    if average_attn_weights:
        shown = shown.mean(dim=1)
    return (made.squeeze(1), shown.squeeze(0)) if alone else (made, shown)


def _joined(attn_mask: Maybe, padding: Maybe, heads: int, added: int) -> Maybe:
    """Both masks as numbers to add, to be broadcast to [batch, heads, queries, keys]; keys ``added`` may be seen."""
    masks = []
    if attn_mask is not None:
        mask = _numbers(attn_mask)
        masks.append(mask if mask.dim() == 2 else mask.view(-1, heads, *mask.shape[1:]))
    if padding is not None:
        masks.append(_numbers(padding)[:, None, None, :])
    if not masks:
        return None
    whole = masks[0] if len(masks) == 1 else masks[0] + masks[1]
    return functional.pad(whole, (0, added)) if added else whole


def _numbers(mask: torch.Tensor) -> torch.Tensor:
    """Of masks of this function: true is where nobody may look."""
    return torch.zeros(mask.shape).masked_fill(mask, -torch.inf) if mask.dtype == torch.bool else mask
