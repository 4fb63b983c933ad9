"""Do operations count their work as the definitions say, refuse absurd sizes, and tell themselves apart?"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp

from siloom.sim.errors import InputError
from siloom.sim.ops import (
    MAX_COUNT,
    SDDMM,
    Attention,
    Collective,
    Conv,
    Elementwise,
    Item,
    KeyFilter,
    MatMul,
    Operation,
    Reduce,
    SpGEMM,
    SpMM,
    Workload,
    extras_note,
    format_bytes,
)
from siloom.sim.sparse import Csr


def matrix(rows: int, cols: int, seed: int = 0, density: float = 0.3) -> Csr:
    return Csr.from_scipy(sp.random_array((rows, cols), density=density, format="csr", rng=seed))


def dense(csr: Csr) -> np.ndarray:
    return (csr.to_scipy().toarray() != 0).astype(np.int64)


def test_sparse_product_counts_equal_the_dense_definition() -> None:
    a, b = matrix(9, 7, 1), matrix(7, 11, 2)
    op = SpGEMM(a=a, b=b)
    pairs = dense(a)[:, :, None] * dense(b)[None, :, :]
    assert op.multiplies == pairs.sum()
    assert op.chunks == (pairs.sum(axis=2) > 0).sum()
    assert op.flops == 2 * op.multiplies


def test_a_product_of_empty_matrices_is_no_work() -> None:
    op = SpGEMM(a=matrix(5, 4, density=0), b=matrix(4, 6, density=0))
    assert (op.multiplies, op.chunks) == (0, 0)


def test_sparse_dense_and_sampled_products_count_non_zeros_times_the_free_size() -> None:
    a = matrix(9, 7)
    assert SpMM(a=a, n=5).multiplies == a.nnz * 5
    assert SDDMM(mask=a, k=6).multiplies == a.nnz * 6


@pytest.mark.parametrize("causal", [False, True])
def test_attention_counts_the_pairs_that_are_kept(causal: bool) -> None:
    kept = np.tril(np.ones((6, 6))) if causal else np.ones((6, 6))
    forward = Attention(seq=6, heads=3, dim=4, batch=2, causal=causal)
    assert forward.multiplies == 2 * 3 * 2 * 4 * kept.sum()
    backward = Attention(seq=6, heads=3, dim=4, batch=2, causal=causal, direction="bwd")
    assert 2 * backward.multiplies == 5 * forward.multiplies


@pytest.mark.parametrize("kv_heads", [1, 2, 6, 0])
def test_attention_counts_what_its_gradient_written_out_reads_makes_and_multiplies(kv_heads: int) -> None:
    batch, heads, seq, dim = 2, 6, 5, 3
    q, o = np.ones((batch, heads, seq, dim)), np.ones((batch, heads, seq, dim))
    k, v = (np.ones((batch, kv_heads or heads, seq, dim)) for _ in "kv")
    shape = {"seq": seq, "heads": heads, "dim": dim, "batch": batch, "kv_heads": kv_heads}
    forward, backward = Attention(**shape), Attention(**shape, direction="bwd")
    assert (forward.q_elements, forward.kv_elements, forward.rows) == (q.size, k.size, q.size // dim)
    assert (forward.elements_in, forward.elements_out) == (q.size + k.size + v.size, o.size)
    assert (backward.elements_in, backward.elements_out) == (3 * q.size + 2 * k.size, q.size + 2 * k.size)
    assert forward.key_heads * forward.shared == heads
    scores = np.einsum("bhsd,bhtd->bhst", q, np.repeat(k, forward.shared, axis=1))
    assert forward.scores == scores.size
    assert (forward.score_products, forward.products) == (1, 2)  # Q K'; P V
    assert (backward.score_products, backward.products) == (2, 5)  # Q K', dO V'; P' dO, dS K, dS' Q
    assert [op.dense_multiplies for op in (forward, backward)] == [n * scores.size * dim for n in (2, 5)]
    assert backward.gradient_operations(scores.size) == 5 * scores.size + 2 * o.size


def test_a_mask_and_dropout_are_named_where_they_are() -> None:
    plain, both = Attention(seq=6, heads=3, dim=4), Attention(seq=6, heads=3, dim=4, mask=True, dropout=True)
    assert both.describe() == {**plain.describe(), "mask": True, "dropout": True}
    assert both.multiplies == plain.multiplies
    assert extras_note(plain) == () and "mask and dropout of attention not modelled" in extras_note(both)[0]


@pytest.mark.parametrize(("stride", "pad", "groups"), [(1, 0, 1), (1, 1, 2), (2, 1, 1), (3, 2, 4)])
def test_convolution_counts_every_output_and_its_window(stride: int, pad: int, groups: int) -> None:
    op = Conv(h=9, w=7, c=8, r=3, s=2, k=4, stride=stride, pad=pad, groups=groups, batch=2)
    rows = len(range(0, 9 + 2 * pad - 3 + 1, stride))
    cols = len(range(0, 7 + 2 * pad - 2 + 1, stride))
    assert op.out_hw == (rows, cols)
    assert op.multiplies == 2 * rows * cols * 4 * (3 * 2 * 8 // groups)


def test_small_operations_count_as_said() -> None:
    assert MatMul(m=2, n=3, k=4, batch=5).multiplies == 120
    assert KeyFilter(queries=2, keys=3, dim=4, heads=5).multiplies == 120
    assert (Elementwise(elements=7, flops_each=3).flops, Elementwise(elements=7).multiplies) == (21, 0)
    assert (Reduce(rows=3, length=5).flops, Reduce(rows=3, length=5).multiplies) == (15, 0)
    assert Collective(function="allreduce", bytes_each=8, peers=2).flops == 0


A = matrix(5, 4)
HUGE = 2**40
REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: SpGEMM(a=A, b=A), "product: columns of A must equal rows of B, got 5 x 4 times 5 x 4"),
    (lambda: MatMul(m=0, n=1, k=1), "gemm: m must be at least 1, got 0"),
    (lambda: MatMul(m=HUGE, n=HUGE, k=1), f"gemm: m*n*k*batch must be below 2^62, got {2**80}"),
    (lambda: SpMM(a=A, n=0), "spmm: n must be at least 1, got 0"),
    (lambda: SpMM(a=A, n=2**62), f"spmm: must count below 2^62 multiplies, got {A.nnz * 2**62}"),
    (lambda: SpMM(a=A, n=3, b=np.zeros((3, 3))), "spmm: b must be 4 x 3, got (3, 3)"),
    (lambda: SDDMM(mask=A, k=0), "sddmm: k must be at least 1, got 0"),
    (lambda: SDDMM(mask=A, k=2**62), f"sddmm: must count below 2^62 multiplies, got {A.nnz * 2**62}"),
    (lambda: SDDMM(mask=A, k=2, x=np.zeros((2, 5))), "sddmm: x must be 5 x 2, got (2, 5)"),
    (lambda: SDDMM(mask=A, k=2, y=np.zeros((4, 2))), "sddmm: y must be 2 x 4, got (4, 2)"),
    (lambda: Attention(seq=0, heads=1, dim=1), "attention: seq must be at least 1, got 0"),
    (lambda: Attention(seq=HUGE, heads=1, dim=1), f"attention: must count below 2^62 multiplies, got {2**81}"),
    (
        lambda: Attention(seq=1, heads=1, dim=1, direction="up"),
        "attention: direction must be fwd or bwd, got 'up'",
    ),
    (lambda: KeyFilter(queries=1, keys=-1, dim=1), "keyfilter: keys must be at least 1, got -1"),
    (
        lambda: KeyFilter(queries=HUGE, keys=HUGE, dim=1),
        f"keyfilter: must count below 2^62 multiplies, got {2**80}",
    ),
    (lambda: Conv(h=4, w=4, c=0, r=1, s=1, k=1), "conv: c must be at least 1, got 0"),
    (lambda: Conv(h=4, w=4, c=1, r=1, s=1, k=1, stride=0), "conv: stride must be at least 1, got 0"),
    (lambda: Conv(h=4, w=4, c=1, r=1, s=1, k=1, pad=-1), "conv: pad must be at least 0, got -1"),
    (lambda: Conv(h=4, w=4, c=3, r=1, s=1, k=2, groups=2), "conv: groups must divide c and k, got 2 for 3 and 2"),
    (
        lambda: Conv(h=4, w=4, c=1, r=5, s=1, k=1),
        "conv: kernel must not be larger than its padded input, got 5 x 1 on 4 x 4",
    ),
    (lambda: Conv(h=HUGE, w=HUGE, c=1, r=1, s=1, k=1), f"conv: must count below 2^62 multiplies, got {2**80}"),
    (lambda: Elementwise(elements=0), "elementwise: elements must be at least 1, got 0"),
    (lambda: Elementwise(elements=1, reads=-1), "elementwise: reads must be at least 0, got -1"),
    (
        lambda: Elementwise(elements=2**61),
        f"elementwise: must count below 2^62 reads, writes and operations, got {3 * 2**61}",
    ),
    (lambda: Reduce(rows=1, length=0), "reduce: length must be at least 1, got 0"),
    (lambda: Reduce(rows=HUGE, length=HUGE), f"reduce: must count below 2^62 operations, got {2**80}"),
    (lambda: Collective(function="f", bytes_each=-1, peers=1), "collective: bytes_each must be at least 0, got -1"),
    (lambda: Collective(function="f", bytes_each=1, peers=0), "collective: peers must be at least 1, got 0"),
    (
        lambda: Collective(function="f", bytes_each=HUGE, peers=HUGE),
        f"collective: must count below 2^62 bytes, got {2**80}",
    ),
    (lambda: Item(MatMul(m=1, n=1, k=1), 0), "matmul: repeat must be at least 1, got 0"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_refuses_with_field_rule_and_value(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint16])
def test_numpys_integers_count_as_far_as_pythons(kind: type[np.integer]) -> None:
    """60,000 cubed is beyond 32 bits, and a workload's hash takes plain numbers only."""
    side = kind(60000)
    op, same = MatMul(m=side, n=side, k=side), MatMul(m=60000, n=60000, k=60000)
    assert op.multiplies == 60000**3
    assert Workload.of("x", op).content_hash == Workload.of("x", same).content_hash
    assert Conv(h=kind(5), w=5, c=1, r=3, s=3, k=1, pad=kind(1)).multiplies == 25 * 9
    assert json.dumps(Item(op, kind(3)).repeat) == "3"


