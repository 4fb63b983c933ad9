"""Is attention under a given mask, on machines for sparse matrices, two products a head and exact at the mask?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.models._masked import as_csr, fits24, masked_products, masked_softmax
from siloom.models.outerspace import OuterSpace
from siloom.models.registry import machine as machine_by_name
from siloom.sim.approximation import exact_probabilities
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.machine import run_workload
from siloom.sim.ops import SDDMM, Attention, SpMM, Workload
from siloom.sim.result import Result


def attention(density: float = 0.2, seq: int = 24, heads: int = 2, dim: int = 8, **more: Any) -> Attention:
    """Attention under random masks."""
    kept = np.random.default_rng(1).random((more.get("batch", 1), heads, seq, seq)) < density
    return Attention(name="masked", seq=seq, heads=heads, dim=dim, **{"kept": kept, **more})


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(1, 3), st.floats(0, 1), st.booleans())
def test_products_hold_the_mask_s_positions_and_the_work_of_those(
    seq: int, heads: int, density: float, causal: bool
) -> None:
    op = attention(density, seq, heads, causal=causal)
    assert op.kept is not None
    pairs = masked_products(op)
    needed = np.tril(op.kept) if causal else op.kept
    for (scores, sums), mask in zip(pairs, needed.reshape(-1, seq, seq), strict=True):
        assert np.array_equal(scores.mask.to_scipy().toarray() != 0, mask)
        assert scores.mask is sums.a
        assert (scores.k, sums.n) == (op.dim, op.dim)
    assert sum(a.multiplies + b.multiplies for a, b in pairs) == 2 * op.dim * int(needed.sum())


def test_cycles_and_traffic_are_the_sum_of_the_products_and_work_is_conserved() -> None:
    op, machine = attention(), OuterSpace()
    whole = machine.run(op)
    parts: list[Result] = [machine.run(product) for pair in masked_products(op) for product in pair]
    assert whole.cycles == sum(part.cycles or 0 for part in parts)
    assert sum(whole.stalls.values()) == whole.cycles
    assert whole.traffic_bytes["dram_read"] == sum(part.traffic_bytes["dram_read"] for part in parts)
    assert whole.operations["effective_multiplies"] + whole.operations["skipped_multiplies"] == op.multiplies
    assert next(phase.name.split(":")[0] for phase in whole.phases) == "layer0.head0.sddmm"
    assert "softmax" in whole.notes[0]


def test_a_full_mask_is_exact_attention_and_a_thinner_one_says_how_much_it_lost() -> None:
    full = OuterSpace().run(attention(1.1), values=True)
    assert full.quality["output_error"] < 1e-6
    assert full.quality["mass_kept"] == pytest.approx(1.0)
    assert full.operations["skipped_multiplies"] == 0
    thin = OuterSpace().run(attention(0.2))
    assert thin.quality["output_error"] > 0.1
    assert 0 < thin.quality["mass_kept"] < 1
    op = attention(1.1)
    given_ = op.operands()
    exact = exact_probabilities(given_.q[0, 1], given_.k[0, 1]) @ given_.v[0, 1]
    assert isinstance(full.values, np.ndarray)
    assert np.allclose(full.values[0, 1], exact, atol=1e-5)


def test_keys_matter_above_a_uniform_share_of_those_allowed_however_small_the_rest() -> None:
    # Scores of 0 and -1 in each row; the powers of those at -200 are zero in single precision, yet they are keys.
    scale = np.float32(np.sqrt(2.0))
    q = np.tile(np.array([[1.0, 0.0]], np.float32), (8, 1))[None, None]
    k = np.zeros((8, 2), np.float32)
    k[2:, 0], k[1, 0] = -200.0 * scale, -1.0 * scale
    op = Attention(seq=8, heads=1, dim=2, q=q, k=k[None, None], v=k[None, None], kept=np.ones((1, 1, 8, 8), bool))
    assert np.count_nonzero(exact_probabilities(q[0, 0], k)) == 2 * 8
    # 0.73 and 0.27: both above an eighth, only one above the half that two non-zeros would make.
    quality = OuterSpace().run(op).quality
    assert (quality["recall"], quality["precision"]) == (1.0, 2 / 8)
    assert machine_by_name("vitcod:ratio=1").run(op).quality["precision"] == 2 / 8


def test_a_row_without_a_key_gives_zeros() -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((5, 4)).astype(np.float32) for _ in range(3))
    mask = np.ones((5, 5), bool)
    mask[3] = False
    out = masked_softmax(q, k, v, mask)
    assert not out[3].any()
    assert out[2].any()


def test_without_a_mask_or_backward_it_is_no_sparse_product() -> None:
    machine = OuterSpace()
    plain, backward = attention(kept=None), attention(direction="bwd")
    for op in (plain, backward):
        assert not machine.supports(op)
        with pytest.raises(InfeasibleError, match="supports none of attention"):
            run_workload(machine, Workload.of("w", op))
    with pytest.raises(InputError, match="kept must be given"):
        machine.run(plain)
    with pytest.raises(InputError, match="kept must be an array of booleans"):
        machine.run(attention(kept=np.full((1, 2, 24, 24), 2.0)))


def test_an_empty_mask_runs() -> None:
    result = OuterSpace().run(attention(0.0))
    assert result.operations["effective_multiplies"] == 0
    assert result.quality["output_error"] == 1.0
    empty = as_csr(np.zeros((3, 4), bool))
    assert (empty.shape, empty.nnz, len(empty.indptr)) == ((3, 4), 0, 4)
    assert SDDMM(mask=empty, k=2).multiplies == SpMM(a=empty, n=2).multiplies == 0


@pytest.mark.parametrize("name", ["k40-cusparse", "h100:library=cusparse"])
def test_a_board_s_sparse_library_runs_the_same_products_where_it_is_asked_to(name: str) -> None:
    op = attention(heads=1)
    board = machine_by_name(f"{name}{',' if ':' in name else ':'}attention=masked")
    whole = board.run(op)
    alone = [board.run(product) for pair in masked_products(op) for product in pair]
    assert whole.operations["effective_multiplies"] == sum(r.operations["effective_multiplies"] for r in alone)
    assert whole.operations["effective_multiplies"] + whole.operations["skipped_multiplies"] == op.multiplies
    assert whole.quality == OuterSpace().run(op).quality
    assert not board.supports(attention(kept=None))
    assert board.supports(op)
    dense = machine_by_name(name)
    assert dense.supports(attention(kept=None))
    assert not dense.run(op).quality


def two_of_four(seq: int = 32, dim: int = 16) -> Attention:
    kept = np.zeros((1, 2, seq, seq), np.bool_)
    kept[..., ::4] = kept[..., 1::8] = True
    return Attention(seq=seq, heads=2, dim=dim, kept=kept)


def test_a_2_4_mask_runs_on_2_4_units_and_another_does_not() -> None:
    fits = two_of_four()
    assert fits24(fits)
    board = machine_by_name("a100:attention=sparse24")
    result = board.run(fits, values=True)
    kept = int(fits.kept.sum())
    assert result.operations["effective_multiplies"] == 2 * kept * 16
    # All scores are computed, and of the product with V half; a head of 64 fills its tiles.
    large = two_of_four(512, dim=64)
    assert board.run(large).operations["multiplies"] == 3 * large.multiplies // 4
    assert result.quality["candidate_ratio"] == kept / fits.kept.size
    three = fits.kept.copy()
    three[0, 0, 5, 8:11] = True
    for other in (replace(fits, kept=three), replace(fits, kept=None), Attention(seq=30, heads=2, dim=16)):
        assert not board.supports(other)
        with pytest.raises(InputError, match="needs a mask kept that it can use"):
            board.run(other)


def test_the_output_is_the_same_whatever_hardware_runs_the_mask() -> None:
    op = two_of_four()
    outputs = [machine_by_name(name).run(op, values=True).values for name in ("outerspace", "a100:attention=sparse24")]
    assert np.array_equal(*outputs)
