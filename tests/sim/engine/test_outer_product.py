"""Do the outer-product phases equal a plain reference, keep to their bounds, and compute the product?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from siloom.sim.engine import gustavson, outer_reference
from siloom.sim.engine.cache import replay_reference
from siloom.sim.engine.dram import READ_BURSTS, WRITE_BURSTS, DramTiming, ideal
from siloom.sim.engine.outer_multiply import CAUSES, ELEMENT_BYTES, OuterOperands, TileArray
from siloom.sim.engine.outer_product import (
    Layout,
    PhaseRun,
    Product,
    check_product,
    check_size,
    lay_out,
    merge_phase,
    multiply_phase,
)
from siloom.sim.engine.outer_reference import ReferenceProduct, ReferenceRun
from siloom.sim.engine.row_merge import MergeArray
from siloom.sim.engine.sampled_product import check_sampled_size, lay_out_sampled, sampled_product
from siloom.sim.errors import InputError
from siloom.sim.sparse import Csr

MULTIPLY_COUNTS = ("l0_hits", "l0_misses", "l1_hits", "l1_misses", "chunks", "pieces")
MERGE_COUNTS = (
    "loads", "misses", "l1_hits", "l1_misses", "steps", "pops", "adds", "spilled", "rounds", "rows",
)  # fmt: skip
DRAM_COUNTS = ("read_bursts", "write_bursts", "row_hits", "row_misses", "bus_wait", "bank_wait")
LOG = 100_000
"""More cache accesses than any case here makes."""

HBM = DramTiming(
    channel_bits=2, bank_bits=3, row_bits=4, burst=6.0, latency=120, activate=42, row_cycle=68,
    refresh_interval=5850, refresh=390, write_buffer=192.0,
)  # fmt: skip
TILES = TileArray(
    tiles=4, pes=4, tiles_per_l1=2, l0_sets=16, l0_ways=4, l1_sets=16, l1_ways=4, block_bits=6, burst_bits=5,
    l0_mshrs=8, l1_mshrs=8, outstanding=8, piece=64, dispatch=20, element=1, l0_latency=2, l1_latency=8, l0_ports=4,
    links=8, begin=3,
)  # fmt: skip
MERGERS = MergeArray(
    tiles=4, pes=2, tiles_per_l1=2, sets=2, ways=4, l1_sets=16, l1_ways=4, block_bits=6, burst_bits=5,
    l1_mshrs=8, heads=16, dispatch=20, element=5, step=2, add=2, l0_latency=2, l1_latency=8, begin=3,
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A machine and two operands, run by the kernels and by the reference."""

    a: Csr
    b: Csr
    timing: DramTiming = HBM
    tiles: TileArray = TILES
    mergers: MergeArray = MERGERS

    @cached_property
    def layout(self) -> Layout:
        return lay_out(self.a, self.b)

    @cached_property
    def expected(self) -> sp.csr_array:
        """The product by scipy, columns in order; sums that cancel stay, which scipy's own product drops."""
        left, right = self.a.to_scipy(), self.b.to_scipy()
        pattern = sp.csr_array(abs(left).sign() @ abs(right).sign())
        pattern.sort_indices()
        rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
        values = (left @ right).toarray()[rows, pattern.indices]
        return sp.csr_array((values, pattern.indices, pattern.indptr), shape=pattern.shape)

    @cached_property
    def multiplies(self) -> int:
        return int(self.b.row_lengths[self.a.indices].sum())

    def multiply(self) -> PhaseRun:
        return multiply_phase(self.tiles, self.timing, self.layout.multiply, log=LOG)

    def merge(self) -> tuple[PhaseRun, Product]:
        keep = self.expected.indptr.astype(np.int64)
        return merge_phase(self.mergers, self.timing, self.layout.merge, self.b.shape[1], keep, log=LOG)

    def reference_multiply(self) -> ReferenceRun:
        return outer_reference.multiply(self.tiles, self.timing, self.layout.multiply)

    def reference_merge(self) -> tuple[ReferenceRun, ReferenceProduct]:
        return outer_reference.merge(self.mergers, self.timing, self.layout.merge)


