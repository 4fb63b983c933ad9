"""Does Sanger keep what its predictor says, give what its arithmetic gives, and take the passes its masks need?"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.models._attention import Head
from siloom.models._sanger_units import SETTLE, HeadTimes, exponential_waits, schedule
from siloom.models.sanger import Sanger, SangerDesign, attention_causes, threshold_for
from siloom.sim.approximation import exact_probabilities
from siloom.sim.drawn_attention import Clustered
from siloom.sim.engine.pipeline import run_pipeline
from siloom.sim.errors import InputError
from siloom.sim.ops import Attention
from siloom.sim.selection.predicted_scores import PredictorOperands
from siloom.sim.units.int4_predictor import predicted_scores, shared_scale
from siloom.sim.units.pack_split import pack_split_reference, sub_row_counts


def drawn(seq=64, heads=2, dim=64, **law):
    return Attention(seq=seq, heads=heads, dim=dim, law=Clustered(**law))


def run(op, **fields):
    return Sanger(dataclasses.replace(SangerDesign(), **fields)).run(op, values=True)


def head_of(op, at=(0, 0)):
    given = op.operands()
    q, k, v = given.q[at], given.k[at], given.v[at]
    return Head(q, k, v, op.causal, exact_probabilities(q, k, op.causal))


@pytest.mark.parametrize(
    ("convention", "density", "balance", "seq", "milliseconds"),
    [
        ("authors-v1", 1, 1, 512, 1.572864),
        ("authors-v2", 1, 1, 512, 1.933312),
        ("authors-v1", 0.1, 0.7, 128, 0.235227),
        ("authors-v2", 0.1, 0.7, 128, 0.233932),
    ],
)
def test_the_authors_own_models_print_what_was_read_off_them(convention, density, balance, seq, milliseconds):
    op = Attention(seq=seq, heads=12, dim=64)
    result = run(op, convention=convention, density=density, load_balance=balance)
    assert round(result.seconds * 1e3, 6) == milliseconds
    assert sum(p.seconds for p in result.phases) == pytest.approx(result.seconds)


@pytest.mark.parametrize("causal", [False, True])
def test_keeping_everything_is_exact_within_the_formats_error(causal):
    op = dataclasses.replace(drawn(), causal=causal)
    result = run(op, threshold=0.0)
    assert result.quality["candidate_ratio"] == result.quality["recall"] == 1.0
    # The exponential's pieces are up to 3 % off between one another, 16-bit operands far less.
    assert result.quality["output_error"] < 0.03


def test_the_mask_is_the_softwares_where_the_exponent_is_exact():
    op = drawn(seq=50, heads=1, concentration=4.0)
    head = head_of(op)
    scales = shared_scale(head.q, 4), shared_scale(head.k, 4)
    kept, _, _ = SangerDesign(exponent="exact", threshold=0.02).selection.select(head.q, head.k, scales, head.allowed)
    for i in range(50):
        row = []
        for j in range(50):
            qn, kn = np.linalg.norm(head.q[i]), np.linalg.norm(head.k[j])
            codes = [
                np.clip(np.rint(x / n * s), -7, 7)
                for x, n, s in ((head.q[i], qn, scales[0]), (head.k[j], kn, scales[1]))
            ]
            row.append(float(codes[0] @ codes[1]) / float(scales[0]) / float(scales[1]) * float(qn) * float(kn) / 8)
        p = np.exp(np.array(row) - max(row))
        p /= p.sum()
        sure = np.abs(p / 0.02 - 1) > 1e-3
        assert np.array_equal(kept[i][sure], (p > 0.02)[sure])


def test_whole_predicted_scores_are_the_softwares_but_for_the_last_bits_of_their_scales():
    head = head_of(drawn(seq=96, heads=1, concentration=4.0))
    scales = shared_scale(head.q, 4), shared_scale(head.k, 4)
    exact = predicted_scores(head.q, head.k, *scales, 4)
    found = PredictorOperands.of(head.q, head.k, scales, 4).scores() / 2.0**16
    # Two scales of 16 bits, the largest of each with its first bit set, and half a place of the score.
    assert np.abs(found - exact).max() < np.abs(exact).max() * 2.0**-14 + 2.0**-16


def test_the_tables_exponent_changes_few_decisions():
    op = drawn(seq=256, heads=2)
    exact, table = (run(op, exponent=kind).quality for kind in ("exact", "table"))
    assert table["candidate_ratio"] == pytest.approx(exact["candidate_ratio"], rel=0.02)
    assert table["recall"] == pytest.approx(exact["recall"], abs=0.01)


def test_scores_beyond_the_exponential_and_rows_without_weight_are_counted():
    calm, wild = (run(drawn(concentration=c), threshold=0.0).counters for c in (4.3, 60.0))
    assert (calm["saturated_powers"], calm["rows_without_weight"]) == (0, 0)
    assert wild["saturated_powers"] > 0


def test_passes_are_those_of_the_packed_mask_and_every_cycle_has_a_cause():
    op = drawn(seq=130, heads=1)
    design = SangerDesign()
    head = head_of(op)
    scales = shared_scale(head.q, 4), shared_scale(head.k, 4)
    kept, _, _ = design.selection.select(head.q, head.k, scales, head.allowed)
    sub_rows = [
        sum(len(pack_split_reference(row[first : first + 64].tolist(), 16)) for row in kept) for first in (0, 64, 128)
    ]
    passes = sum(math.ceil(rows / 64) for rows in sub_rows)
    result = run(op)
    assert result.counters["passes"] == passes
    assert result.counters["sub_rows"] == sum(sub_rows)
    # The way through the array: a row more each cycle, and five registers and memories.
    assert result.phases[2].cycles == passes * 128 + 64 + 5
    # Prediction of a lone head hides behind nothing: 3 x 3 tiles of 64 products and 64 moves, then two sweeps over the
    # keys of the last rows and a tile's time for their packing.
    assert result.phases[1].stalls == {"prediction": 9 * 128, "softmax": 2 * 192 + 64 + 12}
    # 64 dividers; each takes a sum every cycle.
    assert result.phases[3].cycles == 130 + 7
    assert sum(result.stalls.values()) == result.cycles


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 128))
def test_causes_of_a_pass_are_never_negative(chosen, dim):
    design = SangerDesign()
    packed = -(-chosen // 16) + chosen // 40
    passes = -(-packed // 64) + 3
    causes = attention_causes(design, dim, chosen, packed, passes)
    assert min(causes.values()) >= 0
    assert sum(causes.values()) == passes * 2 * dim + 64 + 5 + exponential_waits(dim, passes)


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 9))
def test_waits_for_powers_are_those_of_the_phases_walked_one_by_one(dim, passes):
    now, powers = 0, []
    order = [("scores", 0), *(step for t in range(1, passes) for step in (("scores", t), ("values", t - 1)))]
    for kind, number in [*order, ("values", passes - 1)]:
        if kind == "values":
            now = max(now, powers[number])
        now += dim
        if kind == "scores":
            powers.append(now + SETTLE)
    assert exponential_waits(dim, passes) == now - 2 * dim * passes


times = st.builds(HeadTimes, *[st.integers(1, 50)] * 5)


@settings(deadline=None)
@given(st.lists(times, min_size=1, max_size=8))
def test_heads_are_scheduled_as_by_a_tandem_of_parts_where_masks_take_no_time(heads):
    """But for a head's mask, whose last rows are finished beside the next one's products."""
    # Sums have a place of their own to wait in for a slow divider, so it must not be one.
    heads = [dataclasses.replace(head, division=1) for head in heads]
    alike = [dataclasses.replace(head, tail=0) for head in heads]
    service = [(head.load, head.products, head.attention, head.division) for head in alike]
    departures = run_pipeline(np.array(service, np.int64), np.zeros(3, np.int64)).departures
    assert [ends.divided for ends in schedule(alike)] == departures[:, 3].tolist()
    late = schedule(heads)
    for ends, head, last in zip(late, heads, [None, *late], strict=False):
        assert ends.begun >= ends.predicted + head.tail
        assert last is None or ends.begun >= last.attended
    assert late[-1].divided <= departures[-1, 3] + sum(head.tail for head in heads)


def test_equal_density_and_another_structure_take_other_passes():
    """Kept keys side by side fill sub-rows; the same number scattered over partitions does not."""
    n = 256
    together, scattered = np.zeros((2, n, n), np.bool_)
    together[:, 64:80] = True
    scattered[:, ::16] = True
    assert together.sum() == scattered.sum()
    counts = [sub_row_counts(mask, 64, 16) for mask in (together, scattered)]
    assert counts[0].sum() * 4 == counts[1].sum()
    passes = [int((-(-c.sum(axis=0) // 64)).sum()) for c in counts]
    assert passes == [4, 16]


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 50))
def test_more_of_anything_is_never_slower(seed):
    op = drawn(seq=96, heads=3, seed=seed)
    base = run(op).cycles
    for more in ({"memory_bytes_per_s": 1e12}, {"tile_rows": 128}, {"pes_per_row": 32}, {"kv_sram_bytes": 2**24}):
        # A taller array is filled for longer; that is its price, once a head.
        assert run(op, **more).cycles <= base + 3 * 64, more


def test_heads_overlap_prediction_with_attention():
    one, four = (run(Attention(seq=128, heads=heads, dim=64)).cycles for heads in (1, 4))
    assert four < 4 * one


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 100), st.sampled_from(["exact", "table"]))
def test_a_stricter_threshold_never_keeps_more(seed, exponent):
    op = drawn(seq=40, heads=1, seed=seed)
    kept = [
        run(op, threshold=t, exponent=exponent).quality["candidate_ratio"] for t in (0.0, 1e-4, 2e-3, 2e-2, 0.2, 1.0)
    ]
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] == 1 / 40  # each row's likeliest key


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 50), st.floats(0.05, 1.0))
def test_the_threshold_for_a_share_of_the_softmax_is_the_largest_that_keeps_it(seed, mass):
    heads = [head_of(drawn(seq=24, heads=2, seed=seed), (0, h)).probabilities.astype(np.float64) for h in range(2)]

    def kept(threshold):
        return sum(float(p[p > threshold].sum()) for p in heads) / sum(float(p.sum()) for p in heads)

    found = threshold_for(heads, mass)
    assert kept(found) >= mass - 1e-9 or found == 0.0
    larger = min((float(v) for p in heads for v in p.ravel() if v > found), default=1.0)
    assert kept(larger) < mass + 1e-9


def test_a_threshold_without_heads_or_beyond_all_is_refused():
    with pytest.raises(InputError, match="needs at least one calibration head"):
        threshold_for([], 0.5)
    with pytest.raises(InputError, match="mass must be between 0 and 1"):
        threshold_for([np.eye(2)], 1.5)


def test_permuting_keys_permutes_the_mask():
    head = head_of(drawn(seq=80, heads=1))
    order = np.random.default_rng(0).permutation(80)
    scales = shared_scale(head.q, 4), shared_scale(head.k, 4)
    k, v = head.k[order], head.v[order]
    moved = Head(head.q, k, v, False, exact_probabilities(head.q, k))
    kept, other = (SangerDesign().selection.select(h.q, h.k, scales, h.allowed).kept for h in (head, moved))
    assert np.array_equal(kept[:, order], other)


def test_more_bits_predict_better():
    op = drawn(seq=128, heads=2)
    both = []
    for bits in (2, 4, 6, 8):
        quality = run(op, predictor_bits=bits).quality
        both.append(2 / (1 / quality["recall"] + 1 / quality["precision"]))
    assert both == sorted(both)
    assert both[-1] > 0.98


def test_keys_and_values_beyond_their_memory_come_again():
    small, large = (run(drawn(seq=256, heads=1), kv_sram_bytes=size).traffic_bytes for size in (2**12, 2**24))
    assert small["q"] > large["q"]
    assert small["k"] == large["k"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"threshold": 2.0}, "threshold must be at most 1"),
        ({"pes_per_row": 64, "tile_columns": 32}, "sanger: pes_per_row must be at most tile_columns, 32, got 64"),
        ({"fraction_bits": 15, "operand_bits": 8}, "sanger: fraction_bits must be below operand_bits, got 15"),
        ({"convention": "v3"}, "convention must be one of physical, authors-v1, authors-v2, got 'v3'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(fields, message):
    with pytest.raises(InputError) as error:
        SangerDesign().with_settings("sanger", fields)
    assert message in str(error.value)