@pytest.mark.parametrize("value", [1.5, float("nan"), "3", None, True])
def test_sizes_are_whole_numbers(value: object) -> None:
    with pytest.raises(InputError, match=rf"gemm: m must be a whole number, got {value!r}"):
        MatMul(m=value, n=1, k=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="gemm: repeat must be a whole number"):
        Item(MatMul(name="gemm", m=1, n=1, k=1), value)  # type: ignore[arg-type]


def test_the_largest_count_is_just_below_the_limit() -> None:
    assert MatMul(m=MAX_COUNT - 1, n=1, k=1).multiplies == MAX_COUNT - 1


def test_an_operation_without_a_rule_says_so() -> None:
    with pytest.raises(TypeError, match="operation: counts no multiplies"):
        _ = Operation().multiplies


def test_a_workload_adds_up_its_items_with_their_repeats() -> None:
    small, large = MatMul(m=1, n=2, k=3), MatMul(m=4, n=5, k=6)
    workload = Workload("two", (Item(small, 7), Item(large)))
    assert workload.flops == 2 * (7 * 6 + 120)
    assert Workload.of("one", small, source="here").provenance == {"source": "here"}
    assert Workload.of("none").flops == 0


def test_descriptions_are_plain_and_hold_no_data() -> None:
    described = SpMM(a=A, n=3, b=np.ones((4, 3)), name="x").describe()
    assert json.loads(json.dumps(described)) == described
    assert described["kind"] == "spmm"
    assert described["a"] == {"shape": [5, 4], "nnz": A.nnz, "hash": A.content_hash}
    assert described["b"]["shape"] == [4, 3]


