"""Does A3 keep, compute and take what its stages say?"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from siloom.models._a3_fit import fitted_design
from siloom.models.a3 import A3, A3Design, attention_causes, query_cycles
from siloom.models.registry import machine
from siloom.sim.drawn_attention import Clustered
from siloom.sim.engine.pipeline import constant_makespan, least_makespan, run_pipeline
from siloom.sim.engine.pipeline_reference import run_pipeline_reference
from siloom.sim.errors import InputError, UsageError
from siloom.sim.memory import idle_latency_s, stream_bytes_per_s
from siloom.sim.ops import Attention
from siloom.sim.units.exp_split import exp_split_reference
from siloom.sim.units.greedy_search import REFINEMENTS, greedy_search_reference
from siloom.sim.units.share_sum import share_sum_reference

BASE = A3.variants["a3-base"]


def attention(seq=24, dim=8, heads=1, seed=0, causal=False, scale=1.0, **law):
    op = Attention(name="a", seq=seq, heads=heads, dim=dim, causal=causal, law=Clustered(seed=seed, **law))
    drawn = op.operands()
    q, k, v = (scale * x for x in (drawn.q, drawn.k, drawn.v))
    return Attention(name="a", seq=seq, heads=heads, dim=dim, causal=causal, q=q, k=k, v=v)


def run(op, **fields):
    return A3(A3Design(**{"memory": "ideal", **fields})).run(op, values=True)


def codes(x, design):
    top = 2 ** (design.operand_bits - 1) - 1
    return [[min(max(round(float(e) * 2**design.fraction_bits), -top), top) for e in row] for row in x]


def by_hand(op, design):
    """Candidates, kept keys and output of the one head of ``op``, from the units' plain references."""
    q, k, v = (codes(x[0, 0], design) for x in (op.q, op.k, op.v))
    unit = design.exponential
    candidate_rows, kept_rows, output = [], [], []
    for i, query in enumerate(q):
        allowed = range(i + 1) if op.causal else range(op.seq)
        if design.iterations_share:
            found = greedy_search_reference(query, k, design.iterations(op.seq), design.refinement)
            candidates = [j for j in allowed if found[j] > 0] or [max(allowed, key=lambda j: (found[j], -j))]
        else:
            candidates = list(allowed)
        score = {j: sum(a * b for a, b in zip(query, k[j], strict=True)) for j in candidates}
        largest = max(score.values())
        near = math.inf
        if design.post_threshold_percent:
            near = math.log(100 / design.post_threshold_percent) * math.sqrt(op.dim) * 4**design.fraction_bits
        kept = [j for j in candidates if largest - score[j] < near]
        factor = Fraction(round(2**16 / math.sqrt(op.dim)), 2**16)
        x = [min(math.floor((largest - score[j]) * factor + Fraction(1, 2)), unit.largest) for j in kept]
        powers = [exp_split_reference(e, unit) for e in x]
        bits = design.weight_fraction_bits
        output.append(share_sum_reference(powers, sum(powers), [v[j] for j in kept], bits, design.operand_bits))
        candidate_rows.append(len(candidates))
        kept_rows.append(len(kept))
    return candidate_rows, kept_rows, np.array(output) / 2**design.fraction_bits


designs = st.builds(
    lambda share, percent, refinement, f, weight: A3Design(
        iterations_share=share, post_threshold_percent=percent, refinement=refinement, fraction_bits=f,
        weight_fraction_bits=weight, memory="ideal",
    ),
    st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 3.0]),
    st.sampled_from([0.0, 1.0, 5.0, 20.0, 99.0]),
    st.sampled_from(REFINEMENTS),
    st.integers(0, 6),
    st.integers(4, 16),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(designs, st.integers(1, 14), st.integers(1, 9), st.booleans(), st.integers(0, 99))
def test_a_head_is_what_the_plain_references_make_of_it(design, seq, dim, causal, seed):
    op = attention(seq, dim, seed=seed, causal=causal)
    result = A3(design).run(op, values=True)
    candidates, kept, output = by_hand(op, design)
    assert result.counters["candidates"] == sum(candidates)
    assert result.counters["scores_kept"] == sum(kept)
    assert (result.values[0, 0] == output).all()


def exact(op):
    scores = np.einsum("bhid,bhjd->bhij", op.q.astype(float), op.k.astype(float)) / math.sqrt(op.dim)
    if op.causal:
        scores[..., np.triu_indices(op.seq, 1)[0], np.triu_indices(op.seq, 1)[1]] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ op.v.astype(float)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.sampled_from([1, 4, 16, 30]), st.booleans(), st.integers(0, 99))
