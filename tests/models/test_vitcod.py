"""Does ViTCoD time every head's own mask, give the codes' output, and its authors' sums to the digit?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.models._masked import as_csr
from siloom.models._vitcod_authors import BITS_PER_S, CLOCK_HZ, Layer, authors_cycles
from siloom.models._vitcod_work import scores_work, split_lines, sums_work
from siloom.models.registry import machine
from siloom.models.vitcod import ViTCoD, ViTCoDDesign
from siloom.sim.approximation import exact_probabilities
from siloom.sim.cost.arithmetic import operation_energy_j
from siloom.sim.cost.dram_energy import energy_per_bit_j
from siloom.sim.cost.sram import read_energy_j, write_energy_j
from siloom.sim.errors import InputError
from siloom.sim.machine import run_workload
from siloom.sim.ops import SDDMM, Attention, Item, MatMul, SpMM, Workload
from siloom.sim.result import Result
from siloom.workloads.registry import load

seeds = st.integers(0, 2**32 - 1)


def random_masks(layers: int, heads: int, n: int, density: float, full: int = 0, seed: int = 0) -> np.ndarray:
    """Masks [layers, heads, n, n], the first ``full`` columns of each full."""
    kept = np.random.default_rng(seed).random((layers, heads, n, n)) < density
    kept[..., :full] = True
    return kept


def kept_file(folder: Path, kept: np.ndarray) -> str:
    """A file of masks."""
    path = folder / "masks.npz"
    np.savez(path, kept=kept)
    return str(path)


def attention(seq: int = 24, heads: int = 2, dim: int = 16, **more: Any) -> Attention:
    """A small attention."""
    return Attention(name="attention", seq=seq, heads=heads, dim=dim, **more)


# The authors' convention.


def token_by_token(kept: np.ndarray, dim: int, ratio: float, width: int) -> tuple[float, float, int]:
    """Preload, decode and compute of masks with global and other non-zeros, stepped through as their program does."""

    def load_of(elements: float, share: float = 1.0) -> int:
        return math.ceil(elements * 8 / (BITS_PER_S * share) * CLOCK_HZ)

    preload = decode = compute = 0
    for layer in kept:
        heads, mask = len(layer), layer[0]
        n, lengths = len(mask), mask.sum(axis=0)
        dense = [j for j in range(n) if lengths[j] > 50]
        sparse = int(sum(lengths[j] for j in range(n) if lengths[j] <= 50))
        weights = load_of(heads * ratio, 1 / heads)
        preload += 2 * weights + (weights if len(dense) < n else 0)
        for _token in range(n):
            for _of in "qk":
                preload += load_of(heads * ratio * dim)
                decode += math.ceil(heads * ratio * dim / int(width * width / heads))
            preload += load_of(heads * dim)
        denser = int(width * (len(dense) * n / (sparse + len(dense) * n)))
        sparser = width - denser
        steps = {"denser": 0, "sparser": 0}
        for _key in dense:
            for _queries in range(0, n, denser):
                steps["denser"] += math.ceil(dim / (width / heads))
        for _positions in range(0, sparse, sparser):
            steps["sparser"] += math.ceil(dim / (width / heads))
        sums = math.ceil(n * dim * len(dense) / int(denser * width / heads))
        compute += max(steps.values()) + max(sums, math.ceil(sparse * dim / int(sparser * width / heads)))
    return preload, decode, compute


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 90), st.floats(0.05, 1.0), st.integers(48, 130),
    st.floats(0.01, 0.4), seeds,
)  # fmt: skip
def test_sums_of_the_authors_are_those_of_a_walk_token_by_token(
    layers: int, heads: int, dim: int, ratio: float, width: int, density: float, seed: int
) -> None:
    kept = random_masks(layers, heads, 70, density, full=3, seed=seed)
    own = [Layer(tuple(as_csr(mask) for mask in layer), dim) for layer in kept]
    found = authors_cycles(own, ratio, width, 50)
    assert (found.preload, found.decode, found.compute) == token_by_token(kept, dim, ratio, width)
    assert found.total == max(found.preload, found.decode + found.compute)


def authors(folder: Path, kept: np.ndarray, **fields: object) -> Result:
    """The convention on a file of masks."""
    settings_ = ",".join(f"{name}={value}" for name, value in {"ratio": 0.667, **fields}.items())
    return run_workload(machine(f"vitcod:convention=authors,{settings_}"), load(kept_file(folder, kept)))


def test_a_file_of_masks_is_run_as_one_and_its_parts_overlap(tmp_path: Path) -> None:
    kept = random_masks(3, 3, 80, 0.05, full=2)
    result = authors(tmp_path, kept)
    parts = {phase.name: phase.cycles or 0 for phase in result.phases}
    assert list(parts) == ["preload", "decode", "compute"]
    assert tuple(parts.values()) == token_by_token(kept, 64, 0.667, 64)
    assert result.cycles == max(parts["preload"], parts["decode"] + parts["compute"])
    assert sum(result.stalls.values()) == result.cycles
    assert result.coverage == {"operations": 1.0, "flops": 1.0}
    assert result.provenance["workload_hash"]
    given_ = Attention(seq=80, heads=3, dim=64, batch=3, kept=kept)
    as_attention = run_workload(machine("vitcod:convention=authors,ratio=0.667"), Workload.of("same masks", given_))
    assert as_attention.cycles == result.cycles


def test_the_check_value_of_the_authors_own_masks(shared_data: Path) -> None:
    workload = load(str(shared_data / "vitcod_deit_tiny_mask_95.npz"))
    result = run_workload(machine("vitcod:convention=authors,ratio=0.667,pe_width=64"), workload)
    assert result.cycles == 9492
    assert {p.name: p.cycles for p in result.phases} == {"preload": 9492, "decode": 4728, "compute": 4709}


def test_masks_on_which_their_program_stops_are_counted_and_said_to_be(tmp_path: Path) -> None:
    no_global = random_masks(1, 3, 60, 0.05)
    result = authors(tmp_path, no_global)
    assert any("without global tokens" in note for note in result.notes)
    assert (result.cycles or 0) > 0
    empty = authors(tmp_path, np.zeros((1, 3, 60, 60), bool))
    assert {p.name: p.cycles for p in empty.phases}["compute"] == 0
    full = authors(tmp_path, np.ones((1, 3, 60, 60), bool))
    assert {p.name: p.cycles for p in full.phases}["compute"] > 0
    narrow = authors(tmp_path, random_masks(1, 8, 60, 0.5, full=1), pe_width=2)
    assert (narrow.cycles or 0) > 0
    assert any("given one" in note for note in narrow.notes)


def test_what_the_convention_is_not_defined_on_is_refused(tmp_path: Path) -> None:
    by_authors = machine("vitcod:convention=authors")
    scores = SDDMM(name="layer0.head0.sddmm", mask=as_csr(np.ones((4, 4), bool)), k=8)
    sums = SpMM(name="layer0.head0.spmm", a=scores.mask, n=8)
    for ops, rule in (
        ((scores,), "an SDDMM and an SpMM for every mask"),
        ((sums, scores), "an SDDMM and an SpMM for every mask"),
        ((scores, SpMM(name="x", a=as_csr(np.eye(4, dtype=bool)), n=8)), "scores and sums of one mask"),
        ((scores, SpMM(name="x", a=scores.mask, n=4)), "scores and sums of one mask"),
        ((attention(),), "kept must be given"),
    ):
        with pytest.raises(InputError, match=rule):
            run_workload(by_authors, Workload.of("w", *ops))
    with pytest.raises(InputError, match="once each"):
        run_workload(by_authors, Workload("w", (Item(scores, 2), Item(sums, 2))))
    flat = as_csr(np.ones((4, 6), bool))
    with pytest.raises(InputError, match="square masks of one size"):
        run_workload(by_authors, Workload.of("w", SDDMM(mask=flat, k=8), SpMM(a=flat, n=8)))
    with pytest.raises(InputError, match="kept workload"):
        run_workload(by_authors, Workload.of("w", scores, sums, MatMul(m=1, n=1, k=1)))


# The machine itself.


def test_full_masks_of_heads_that_are_not_encoded_are_exact_attention_within_the_codes() -> None:
    result = ViTCoD(ViTCoDDesign(ratio=1.0, theta_p=1.0, operand_bits=12, fraction_bits=6)).run(attention())
    assert result.quality["output_error"] < 0.012
    assert result.quality["candidate_ratio"] == 1.0
    assert result.operations["skipped_multiplies"] == 0
    assert result.checks["reconstruction_error"] == 0.0


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 4), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_a_smaller_share_of_attention_never_keeps_more_or_takes_longer_to_compute(
    heads: int, one: float, other: float, causal: bool
) -> None:
    low, high = sorted((one, other))
    thin, thick = (
        ViTCoD(ViTCoDDesign(theta_p=p, ratio=1.0)).run(attention(heads=heads, causal=causal)) for p in (low, high)
    )
    assert thin.quality["candidate_ratio"] <= thick.quality["candidate_ratio"]
    assert thin.operations["effective_multiplies"] <= thick.operations["effective_multiplies"]
    assert sum(thick.stalls.values()) == thick.cycles
    assert (
        thick.operations["effective_multiplies"] + thick.operations["skipped_multiplies"]
        == attention(heads=heads, causal=causal).multiplies
    )


def test_fewer_heads_kept_lose_more_and_move_less() -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((1, 4, 24, 16)).astype(np.float32) for _ in range(3))
    op = attention(heads=4, q=q, k=k, v=v)
    runs = [ViTCoD(ViTCoDDesign(ratio=r)).run(op) for r in (0.25, 0.5, 0.75, 1.0)]
    lost = [run.checks["reconstruction_error"] for run in runs]
    assert lost == sorted(lost, reverse=True)
    assert lost[-1] == 0.0
    assert [run.traffic_bytes["q"] for run in runs] == [24 * 16 * 4 * share // 4 for share in (1, 2, 3, 4)]
    # Heads that are multiples of one another come back through one.
    alike = ViTCoD(ViTCoDDesign(ratio=0.25)).run(
        attention(heads=4, q=q[:, :1].repeat(4, 1), k=k[:, :1].repeat(4, 1), v=v)
    )
    assert alike.checks["reconstruction_error"] < 0.1 < lost[0]


def test_scores_beyond_any_exponent_still_give_a_mean_of_values() -> None:
    huge = np.full((1, 2, 24, 16), 1e4, np.float32)
    v = np.random.default_rng(0).standard_normal(huge.shape).astype(np.float32)
    result = ViTCoD(ViTCoDDesign(ratio=1.0, theta_p=1.0)).run(attention(q=huge, k=huge, v=v), values=True)
    assert isinstance(result.values, np.ndarray)
    assert np.allclose(result.values, v.mean(axis=2, keepdims=True), atol=0.1)
    assert result.counters["saturations"] == 2 * huge.size


def test_the_mask_given_is_the_mask_used() -> None:
    kept = random_masks(1, 2, 24, 0.2, full=1)
    result = ViTCoD().run(attention(kept=kept), values=True)
    assert result.quality["candidate_ratio"] == pytest.approx(kept.mean())
    assert isinstance(result.values, np.ndarray)
    nothing = ViTCoD().run(attention(kept=np.zeros_like(kept)), values=True)
    assert isinstance(nothing.values, np.ndarray)
    assert not nothing.values.any()
    assert nothing.counters["rows_without_key"] == 2 * 24
    assert nothing.operations["effective_multiplies"] == 0


@pytest.mark.parametrize("causal", [False, True])
def test_a_given_mask_is_judged_by_keys_above_a_uniform_share_and_said_to_be_given(causal: bool) -> None:
    full = np.ones((1, 2, 24, 24), bool)
    op = attention(kept=full, causal=causal)
    given_ = op.operands()
    above = allowed = 0
    for at in np.ndindex(1, 2):
        probabilities = exact_probabilities(given_.q[at], given_.k[at], causal)
        for query in range(24):
            seen = probabilities[query, : query + 1 if causal else 24]
            above, allowed = above + int((seen > 1 / len(seen)).sum()), allowed + len(seen)
    result = ViTCoD().run(op)
    assert result.quality["recall"] == 1.0
    assert result.quality["precision"] == pytest.approx(above / allowed)
    # Neither share by which the machine would make a mask, nor how many heads are encoded, has a say.
    assert ViTCoD(ViTCoDDesign(theta_p=0.9, ratio=1.0)).run(op).quality["precision"] == result.quality["precision"]
    notes = " ".join(result.notes)
    assert "the mask was given: " in notes
    assert "split and conquer" not in notes
    of_these = ViTCoD().run(attention(kept=full, causal=causal, q=given_.q, k=given_.k, v=given_.v))
    assert of_these.quality["precision"] == result.quality["precision"]
    assert any("the mask was given; it may come from these very operands" in note for note in of_these.notes)
    assert not any("was given" in note for note in ViTCoD().run(attention()).notes)


def test_heads_that_share_keys_are_said_to_fetch_them_each() -> None:
    shared = ViTCoD().run(attention(heads=4, kv_heads=2))
    assert any("fetched for every head, though 2 heads share them" in note for note in shared.notes)
    alone = ViTCoD().run(attention(heads=4))
    assert not any("share" in note for note in alone.notes)
    assert shared.traffic_bytes["v"] == alone.traffic_bytes["v"]


def cycles_of(kept: np.ndarray, **fields: Any) -> int:
    """Of scores and products with V at one mask, with the memory and the decoder out of the way."""
    design = ViTCoDDesign(**{"ratio": 1.0, "memory": "ideal", **fields})
    mask = as_csr(kept)
    # Heads enough that the last rows' way out, which is the same for all designs but for their lines, does not decide.
    results = ViTCoD(design).run_in_order([Item(SDDMM(mask=mask, k=64)), Item(SpMM(a=mask, n=64))] * 12)
    return sum(result.cycles or 0 for result in results)


def test_of_equal_density_global_columns_are_faster_than_scattered_and_a_split_faster_than_none() -> None:
    n, full = 192, 16
    rng = np.random.default_rng(0)
    columns = np.zeros((n, n), bool)
    columns[:, rng.choice(n, full, replace=False)] = True
    scattered = np.zeros(n * n, bool)
    scattered[rng.choice(n * n, full * n, replace=False)] = True
    scattered = scattered.reshape(n, n)
    assert scattered.sum() == columns.sum()
    assert cycles_of(columns) < cycles_of(scattered)
    # One engine for all columns: those that are full keep few lines busy for long.
    few = np.eye(n, dtype=bool)
    few[:, 0] = True
    assert cycles_of(few) < cycles_of(few, theta_d=n)


def test_index_bytes_are_those_of_the_sparse_columns_and_encoded_bytes_the_ratio_s() -> None:
    kept = np.zeros((100, 100), bool)
    kept[:, :2] = True
    kept[np.arange(100), np.arange(100)] = True
    op = SDDMM(mask=as_csr(kept), k=64)
    traffic = ViTCoD().run(op).traffic_bytes
    assert traffic["index"] == 98 * 2 + 98 * 1
    assert traffic["q"] == traffic["k"] == 100 * 32
    assert ViTCoD(ViTCoDDesign(ratio=1.0)).run(op).traffic_bytes["k"] == 100 * 64
    assert traffic["scores"] == op.mask.nnz * 2
    pair = [Item(op), Item(SpMM(a=op.mask, n=64))]
    assert ViTCoD().run_in_order(pair)[0].traffic_bytes["scores"] == 0
    alone = ViTCoD().run(SpMM(a=op.mask, n=64)).traffic_bytes
    assert alone["scores"] == 2 * op.mask.nnz
    assert alone["index"] == op.mask.nnz + 100 * 2
    assert alone["v"] == alone["o"] == 100 * 64


def small(heads: int) -> Attention:
    """Three tokens, 4 elements a head; the first column full, the diagonal beside it."""
    kept = np.eye(3, dtype=bool)
    kept[:, 0] = True
    return Attention(seq=3, heads=heads, dim=4, kept=np.broadcast_to(kept, (1, heads, 3, 3)))


def test_energy_of_a_small_case_is_that_of_its_events_counted_by_hand() -> None:
    # One global column of 3 scores and two others beside it: 5 scores of 4 products, 5 sums of 4.
    parts = ViTCoD(ViTCoDDesign(theta_d=2)).run(small(heads=1)).energy_parts
    mac = operation_energy_j("mul", "int8", 28.0) + operation_energy_j("add", "int32", 28.0)
    operands, scores = 53 * 1024, 108 * 1024
    vectors_read = (3 + 2 - 2) + 5  # queries, but for two that the denser engine hands on; then values
    vectors_written = (3 + 3) + (3 + 3)  # queries and keys; values and outputs
    index = 2 * (2 + 1)
    assert parts == pytest.approx(
        {
            "engines": 2 * 20 * mac,
            "decoder": 0.0,
            "exponentials": 5 * (operation_energy_j("mul", "int32", 28.0) + read_energy_j(256, 2, 28.0)),
            "division": 3 * 4 * operation_energy_j("mul", "fp32", 28.0),
            "operand memories": vectors_read * read_energy_j(operands, 4, 28.0)
            + vectors_written * write_energy_j(operands, 4, 28.0),
            "score memory": 5 * write_energy_j(scores, 2, 28.0) + 5 * read_energy_j(scores, 2, 28.0),
            "dram": 8 * (4 * 12 + index) * energy_per_bit_j("ddr4"),
        },
        rel=1e-12,
    )


def test_products_are_the_engines_alone_and_decoding_is_counted_apart() -> None:
    cases = ((1, 0.5), (2, 0.5), (2, 1.0))
    one, two, plain = (ViTCoD(ViTCoDDesign(theta_d=2, ratio=ratio)).run(small(heads)) for heads, ratio in cases)
    for result, products, decoded in ((one, 40, 0), (two, 80, 2 * (3 + 3) * 4), (plain, 80, 0)):
        counted = {name: result.operations[name] for name in ("multiplies", "adds", "decoder_multiplies")}
        assert counted == {"multiplies": products, "adds": products, "decoder_multiplies": decoded}
        assert result.peaks["operations_per_s"] == 2 * 512 * 5e8
        assert result.utilization == pytest.approx(2 * products / (2 * 512 * 5e8 * result.seconds))
    assert two.energy_parts["decoder"] > 0 == plain.energy_parts["decoder"]


def test_attention_s_energy_is_that_of_its_two_products_in_order() -> None:
    op = small(heads=1)
    assert op.kept is not None
    mask = as_csr(op.kept[0, 0])
    machine_ = ViTCoD(ViTCoDDesign(theta_d=2, ratio=1.0))
    both = machine_.run_in_order([Item(SDDMM(mask=mask, k=4)), Item(SpMM(a=mask, n=4))])
    for name, joules in machine_.run(op).energy_parts.items():
        assert joules == pytest.approx(math.fsum(part.energy_parts[name] for part in both), rel=1e-12), name


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 24), st.floats(0, 1), st.integers(0, 40), seeds)
def test_no_product_beats_its_work_on_all_multipliers_and_counts_cover_it(
    rows: int, columns: int, depth: int, density: float, theta_d: int, seed: int
) -> None:
    mask = as_csr(np.random.default_rng(seed).random((rows, columns)) < density)
    machine_ = ViTCoD(ViTCoDDesign(theta_d=theta_d))
    for op in (SDDMM(mask=mask, k=depth), SpMM(a=mask, n=depth)):
        result = machine_.run(op)
        assert result.operations["multiplies"] >= result.operations["effective_multiplies"] == mask.nnz * depth
        done = result.operations["multiplies"] + result.operations["decoder_multiplies"]
        assert (result.cycles or 0) * machine_.design.macs >= done
        assert sum(result.stalls.values()) == result.cycles


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 40), st.floats(0, 1), seeds)
def test_a_faster_memory_is_never_slower_and_tokens_in_another_order_give_equal_work(
    n: int, density: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    kept = rng.random((n, n)) < density
    op = SDDMM(mask=as_csr(kept), k=16)
    slow, fast, ideal = (
        ViTCoD(ViTCoDDesign(memory=memory, memory_channels=channels)).run(op).cycles or 0
        for memory, channels in (("ddr4-2400", 1), ("ddr4-2400", 4), ("ideal", 1))
    )
    assert ideal <= fast <= slow
    turn = rng.permutation(n)
    design = ViTCoDDesign(theta_d=n // 2)
    both = [as_csr(own) for own in (kept, kept[turn][:, turn])]
    for work in (lambda m: scores_work(design, m, 16, 4, 8, False), lambda m: sums_work(design, m, 16, 8, False)):
        before, after = (work(mask) for mask in both)
        assert before.events == after.events
        assert sorted(before.product.work) == sorted(after.product.work)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(2, 512))
def test_lines_are_split_as_the_work_is_and_none_with_work_has_none(dense: int, sparse: int, lines: int) -> None:
    denser, sparser = split_lines(dense, sparse, lines)
    assert denser + sparser == lines
    assert bool(denser) >= bool(dense)
    assert bool(sparser) >= bool(sparse)
    if dense and sparse:
        assert abs(denser - lines * dense / (dense + sparse)) <= 1


def test_designs_that_cannot_be_are_refused() -> None:
    for fields, rule in (
        ({"decoder_lines": 63}, "decoder_lines must leave two of pe_width, 64, to the engines, got 63"),
        ({"pe_width": 2}, "pe_width must be at least 3"),
        ({"fraction_bits": 8}, "fraction_bits must be below operand_bits, got 8"),
        ({"theta_p": 1.5}, "theta_p must be at most 1"),
        ({"ratio": 0.0}, "ratio must be at least"),
    ):
        with pytest.raises(InputError, match=rule):
            ViTCoDDesign(**fields)  # type: ignore[arg-type]
    assert ViTCoDDesign().macs == 512
    # 512 multiply-accumulators were published, not how they stand; the authors' program has an array of 64 x 64.
    height = ViTCoDDesign.parameters()["pe_height"]
    assert height.status == "assumed"
    assert "64 x 64" in height.source


def test_values_that_are_not_finite_are_refused() -> None:
    q = np.zeros((1, 2, 24, 16), np.float32)
    bad = q.copy()
    bad[0, 1, 2, 3] = np.nan
    with pytest.raises(InputError, match="must be finite"):
        attention(q=bad, k=q, v=q)