@dataclass(frozen=True)
class Sampled:
    """A machine, a mask and the depth of its dot products; the multiply phase of a :class:`Case`."""

    mask: Csr
    k: int
    timing: DramTiming = HBM
    tiles: TileArray = TILES

    @cached_property
    def operands(self) -> OuterOperands:
        return lay_out_sampled(self.mask, self.k)

    def multiply(self) -> PhaseRun:
        return multiply_phase(self.tiles, self.timing, self.operands, log=LOG)

    def reference_multiply(self) -> ReferenceRun:
        return outer_reference.multiply(self.tiles, self.timing, self.operands)


def matrix(rows: int, columns: int, density: float, seed: int, skew: float = 0.0, hub: bool = False) -> Csr:
    """Random positions and values; ``skew`` crowds them into a corner, ``hub`` fills a row and a column."""
    rng = np.random.default_rng(seed)
    count = round(density * rows * columns)
    at = [(size * rng.random(count) ** (1 + skew)).astype(np.int64) for size in (rows, columns)]
    dense = np.zeros((rows, columns))
    dense[at[0], at[1]] = rng.normal(size=count)
    if hub:
        dense[rng.integers(rows), :] = rng.normal(size=columns)
        dense[:, rng.integers(columns)] = rng.normal(size=rows)
    return Csr.from_scipy(sp.csr_array(dense))


def random_case(seed: int) -> Case:
    """A small machine with every field drawn from its tight to its roomy end, and small operands."""
    rng = np.random.default_rng(seed)

    def pick(*of: int) -> int:
        return int(rng.choice(of))

    block_bits, tiles = pick(5, 6, 6, 7), pick(1, 2, 3, 4)
    burst_bits, per_l1, dispatch = min(pick(4, 5), block_bits), pick(1, 2, 8), pick(0, 1, 5, 150)
    l1_sets, l1_ways, l1_mshrs, l1_latency = pick(1, 2, 8), pick(1, 2, 4), pick(1, 2, 8, 32), pick(0, 8)
    timing = DramTiming(
        channel_bits=pick(0, 1, 2, 3), bank_bits=pick(0, 1, 2), row_bits=pick(0, 1, 4),
        burst=float(rng.choice([0.0, 0.7, 1.25, 3.0, 6.0, 20.0])), latency=pick(0, 7, 60, 120), activate=pick(0, 5, 42),
        row_cycle=pick(0, 42, 68), refresh_interval=pick(300, 700), refresh=pick(0, 0, 50, 200),
        write_buffer=float(pick(0, 6, 33, 384)),
    )  # fmt: skip
    multiply = TileArray(
        tiles=tiles, pes=pick(1, 2, 4, 5), tiles_per_l1=per_l1, l0_sets=pick(1, 2, 4, 16), l0_ways=pick(1, 2, 4),
        l1_sets=l1_sets, l1_ways=l1_ways, block_bits=block_bits, burst_bits=burst_bits, l0_mshrs=pick(1, 2, 8, 32),
        l1_mshrs=l1_mshrs, outstanding=pick(1, 2, 3, 8, 64), piece=pick(1, 2, 7, 64), dispatch=dispatch,
        element=pick(1, 1, 2, 8), l0_latency=pick(0, 1, 2), l1_latency=l1_latency,
        l0_ports=16, links=8, begin=pick(0, 4),
    )  # fmt: skip
    merge = MergeArray(
        tiles=tiles, pes=pick(1, 2, 3), tiles_per_l1=per_l1, sets=pick(1, 2, 8), ways=pick(1, 2, 4), l1_sets=l1_sets,
        l1_ways=l1_ways, block_bits=block_bits, burst_bits=burst_bits, l1_mshrs=l1_mshrs, heads=pick(2, 3, 4, 7, 128),
        dispatch=dispatch, element=pick(1, 3, 20), step=pick(0, 1, 3), add=pick(0, 2, 5),
        l0_latency=multiply.l0_latency, l1_latency=l1_latency, begin=multiply.begin,
    )  # fmt: skip
    rows, inner, columns = (int(size) for size in rng.integers(1, 36, 3))
    density, hub = float(rng.choice([0.02, 0.1, 0.3, 0.6])), bool(rng.random() < 0.3)
    a = matrix(rows, inner, density, seed + 1000, hub=hub)
    b = matrix(inner, columns, density, seed + 2000, hub=hub)
    # Some caches take fewer lookups a cycle than there are PEs, some machines have no second level.
    multiply = multiply._replace(l0_ports=pick(1, 2, 16), links=pick(1, 2, 8))
    if rng.random() < 0.25:
        multiply, merge = multiply._replace(l1_sets=0), merge._replace(l1_sets=0)
    return Case(a, b, timing, multiply, merge)