def test_the_base_machine_is_exact_attention_but_for_its_formats(seq, dim, causal, seed):
    # Operands on the machine's own grid: what is left is the exponential, the shares and the output's rounding.
    op = attention(seq, dim, seed=seed, causal=causal, scale=0.5)
    on_grid = {name: np.clip(np.rint(getattr(op, name) * 16), -255, 255).astype(np.float32) / 16 for name in "qkv"}
    op = Attention(name="a", seq=seq, heads=1, dim=dim, causal=causal, **on_grid)
    result = run(op, weight_fraction_bits=16, **BASE)
    assert result.quality["recall"] == result.quality["candidate_ratio"] == 1.0
    assert result.quality["mass_kept"] == pytest.approx(1.0)
    # Scores are off by half of 2^-8 and by the constant's 2^-17: weights by that share of themselves at most,
    # counted twice for the total; then tables and shares, 3 units of 2^-16 a key; then half a code of the output.
    largest = np.abs(op.v).max()
    bound = largest * (2 * 2.0**-9 + 2 * 16 * math.sqrt(dim) * 2.0**-17 + 2 * 3 * seq * 2.0**-16) + 2.0**-5
    assert np.abs(result.values - exact(op)).max() <= bound


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([0.0, 0.125, 0.5]), st.floats(0.01, 99), st.floats(0.01, 99), st.integers(0, 99))
def test_a_stricter_threshold_never_keeps_more_and_none_keeps_every_candidate(share, one, other, seed):
    op = attention(seed=seed)
    q, k = (np.array(codes(x[0, 0], A3Design()), np.int32) for x in (op.q, op.k))
    ones = np.ones((op.seq, op.seq), bool)

    def kept(percent):
        found = A3Design(iterations_share=share, post_threshold_percent=percent).selection.select(q, k, ones)
        assert found.kept.any(axis=1).all()
        assert (found.kept <= found.candidates).all()
        return found.kept if percent else found.candidates

    low, high = sorted((one, other))
    assert (kept(high) <= kept(low)).all()
    assert (kept(low) <= kept(0.0)).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 9999), st.randoms(use_true_random=False))
def test_permuting_keys_and_values_changes_neither_counts_nor_output(seed, chance):
    rng = np.random.default_rng(seed)
    q, k, v = rng.integers(-4095, 4096, (3, 1, 1, 10, 5)).astype(np.float32) / 2**9
    products = np.abs(q[0, 0][:, None, :] * k[0, 0][None, :, :]).reshape(10, 50)
    assume(all(len(set(row)) == 50 for row in products.tolist()))  # ties aside
    fields = {"operand_bits": 13, "fraction_bits": 9, "iterations_share": 0.5}
    order = chance.sample(range(10), 10)
    here = run(Attention(name="a", seq=10, heads=1, dim=5, q=q, k=k, v=v), **fields)
    there = run(Attention(name="a", seq=10, heads=1, dim=5, q=q, k=k[:, :, order], v=v[:, :, order]), **fields)
    assert here.counters == there.counters
    assert (here.values == there.values).all()


def test_long_heads_are_worked_on_in_parts_that_leave_no_trace(monkeypatch):
    op = attention(seq=40, heads=2, causal=True)
    whole = run(op)
    monkeypatch.setattr("siloom.models.a3._QUERIES", 7)
    parts = run(op)
    assert parts.to_json() == whole.to_json()
    assert (parts.values == whole.values).all()


def test_a_query_without_candidate_takes_the_key_of_its_largest_greedy_score():
    q = np.array([[1.0, 0.0], [-1.0, 1.0]], np.float32).reshape(1, 1, 2, 2)
    k = np.array([[-3.0, 0.0], [-2.0, -4.0]], np.float32).reshape(1, 1, 2, 2)
    v = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32).reshape(1, 1, 2, 2)
    op = Attention(name="a", seq=2, heads=1, dim=2, q=q, k=k, v=v)
    # Query 0: no product is above zero; -3 is taken in the first iteration, then the sum is negative.
    result = run(op, iterations_share=0.5)
    assert result.counters["queries_without_candidate"] == 1
    assert result.values[0, 0, 0].tolist() == [3.0, 4.0]
    zero = Attention(name="a", seq=2, heads=1, dim=2, q=0 * q, k=k, v=v)
    assert run(zero).counters["queries_without_candidate"] == 2
    assert (run(zero).values == v[:, :, :1]).all()


