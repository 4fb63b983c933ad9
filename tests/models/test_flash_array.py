"""Does the attention array take as long as a plain reference, and give softmax's means within the unit's own bound?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.models._attention import Head
from siloom.models._flash_design import FlashDesign
from siloom.models.flash_array import FlashArray, attend, head_codes
from siloom.models.registry import machine
from siloom.sim.approximation import exact_probabilities
from siloom.sim.engine.flash_blocks import Steps, fill_cycles, head_causes, scored_pairs
from siloom.sim.engine.flash_blocks_reference import run_reference
from siloom.sim.errors import InputError
from siloom.sim.ops import Attention, MatMul
from siloom.sim.testing import check_conformance
from siloom.sim.units.online_softmax import online_softmax_bound, online_softmax_reference
from siloom.workloads.registry import load


def attention(seq, dim, causal=False, seed=0, heads=1):
    op = load(f"attention:seq={seq},heads={heads},dim={dim},causal={int(causal)},seed={seed}").items[0].op
    assert isinstance(op, Attention)
    return op


def only_head(op):
    given_ = op.operands()
    q, k, v = given_.q[0, 0], given_.k[0, 0], given_.v[0, 0]
    return Head(q, k, v, op.causal, exact_probabilities(q, k, op.causal))


def sizes():
    most = {"rows": 6, "cols": 9, "block": 9, "weights": 7, "divide": 9}
    least = {"weights": 2, "divide": 0}
    return st.builds(Steps, **{name: st.integers(least.get(name, 1), top) for name, top in most.items()})


@settings(max_examples=200, deadline=None)
@given(sizes(), st.integers(1, 40), st.booleans(), st.integers(1, 3))
def test_cycles_are_those_of_the_plain_reference_cycle_by_cycle(steps, seq, causal, heads):
    closed = heads * sum(head_causes(steps, seq, causal).values()) + fill_cycles(steps, seq)
    assert closed == run_reference(steps, heads, seq, causal)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 9), st.integers(1, 60), st.booleans())
def test_pairs_are_those_of_each_tile(rows, seq, causal):
    tiles = range(0, seq, rows)
    expected = sum(min(rows, seq - at) * (min(at + rows, seq) if causal else seq) for at in tiles)
    assert scored_pairs(rows, seq, causal) == expected


def test_cycles_by_hand():
    # A query in, its score, the wait for its factor, factor and value, a sum out; then a division of 9 digits.
    design = FlashDesign(rows=1, cols=1, block=1, operand_bits=9, memory="ideal")
    assert FlashArray(design).run(attention(1, 1)).cycles == 1 + 1 + (1 + 2 + 2 - 1) + 2 + 1 + 1 + 10
    # Six tiles of 64 queries: six blocks of keys and of values each, and one wait, for the last block's weights.
    result = machine("flash_array:memory=ideal").run(attention(384, 64))
    assert result.stalls["score"] == result.stalls["weigh"] == 6 * 384
    assert (result.stalls["load"], result.stalls["rescale"], result.stalls["drain"]) == (384, 36, 384)
    assert result.stalls["fill"] == 63 + 64 + 13
    assert result.cycles == sum(result.stalls.values())


@pytest.mark.parametrize("settings", ["memory=ideal", "rows=1,cols=16,block=1", "rows=7,block=9,operand_bits=9"])
def test_every_kind_of_design_keeps_the_promises_of_a_machine(settings):
    failed = [row for row in check_conformance(machine(f"flash_array:{settings}")) if not row["passed"]]
    assert failed == []


@pytest.mark.parametrize("causal", [False, True])
def test_means_are_the_units_by_exact_fractions_and_near_softmax(causal):
    design = FlashDesign(rows=4, cols=8, block=4, operand_bits=10, fraction_bits=6, score_fraction=8)
    head = only_head(attention(19, 8, causal, seed=3))
    q, k, v, cut = head_codes(design, head)
    assert cut == 0
    means = attend(design, q, k, v, head.allowed)
    unit, dropped = design.unit(8), design.dropped_bits(8)
    assert dropped == 2 * 6 + 2 - 8
    for i in range(19):
        dots = [int(q[i].astype(int) @ k[j]) for j in range(19)]
        scores = [round(dot / 2**dropped) for dot in dots]  # exact in a float, ties to even
        expected = online_softmax_reference(scores, v.tolist(), head.allowed[i].tolist(), unit)
        assert means[i].tolist() == expected
        weights = np.exp((np.array(scores) - max(scores)) / 2**8) * head.allowed[i]
        exact = weights @ v / weights.sum()
        assert np.abs(means[i] - exact).max() <= online_softmax_bound(unit, 19, 5, float(np.abs(v).max()))


def test_output_comes_near_exact_attention_and_nothing_is_left_out():
    result = machine("flash_array").run(attention(200, 64, heads=2), values=True)
    assert result.quality["output_error"] < 0.01
    assert result.quality["recall"] == 1.0
    assert result.values.shape == (1, 2, 200, 64)
    assert result.operations["multiplies"] == 2 * 2 * 200 * 200 * 64


def test_a_causal_head_meets_the_keys_up_to_each_tiles_last_query():
    dense, causal = (machine("flash_array:rows=16,memory=ideal").run(attention(128, 64, c)) for c in (False, True))
    assert dense.stalls["score"] == 8 * 128
    assert causal.stalls["score"] == sum(range(16, 129, 16))
    assert causal.counters["scores_masked"] == 16 * 16 * 36 - 128 * 129 // 2
    assert causal.cycles < dense.cycles


def test_larger_blocks_hide_the_softmax_and_small_ones_wait():
    waits = [
        machine(f"flash_array:block={block},memory=ideal").run(attention(512, 64)).stalls.get("wait", 0)
        for block in (4, 16, 64)
    ]
    assert waits == sorted(waits, reverse=True)
    # Two blocks are under way: 8 cycles after a factor the scores of the next but one are in, 68 later its factor.
    assert waits[0] == pytest.approx(8 * 128 * (8 + 68 - 2 * 9) / 2, rel=0.01)


def test_keys_and_values_that_do_not_fit_come_again_for_each_tile():
    op = attention(256, 64)
    kept, again = (machine(f"flash_array:kv_sram_bytes={size}").run(op) for size in (2**19, 2**14))
    assert kept.traffic_bytes["k"] == 256 * 64 * 12 // 8
    assert again.traffic_bytes["k"] == 4 * kept.traffic_bytes["k"]
    assert again.traffic_bytes["q"] == kept.traffic_bytes["q"]
    assert again.cycles >= kept.cycles


def test_what_does_not_fit_is_refused_with_field_and_value():
    with pytest.raises(InputError, match="dim must be at most cols, 32, got 64"):
        machine("flash_array:cols=32").run(attention(8, 64))
    with pytest.raises(InputError, match="seq must be at most max_seq, 16, got 17"):
        machine("flash_array:max_seq=16").run(attention(17, 64))
    with pytest.raises(InputError, match="runs attention's forward pass, not matmul"):
        machine("flash_array").run(MatMul(m=1, n=1, k=1))
    for text, message in (
        ("operand_bits=8,fraction_bits=8", "fraction_bits must be below operand_bits"),
        ("fraction_bits=3,score_fraction=8", "score_fraction must be at most twice fraction_bits, 6, got 8"),
    ):
        with pytest.raises(InputError, match=message):
            machine(f"flash_array:{text}")