def random_sampled(seed: int) -> Sampled:
    """The machine of :func:`random_case`, a mask, and dot products of a fraction of a block to many."""
    case = random_case(seed)
    k = int(np.random.default_rng(seed).choice([1, 2, 3, 5, 16, 21, 64, 100]))
    return Sampled(case.a, k, case.timing, case.tiles)


def assert_same_run(run: PhaseRun, reference: ReferenceRun, names: tuple[str, ...]) -> None:
    assert run.cycles == reference.cycles
    assert run.where.T.tolist() == [[causes[cause] for cause in CAUSES] for causes in reference.where]
    assert run.counts.tolist() == [reference.counts[name] for name in names]
    assert run.dram.tolist() == [reference.dram[name] for name in DRAM_COUNTS]


def accesses(run: PhaseRun, total: int) -> list[tuple[int, int, bool]]:
    """The logged cache accesses; nothing is left out."""
    assert total < LOG
    return [(cache, block, hit == 1) for cache, block, hit in run.log[:total].tolist()]


def by_cache(log: list[tuple[int, int, bool]]) -> dict[int, list[tuple[int, bool]]]:
    """Accesses in order, cache by cache."""
    out: dict[int, list[tuple[int, bool]]] = {}
    for cache, block, hit in log:
        out.setdefault(cache, []).append((block, hit))
    return out


def assert_same_product(product: Product, case: Case) -> None:
    """Structure equal to scipy's, values close, row sums those of the values."""
    assert product.values is not None
    assert np.array_equal(product.row_counts, np.diff(case.expected.indptr))
    assert np.array_equal(product.values.indices, case.expected.indices)
    assert np.allclose(product.values.data, case.expected.data, rtol=1e-12, atol=1e-12)
    assert np.allclose(product.row_sums, case.expected @ product.weights, rtol=1e-12, atol=1e-11)


# The reference, on machines from starved to roomy.


@pytest.mark.parametrize("seed", range(50))
def test_multiply_equals_the_plain_reference(seed: int) -> None:
    case = random_case(seed)
    run, reference = case.multiply(), case.reference_multiply()
    assert_same_run(run, reference, MULTIPLY_COUNTS)
    assert accesses(run, len(reference.log)) == reference.log


@pytest.mark.parametrize("seed", range(50))
def test_dot_products_equal_the_plain_reference(seed: int) -> None:
    case = random_sampled(seed)
    run, reference = case.multiply(), case.reference_multiply()
    assert_same_run(run, reference, MULTIPLY_COUNTS)
    assert accesses(run, len(reference.log)) == reference.log


@pytest.mark.parametrize("seed", range(50))
def test_merge_equals_the_plain_reference(seed: int) -> None:
    case = random_case(seed)
    (run, product), (reference, rows) = case.merge(), case.reference_merge()
    assert_same_run(run, reference, MERGE_COUNTS)
    # PEs have a cache each, and each runs ahead by itself: order holds within a cache.
    assert by_cache(accesses(run, len(reference.log))) == by_cache(reference.log)
    assert product.values is not None
    entries = zip(product.values.indices.tolist(), product.values.data.tolist(), strict=True)
    assert [entry for row in rows.rows for entry in row] == list(entries)