def test_the_hash_follows_everything_that_changes_the_work() -> None:
    def base(**changes: int) -> Workload:
        return Workload("w", (Item(MatMul(m=1, n=2, k=3), **changes),))

    other_value = Csr(A.shape, A.indptr, A.indices, A.data + 1)
    workloads = [
        base(),
        base(repeat=2),
        Workload.of("w", MatMul(m=3, n=2, k=1)),
        Workload.of("w", MatMul(m=1, n=2, k=3, format="bf16")),
        Workload.of("w", MatMul(m=1, n=2, k=3), MatMul(m=1, n=2, k=3)),
        Workload.of("w", SpMM(a=A, n=2)),
        Workload.of("w", SpMM(a=other_value, n=2)),
        Workload.of("w", SpMM(a=A, n=2, b=np.zeros((4, 2)))),
        Workload.of("w", SpMM(a=A, n=2, b=np.ones((4, 2)))),
    ]
    assert len({w.content_hash for w in workloads}) == len(workloads)
    assert base().content_hash == base().content_hash
    assert Workload("another name", base().items).content_hash == base().content_hash


def test_pruned_products_count_half_of_the_dense_work():
    dense = MatMul(m=3, n=5, k=8, batch=2)
    pruned = MatMul(m=3, n=5, k=8, batch=2, sparse24=True)
    assert (dense.multiplies, pruned.multiplies, pruned.dense_multiplies) == (240, 120, 240)


def test_bytes_of_dense_operands():
    assert format_bytes("int4", 3) == 2
    update = Elementwise(elements=10, reads=4, writes=3, format="fp32")
    assert (update.read_bytes, update.write_bytes) == (160, 120)
    row_sums, softmax = (Reduce(rows=2, length=8, function=f) for f in ("sum", "softmax"))
    assert (row_sums.write_bytes, softmax.write_bytes, softmax.flops) == (4, 32, 80)


@pytest.mark.parametrize("size", [1, 4, 9, 10])
@pytest.mark.parametrize("window", [1, 2, 3, 5])
def test_a_convolution_touches_the_inputs_of_its_windows(size: int, window: int) -> None:
    checked = 0
    for stride, pad in itertools.product((1, 2, 3, 4, 7), (0, 1, 2, 5)):
        if window > size + 2 * pad:
            continue
        op = Conv(h=size, w=size + 1, c=4, r=window, s=1, k=2, stride=stride, pad=pad, batch=3, groups=2)
        rows, cols = op.out_hw
        high = {i for o in range(rows) for i in range(o * stride - pad, o * stride - pad + window) if 0 <= i < size}
        wide = {i for o in range(cols) if 0 <= (i := o * stride - pad) < size + 1}
        assert op.touched_hw == (len(high), len(wide)), op
        assert op.touched == 3 * 4 * len(high) * len(wide) <= 3 * 4 * size * (size + 1)
        checked += 1
    assert checked > 4
