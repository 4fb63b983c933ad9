"""Does ELSA keep what its hashes say, give what its arithmetic gives, and take the cycles of its stages?"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.models._attention import Head
from siloom.models.elsa import Elsa, ElsaDesign, head_threshold, learnt_threshold
from siloom.sim.approximation import exact_probabilities
from siloom.sim.drawn_attention import Clustered
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.memory import idle_latency_s, stream_bytes_per_s
from siloom.sim.ops import Attention


def drawn(seq=64, heads=2, dim=64, **law):
    return Attention(seq=seq, heads=heads, dim=dim, law=Clustered(**law))


def run(op, **fields):
    return Elsa(dataclasses.replace(ElsaDesign(), **fields)).run(op, values=True)


def head_of(op, at=(0, 0)):
    given = op.operands()
    q, k, v = given.q[at], given.k[at], given.v[at]
    return Head(q, k, v, op.causal, exact_probabilities(q, k, op.causal))


def exact(op):
    given = op.operands()
    out = np.empty(given.q.shape, np.float32)
    for at in np.ndindex(op.batch, op.heads):
        out[at] = exact_probabilities(given.q[at], given.k[at], op.causal) @ given.v[at]
    return out


@pytest.mark.parametrize("causal", [False, True])
def test_keeping_everything_is_exact_within_the_formats_error(causal):
    op = dataclasses.replace(drawn(), causal=causal)
    coarse, fine = run(op, p=0.0), run(op, p=0.0, operand_bits=13, fraction_bits=8)
    assert coarse.quality["candidate_ratio"] == fine.quality["candidate_ratio"] == 1.0
    # Half a unit of V and of the output, and what Q and K's rounding does to the weights.
    assert np.abs(coarse.values - exact(op)).max() < 0.6
    assert coarse.quality["output_error"] < 0.1
    assert fine.quality["output_error"] < 0.01
    assert coarse.operations["skipped_multiplies"] == 0


def test_finer_operands_are_never_much_worse():
    op = drawn(seq=64, heads=2)
    errors = [run(op, p=0.0, operand_bits=13, fraction_bits=f).quality["output_error"] for f in (3, 5, 7, 8, 9)]
    assert errors[-1] <= 1.05 * min(errors)
    assert errors[0] > 5 * errors[-1]


def test_keys_that_are_all_zero_in_their_codes_are_kept_where_all_are():
    tiny = np.full((1, 1, 8, 64), 0.01, np.float32)
    assert run(Attention(seq=8, heads=1, dim=64, q=tiny, k=tiny, v=tiny), p=0.0).quality["candidate_ratio"] == 1.0


def test_scores_beyond_the_exponential_are_counted():
    calm, wild = (run(drawn(concentration=c), p=0.0).counters["saturated_powers"] for c in (4.0, 100.0))
    assert calm == 0
    assert wild > 0


def test_heads_that_share_keys_say_that_they_fetch_them_anew():
    result = run(Attention(seq=32, heads=4, dim=64, kv_heads=2))
    assert any("fetched for every head, though 2 heads share them" in note for note in result.notes)


def test_the_output_is_that_of_the_stated_arithmetic_step_by_step():
    op = drawn(seq=24, heads=1)
    result = run(op)
    given = op.operands()
    q, k, v = (
        np.clip(np.rint(x[0, 0].astype(np.float64) * 8), -255, 255).astype(int) for x in (given.q, given.k, given.v)
    )
    kept = Elsa()._head(head_of(op)).kept
    bits = 30  # of the constant: as fine as a word holds
    scale = round(2.0**-9 * math.log2(math.e) * 2**bits)
    for i in range(24):
        banks = []
        for bank in range(4):
            sums, total = np.zeros(64, np.float32), np.float32(0)
            for j in range(bank, 24, 4):
                if not kept[i, j]:
                    continue
                power = int(q[i] @ k[j]) * scale
                step = (power % 2**bits) >> (bits - 6)
                weight = np.float32(2.0 ** (power >> bits) * (1 + round((2 ** (step / 64) - 1) * 1024) / 1024))
                sums += weight * v[j].astype(np.float32)
                total += weight
            banks.append((sums, total))
        sums, total = np.zeros(64, np.float32), np.float32(0)
        for part, weight in banks:
            sums += part
            total += weight
        expected = np.rint(sums * (np.float32(1) / total)) / 8
        assert np.array_equal(result.values[0, 0, i], expected)


def test_cycles_stay_above_every_stages_own_work():
    op = drawn(seq=128, heads=3)
    result = run(op, copies=1, memory="ideal")
    hashing = 3 * 3 * (128 + 1)
    keys = 3 * 128 * 128 // 32
    work = result.operations["effective_multiplies"] // (2 * 64 * 4)
    assert result.cycles >= hashing + max(keys, work, 3 * 128 * 4)
    assert result.phases[0].cycles == hashing
    assert sum(result.stalls.values()) == result.cycles


def test_without_candidates_to_spare_a_query_takes_the_papers_16_cycles():
    op = drawn(seq=512, heads=1)
    result = run(op, threshold="1", memory="ideal")
    # No key passes: every query gets its best one, and looking through 512 keys in 4 banks of 8 sets the pace.
    assert result.counters["queries_without_candidate"] == 512
    assert result.quality["candidate_ratio"] == 1 / 512
    attention = result.phases[1].cycles
    assert 512 * 16 <= attention <= 512 * 16 + 64
    assert result.phases[0].cycles == 1539  # 3 d^(4/3) (n + 1) / m_h


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 50), st.sampled_from([0.5, 1.0, 3.0]))
def test_more_of_anything_is_never_slower(seed, p):
    op = drawn(seq=48, heads=3, seed=seed)
    base = run(op, p=p, memory="ddr4-2400").cycles
    for more in (
        {"selectors": 16},
        {"queue_entries": 64},
        {"hash_multipliers": 1024},
        {"output_multipliers": 64},
        {"memory_channels": 4},
    ):
        assert run(op, p=p, memory="ddr4-2400", **more).cycles <= base, more
    assert run(op, p=p, memory="ideal").cycles <= base
    one, many = (run(op, p=p, memory="ideal", copies=copies).cycles for copies in (1, 3))
    assert many <= one


@pytest.mark.parametrize("memory", ["hbm2-2.0", "ddr4-2400"])
@pytest.mark.parametrize("heads", [1, 5, 24])
def test_more_copies_are_never_slower_and_no_load_is_hidden(memory, heads):
    op = drawn(seq=64, heads=heads)
    found = {copies: run(op, copies=copies, memory=memory) for copies in (1, 2, 8, 24, 512)}
    cycles = [result.cycles for result in found.values()]
    assert cycles == sorted(cycles, reverse=True)
    moved = sum(found[1].traffic_bytes[name] for name in ("dram_read", "dram_write"))
    rate = stream_bytes_per_s(memory) / 1e9
    for copies, result in found.items():
        # All heads come through one port, and the last one is then still to be worked on.
        assert result.cycles > moved / rate
        if copies >= heads:
            assert result.cycles > moved / rate + 1e9 * idle_latency_s(memory)


def test_a_second_heads_memories_hide_its_load_and_cost_their_area():
    op = drawn(seq=128, heads=4)
    one, two = (run(op, copies=1, heads_held=held, memory="ddr4-2400") for held in (1, 2))
    assert two.cycles < one.cycles
    assert two.area_parts["memories"] > 1.5 * one.area_parts["memories"]


def test_more_copies_of_the_pipeline_share_the_heads():
    op = drawn(seq=64, heads=12)
    assert run(op, copies=12, memory="ideal").cycles < run(op, copies=1, memory="ideal").cycles / 6


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 100))
def test_a_stricter_threshold_never_keeps_more(seed):
    op = drawn(seq=40, heads=1, seed=seed)
    kept = [run(op, threshold=str(t)).quality["candidate_ratio"] for t in (-1, -0.5, 0, 0.25, 0.5, 1)]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == 1.0


def test_permuting_keys_permutes_the_mask():
    op = drawn(seq=96, heads=1)
    given = op.operands()
    order = np.random.default_rng(0).permutation(96)
    machine = Elsa()

    def kept(k, v):
        q = given.q[0, 0]
        return machine._head(Head(q, k, v, False, exact_probabilities(q, k))).kept

    assert np.array_equal(
        kept(given.k[0, 0], given.v[0, 0])[:, order], kept(given.k[0, 0][order], given.v[0, 0][order])
    )


def test_the_histogram_of_candidates_drives_the_cycles_not_their_mean():
    """Two masks of equal density: candidates spread over the banks, or gathered in one."""
    rng = np.random.default_rng(1)
    q = rng.standard_normal((1, 1, 64, 64)).astype(np.float32)
    base = rng.standard_normal((64, 64)).astype(np.float32)
    spread, gathered = base.copy(), base.copy()
    spread[:16] *= 4  # keys 0 to 15: four in each bank
    gathered[::4] *= 4  # every fourth key: all in bank 0
    results = [
        run(Attention(seq=64, heads=1, dim=64, q=q, k=k[None, None], v=q), threshold="0.15", memory="ideal")
        for k in (spread, gathered)
    ]
    ratios = [r.quality["candidate_ratio"] for r in results]
    assert ratios[0] == pytest.approx(ratios[1], rel=0.25)
    assert results[1].stalls["imbalance"] > 2 * results[0].stalls["imbalance"]
    assert results[1].cycles > results[0].cycles


def test_the_learnt_threshold_is_the_papers_rule():
    op = drawn(seq=32, heads=1)
    given = op.operands()
    q, k = given.q[0, 0], given.k[0, 0]
    p = exact_probabilities(q, k)
    longest = max(math.dist(x, np.zeros(64)) for x in k)
    least = [
        min(float(q[i] @ k[j]) for j in range(32) if p[i, j] > 1 / 32) / (math.dist(q[i], np.zeros(64)) * longest)
        for i in range(32)
    ]
    head = head_of(op)
    assert learnt_threshold(head, 1.0) == pytest.approx(np.mean(least), rel=1e-5)
    assert learnt_threshold(head, 0.0) == -1.0
    assert learnt_threshold(head, 1000.0) == -1.0


def test_memories_of_a_given_size_cost_their_area_whatever_runs():
    short, long = (run(drawn(seq=seq, heads=1), max_seq=512).area_mm2 for seq in (64, 512))
    assert short == long == run(drawn(seq=512, heads=1)).area_mm2


def test_a_threshold_is_given_as_a_code():
    design = ElsaDesign(threshold="0.3")
    assert head_threshold(design, head_of(drawn(seq=8))) == round(0.3 * 2**15)
    assert run(drawn(), threshold=str(0.3 + 2**-17)).cycles == run(drawn(), threshold="0.3").cycles
    # A threshold that is -1 in its code keeps all.
    assert run(drawn(), threshold=str(-1 + 2**-17)).quality["candidate_ratio"] == 1.0


def test_queries_without_a_candidate_take_longer_than_ones_with_their_best():
    """The best key is known only when all keys were looked at."""
    op = drawn(seq=16, heads=1)
    none = run(op, threshold="1", memory="ideal", attention_units=1, selectors=16)
    assert none.counters["queries_without_candidate"] == 16
    units = ElsaDesign(attention_units=1, selectors=16).units(64)
    # One query's way: looked at, seen to have none, worked on, summed up, merged.
    way = units.look_depth + 2 + units.work_depth + 1 + units.finish_cycles
    assert none.cycles >= units.start_cycles(16) + way + units.output_depth


def test_a_larger_p_keeps_less():
    op = drawn(seq=128, heads=4)
    kept = [run(op, p=p).quality["candidate_ratio"] for p in (0.0, 0.5, 1.0, 2.0, 4.0)]
    assert kept == sorted(kept, reverse=True)


@pytest.mark.parametrize("projection", ["kronecker", "orthogonal", "gaussian", "none"])
def test_every_projection_runs_and_predicts_better_than_chance(projection):
    result = run(drawn(seq=96, heads=2), projection=projection)
    assert result.quality["mass_kept"] > 1.2 * result.quality["candidate_ratio"]


def test_heads_of_32_elements_have_hashes_and_a_bias_of_their_own():
    result = run(drawn(seq=64, heads=2, dim=32))
    assert result.quality["mass_kept"] > result.quality["candidate_ratio"]


@pytest.mark.parametrize(
    ("fields", "op", "message"),
    [
        ({"threshold": "1.5"}, None, "elsa: threshold must be auto or a number from -1 to 1, got '1.5'"),
        ({"threshold": "nan"}, None, "threshold must be auto or a number"),
        ({"queue_entries": 4}, None, "elsa: queue_entries must be at least selectors, 8, got 4"),
        ({"p": -1.0}, None, "p must be at least 0"),
        ({}, Attention(seq=8, heads=1, dim=67), "67 is not; no Kronecker projection fits it"),
        ({}, Attention(seq=8, heads=1, dim=64, direction="bwd"), "runs attention's forward pass"),
        ({"max_seq": 32}, None, "elsa: seq must be at most max_seq, 32, got 64"),
        ({"dim": 32}, None, "elsa: heads must be as long as dim, 32, got 64"),
        ({}, Attention(seq=16385, heads=1, dim=64), "seq must be at most 16384, got 16385"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(fields, op, message):
    with pytest.raises((InputError, InfeasibleError)) as error:
        Elsa(ElsaDesign().with_settings("elsa", fields)).run(op or drawn())
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_keys_of_length_zero_and_numbers_that_are_none_are_refused():
    q = np.ones((1, 1, 8, 64), np.float32)
    k = q.copy()
    k[0, 0, 3] = 0
    with pytest.raises(InputError, match="keys must have a length above 0, key 3 has none"):
        run(Attention(seq=8, heads=1, dim=64, q=q, k=k, v=q))
    k[0, 0, 3, 5] = np.nan
    with pytest.raises(InputError, match=r"attention: k\[0, 0, 3, 5\] must be finite, got nan"):
        Attention(seq=8, heads=1, dim=64, q=q, k=k, v=q)


def test_numbers_beyond_the_format_are_cut_off_and_counted():
    rng = np.random.default_rng(0)
    q = (rng.standard_normal((1, 1, 8, 64)) * 40).astype(np.float32)
    result = run(Attention(seq=8, heads=1, dim=64, q=q, k=q, v=q))
    assert result.counters["saturations"] == 3 * int((np.abs(np.rint(q * 8.0)) > 255).sum())
    assert np.isfinite(result.values).all()