def test_published_shape_equals_the_plain_reference() -> None:
    a = matrix(150, 150, 0.03, seed=5, skew=1.0)
    tiles = TILES._replace(tiles=16, pes=16, tiles_per_l1=4, l0_sets=64, l0_mshrs=32, l1_mshrs=32, outstanding=64)
    mergers = MERGERS._replace(tiles=16, pes=8, tiles_per_l1=4, sets=8, l1_mshrs=32, heads=128, element=20)
    case = Case(a, a, HBM._replace(channel_bits=4), tiles, mergers)
    assert_same_run(case.multiply(), case.reference_multiply(), MULTIPLY_COUNTS)
    assert_same_run(case.merge()[0], case.reference_merge()[0], MERGE_COUNTS)


def test_rows_far_longer_than_the_run_ahead_equal_the_reference_that_has_none() -> None:
    # The reference serves each request when it comes up, so equality over rows of hundreds of
    # requests says that how far the kernel runs ahead does not matter.
    case = Case(matrix(6, 60, 0.9, seed=1), matrix(60, 50, 0.9, seed=2), mergers=MERGERS._replace(sets=1, ways=1))
    (run, _), (reference, _) = case.merge(), case.reference_merge()
    assert reference.counts["misses"] > 100 * reference.counts["rows"]
    assert_same_run(run, reference, MERGE_COUNTS)


@pytest.mark.parametrize(("heads", "chunks", "levels"), [(2, 2, 1), (2, 3, 2), (2, 5, 3), (3, 27, 3), (4, 64, 3)])
def test_rounds_follow_from_chunks_and_heads(heads: int, chunks: int, levels: int) -> None:
    a = Csr.from_scipy(sp.csr_array(np.arange(1.0, 1.0 + 3 * chunks).reshape(3, chunks)))
    # Rows of B that share no column: every level holds all elements, and nothing is added up.
    b = Csr.from_scipy(sp.csr_array(sp.kron(sp.eye_array(chunks), np.ones((1, 2)))))
    case = Case(a, b, mergers=MERGERS._replace(heads=heads))
    (run, product), (reference, _) = case.merge(), case.reference_merge()
    assert_same_run(run, reference, MERGE_COUNTS)
    assert_same_product(product, case)
    rounds, lists = 0, chunks
    for level in range(levels):
        lists = ceil(lists / heads)
        rounds += lists
        assert (lists == 1) == (level == levels - 1)
    counts = dict(zip(MERGE_COUNTS, run.counts.tolist(), strict=True))
    assert counts["rounds"] == 3 * rounds
    assert counts["spilled"] == 3 * (levels - 1) * 2 * chunks
    assert counts["pops"] == 3 * levels * 2 * chunks
    assert counts["adds"] == 0


# What must hold without any reference.


@pytest.mark.parametrize("seed", range(20))
def test_hits_equal_an_lru_replay_of_the_access_stream(seed: int) -> None:
    case = random_case(seed)
    multiply, (merge, _) = case.multiply(), case.merge()
    l0 = by_cache(accesses(multiply, int(multiply.counts[:2].sum())))
    private = by_cache(accesses(merge, int(merge.counts[0])))
    shapes = ((l0, case.tiles.l0_sets, case.tiles.l0_ways), (private, case.mergers.sets, case.mergers.ways))
    for caches, sets, ways in shapes:
        for stream in caches.values():
            assert [hit for _, hit in stream] == replay_reference([block for block, _ in stream], sets, ways)
    hits = sum(hit for stream in l0.values() for _, hit in stream)
    misses = sum(not hit for stream in private.values() for _, hit in stream)
    assert (hits, misses) == (multiply.counts[0], merge.counts[1])


@pytest.mark.parametrize("seed", range(20))
def test_causes_add_up_and_timelines_keep_every_cycle_and_burst(seed: int) -> None:
    case = random_case(seed)
    for run in (case.multiply(), case.merge()[0]):
        assert np.all(run.where >= 0)
        assert np.all(run.where.sum(axis=0) == run.cycles)
        assert sum(run.by_cause().values()) == run.cycles * run.where.shape[1]
        assert run.tiles.sum() == run.by_cause()["compute"]
        assert run.channels.sum() == run.dram[READ_BURSTS] + run.dram[WRITE_BURSTS]


