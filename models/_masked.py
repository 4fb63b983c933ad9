"""Attention under a given mask as sparse products: scores at the mask's positions, then their product with V.

How machines for sparse matrices run attention: an SDDMM of Q and K^T at every head's mask, deep as a head is
wide, then an SpMM of the masked scores and V. The softmax between the two is of neither product and is not timed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from siloom.models._attention import Head
from siloom.sim.approximation import Mask, Quality, exact_probabilities
from siloom.sim.drawn_attention import Reals32
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine, run_workload
from siloom.sim.ops import SDDMM, Attention, Elementwise, MatMul, Operation, Reduce, SpMM, Workload
from siloom.sim.result import Result, utilization
from siloom.sim.sparse import Csr

NOTE = "attention as SDDMM and SpMM of each head at its given mask; the softmax between them is not timed"


MASK_NEEDED = "of attention it runs the forward pass under a mask that is given (kept)"
NOTE24 = "all scores are computed, their softmax is a 2:4 operand of the product with V at the given mask"


def supports_masked(op: Operation) -> bool:
    """Whether ``op`` is attention's forward pass with a mask given."""
    return isinstance(op, Attention) and op.direction == "fwd" and op.kept is not None


def head_masks(op: Attention) -> Mask:
    """The scores needed, [batch, heads, seq, seq]: those kept and, where causal, not ahead of their query.

    Raises:
        InputError: no mask is given.
    """
    if op.kept is None:
        raise InputError(f"{op.name or op.kind}: kept must be given, attention without a mask is no sparse product")
    return np.tril(op.kept) if op.causal else op.kept


def as_csr(mask: Mask) -> Csr:
    """Ones at the true positions of ``mask`` [rows, cols]."""
    rows, cols = np.nonzero(mask)
    indptr = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=len(mask))))).astype(np.int64)
    return Csr((mask.shape[0], mask.shape[1]), indptr, cols.astype(np.int64), np.ones(len(cols)))


def masked_products(op: Attention) -> list[tuple[SDDMM, SpMM]]:
    """The two products of every head, batch by batch; named ``layer0.head1.sddmm`` as a kept workload's are.

    Only structure: the dense sides are not given.

    Raises:
        InputError: no mask is given.
    """
    masks = head_masks(op)
    out = []
    for at in np.ndindex(*masks.shape[:2]):
        label, mask = f"layer{at[0]}.head{at[1]}", as_csr(masks[at])
        out.append((SDDMM(name=f"{label}.sddmm", mask=mask, k=op.dim), SpMM(name=f"{label}.spmm", a=mask, n=op.dim)))
    return out


def masked_softmax(q: Reals32, k: Reals32, v: Reals32, mask: Mask) -> Reals32:
    """softmax(q k^T / sqrt(dim)) v of one head over the keys of ``mask``; a row without any is zero."""
    scores = np.where(mask, (q @ k.T) / np.float32(math.sqrt(q.shape[1])), np.float32(-np.inf))
    top = np.max(scores, axis=1, keepdims=True, initial=-np.inf)
    powers = np.exp(scores - np.where(np.isfinite(top), top, np.float32(0.0)))
    total = powers.sum(axis=1, keepdims=True)
    out: Reals32 = (powers / np.where(total > 0, total, np.float32(1.0))) @ v
    return out


def fits24(op: Operation) -> bool:
    """Whether a mask is given that keeps at most two of every four neighbouring keys, as 2:4 operands must."""
    if not supports_masked(op) or not isinstance(op, Attention) or op.seq % 4:
        return False
    masks = head_masks(op)
    return bool((masks.reshape(*masks.shape[:3], op.seq // 4, 4).sum(axis=-1) <= 2).all())


def products24(op: Attention) -> tuple[Operation, ...]:
    """Attention whose softmax is a 2:4 operand: all scores, their softmax, its encoding, and a product with V.

    V comes from the left, (P V)' = V' P': the operand that may be sparse is the right one. Scores that the mask leaves
    out are computed; 2:4 units skip operands, not results.
    """
    heads, form = op.batch * op.heads, op.format
    return (
        MatMul(name="scores", m=op.seq, n=op.seq, k=op.dim, batch=heads, format=form),
        Reduce(name="softmax", rows=op.rows, length=op.seq, function="softmax", format=form),
        Elementwise(name="encode", elements=op.scores, reads=1, writes=1, function="encode24", format=form),
        MatMul(name="products with v", m=op.dim, n=op.seq, k=op.seq, batch=heads, format=form, sparse24=True),
    )


def run_masked(
    machine: Machine, op: Attention, *, values: bool = False, lowered: Sequence[Operation] = (), note: str = NOTE
) -> Result:
    """Attention under its mask on ``machine``, which runs ``lowered`` one after another, or its sparse products.

    The output, and how good it is, is that of exact arithmetic at the mask; a key matters whose probability
    exceeds the uniform share of the keys that its query may look at.

    Raises:
        InputError: no mask is given, or a product that the machine refuses.
    """
    masks, given = head_masks(op), op.operands()
    parts = lowered or [product for pair in masked_products(op) for product in pair]
    whole = run_workload(machine, Workload.of(op.name or op.kind, *parts))
    quality, output = Quality(), np.empty((op.batch, op.heads, op.seq, op.dim), np.float32)
    for at in np.ndindex(op.batch, op.heads):
        q, k, v = given.q[at], given.k[at], given.v[at]
        head = Head(q, k, v, op.causal, exact_probabilities(q, k, op.causal))
        output[at] = masked_softmax(q, k, v, masks[at])
        quality.add(head.probabilities, v, masks[at], head.above_share(1.0), output[at], op.causal)
    effective = 2 * int(np.count_nonzero(masks)) * op.dim
    operations = {
        **whole.operations,
        "effective_multiplies": effective,
        "skipped_multiplies": op.multiplies - effective,
    }
    return replace(
        whole,
        operations=operations,
        utilization=utilization(operations, op.flops, whole.peaks, whole.seconds) if whole.peaks else None,
        quality=quality.figures(),
        notes=(note, *whole.notes),
        rows=(),
        coverage={"operations": 1.0, "flops": 1.0},
        provenance={k: v for k, v in whole.provenance.items() if k not in ("workload_hash", "source")},
        values=output if values else None,
    )
