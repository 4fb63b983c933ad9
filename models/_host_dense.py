"""Dense operations as numpy computes them on this computer, made ready to be timed.

Products run in BLAS; a convolution is unfolded and multiplied; attention writes its scores, head by
head; the rest are numpy's own loops, which take one thread. numpy has no products narrower than fp32:
narrower formats are held and computed in fp32.

Legend of shapes: b batch, h heads, s sequence, d head size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from siloom.sim.ops import Attention, Conv, Elementwise, MatMul, Reduce

Dense = MatMul | Conv | Attention | Elementwise | Reduce
Array = np.ndarray[Any, Any]
_BLOCK = 2**14
"""Elements of an operand that elementwise work takes at a time: they stay in the first caches."""


@dataclass(frozen=True)
class Ready:
    """``call`` computes the operation once and gives what it computed; the rest says what it does and moves."""

    call: Callable[[], Array]
    operations: dict[str, int]
    traffic: dict[str, int]
    needed_bytes: int
    computed: str


def computed_in(format: str) -> str:
    """The format that numpy computes ``format`` in."""
    return "fp64" if format == "fp64" else "fp32"


def needed_bytes(op: Dense) -> int:
    """Bytes that operands, results and what lies between them take, before anything is allocated."""
    each = 8 if op.format == "fp64" else 4
    if isinstance(op, MatMul):
        sides = op.batch * op.m * (op.k + op.n) + (1 if op.shared else op.batch) * op.k * op.n
        return each * sides
    if isinstance(op, Conv):
        rows, cols = op.out_hw
        image = op.c * (op.h + 2 * op.pad) * (op.w + 2 * op.pad) + op.k * rows * cols
        window = rows * cols * op.r * op.s * (op.c // op.groups)
        return each * (op.batch * image + window + op.k * op.r * op.s * op.c // op.groups)
    if isinstance(op, Attention):
        copied = op.elements_out if op.direction == "bwd" else 0
        return each * (op.elements_in + op.elements_out + copied + 4 * op.seq * op.seq)
    if isinstance(op, Elementwise):
        return each * op.elements * (op.reads + op.writes)
    return 2 * each * op.rows * op.length


def prepare(op: Dense) -> Ready:
    """Draw operands (seed 0) and make ``op`` ready."""
    rng = np.random.default_rng(0)
    computed = computed_in(op.format)
    dtype: Any = np.dtype(np.float64 if computed == "fp64" else np.float32)

    def drawn(*shape: int) -> Array:
        return np.asarray(rng.random(shape, dtype=dtype) - dtype.type(0.5))

    if isinstance(op, MatMul):
        made = _matmul(op, drawn)
    elif isinstance(op, Conv):
        made = _conv(op, drawn)
    elif isinstance(op, Attention):
        made = _attention(op, drawn)
    elif isinstance(op, Elementwise):
        made = _elementwise(op, drawn)
    else:
        made = _reduce(op, drawn)
    call, operations, read, written = made
    each = dtype.itemsize
    return Ready(
        call=call,
        operations={**operations, "effective_multiplies": op.multiplies},
        traffic={"dram_read": read * each, "dram_write": written * each},
        needed_bytes=needed_bytes(op),
        computed=computed,
    )


_Made = tuple[Callable[[], Array], dict[str, int], int, int]
_Draw = Callable[..., Array]


def _counts(multiplies: int, adds: int | None = None, **more: int) -> dict[str, int]:
    return {"multiplies": multiplies, "adds": multiplies if adds is None else adds, **more}


def _matmul(op: MatMul, drawn: _Draw) -> _Made:
    one = op.shared or op.batch == 1
    a = drawn(op.batch * op.m, op.k) if one else drawn(op.batch, op.m, op.k)
    b = drawn(op.k, op.n) if one else drawn(op.batch, op.k, op.n)
    if op.sparse24:  # two of four neighbours along k are zero; BLAS multiplies them all the same
        b.reshape(-1, op.k // 4, 4, op.n)[:, :, 2:, :] = 0
    out = np.empty((*a.shape[:-1], op.n), dtype=a.dtype)
    return (lambda: np.matmul(a, b, out=out)), _counts(op.dense_multiplies), a.size + b.size, out.size


def _conv(op: Conv, drawn: _Draw) -> _Made:
    rows, cols = op.out_hw
    group_c, group_k = op.c // op.groups, op.k // op.groups
    images = np.pad(drawn(op.batch, op.c, op.h, op.w), ((0, 0), (0, 0), (op.pad, op.pad), (op.pad, op.pad)))
    filters = drawn(op.groups, group_k, group_c * op.r * op.s)
    out = np.empty((op.batch, op.groups, group_k, rows * cols), dtype=images.dtype)

    def call() -> Array:
        for image, to in zip(images, out, strict=True):
            windows = np.lib.stride_tricks.sliding_window_view(image, (op.r, op.s), axis=(1, 2))
            windows = windows[:, :: op.stride, :: op.stride]
            for group in range(op.groups):
                own = windows[group * group_c : (group + 1) * group_c]
                unfolded = own.transpose(0, 3, 4, 1, 2).reshape(group_c * op.r * op.s, rows * cols)
                np.matmul(filters[group], unfolded, out=to[group])
        return out.reshape(op.batch, op.k, rows, cols)

    return call, _counts(op.multiplies), op.batch * op.c * op.h * op.w + filters.size, out.size


def _attention(op: Attention, drawn: _Draw) -> _Made:
    kv_heads = op.key_heads
    q_bhsd = drawn(op.batch, op.heads, op.seq, op.dim)
    k_bhsd, v_bhsd = drawn(op.batch, kv_heads, op.seq, op.dim), drawn(op.batch, kv_heads, op.seq, op.dim)
    scale = q_bhsd.dtype.type(op.dim**-0.5)
    heads = [(b, h, h * kv_heads // op.heads) for b in range(op.batch) for h in range(op.heads)]
    hidden = np.triu(np.ones((op.seq, op.seq), dtype=bool), 1) if op.causal else None
    softmax = Reduce.FLOPS_EACH["softmax"] - 1 + (op.SOFTMAX_GRADIENT if op.direction == "bwd" else 0)
    multiplies = op.dense_multiplies
    operations = _counts(multiplies, multiplies + softmax * op.scores, exponentials=op.scores)

    def weights(b: int, h: int, own: int) -> Array:
        scores_ss = q_bhsd[b, h] @ k_bhsd[b, own].T
        scores_ss *= scale
        if hidden is not None:
            scores_ss[hidden] = -np.inf
        return _softmax(scores_ss)

    if op.direction == "fwd":
        out_bhsd = np.empty_like(q_bhsd)

        def forward() -> Array:
            for b, h, own in heads:
                np.matmul(weights(b, h, own), v_bhsd[b, own], out=out_bhsd[b, h])
            return out_bhsd

        return forward, operations, q_bhsd.size + k_bhsd.size + v_bhsd.size, out_bhsd.size

    given_bhsd = drawn(op.batch, op.heads, op.seq, op.dim)
    dq_bhsd, dk_bhsd, dv_bhsd = np.empty_like(q_bhsd), np.empty_like(k_bhsd), np.empty_like(v_bhsd)

    def backward() -> Array:
        dk_bhsd[:], dv_bhsd[:] = 0, 0
        for b, h, own in heads:
            p_ss = weights(b, h, own)
            dv_bhsd[b, own] += p_ss.T @ given_bhsd[b, h]
            ds_ss = given_bhsd[b, h] @ v_bhsd[b, own].T
            ds_ss -= (ds_ss * p_ss).sum(axis=1, keepdims=True)
            ds_ss *= p_ss
            ds_ss *= scale
            np.matmul(ds_ss, k_bhsd[b, own], out=dq_bhsd[b, h])
            dk_bhsd[b, own] += ds_ss.T @ q_bhsd[b, h]
        return np.concatenate([part.ravel() for part in (dq_bhsd, dk_bhsd, dv_bhsd)])

    read = 2 * q_bhsd.size + k_bhsd.size + v_bhsd.size
    return backward, operations, read, dq_bhsd.size + dk_bhsd.size + dv_bhsd.size


def _softmax(rows: Array) -> Array:
    """Of each row, in place."""
    rows -= rows.max(axis=-1, keepdims=True)
    np.exp(rows, out=rows)
    rows /= rows.sum(axis=-1, keepdims=True)
    return rows


def _elementwise(op: Elementwise, drawn: _Draw) -> _Made:
    """The operands' sum, and additions until there are as many as asked for, block by block; copied to each result."""
    operands = [drawn(op.elements) for _ in range(op.reads)]
    results = np.empty((op.writes, op.elements), dtype=drawn(1).dtype)
    one = results.dtype.type(1)

    def call() -> Array:
        for at in range(0, op.elements, _BLOCK):
            part = slice(at, min(at + _BLOCK, op.elements))
            held = operands[0][part].copy() if operands else np.zeros(part.stop - at, dtype=results.dtype)
            done = 0
            for operand in operands[1:]:
                held += operand[part]
                done += 1
            for _ in range(done, op.flops_each):
                held += one
            results[:, part] = held
        return results

    done = max(op.flops_each, op.reads - 1) * op.elements
    return call, _counts(0, done), op.elements * op.reads, op.elements * op.writes


def _reduce(op: Reduce, drawn: _Draw) -> _Made:
    x = drawn(op.rows, op.length)
    scale, shift = drawn(op.length), drawn(op.length)
    tiny = x.dtype.type(1e-5)

    def layernorm() -> Array:
        centred: Array = x - x.mean(axis=1, keepdims=True)
        centred /= np.sqrt((centred * centred).mean(axis=1, keepdims=True) + tiny)
        centred *= scale
        centred += shift
        return centred

    def rmsnorm() -> Array:
        return np.asarray(x / np.sqrt((x * x).mean(axis=1, keepdims=True) + tiny) * scale)

    calls: dict[str, Callable[[], Array]] = {
        "sum": lambda: np.asarray(x.sum(axis=1)),
        "max": lambda: np.asarray(x.max(axis=1)),
        "softmax": lambda: _softmax(x.copy()),
        "layernorm": layernorm,
        "rmsnorm": rmsnorm,
    }
    left = op.rows * (1 if op.function in ("sum", "max") else op.length)
    exponentials = {"exponentials": x.size} if op.function == "softmax" else {}
    adds = op.flops - sum(exponentials.values())
    return calls[op.function], _counts(0, adds, **exponentials), x.size, left