@pytest.mark.parametrize("seed", range(20))
def test_work_is_conserved_and_cycles_keep_to_the_closed_forms(seed: int) -> None:
    case = random_case(seed)
    timing, tiles, mergers = case.timing, case.tiles, case.mergers
    multiply, (merge, _) = case.multiply(), case.merge()
    for run in (multiply, merge):
        bursts = int(run.dram[READ_BURSTS] + run.dram[WRITE_BURSTS])
        assert run.cycles >= bursts * timing.burst / (1 << timing.channel_bits) - 1e-6
    chunks = int(np.count_nonzero(case.b.row_lengths[case.a.indices]))
    assert multiply.counts[4] == chunks
    assert multiply.by_cause()["compute"] == case.multiplies * tiles.element
    assert multiply.cycles >= case.multiplies * tiles.element / (tiles.tiles * tiles.pes)
    assert multiply.cycles >= (ceil(chunks / tiles.tiles) - 1) * tiles.dispatch
    # Every chunk is written once: its bytes at least, at most two bursts more for each block begun.
    written = int(multiply.dram[WRITE_BURSTS]) - chunks
    assert written << tiles.burst_bits >= case.layout.partial_bytes

    work = dict(zip(MERGE_COUNTS, merge.counts.tolist(), strict=True))
    rows = int(np.count_nonzero(np.diff(case.layout.merge.row_ptr)))
    assert work["rows"] == rows
    # An element is popped once, and once more each time a round has spilled it.
    assert work["pops"] == case.multiplies + work["spilled"]
    # Each add leaves one element fewer, wherever it happens.
    assert work["adds"] == case.multiplies - case.expected.nnz
    cycles = work["pops"] * mergers.element + work["steps"] * mergers.step + work["adds"] * mergers.add
    cycles += (work["loads"] - work["misses"]) * mergers.l0_latency
    # A head that is loaded at the front takes a cycle, which nothing else counts.
    loaded = len(case.layout.merge.at) + work["rounds"]
    assert cycles <= merge.by_cause()["compute"] <= cycles + loaded
    assert merge.cycles >= cycles / (mergers.tiles * mergers.pes)
    assert merge.cycles >= (ceil(rows / mergers.tiles) - 1) * mergers.dispatch
    assert merge.dram[WRITE_BURSTS] << mergers.burst_bits >= case.expected.nnz * ELEMENT_BYTES


@pytest.mark.parametrize("seed", range(20))
def test_dot_products_do_all_the_work_and_write_each_result_once(seed: int) -> None:
    case = random_sampled(seed)
    run, tiles, timing = case.multiply(), case.tiles, case.timing
    positions = case.mask.nnz
    assert np.all(run.where >= 0)
    assert np.all(run.where.sum(axis=0) == run.cycles)
    assert run.by_cause()["compute"] == run.tiles.sum() == positions * case.k * tiles.element
    bursts = int(run.dram[READ_BURSTS] + run.dram[WRITE_BURSTS])
    assert run.channels.sum() == bursts
    assert run.cycles >= bursts * timing.burst / (1 << timing.channel_bits) - 1e-6
    assert run.cycles >= (ceil(positions / tiles.tiles) - 1) * tiles.dispatch
    assert run.counts[4] == positions
    # Both rows of every position pass through the caches, block by block.
    op, block = case.operands, 1 << tiles.block_bits
    size = case.k * ELEMENT_BYTES
    columns = np.repeat(np.arange(case.mask.shape[1]), np.diff(op.a_ptr))
    starts = np.concatenate([op.b_base + columns * size, op.second + op.a_rows * size])
    assert run.counts[:2].sum() == ((starts + size - 1) // block - starts // block + 1).sum()
    # A result of 12 bytes lies in one burst or two; they cover all results' places without a gap.
    touched = (op.chunk_at + ELEMENT_BYTES - 1) // (1 << tiles.burst_bits) - op.chunk_at // (1 << tiles.burst_bits) + 1
    assert run.dram[WRITE_BURSTS] == touched.sum()
    assert np.all(np.diff(np.sort(op.chunk_at)) == ELEMENT_BYTES)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("given_x", "given_y"), [(True, True), (True, False), (False, True), (False, False)])
