"""Is the algorithm that is counted an attention, and does it touch the blocks and bytes counted?

The loops of FlashAttention are walked here in plain Python on small matrices, and the standard
algorithm is run by a small eager framework: the walk computes the attention itself, so that what it
counts on the way is the count of an attention, and the model's closed forms must give the same numbers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from siloom.models._gpu_attention_kernels import Kernel, Product
from siloom.models._gpu_attention_standard import standard_steps
from siloom.models._gpu_attention_work import count_work, visited_blocks
from siloom.models.gpu import A100Design, H100Design
from siloom.sim.ops import Attention

Reals = np.ndarray[Any, Any]
E = 2  # bytes of an operand's element
H100, A100 = H100Design().dense_board("h100"), A100Design().dense_board("a100")


def plain_kernel(rows: int, columns: int, dim: int) -> Kernel:
    products = (Product(rows, columns, dim, 1, 1), Product(rows, dim, columns, 0, 1))
    return Kernel(rows, columns, dim, products, 2 * columns * dim)


# --- the loops, walked -----------------------------------------------------------------------------


def operands(seq: int, dim: int, count: int) -> list[Reals]:
    rng = np.random.default_rng(seq * 1000 + dim)
    return [rng.normal(size=(seq, dim)) for _ in range(count)]


def plain_attention(q: Reals, k: Reals, v: Reals, causal: bool) -> tuple[Reals, Reals]:
    scores = q @ k.T
    if causal:
        scores = np.where(np.tri(len(q), dtype=bool), scores, -np.inf)
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p, p @ v


class Walk:
    """FlashAttention on one head, block by block: the result, and everything touched on the way."""

    def __init__(self, q: Reals, k: Reals, v: Reals, rows: int, columns: int, causal: bool) -> None:
        self.q, self.k, self.v, self.causal = q, k, v, causal
        self.seq, self.dim = q.shape
        self.row_slices = [slice(i, min(i + rows, self.seq)) for i in range(0, self.seq, rows)]
        self.column_slices = [slice(j, min(j + columns, self.seq)) for j in range(0, self.seq, columns)]
        self.read: Counter[str] = Counter()
        self.written: Counter[str] = Counter()
        self.blocks = 0

    def load(self, **parts: Reals) -> None:
        for name, part in parts.items():
            self.read[name] += part.size * (4 if name == "statistics" else E)

    def store(self, **parts: Reals) -> None:
        for name, part in parts.items():
            self.written[name] += part.size * (4 if name == "statistics" else E)

    def wanted(self, r: slice, c: slice) -> bool:
        return not self.causal or r.stop - 1 >= c.start

    def scores(self, r: slice, c: slice) -> Reals:
        self.blocks += 1
        s = self.q[r] @ self.k[c].T
        if self.causal:
            s = np.where(np.arange(r.start, r.stop)[:, None] >= np.arange(c.start, c.stop)[None], s, -np.inf)
        return s

    def rows_outside(self) -> Reals:
        """Version 2: a block of queries stays, keys stream past, one normalisation at the end."""
        o = np.zeros_like(self.q)
        for r in self.row_slices:
            self.load(q=self.q[r])
            m, total, acc = np.full(r.stop - r.start, -np.inf), np.zeros(r.stop - r.start), o[r]
            for c in self.column_slices:
                if not self.wanted(r, c):
                    continue
                s = self.scores(r, c)
                new = np.maximum(m, s.max(axis=1))
                p, alpha = np.exp(s - new[:, None]), np.exp(m - new)
                m, total = new, total * alpha + p.sum(axis=1)
                acc = acc * alpha[:, None] + p @ self.v[c]
            o[r] = acc / total[:, None]
            self.store(o=o[r], statistics=total)
        return o

    def columns_outside(self) -> tuple[Reals, Reals]:
        """Version 1: a block of keys stays; queries stream past with outputs that are normalised each time."""
        o, log_sum = np.zeros_like(self.q), np.full(self.seq, -np.inf)
        for c in self.column_slices:
            self.load(k=self.k[c], v=self.v[c])
            for r in self.row_slices:
                if not self.wanted(r, c):
                    continue
                self.load(q=self.q[r])
                if c.start:
                    self.load(o=o[r], statistics=log_sum[r])
                s = self.scores(r, c)
                # Rows without a score in this block (rows > columns, causal) add nothing.
                own = np.maximum(s.max(axis=1), -1e300)
                with np.errstate(divide="ignore"):
                    new = np.logaddexp(log_sum[r], own + np.log(np.exp(s - own[:, None]).sum(axis=1)))
                o[r] = o[r] * np.exp(log_sum[r] - new)[:, None] + np.exp(s - new[:, None]) @ self.v[c]
                log_sum[r] = new
                self.store(o=o[r], statistics=new)
        return o, log_sum

    def gradients(self, o: Reals, log_sum: Reals, do: Reals) -> tuple[Reals, Reals, Reals]:
        """Version 1's backward: keys stay, dQ is summed in memory; the first pass makes D."""
        dq, dk, dv = (np.zeros_like(self.q) for _ in range(3))
        d = np.zeros(self.seq)
        for c in self.column_slices:
            self.load(k=self.k[c], v=self.v[c])
            for r in self.row_slices:
                if not self.wanted(r, c):
                    continue
                self.load(q=self.q[r], do=do[r], statistics=log_sum[r])
                if c.start == 0:
                    self.load(o=o[r])
                    d[r] = (do[r] * o[r]).sum(axis=1)
                    self.store(statistics=d[r])
                else:
                    self.load(dq=dq[r], statistics=d[r])
                p = np.exp(self.scores(r, c) - log_sum[r][:, None])
                dv[c] += p.T @ do[r]
                ds = p * (do[r] @ self.v[c].T - d[r][:, None])
                dk[c] += ds.T @ self.q[r]
                dq[r] += ds @ self.k[c]
                self.store(dq=dq[r])
            self.store(dk=dk[c], dv=dv[c])
        return dq, dk, dv