@pytest.mark.parametrize("seq", [1, 20, 320])
def test_the_base_machine_has_the_published_latency_and_interval(seq):
    design = A3Design(**BASE)
    everything = np.full(seq, seq)
    service, parts = query_cycles(design, seq, 64, everything, everything)
    assert (service.sum(axis=1) == 3 * seq + 27).all()
    cycles = sum(attention_causes(design, service, parts).values())
    assert cycles == constant_makespan(seq, (seq + 9,) * 3) == 3 * seq + 27 + (seq - 1) * (seq + 9)


counts = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 60)), min_size=1, max_size=8)


def cycles_of(design, pairs, dim=64):
    tried = np.array([c for c, _ in pairs], np.int64)
    kept = np.minimum(tried, np.array([k for _, k in pairs], np.int64))
    service, parts = query_cycles(design, len(pairs), dim, tried, kept)
    return service, attention_causes(design, service, parts)


@settings(max_examples=60, deadline=None)
@given(counts, st.sampled_from([0.0, 0.5, 4.0]), st.sampled_from([0.0, 5.0]), st.integers(0, 3), st.integers(1, 200))
def test_cycles_are_those_of_the_pipeline_cycle_by_cycle_and_each_has_a_cause(pairs, share, percent, slots, dim):
    design = A3Design(iterations_share=share, post_threshold_percent=percent, buffered_queries=slots)
    service, causes = cycles_of(design, pairs, dim)
    departures, _ = run_pipeline_reference(service.tolist(), [slots] * (service.shape[1] - 1), [0] * len(pairs))
    assert sum(causes.values()) == departures[-1][-1]
    assert min(causes.values()) >= 0
    assert sum(causes.values()) >= max(least_makespan(service), int(service.sum(axis=0).max()))
    # By hand: what each module takes for a query.
    wide = -(-dim // 64)
    for row, (tried, kept) in zip(service.tolist(), pairs, strict=True):
        kept = min(tried, kept)
        expected = [tried * wide + 9, kept + 9, kept * wide + 9]
        if percent:
            expected.insert(1, -(-tried // 16))
        if share:
            expected = [design.iterations(len(pairs)) * wide + 4, -(-len(pairs) // 16), *expected]
        assert row == expected


@settings(max_examples=40, deadline=None)
@given(counts, st.sampled_from([0.0, 0.5]), st.integers(0, 3), st.integers(1, 200))
def test_longer_buffers_more_lanes_wider_scans_and_shallower_modules_never_cost_time(pairs, share, slots, dim):
    def spent(**fields):
        design = A3Design(**{"iterations_share": share, "buffered_queries": slots, **fields})
        return sum(cycles_of(design, pairs, dim)[1].values())

    plain = spent()
    assert spent(buffered_queries=slots + 1) <= plain
    assert spent(lanes=128) <= plain
    assert spent(scan_width=64) <= plain
    assert spent(module_depth_cycles=3) <= plain
    assert spent(search_fill_cycles=0) <= plain


def test_the_slowest_module_sets_the_pace():
    pairs = [(30, 5)] * 200
    slow = A3Design(iterations_share=0.5)
    assert run_pipeline(cycles_of(slow, pairs)[0], [0] * 5).departures[-1, -1] == constant_makespan(
        200, (104, 13, 39, 2, 14, 14)
    )
    fast = A3Design(iterations_share=0.05)
    assert cycles_of(fast, pairs)[1]["dot product"] == 200 * 30


def test_copies_share_heads_and_memory():
    op = attention(heads=4)
    one, two, many = (run(op, copies=copies).cycles for copies in (1, 2, 9))
    assert two < one and many <= two
    assert many >= max(run(attention(heads=4), copies=4).cycles, one // 4)
    slow, fast = (run(op, memory=memory, copies=2).cycles for memory in ("ddr3-1866", "hbm2-2.0"))
    assert run(op, copies=2).cycles < fast < slow


def test_memory_that_cannot_keep_up_is_waited_for():
    op = attention(seq=64, dim=64, heads=8)
    one, many = (run(op, memory="ddr3-1866", copies=copies, iterations_share=0.02) for copies in (1, 1024))
    phases = {p.name: p for p in many.phases}
    # Every head has a pipeline of its own, and all heads come through one port: the last one waits for all of them.
    assert dict(phases["loads"].stalls) == {"memory": phases["loads"].cycles}
    assert phases["loads"].cycles > 8 * phases["attention"].cycles
    assert one.cycles > many.cycles > one.cycles // 2


def least_cycles(result):
    """What the memory needs for all bytes, and until the first head is there, at the rate that it sustains."""
    fields = result.design
    rate = stream_bytes_per_s(fields["memory"], channels=fields["memory_channels"])
    moved = (result.traffic_bytes["dram_read"] + result.traffic_bytes["dram_write"]) / rate * result.clock_hz
    return moved, idle_latency_s(fields["memory"]) * result.clock_hz


@pytest.mark.parametrize("memory", ["hbm2-2.0", "ddr4-2400"])
@pytest.mark.parametrize("variant", sorted(A3.variants))
def test_more_copies_are_never_slower_and_none_is_faster_than_the_memory(memory, variant):
    op = attention(seq=40, dim=16, heads=7, causal=True)
    runs = [run(op, memory=memory, copies=copies, **A3.variants[variant]) for copies in (1, 2, 3, 5, 7, 9)]
    for fewer, more in pairwise(runs):
        assert more.cycles <= fewer.cycles
    for result in runs:
        moved, latency = least_cycles(result)
        assert result.cycles >= moved + latency
        # The first load shows whatever there is behind it.
        assert {p.name: p for p in result.phases}["loads"].cycles >= moved / 7 + latency
    assert runs[-1].cycles == runs[-2].cycles


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_heads_that_share_keys_are_run_and_fetched_each_for_itself(kv_heads):
    grouped = Attention(name="a", seq=24, heads=4, dim=8, kv_heads=kv_heads, law=Clustered(seed=3))
    o = grouped.operands()
    apart = Attention(name="a", seq=24, heads=4, dim=8, q=o.q, k=o.k, v=o.v)
    here, there = (run(op, memory="ddr4-2400", copies=2) for op in (grouped, apart))
    assert here.cycles == there.cycles
    assert here.traffic_bytes == there.traffic_bytes
    assert here.operations == there.operations
    assert (here.values == there.values).all()
    assert any(f"though {4 // kv_heads} heads share them" in note for note in here.notes)


@pytest.mark.parametrize(("fields", "rows"), [(BASE, 40), ({}, 40), ({"iterations_share": 2.0}, 80)], ids=str)
@pytest.mark.parametrize("heads", [1, 3])
def test_a_head_is_written_row_by_row_however_fast_the_memory(fields, rows, heads):
    op = attention(seq=40, dim=16, heads=heads)
    ideal, fast, slow = (run(op, memory=memory, **fields) for memory in ("ideal", "hbm2-2.0", "ddr3-1866"))
    loads = {p.name: p.cycles for p in ideal.phases}["loads"]
    assert loads == heads * (1 + rows + 1)
    assert loads < ideal.cycles <= fast.cycles < slow.cycles


def test_sorting_costs_time_only_where_it_is_done_here_and_energy_in_any_case():
    op = attention(seq=40, dim=16)
    amortised, here, faster = (run(op, memory="hbm2-2.0", sorters=s) for s in (0, 1, 16))
    comparisons = 16 * 40 * 6
    assert {p.name: p.cycles for p in here.phases}["sorting"] == comparisons
    assert {p.name: p.cycles for p in faster.phases}["sorting"] == comparisons // 16
    assert "sorting" not in {p.name for p in amortised.phases}
    assert amortised.energy_parts["sorting"] == here.energy_parts["sorting"] > 0
    assert amortised.traffic_bytes["sorted_k"] == 2 * 40 * 16 * (9 + 6) // 8
    assert "sorted_k" not in here.traffic_bytes
    assert here.area_mm2 > amortised.area_mm2
    base = run(op, memory="hbm2-2.0", sorters=1, **BASE)
    assert "sorting" not in base.energy_parts and "sorting" not in {p.name for p in base.phases}


def test_of_sorted_columns_only_what_a_search_reaches_is_moved():
    op = attention(seq=320, dim=64)
    few, half, all_ = (run(op, memory="hbm2-2.0", iterations_share=share) for share in (0.125, 0.5, 3.0))
    # 40, 160 or all 320 places of each end, of 64 columns, 9 bits and a row's 9; written and read.
    assert [r.traffic_bytes["sorted_k"] for r in (few, half, all_)] == [2 * 2 * n * 144 for n in (40, 160, 320)]
    assert few.traffic_bytes["dram_write"] == few.traffic_bytes["o"] + 11_520
    assert few.energy_parts["sorted memory"] < half.energy_parts["sorted memory"] < all_.energy_parts["sorted memory"]
    # All columns are sorted whole, wherever that is.
    assert few.energy_parts["sorting"] == half.energy_parts["sorting"] == all_.energy_parts["sorting"]


@pytest.mark.parametrize("copies", [1, 3])
def test_exact_products_and_those_of_the_search_are_counted_apart_at_the_peak_of_the_former(copies):
    seq, dim = 40, 16
    result = run(attention(seq=seq, dim=dim, heads=2), copies=copies)
    tried, kept = (result.counters[name] for name in ("candidates", "scores_kept"))
    assert tried > kept
    assert result.operations["multiplies"] == result.operations["adds"] == dim * (tried + kept)
    assert result.operations["predictor_multiplies"] == 2 * 2 * seq * (seq // 2 + 4 * dim)
    # 64 lanes of the dot product and 64 of the output module.
    assert result.peaks["operations_per_s"] == 2 * 128 * copies * 1e9
    assert result.utilization == pytest.approx(2 * dim * kept / (128 * copies * result.cycles))
    base = run(attention(seq=seq, dim=dim), **BASE)
    assert base.operations["predictor_multiplies"] == 0
    assert base.operations["multiplies"] == base.operations["effective_multiplies"] == 2 * dim * seq * seq


def test_traffic_adds_up():
    moved = run(attention(heads=3)).traffic_bytes
    each = 3 * 24 * 9
    assert [moved[name] for name in "qkvo"] == [each] * 4
    assert moved["dram_read"] == 3 * each + moved["sorted_k"] // 2
    assert moved["dram_write"] == each + moved["sorted_k"] // 2


def test_sequences_longer_than_the_chip_are_run_and_said_to_be():
    small, large = (run(attention(seq=seq, dim=64)) for seq in (32, 400))
    assert not any("room for" in note for note in small.notes)
    assert any("room for 320 keys and 64 lanes: memories were sized for 400 keys of 64" in n for n in large.notes)
    assert large.area_mm2 > small.area_mm2


def test_the_more_is_searched_and_kept_the_better_here():
    op = attention(seq=96, dim=32, heads=2)
    aggressive, conservative, base = (
        run(op, **A3.variants[name]).quality for name in ("a3-aggressive", "a3-conservative", "a3-base")
    )
    assert aggressive["mass_kept"] < conservative["mass_kept"] < base["mass_kept"]
    assert aggressive["output_error"] > conservative["output_error"] > base["output_error"]


@pytest.mark.parametrize("measure", ["mass_kept", "recall"])
@pytest.mark.parametrize("wish", [0.5, 0.9])
def test_settings_fitted_to_a_wish_reach_it_on_their_data(measure, wish):
    op = attention(seq=48, dim=16, heads=2)
    fitted = fitted_design(A3Design(memory="ideal"), op.operands(), wish, measure=measure)
    result = A3(fitted).run(op)
    assert result.quality[measure] >= wish
    assert result.cycles <= run(op, **BASE).cycles


def test_a_wish_for_everything_is_the_base_machine_and_less_is_never_slower():
    given_ = attention(seq=48, dim=16).operands()
    design = A3Design(memory="ideal")
    whole = fitted_design(design, given_, 1.0, percents=(5.0,))
    assert (whole.iterations_share, whole.post_threshold_percent) == (0.0, 0.0)
    op = attention(seq=48, dim=16)
    cycles = [A3(fitted_design(design, given_, wish)).run(op).cycles for wish in (0.2, 0.6, 0.9, 1.0)]
    assert cycles == sorted(cycles)


def test_names_and_refusals():
    assert machine("a3-aggressive").design.iterations_share == 0.125
    assert machine("a3-base").design.post_threshold_percent == 0.0
    with pytest.raises(InputError, match="post_threshold_percent must be at most 99 %, got 100"):
        A3Design(post_threshold_percent=100)
    with pytest.raises(InputError, match="iterations_share must be finite, got nan"):
        A3Design(iterations_share=math.nan)
    with pytest.raises(InputError, match="a3: fraction_bits must be below operand_bits, got 9"):
        A3Design(fraction_bits=9)
    with pytest.raises(UsageError, match="no field 'iteration_share' - did you mean 'iterations_share'"):
        A3Design().with_settings("a3", {"iteration_share": "1"})
    with pytest.raises(InputError, match="runs attention's forward pass"):
        A3().run(Attention(seq=4, heads=1, dim=4, direction="bwd"))
    given_ = attention().operands()
    with pytest.raises(InputError, match="measure must be mass_kept or recall, got 'loss'"):
        fitted_design(A3Design(), given_, 0.5, measure="loss")
    with pytest.raises(InputError, match="wish must be from 0 to 1, got 2"):
        fitted_design(A3Design(), given_, 2)