def test_sampled_product_equals_numpy(seed: int, given_x: bool, given_y: bool) -> None:
    case = random_sampled(seed)
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(case.mask.shape[0], case.k)), rng.normal(size=(case.k, case.mask.shape[1]))
    values, worst = sampled_product(case.mask, case.k, x if given_x else None, y if given_y else None)
    whole = (x if given_x else np.ones_like(x)) @ (y if given_y else np.ones_like(y))
    rows = np.repeat(np.arange(case.mask.shape[0]), case.mask.row_lengths)
    assert np.array_equal(values.indptr, case.mask.indptr)
    assert np.array_equal(values.indices, case.mask.indices)
    assert np.allclose(values.data, whole[rows, case.mask.indices], rtol=1e-12, atol=1e-11)
    assert worst < 1e-12


def test_a_side_that_is_not_finite_is_refused() -> None:
    mask = matrix(3, 4, 0.5, seed=1)
    with pytest.raises(InputError, match="sddmm: x must be finite"):
        sampled_product(mask, 2, np.full((3, 2), np.nan), None)
    with pytest.raises(InputError, match="sddmm: y must be finite"):
        sampled_product(mask, 2, None, np.full((2, 4), np.inf))


def test_a_wrong_dot_product_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = matrix(6, 5, 0.5, seed=1)
    right = gustavson.sampled

    def wrong(*operands: Any) -> None:
        right(*operands)
        operands[-1][mask.indptr[2]] += 1e-6

    monkeypatch.setattr(gustavson, "sampled", wrong)
    with pytest.raises(ArithmeticError, match="row 2 differs from the sum over its mask"):
        sampled_product(mask, 3, None, None)


@pytest.mark.parametrize("seed", range(20))
def test_product_equals_scipy(seed: int) -> None:
    case = random_case(seed)
    _, product = case.merge()
    assert_same_product(product, case)
    check_product(case.a, case.b, product, np.diff(case.expected.indptr))


def test_row_sums_do_not_need_the_product_kept() -> None:
    case = random_case(7)
    kept, product = case.merge()
    run, dropped = merge_phase(case.mergers, case.timing, case.layout.merge, case.b.shape[1])
    assert dropped.values is None
    assert run.cycles == kept.cycles
    assert np.array_equal(dropped.row_sums, product.row_sums)
    assert np.array_equal(dropped.row_counts, product.row_counts)


def test_entries_that_cancel_are_kept_because_the_hardware_does_not_look_at_sums() -> None:
    a, b = (sp.csr_array(np.array(values)) for values in ([[1.0, -1.0]], [[2.0, 3.0], [2.0, 1.0]]))
    case = Case(Csr.from_scipy(a), Csr.from_scipy(b))
    _, product = case.merge()
    assert product.values is not None
    assert product.values.indices.tolist() == [0, 1]
    assert product.values.data.tolist() == [0.0, 2.0]


@pytest.mark.parametrize(("rows", "inner", "columns"), [(0, 0, 0), (3, 0, 2), (3, 2, 0), (3, 4, 5)])
def test_nothing_to_do_takes_no_cycles(rows: int, inner: int, columns: int) -> None:
    a, b = (Csr.from_scipy(sp.csr_array(shape)) for shape in ((rows, inner), (inner, columns)))
    case = Case(a, b)
    multiply, (merge, product) = case.multiply(), case.merge()
    assert multiply.cycles == merge.cycles == 0
    assert product.row_counts.tolist() == [0] * rows
    assert_same_run(multiply, case.reference_multiply(), MULTIPLY_COUNTS)
    assert_same_run(merge, case.reference_merge()[0], MERGE_COUNTS)


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (3, 0), (0, 3), (4, 5)])
def test_an_empty_mask_takes_no_cycles(rows: int, columns: int) -> None:
    case = Sampled(Csr.from_scipy(sp.csr_array((rows, columns))), 7)
    run = case.multiply()
    assert run.cycles == 0
    assert_same_run(run, case.reference_multiply(), MULTIPLY_COUNTS)
    values, worst = sampled_product(case.mask, 7, None, None)
    assert (values.nnz, worst) == (0, 0.0)


