"""Does the chunk merger give the row that its chunks add up to, in the engine's order and cycles?"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.contract import FP64
from siloom.sim.engine.dram import DramTiming
from siloom.sim.engine.outer_product import lay_out, merge_phase
from siloom.sim.engine.row_merge import ADDS, POPS, ROUNDS, STEPS, MergeArray
from siloom.sim.errors import InputError
from siloom.sim.sparse import Csr
from siloom.sim.units import outer_multiplier
from siloom.sim.units.chunk_merger import (
    STREAM_BITS,
    UNIT,
    ChunkMerger,
    contract,
    insert_head,
    merge_reference,
    merge_stream,
    sum_reference,
)
from siloom.sim.units.outer_multiplier import QUIET_NAN

COLUMN, SUM, ENTRY, LAST, REFILL, CHUNK = range(6)
NEVER_WAIT = np.ones(0, bool)


def code(value: float) -> int:
    return int(np.float64(value).view(np.int64))


def value(code: int) -> float:
    return float(np.int64(code).view(np.float64))


def beats_of(rows) -> np.ndarray:
    """The beats of merged rows, one row after the other."""
    return np.array([beat for row in rows for beat in row.beats], np.int64).reshape(-1, 4)


def merge(beats: np.ndarray, heads: int):
    return merge_stream(*(np.ascontiguousarray(c) for c in beats.T), heads)


VALUES = st.one_of(st.floats(-100, 100).map(code), st.integers(-(2**63), 2**63 - 1), st.sampled_from(FP64.corners()))
CHUNKS = st.dictionaries(st.integers(0, 12), VALUES, min_size=1, max_size=8).map(lambda c: sorted(c.items()))
ROWS = st.lists(st.lists(CHUNKS, min_size=1, max_size=6), max_size=4)


@settings(max_examples=500, deadline=None)
@given(ROWS)
def test_kernel_equals_the_plain_reference_row_after_row(rows):
    merged = [merge_reference(chunks) for chunks in rows]
    answer = contract(ChunkMerger(column_bits=4, heads=6)).answer(beats_of(merged))
    assert answer.beats.tolist() == [list(pop) for row in merged for pop in row.pops]
    got = merge(beats_of(merged), 6)
    assert got.walked.tolist() == [steps for row in merged for steps in row.walked]
    assert got.illegal == -1


@settings(max_examples=200, deadline=None)
@given(st.lists(CHUNKS, min_size=1, max_size=6))
def test_row_has_each_column_once_and_every_element_in_its_sum(chunks):
    row = merge_reference(chunks).row
    held: dict[int, list[int]] = {}
    for chunk in chunks:
        for column, element in chunk:
            held.setdefault(column, []).append(element)
    assert [column for column, _ in row] == sorted(held)
    got = merge(beats_of([merge_reference(chunks)]), 6)
    assert got.added.sum() == sum(map(len, chunks)) - len(row)
    # Whatever their order, whole numbers of ordinary size add up exactly.
    small = [[(column, code(element % 1000)) for column, element in chunk] for chunk in chunks]
    for column, total in merge_reference(small).row:
        assert value(total) == sum(element % 1000 for element in held[column])


def test_a_new_head_goes_before_heads_of_its_column_so_the_last_chunk_is_added_first():
    big, small = code(2.0**53), code(1.0)
    # From the back: 1 + 1 is 2, which 2**53 takes; from the front each 1 would be lost.
    chunks = [[(7, big)], [(7, small)], [(7, small)]]
    reference = merge_reference(chunks)
    assert [pop[CHUNK] for pop in reference.pops] == [2, 1, 0]
    assert reference.row == [(7, code(2.0**53 + 2))]
    assert merge_reference(chunks[::-1]).row == [(7, big)]
    # So do refills: chunk 0 comes back to column 7 after chunk 1, and is popped first.
    pops = merge(beats_of([merge_reference([[(5, small), (7, big)], [(7, big)]])]), 2).pops
    assert pops[:, CHUNK].tolist() == [0, 0, 1]
    assert pops[:, ENTRY].tolist() == [1, 0, 1]
    assert pops[:, LAST].tolist() == [0, 0, 1]
    assert pops[:, REFILL].tolist() == [1, 0, 0]


@settings(max_examples=1000, deadline=None)
@given(VALUES, VALUES)
def test_a_sum_is_exact_arithmetic_rounded_once(a, b):
    pops = merge(beats_of([merge_reference([[(1, b)], [(1, a)]])]), 2).pops
    first = sum_reference(0, a)
    assert pops[:, SUM].tolist() == [first, sum_reference(first, b)]


def test_known_sums():
    cases = [
        (0.0, -0.0, 0.0),
        (1.5, -1.5, 0.0),
        (5e-324, 5e-324, 1e-323),
        (2.2250738585072014e-308, -5e-324, 2.225073858507201e-308),
        (1.7976931348623157e308, 9.9792015476736e291, math.inf),
        (math.inf, -1.0, math.inf),
        (1.0, 2.0**-53, 1.0),
        (1.0 + 2.0**-52, 2.0**-53, 1.0 + 2.0**-51),
    ]
    for a, b, expected in cases:
        assert sum_reference(sum_reference(0, code(a)), code(b)) == code(expected)
    assert sum_reference(code(math.inf), code(-math.inf)) == QUIET_NAN
    assert merge_reference([[(3, code(-0.0))]]).row == [(3, 0)]
    assert merge(np.array([[3, code(-0.0), 1, 1]]), 1).pops[:, SUM].tolist() == [0]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=10), st.integers(0, 20))
def test_insertion_walks_over_all_smaller_columns_and_no_others(columns, key):
    size = len(columns)
    # The packed heads behind a free front slot, and one more that must not be touched.
    packed = sorted(c << STREAM_BITS | s for s, c in enumerate(columns))
    heads = np.array([-1, *packed, 99], np.int64)
    walked = insert_head(heads, size, key, size)
    assert walked == sum(c < key for c in columns)
    expected = [*packed[:walked], key << STREAM_BITS | size, *packed[walked:], 99]
    assert heads.tolist() == expected


# The engine merges the same rows.

MEMORY = DramTiming(
    channel_bits=2, bank_bits=3, row_bits=4, burst=6.0, latency=120, activate=42, row_cycle=68,
    refresh_interval=5850, refresh=390, write_buffer=192.0,
)  # fmt: skip
MERGERS = MergeArray(
    tiles=2, pes=2, tiles_per_l1=2, sets=8, ways=4, l1_sets=16, l1_ways=4, block_bits=6, burst_bits=5,
    l1_mshrs=8, heads=1, dispatch=0, element=20, step=3, add=2, l0_latency=0, l1_latency=8, begin=0,
)  # fmt: skip


def engine_case(seed: int) -> tuple[Csr, Csr]:
    rng = np.random.default_rng(seed)
    rows, inner, columns = (int(n) for n in rng.integers(1, 30, 3))
    operands = []
    for shape in ((rows, inner), (inner, columns)):
        dense = rng.normal(size=shape) * 10.0 ** rng.integers(-8, 9, shape)
        dense[rng.random(shape) > rng.choice([0.1, 0.4, 0.9])] = 0.0
        operands.append(Csr.from_scipy(sp.csr_array(dense)))
    return operands[0], operands[1]


@pytest.mark.parametrize("seed", range(25))
def test_unit_and_engine_agree_on_every_entry_and_on_all_work(seed):
    a, b = engine_case(seed)
    chunks = lay_out(a, b).merge
    # As many heads as the longest row has chunks: one more chunk would need rounds.
    shape = MERGERS._replace(heads=max(1, int(np.diff(chunks.row_ptr).max())))
    pattern = sp.csr_array(abs(a.to_scipy()).sign() @ abs(b.to_scipy()).sign())
    run, product = merge_phase(shape, MEMORY, chunks, b.shape[1], pattern.indptr.astype(np.int64))
    assert product.values is not None

    design = ChunkMerger(heads=shape.heads, element_cycles=shape.element, step_cycles=shape.step, add_cycles=shape.add)
    unit = contract(design)
    multiplier = outer_multiplier.contract(outer_multiplier.OuterMultiplier())
    work: Counter[str] = Counter()
    for m in range(a.shape[0]):
        row = []
        for c in range(chunks.row_ptr[m], chunks.row_ptr[m + 1]):
            span = slice(chunks.first[c], chunks.first[c] + chunks.length[c])
            beats = np.zeros((chunks.length[c], 4), np.int64)
            beats[0, :2] = 1, code(chunks.scale[c])
            beats[:, 2], beats[:, 3] = chunks.cols[span], chunks.vals[span].view(np.int64)
            row.append([tuple(pair) for pair in multiplier.answer(beats).beats.tolist()])
        beats = beats_of([merge_reference(row)])
        pops = unit.answer(beats).beats
        entries = pops[pops[:, ENTRY] == 1]
        kept = slice(product.values.indptr[m], product.values.indptr[m + 1])
        assert entries[:, COLUMN].tolist() == product.values.indices[kept].tolist()
        assert entries[:, SUM].tolist() == product.values.data[kept].view(np.int64).tolist()
        merged = merge(beats, shape.heads)
        work["pops"] += len(pops)
        work["steps"] += int(merged.walked.sum())
        work["adds"] += int(merged.added.sum())
        work["rows"] += len(row) > 0
        work["cycles"] += int(unit.interval(beats).sum())
    assert [work["pops"], work["steps"], work["adds"]] == run.counts[[POPS, STEPS, ADDS]].tolist()
    assert run.counts[ROUNDS] == work["rows"]
    assert work["cycles"] == run.by_cause()["compute"]


# Cycles.

DESIGN = ChunkMerger(column_bits=4, heads=6, element_cycles=5, step_cycles=2, add_cycles=3)


def test_cycles_of_a_row_worked_out_by_hand():
    one = code(1.0)
    row = merge_reference([[(2, one), (9, one)], [(4, one)], [(4, one)]])
    # Heads 2 and 4 and 4: loaded over 0, 1 and 1. Pop 2, refill 9 over both 4s, then 4, 4 (added), 9.
    assert row.walked == [0, 1, 1, 2]
    unit, beats = contract(DESIGN), beats_of([row])
    assert callable(unit.latency) and callable(unit.interval) and callable(unit.spacing)
    assert unit.latency(beats).tolist() == [1, 2, 2 + 5, 4 + 5]
    assert unit.interval(beats).tolist() == [1, 2, 2 + 5, 4 + 5 + 8 + 5]
    assert unit.spacing(beats).tolist() == [5, 5, 8, 5]
    got = unit.schedule(beats, np.zeros(4, np.int64), NEVER_WAIT)
    assert got.taken.tolist() == [0, 1, 3, 10]
    assert got.left.tolist() == [10, 19, 27, 32]
    # A pop waits for the one before it to be fetched, and the next beat for the last of them.
    stuck = np.array([cycle not in range(10, 14) for cycle in range(40)])
    late = unit.schedule(beats, np.zeros(4, np.int64), stuck)
    assert (late.shown - got.shown).tolist() == [0, 4, 4, 4]
    assert late.taken.tolist() == [0, 1, 3, 14]


@settings(max_examples=200, deadline=None)
@given(ROWS)
def test_undisturbed_beats_follow_each_other_at_their_intervals(rows):
    unit, beats = contract(DESIGN), beats_of([merge_reference(chunks) for chunks in rows])
    assert callable(unit.interval)
    got = unit.schedule(beats, np.zeros(len(beats), np.int64), NEVER_WAIT)
    intervals = unit.interval(beats)
    assert np.array_equal(got.taken, np.cumsum(intervals) - intervals)
    assert not len(beats) or got.left[-1] == intervals.sum()
    merged = merge(beats, DESIGN.heads)
    work = 5 * len(merged.pops) + 2 * int(merged.walked.sum()) + 3 * int(merged.added.sum())
    assert 0 <= intervals.sum() - work <= sum(len(chunks) for chunks in rows)


def test_dearer_parts_and_nothing_else_make_the_unit_slower():
    rows = [merge_reference([[(c, code(1.0)) for c in range(s, 12)] for s in range(5)])]
    beats = beats_of(rows)

    def cycles(**change: int) -> int:
        unit = contract(replace(DESIGN, **change))
        assert callable(unit.interval)
        return int(unit.interval(beats).sum())

    base, merged = cycles(), merge(beats, 6)
    assert cycles(element_cycles=6) == base + len(merged.pops)
    assert cycles(add_cycles=4) == base + merged.added.sum()
    assert cycles(heads=100) == cycles(column_bits=20) == base


# What is legal.


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(UNIT.sizes), st.integers(0, 2**32), st.integers(0, 200))
def test_any_beats_become_legal_ones_and_legal_ones_stay(size, seed, count):
    unit = contract(size)
    rng = np.random.default_rng(seed)
    bits = [form.bits for form in unit.inputs.formats]
    words = rng.integers(0, 2**64, (count, 4), np.uint64) >> np.array([64 - b for b in bits], np.uint64)
    beats = words.view(np.int64)
    assert unit.legal is not None
    legal = unit.legal(beats)
    assert np.array_equal(legal[:, 1], beats[:, 1])
    assert np.array_equal(unit.legal(legal), legal)
    answer = unit.answer(legal)
    waits = rng.integers(0, 3, count)
    got = unit.schedule(legal, waits, rng.random(4 * count) < 0.5)
    assert len(got.taken) == count
    # Within a row columns rise from entry to entry.
    entries = answer.beats[answer.beats[:, ENTRY] == 1]
    rows = np.cumsum(entries[:, LAST]) - entries[:, LAST]
    assert (np.diff(entries[:, COLUMN])[np.diff(rows) == 0] > 0).all()


@settings(max_examples=100, deadline=None)
@given(ROWS, st.integers(0, 100))
def test_what_comes_later_changes_nothing_that_went_before(rows, cut):
    unit, beats = contract(DESIGN), beats_of([merge_reference(chunks) for chunks in rows])
    cut = min(cut, len(beats))
    whole, part = unit.answer(beats), unit.answer(beats[:cut])
    assert np.array_equal(whole.beats[whole.cause < cut], part.beats)
    assert callable(unit.interval)
    assert np.array_equal(unit.interval(beats)[:cut], unit.interval(beats[:cut]))


def test_beats_that_are_not_legal_are_refused():
    unit = contract(ChunkMerger(heads=2))
    three_heads = [[1, 0, 1, 0], [2, 0, 1, 0], [3, 0, 1, 1]]
    with pytest.raises(ValueError, match="chunk_merger: beat 2 is not legal: it brings more chunks than the 2 heads"):
        unit.answer(np.array(three_heads))
    for column in (4, 5):
        with pytest.raises(ValueError, match=r"beat 1 is not legal: .* a column that is not above the one"):
            unit.answer(np.array([[5, 0, 0, 1], [column, 0, 1, 0]]))
    assert len(unit.answer(np.array([[5, 0, 0, 1], [6, 0, 1, 0]])).beats) == 2


def test_the_contract_takes_its_widths_from_the_design():
    unit = contract(ChunkMerger(column_bits=20, heads=100))
    assert [p.format.bits for p in unit.inputs.ports] == [20, 64, 1, 1]
    assert [p.format.bits for p in unit.outputs.ports] == [20, 64, 1, 1, 1, 7]
    assert [p.name for p in unit.outputs.ports] == ["column", "sum", "entry", "last", "refill", "chunk"]
    assert unit.capacity == 1
    with pytest.raises(InputError, match="column_bits must be at most 39 bit, got 40"):
        ChunkMerger(column_bits=40)
