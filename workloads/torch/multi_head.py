"""``nn.MultiheadAttention``'s function in an arithmetic: projections, attention of all heads, projection."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from siloom.sim.errors import InputError
from siloom.workloads.torch.attention import attend
from siloom.workloads.torch.dense import dense
from siloom.workloads.torch.frames import current
from siloom.workloads.torch.ways import Ways

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

    Of packed weights those parts that meet the same input are one product, under one scale, as torch has it.

    Raises:
        InputError: keys or values that are given projected already (``static_k``, ``static_v``).
    """
    frame = current()
    ways, place = frame.conversion.ways, frame.place
    if static_k is not None or static_v is not None:
        raise InputError(f"layer {place}: static_k and static_v are not supported")
    alone = query.dim() == 2
    if alone:
        # Inputs that are one stay one.
        query, key, value = _each_once(lambda x: x.unsqueeze(1), (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    if use_separate_proj_weight or in_proj_weight is None:
        weights = [q_proj_weight, k_proj_weight, v_proj_weight]
        q, k, v = _projected((query, key, value), weights, in_proj_bias, [f"{place}.{x}_proj" for x in "qkv"], ways)
    else:
        q, k, v = _packed((query, key, value), in_proj_weight, in_proj_bias, f"{place}.in_proj", ways)
    batch, length = query.shape[1], query.shape[2]
    added = 0
    if bias_k is not None and bias_v is not None:
        k, v = (torch.cat([x, b.expand(1, batch, -1)]) for x, b in ((k, bias_k), (v, bias_v)))
        added += 1
    if add_zero_attn:
        k, v = (torch.cat([x, x.new_zeros(1, *x.shape[1:])]) for x in (k, v))
        added += 1
    # (tokens, batch, heads * dim) to (batch, heads, tokens, dim)
    q, k, v = (x.reshape(len(x), batch, num_heads, x.shape[2] // num_heads).permute(1, 2, 0, 3) for x in (q, k, v))
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


def _each_once(change: Callable[[torch.Tensor], torch.Tensor], tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    changed = {id(x): change(x) for x in tensors}
    return [changed[id(x)] for x in tensors]


def _packed(
    inputs: Sequence[torch.Tensor], weight: torch.Tensor, bias: Maybe, place: str, ways: Ways
) -> list[torch.Tensor]:
    """Projections by three weights in one tensor: inputs next to each other that are one make one product."""
    query, key, value = inputs
    if key is not value:
        parts = [(query, 0, 1), (key, 1, 2), (value, 2, 3)]
    elif query is not key:
        parts = [(query, 0, 1), (key, 1, 3)]
    else:
        parts = [(query, 0, 3)]
    each = weight.shape[0] // 3
    out: list[torch.Tensor] = []
    for x, first, last in parts:
        rows = slice(first * each, last * each)
        made = dense(x, weight[rows], None if bias is None else bias[rows], ways, place)
        out.extend(made.chunk(last - first, -1))
    return out


def _projected(
    inputs: Sequence[torch.Tensor], weights: Sequence[Maybe], bias: Maybe, places: Sequence[str], ways: Ways
) -> list[torch.Tensor]:
    """Projections by three weights; their biases are in one tensor."""
    biases: Sequence[Maybe] = [None] * 3 if bias is None else bias.chunk(3)
    out = []
    for x, weight, own, place in zip(inputs, weights, biases, places, strict=True):
        assert weight is not None
        out.append(dense(x, weight, own, ways, place))
    return out


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
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=torch.get_default_dtype()).masked_fill(mask, -torch.inf)