def test_columns_that_meet_empty_rows_are_read_and_make_no_work() -> None:
    a = matrix(8, 6, 0.9, seed=3)
    b = Csr.from_scipy(sp.csr_array((6, 9)))
    case = Case(a, b)
    run = case.multiply()
    assert_same_run(run, case.reference_multiply(), MULTIPLY_COUNTS)
    assert run.counts.tolist() == [0] * 6
    assert run.dram[READ_BURSTS] > 0


def test_a_wrong_product_is_caught() -> None:
    case = random_case(7)
    counts = np.diff(case.expected.indptr)
    _, product = case.merge()
    row = int(np.flatnonzero(counts)[0])
    wrong = product.row_sums.copy()
    wrong[row] += 1e-6 * (1 + abs(wrong[row]))
    with pytest.raises(ArithmeticError, match=rf"row {row} differs from A \(B w\)"):
        check_product(case.a, case.b, replace(product, row_sums=wrong), counts)
    wrong[row] = np.nan
    with pytest.raises(ArithmeticError, match=rf"row {row} differs"):
        check_product(case.a, case.b, replace(product, row_sums=wrong), counts)
    fewer = counts.copy()
    fewer[row] -= 1
    with pytest.raises(ArithmeticError, match=rf"row {row} has {counts[row]} entries, counted {fewer[row]}"):
        check_product(case.a, case.b, product, fewer)


def test_work_that_could_overflow_the_cycle_counter_is_refused() -> None:
    check_size(10**9, MERGERS, HBM)
    with pytest.raises(InputError, match="2\\^47 cycles or more; nothing was simulated"):
        check_size(10**13, MERGERS, HBM)


def test_sampled_work_that_could_overflow_is_refused() -> None:
    mask = matrix(30, 30, 0.5, seed=1)
    check_sampled_size(mask, 10**6, TILES, HBM)
    with pytest.raises(InputError, match="positions of 10000000000 elements could take 2\\^47 cycles or more"):
        check_sampled_size(mask, 10**10, TILES, HBM)
    with pytest.raises(InputError, match="x and y must hold below 2\\^60 bytes"):
        check_sampled_size(Csr.from_scipy(sp.csr_array((30, 30))), 2**55, TILES, HBM)


# Directions. More of a resource, or less of a delay, may make a greedy schedule slightly worse: work
# lands on another PE, evicts another block, meets another refresh or a bank that is busy with links
# (Graham's anomalies). On the fixed seeds here one step may cost 5 %; over 20 other seeds the worst
# steps of the multiply phase were 7.6 % (outstanding requests), 6.8 % (write buffer), 6.4 % (MSHRs), and
# those of the merge phase below 1 %. The whole way must gain, as stated for each.

ANOMALY = 1.05
Make = Callable[[Case, float], Case]


def _tiles(field: str) -> Make:
    return lambda case, value: replace(case, tiles=case.tiles._replace(**{field: int(value)}))


def _mergers(field: str) -> Make:
    return lambda case, value: replace(case, mergers=case.mergers._replace(**{field: int(value)}))


def _timing(field: str) -> Make:
    return lambda case, value: replace(case, timing=case.timing._replace(**{field: type(getattr(HBM, field))(value)}))