SHAPES = [(24, 4, 8), (32, 8, 4), (30, 4, 6), (16, 16, 16)]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("seq", "rows", "columns"), [*SHAPES, (29, 4, 8), (7, 16, 16)])
def test_the_loop_of_version_2_is_an_attention_and_visits_the_blocks_counted(
    seq: int, rows: int, columns: int, causal: bool
) -> None:
    q, k, v = operands(seq, 5, 3)
    walk = Walk(q, k, v, rows, columns, causal)
    np.testing.assert_allclose(walk.rows_outside(), plain_attention(q, k, v, causal)[1], rtol=1e-12)
    kernel = plain_kernel(rows, columns, 5)
    assert visited_blocks(seq, kernel, causal) == walk.blocks
    op = Attention(seq=seq, heads=1, dim=5, causal=causal)
    work = count_work(H100, op, "flash2", kernel, E, 1.0)
    assert work.blocks == walk.blocks and work.tensor_flops == walk.blocks * 4 * rows * columns * 5
    assert {n: work.read[n] for n in walk.read} == walk.read
    assert work.written == walk.written


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("seq", "rows", "columns"), [(24, 4, 8), (32, 8, 4), (16, 16, 16), (64, 4, 16)])
def test_the_loops_of_version_1_are_an_attention_and_move_the_bytes_counted(
    seq: int, rows: int, columns: int, causal: bool
) -> None:
    q, k, v, do = operands(seq, 5, 4)
    kernel = plain_kernel(rows, columns, 5)
    op = Attention(seq=seq, heads=1, dim=5, causal=causal)
    forward = Walk(q, k, v, rows, columns, causal)
    o, log_sum = forward.columns_outside()
    p, expected = plain_attention(q, k, v, causal)
    np.testing.assert_allclose(o, expected, rtol=1e-10)
    work = count_work(A100, op, "flash1", kernel, E, 0.5)
    assert work.blocks == forward.blocks
    _same_bytes(work.read, work.written, forward)

    backward = Walk(q, k, v, rows, columns, causal)
    dq, dk, dv = backward.gradients(o, log_sum, do)
    dp = do @ v.T
    ds = p * (dp - (dp * p).sum(axis=1, keepdims=True))
    for ours, theirs in ((dq, ds @ k), (dk, ds.T @ q), (dv, p.T @ do)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    work = count_work(A100, replace(op, direction="bwd"), "flash1", kernel, E, 0.5)
    _same_bytes(work.read, work.written, backward)


def _same_bytes(read: Any, written: Any, walk: Walk) -> None:
    assert {n: b for n, b in read.items() if b} == pytest.approx(dict(walk.read))
    assert {n: b for n, b in written.items() if b} == pytest.approx(dict(walk.written))


# --- the standard algorithm, run eagerly -----------------------------------------------------------


class Eager:
    """A framework of four operations that logs the bytes of every tensor it touches."""

    def __init__(self) -> None:
        self.bytes = 0

    def __call__(self, result: Reals, *operands: Reals) -> Reals:
        self.bytes += result.nbytes + sum(x.nbytes for x in operands)
        return result

    def matmul(self, a: Reals, b: Reals) -> Reals:
        return self((a @ b).astype(np.float16), a, b)

    def softmax(self, s: Reals) -> Reals:
        p = np.exp(s.astype(float) - s.max(axis=-1, keepdims=True))
        return self((p / p.sum(axis=-1, keepdims=True)).astype(np.float16), s)

    def forward(self, q: Reals, k: Reals, v: Reals, mask: Reals | None, drawn: Reals | None) -> Reals:
        s = self.matmul(q, k.swapaxes(1, 2))
        if mask is not None:
            s = self((s + mask).astype(np.float16), s, mask)
        p = self.softmax(s)
        if drawn is not None:
            p = self(p * drawn, p)
            self(drawn)
        return self.matmul(p, v)

    def backward(self, q: Reals, k: Reals, v: Reals, p: Reals, do: Reals, drawn: Reals | None) -> list[Reals]:
        dv = self.matmul(p.swapaxes(1, 2), do)
        dp = self.matmul(do, v.swapaxes(1, 2))
        if drawn is not None:
            dp = self(dp * drawn, dp, drawn)
        ds = self((p * (dp - (dp * p).sum(axis=-1, keepdims=True))).astype(np.float16), dp, p)
        return [self.matmul(ds, k), self.matmul(ds.swapaxes(1, 2), q), dv]


@pytest.mark.parametrize(("masked", "dropped"), [(False, False), (True, False), (True, True)])
def test_standard_bytes_are_those_of_an_eager_framework(masked: bool, dropped: bool) -> None:
    heads, seq, dim = 6, 20, 8
    rng = np.random.default_rng(0)
    q, k, v, do = (rng.normal(size=(heads, seq, dim)).astype(np.float16) for _ in range(4))
    mask = np.where(np.tri(seq, dtype=bool), 0, -1e4).astype(np.float16) if masked else None
    drawn = rng.random((heads, seq, seq)) > 0.1 if dropped else None
    op = Attention(seq=seq, heads=3, batch=2, dim=dim, causal=masked and not dropped, mask=dropped, dropout=dropped)
    forward, backward = Eager(), Eager()
    forward.forward(q, k, v, mask, drawn)
    backward.backward(q, k, v, np.zeros((heads, seq, seq), np.float16), do, drawn)
    assert sum(s.bytes_moved for s in standard_steps(op, "fp16")) == forward.bytes
    assert sum(s.bytes_moved for s in standard_steps(replace(op, direction="bwd"), "fp16")) == backward.bytes