DIRECTIONS: list[tuple[str, str, Make, tuple[float, ...], float]] = [
    ("multiply", "outstanding", _tiles("outstanding"), (1, 2, 4, 16, 64), 0.99),
    ("multiply", "channels", _timing("channel_bits"), (0, 1, 2, 3), 0.5),
    ("multiply", "latency", _timing("latency"), (480, 240, 120, 30, 0), 0.9),
    ("multiply", "dispatch", _tiles("dispatch"), (300, 100, 20, 0), 0.6),
    ("multiply", "l0_mshrs", _tiles("l0_mshrs"), (1, 2, 8, 32), 0.95),
    ("multiply", "write_buffer", _timing("write_buffer"), (0.0, 48.0, 192.0, 768.0), 1.0),
    ("merge", "channels", _timing("channel_bits"), (0, 1, 2, 3), 0.95),
    ("merge", "latency", _timing("latency"), (480, 240, 120, 30, 0), 0.5),
    ("merge", "private cache", _mergers("sets"), (1, 2, 4, 16, 64), 0.97),
    ("merge", "l1_mshrs", _mergers("l1_mshrs"), (1, 2, 8), 0.7),
    ("merge", "step", _mergers("step"), (8, 4, 2, 0), 0.9),
]


def assert_direction(cycles: list[int], gain: float) -> None:
    assert all(later <= ANOMALY * before for before, later in pairwise(cycles)), cycles
    assert cycles[-1] <= gain * cycles[0], cycles


@pytest.mark.parametrize("skew", [0.0, 1.0, 2.0])
@pytest.mark.parametrize(("phase", "name", "make", "values", "gain"), DIRECTIONS, ids=lambda value: str(value)[:20])
def test_more_resources_and_less_delay_never_cost_more(
    phase: str, name: str, make: Make, values: tuple[float, ...], gain: float, skew: float
) -> None:
    a = matrix(250, 250, 0.02, seed=int(skew), skew=skew)
    cases = [make(Case(a, a), value) for value in values]
    assert_direction(
        [case.multiply().cycles if phase == "multiply" else case.merge()[0].cycles for case in cases], gain
    )


def test_a_larger_l0_saves_misses_and_time_where_rows_are_longer_than_it() -> None:
    # Rows of B of 6 kB: PEs of a tile that drift apart fall back on a small cache's L1.
    a, b = matrix(300, 8, 0.9, seed=1), matrix(8, 1000, 0.5, seed=2)
    cases = [_tiles("l0_sets")(Case(a, b), sets) for sets in (1, 2, 4, 16, 64, 256)]
    runs = [case.multiply() for case in cases]
    misses = [int(run.counts[1]) for run in runs]
    assert_direction(misses, 0.1)
    assert_direction([run.cycles for run in runs], 0.85)


def test_the_null_memory_is_everyone_s_best() -> None:
    for seed in range(3):
        a = matrix(250, 250, 0.02, seed=seed, skew=seed)
        real, null = Case(a, a), Case(a, a, ideal(HBM))
        assert null.multiply().cycles < real.multiply().cycles
        assert null.merge()[0].cycles < real.merge()[0].cycles
        assert null.multiply().by_cause()["bandwidth"] == 0
        assert null.merge()[0].by_cause()["bandwidth"] == 0


def test_equal_size_and_work_but_other_structure_gives_other_cycles_and_another_cause() -> None:
    # Same shape, non-zeros and multiplies: every column of A has four entries, every row of B four.
    n = 256
    rng = np.random.default_rng(0)
    spread = sp.csr_array((np.ones(4 * n), (np.tile(np.arange(n), 4), np.repeat(np.arange(n), 4))), shape=(n, n))
    few = sp.csr_array((np.ones(4 * n), (np.tile(np.arange(4), n), np.repeat(np.arange(n), 4))), shape=(n, n))
    b = sp.csr_array((rng.random(4 * n), (np.repeat(np.arange(n), 4), np.tile(np.arange(4), n))), shape=(n, n))
    runs = []
    for a in (spread, few):
        case = Case(Csr.from_scipy(a), Csr.from_scipy(b), mergers=MERGERS._replace(heads=256))
        assert (case.a.nnz, case.multiplies) == (4 * n, 16 * n)
        runs.append(case.merge()[0])
    # Four long rows keep four PEs busy and the others waiting.
    assert runs[1].cycles > 3 * runs[0].cycles
    assert runs[1].by_cause()["imbalance"] > runs[1].cycles * runs[1].where.shape[1] / 3
    assert runs[0].by_cause()["imbalance"] < runs[0].cycles * runs[0].where.shape[1] / 3
