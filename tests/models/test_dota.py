"""Does DOTA keep what its detector finds, give the bits its arithmetic says, and take the cycles its masks cause?"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.models._dota_softmax import SOFTMAX_FILL, exponential, powers_of
from siloom.models.dota import (
    TRANSFORM_FILL,
    Dota,
    DotaDesign,
    attend,
    detect,
    group_keys,
    head_phases,
    retention_for,
    share_threshold,
)
from siloom.sim.approximation import exact_probabilities
from siloom.sim.drawn_attention import Clustered
from siloom.sim.engine.token_groups_reference import array_cycles, round_cycles
from siloom.sim.errors import InputError
from siloom.sim.fixed_point import exact_products, to_codes
from siloom.sim.memory import idle_latency_s, stream_bytes_per_s
from siloom.sim.ops import Attention
from siloom.sim.selection.low_rank_scores import calibrate, least_squares_weights
from siloom.sim.units.exp_float import exp_float_codes
from siloom.sim.units.ternary_projection import ternary_matrix
from siloom.sim.units.token_scheduler import token_scheduler_reference

IDEAL = DotaDesign(memory="ideal")


def attention(seed=0, seq=48, dim=16, heads=2, **more):
    return Attention(name="a", seq=seq, heads=heads, dim=dim, law=Clustered(seed=seed), **more)


def run(op, **fields):
    return Dota(DotaDesign(**fields)).run(op, values=True)


def codes_of(op, head=0):
    given_ = op.operands()
    return [to_codes(x[0, head], 16, 8)[0] for x in (given_.q, given_.k, given_.v)]


def exact_output(op):
    o = op.operands()
    return np.stack([exact_probabilities(q, k, op.causal) @ v for q, k, v in zip(o.q[0], o.k[0], o.v[0], strict=True)])[
        None
    ]


# What is kept.


@pytest.mark.parametrize("causal", [False, True])
def test_every_row_keeps_the_same_number_of_keys_or_all_it_may_look_at(causal):
    op = attention(causal=causal)
    q, k, _ = codes_of(op)
    allowed = np.tril(np.ones((48, 48), bool)) if causal else np.ones((48, 48), bool)
    kept, rescued = detect(replace(IDEAL, retention=0.15), q, k, allowed)
    assert rescued == 0
    assert not (kept & ~allowed).any()
    assert kept.sum(axis=1).tolist() == np.minimum(allowed.sum(axis=1), 8).tolist()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.sampled_from(["topk", "threshold"]), st.booleans(), st.sampled_from([2, 4]))
def test_a_stricter_setting_never_keeps_more(seed, selection, causal, bits):
    op = attention(seed)
    q, k, _ = codes_of(op)
    allowed = np.tril(np.ones((48, 48), bool)) if causal else np.ones((48, 48), bool)
    masks = [
        detect(replace(IDEAL, selection=selection, retention=r, detector_bits=bits), q, k, allowed)[0]
        for r in (0.01, 0.05, 0.2, 0.6, 1.0)
    ]
    for strict, loose in pairwise(masks):
        assert not (strict & ~loose).any()
    assert (masks[-1] == allowed).all()


def test_a_higher_threshold_by_hand_keeps_less_and_rows_without_a_key_keep_their_best():
    op = attention()
    kept = [run(op, selection="threshold", threshold=t).quality["candidate_ratio"] for t in ("-999", "0", "20", "50")]
    assert kept[0] == 1.0
    assert kept == sorted(kept, reverse=True)
    nothing = run(op, selection="threshold", threshold="99999")
    assert nothing.counters["queries_without_candidate"] == 2 * 48
    assert nothing.counters["scores_kept"] == 2 * 48


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99))
def test_permuting_keys_permutes_scores_and_the_mask_where_nothing_ties(seed):
    op = attention(seed)
    q, k, _ = codes_of(op)
    matrix = ternary_matrix(16, 8, 0)
    order = np.random.default_rng(seed).permutation(48)
    detector = calibrate(q, k, matrix, 4)
    scores = detector.scores(q, k)
    assert (detector.scores(q, k[order]) == scores[:, order]).all()
    design = replace(IDEAL, selection="threshold", threshold="5", weights="identity")
    everything = np.ones((48, 48), bool)
    kept, permuted = detect(design, q, k, everything)[0], detect(design, q, k[order], everything)[0]
    ties = kept.sum(axis=1) == 1  # rows that may have been given their best, of equal ones the first
    assert (permuted == kept[:, order])[~ties].all()


def test_threshold_rows_differ_where_top_rows_do_not():
    q, k, _ = codes_of(attention(seq=128))
    everything = np.ones((128, 128), bool)
    counts = {
        how: detect(replace(IDEAL, selection=how), q, k, everything)[0].sum(axis=1) for how in ("topk", "threshold")
    }
    assert counts["topk"].min() == counts["topk"].max() == 13
    assert counts["threshold"].max() > 2 * counts["threshold"].mean() > 2 * counts["threshold"].min()


@settings(deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=40), st.floats(1e-6, 1.0))
def test_a_learnt_threshold_is_the_least_that_keeps_no_more_than_its_share(scores, share):
    values = np.array(scores, np.int32)
    threshold = share_threshold(values, share)
    most = share * len(values) + 1e-6
    assert np.count_nonzero(values > threshold) <= most
    if np.isfinite(threshold):
        assert np.count_nonzero(values > threshold - 1) > share * len(values) - 1e-6


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.floats(0.05, 0.999))
def test_a_learnt_retention_keeps_its_mass_and_a_key_less_does_not(seed, mass):
    o = attention(seed, heads=1).operands()
    probabilities = exact_probabilities(o.q[0, 0], o.k[0, 0])
    keep = replace(IDEAL, retention=retention_for(probabilities, mass)).keep(48)
    best = np.sort(probabilities.astype(float), axis=1)[:, ::-1]
    assert best[:, :keep].sum() >= 48 * mass - 1e-4
    assert best[:, : keep - 1].sum() <= 48 * mass + 1e-4


# The detector.


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(1, 6), st.integers(1, 12))
def test_least_squares_weights_beat_any_others_nearby_and_solve_the_normal_equations(seed, rank, rows):
    rng = np.random.default_rng(seed)
    a, b, q, k = (rng.standard_normal((rows, n)) for n in (rank, rank, 9, 9))
    left, right = least_squares_weights(a, b, q, k)
    rest = a @ left @ (b @ right).T - q @ k.T
    assert np.abs(a.T @ rest @ b).max() < 1e-8 * max(1.0, np.abs(q @ k.T).max() * rows)
    lengths = np.linalg.norm(a @ left, axis=0), np.linalg.norm(b @ right, axis=0)
    assert np.allclose(*lengths, atol=1e-6)


def test_scores_are_the_exact_products_of_quantized_low_rank_vectors():
    q, k, _ = codes_of(attention())
    matrix = ternary_matrix(16, 4, 7)
    detector = calibrate(q, k, matrix, 4)

    def low_rank(x, side):
        out = []
        for vector in x.astype(int).tolist():
            projected = [sum(v * int(p) for v, p in zip(vector, column, strict=True)) for column in matrix.T]
            codes = [max(-7, min(7, round(Fraction(y * side.before[0], 1 << side.before[1])))) for y in projected]
            sums = [sum(c * w for c, w in zip(codes, column, strict=True)) for column in side.weights.T.tolist()]
            out.append([max(-7, min(7, round(Fraction(y * side.after[0], 1 << side.after[1])))) for y in sums])
        return np.array(out)

    expected = low_rank(q, detector.query) @ low_rank(k, detector.key).T
    assert (detector.scores(q, k) == expected).all()
    assert np.abs(detector.query.weights).max() == 7


def test_of_full_rank_at_8_bits_the_detector_finds_nearly_all_that_matters_and_identity_less():
    op = attention(seq=128, dim=32)
    fitted = run(op, rank_share=1.0, detector_bits=8).quality["recall"]
    null = run(op, rank_share=1.0, detector_bits=8, weights="identity").quality["recall"]
    coarse = run(op, rank_share=0.25, detector_bits=4).quality["recall"]
    assert fitted > 0.85 > null
    assert fitted > coarse > 0.2  # a tenth is chance


def test_2_bits_need_ranges_of_least_error():
    op = attention(seq=128, dim=64)
    recall = {r: run(op, detector_bits=2, ranges=r).quality["recall"] for r in ("max", "least-error")}
    assert recall["least-error"] > recall["max"] + 0.05


def test_a_detector_learnt_on_some_tokens_finds_those_of_others_too():
    op = attention(seq=256, dim=32, heads=1)
    q, k, _ = codes_of(op)
    matrix = ternary_matrix(32, 16, 0)
    learnt, own = calibrate(q[::2], k[::2], matrix, 4), calibrate(q[1::2], k[1::2], matrix, 4)
    exact = exact_products(q[1::2], k[1::2], 16).astype(float)
    fits = [np.corrcoef(d.scores(q[1::2], k[1::2]).ravel(), exact.ravel())[0, 1] for d in (learnt, own)]
    assert fits[0] > 0.9 * fits[1] > 0.45


# The output.


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.booleans())
def test_keeping_everything_is_exact_attention_within_its_formats(seed, causal):
    op = attention(seed, seq=24, causal=causal)
    result = run(op, retention=1.0)
    o = op.operands()
    assert result.quality["mass_kept"] == pytest.approx(1.0)
    # Exponentials off by less than a 1400th, some more than others.
    # Operands off by half a 256th: scores by at most (sum|q| + sum|k|) / 512 and a little; then V, shares and output.
    spread = max(np.abs(x).sum(axis=-1).max() for x in (o.q, o.k))
    shift = (2 * spread / 512 + 16 / 512**2) / 4
    bound = 2 * np.expm1(2 * shift) * np.abs(o.v).max() + 2 / 512 + 24 * np.abs(o.v).max() / 2**16
    bound += np.abs(o.v).max() / 1400
    assert np.abs(result.values - exact_output(op)).max() <= bound


def test_output_is_what_the_stated_arithmetic_gives_element_by_element():
    op = attention(seq=20, dim=8)
    q, k, v = codes_of(op)
    kept = np.random.default_rng(1).random((20, 20)) < 0.4
    kept[:, 3] = True
    out = attend(IDEAL, q, k, v, kept)
    # e to a score's difference is 2 to that times this, in units of 2^-39; 2^10 steps to the next power.
    factor = round(2.0**-16 / math.sqrt(8.0) * math.log2(math.e) * 2**39)
    for i in range(20):
        keys = np.flatnonzero(kept[i]).tolist()
        dots = [sum(int(a) * int(b) for a, b in zip(q[i], k[j], strict=True)) for j in keys]
        steps = [max(dot - max(dots), -(2**24)) * factor >> 29 for dot in dots]
        powers = [round(2**23 * 2 ** ((step % 2**10) / 2**10)) >> -(step >> 10) for step in steps]
        for power, dot in zip(powers, dots, strict=True):
            exact = math.exp((dot - max(dots)) * 2.0**-16 / math.sqrt(8.0))
            assert 0 <= exact - power / 2**23 <= 7e-4 * exact + 2**-23
        weights = [min(round(Fraction(p * 2**15, sum(powers))), 2**15 - 1) for p in powers]
        for c in range(8):
            code = round(Fraction(sum(w * int(v[j, c]) for w, j in zip(weights, keys, strict=True)), 2**15))
            assert out[i, c] == code / 256


@pytest.mark.parametrize(("fraction", "dim"), [(0, 1), (8, 8), (8, 64), (12, 200), (15, 1024)])
def test_exponentials_are_off_by_what_they_say(fraction, dim):
    unit = exponential(replace(IDEAL, fraction_bits=fraction), dim)
    below = -np.random.default_rng(0).integers(0, 1 << (unit.score_bits - 1), 5000)
    below[:2] = 0, -1
    exact = np.exp(below * unit.unit)
    off = exact - powers_of(exp_float_codes(below, unit)) / 2**23
    # Upwards only by the rounding of the constant and of the table.
    assert (off >= -1e-5 * exact - 2**-24).all()
    assert (off <= (2**2**-10 - 1 + 1e-5) * exact + 1.5 * 2**-23).all()
    assert off[0] == 0
    # What is held at the largest difference has no bit left, or is one whose scores do not go as far.
    assert unit.score_bits == 40 or math.exp(-(1 << (unit.score_bits - 1)) * unit.unit) < 2**-23


def test_constant_and_zero_operands_run():
    for value in (0.0, 1.0, 100.0):
        x = np.full((1, 1, 9, 4), value, np.float32)
        result = run(Attention(name="c", seq=9, heads=1, dim=4, q=x, k=x, v=x))
        assert np.abs(result.values - value).max() <= value * 2e-4


def test_operands_beyond_the_format_are_cut_off_and_counted():
    x = np.full((1, 1, 4, 4), 1000.0, np.float32)
    result = run(Attention(name="c", seq=4, heads=1, dim=4, q=x, k=x, v=x))
    assert result.counters["saturations"] == 3 * 16
    assert (result.values <= 32767 / 256).all()


# Cycles.


def cycles_of(mask, dim=64, causal=False, **fields):
    phases, counts = head_phases(replace(IDEAL, **fields), mask, dim, causal)
    return sum(sum(causes.values()) for causes in phases.values()), phases, counts


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9999), st.booleans(), st.booleans(), st.sampled_from([16, 64, 200]))
def test_a_head_takes_as_long_as_its_groups_do_cycle_by_cycle(seed, ordered, causal, dim):
    rng = np.random.default_rng(seed)
    seq = int(rng.integers(1, 26))
    mask = rng.random((seq, seq)) < rng.choice([0.05, 0.3, 0.8])
    mask = np.tril(mask) if causal else mask
    fields = {
        "scheduler": "in_order" if ordered else "out_of_order",
        "lanes": int(rng.integers(1, 4)),
        "array_rows": int(rng.choice([4, 16, 32])),
        "port_bytes": int(rng.choice([48, 256, 4096])),
        "rounds_ahead": int(rng.integers(1, 5)),
        "select_lanes": int(rng.choice([1, 16])),
        "mfu_lanes": int(rng.choice([1, 16])),
    }
    design = replace(IDEAL, **fields)
    pes, rank = design.pes, max(1, round(dim / 4))
    stages = []
    for first in range(0, seq, 4):
        rows = mask[first : first + 4]
        owners = [sum(1 << t for t, kept in enumerate(column) if kept) for column in rows.T.tolist()]
        keys = min(seq, first + 4) if causal else seq
        rounds = [len(r) for r in token_scheduler_reference(owners, 4, 4, ordered)]
        visits = round_cycles(
            rounds, 2 * dim, design.port_bytes, design.rounds_ahead, max(1, pes // (4 * dim)), -(-4 * dim // pes)
        )
        out = min(keys, design.keep(seq))
        stages.append(
            (
                -(-4 * keys * rank // (pes * 16)),
                -(-keys // design.select_lanes) - (-out // design.select_lanes),
                -(-keys // design.select_lanes),
                len(rounds),
                visits,
                -2 * (-4 * max(int(row.sum()) for row in rows) // design.mfu_lanes) + SOFTMAX_FILL,
            )
        )
    slowest = max(
        array_cycles(*zip(*stages[lane :: design.lanes], strict=True), 10)[0]
        for lane in range(min(design.lanes, len(stages)))
    )
    additions = int(np.count_nonzero(ternary_matrix(dim, rank, 0)))
    transform = 2 * -(-seq // design.lanes) * max(1, -(-additions // pes)) + TRANSFORM_FILL
    assert cycles_of(mask, dim, causal, **fields)[0] == transform + slowest


def masks_of_equal_density(seq=64, keep=8):
    """Rows of a group keep the same keys; some of them; none."""
    shared, some, apart = (np.zeros((seq, seq), bool) for _ in range(3))
    for i in range(seq):
        group, own = divmod(i, 4)
        first = 4 * group
        shared[i, (first + np.arange(keep)) % seq] = True
        some[i, (first + own * keep // 4 + np.arange(keep)) % seq] = True
        apart[i, (first + own * keep + np.arange(keep)) % seq] = True
    return shared, some, apart


def test_masks_of_equal_density_take_the_longer_the_less_rows_share():
    masks = masks_of_equal_density()
    assert len({int(m.sum()) for m in masks}) == 1
    runs = [cycles_of(m) for m in masks]
    cycles = [r[0] for r in runs]
    fetches = [int(r[2][:, 2].sum()) for r in runs]
    assert cycles[0] < cycles[1] < cycles[2]
    assert fetches == [16 * 8, 16 * 14, 16 * 32]
    # What differs is waiting for keys, not the work.
    compute = {r[1]["attention"]["compute"] for r in runs}
    assert len(compute) == 1
    # Order helps only where some keys are shared, and not by the same rows at the same time.
    in_order = [cycles_of(m, scheduler="in_order")[0] for m in masks]
    assert in_order[0] == cycles[0]
    assert in_order[1] > cycles[1]
    assert in_order[2] == cycles[2]


def test_at_equal_mean_rows_that_differ_take_longer():
    even, uneven = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    even[:, :12] = True
    uneven[::4, :42] = True
    uneven[1::4, 42:44] = uneven[2::4, 44:46] = uneven[3::4, 46:48] = True
    assert even.sum() == uneven.sum()
    wide = {"port_bytes": 2**20}
    assert cycles_of(uneven, **wide)[0] > cycles_of(even, **wide)[0]
    assert cycles_of(uneven, **wide)[1]["attention"]["imbalance"] > 0


FASTER = {
    "lanes": 8,
    "array_rows": 64,
    "port_bytes": 700,
    "rounds_ahead": 9,
    "select_lanes": 40,
    "mfu_lanes": 50,
}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 999), st.sampled_from(sorted(FASTER)), st.sampled_from(["in_order", "out_of_order"]), st.booleans()
)
def test_more_hardware_is_never_slower(seed, field, scheduler, causal):
    rng = np.random.default_rng(seed)
    mask = rng.random((30, 30)) < rng.choice([0.02, 0.2, 0.7])
    before = cycles_of(mask, 48, causal, scheduler=scheduler)[0]
    assert cycles_of(mask, 48, causal, scheduler=scheduler, **{field: FASTER[field]})[0] <= before


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999), st.integers(1, 8), st.booleans())
def test_cycles_are_at_or_above_their_closed_forms_and_add_up(seed, lanes, causal):
    rng = np.random.default_rng(seed)
    mask = rng.random((37, 37)) < 0.3
    cycles, phases, counts = cycles_of(mask, 64, causal, lanes=lanes)
    assert all(spent >= 0 for causes in phases.values() for spent in causes.values())
    own = [counts[lane::lanes] for lane in range(lanes)]
    # Two keys of 128 bytes a cycle, for scores and for values; two rounds a cycle.
    assert cycles >= max(int(c[:, 2].sum()) for c in own)
    assert cycles >= max(int(c[:, 1].sum()) for c in own)
    assert cycles >= -(-2 * int(mask.sum()) * 64 // (lanes * IDEAL.pes))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999), st.integers(1, 700), st.integers(1, 4), st.booleans())
def test_compute_is_the_work_over_all_pes_and_what_idles_for_its_shape_stands_apart(seed, dim, lanes, causal):
    mask = np.random.default_rng(seed).random((37, 37)) < 0.3
    mask = np.tril(mask) if causal else mask
    _, phases, counts = cycles_of(mask, dim, causal, lanes=lanes, rounds_ahead=64, port_bytes=2**20)
    attention_ = phases["attention"]
    assert min(attention_.values()) >= 0
    work = {-(-2 * dim * int(counts[lane::lanes, 0].sum()) // 512) for lane in range(lanes)}
    assert attention_["compute"] in work


@pytest.mark.parametrize(
    ("dim", "compute", "shape"),
    # 4 queries of 96 take 384 of 512 PEs a cycle; of 192 they take 768, 2 cycles for one and a half.
    [(64, 4096, 0), (96, 6144, 2048), (128, 8192, 0), (192, 12_288, 4096)],
)
def test_pes_that_the_shape_of_a_round_leaves_idle_are_no_work(dim, compute, shape):
    stalls = run(attention(seq=256, dim=dim, heads=1), retention=1.0, memory="ideal").stalls
    assert (stalls["compute"], stalls["shape"]) == (compute, shape)


def test_detection_runs_at_the_array_s_rate_for_its_precision():
    seq, dim, rank = 512, 64, 16
    mask = np.zeros((seq, seq), bool)
    mask[:, 0] = True

    def detection(**fields):
        return cycles_of(mask, dim, **fields)[1]["detection"]["detection"]

    groups = seq // 4 // 4
    for bits, rate in ((8, 4), (4, 16), (2, 64)):
        assert detection(detector_bits=bits) == groups * -(-4 * seq * rank // (512 * rate))
    assert detection(detector_rate="own-pairs") == groups * -(-4 * seq * rank // (512 * 4))
    assert group_keys(IDEAL, 10, True).tolist() == [4, 8, 10]


def test_heads_follow_one_another_and_their_operands_come_meanwhile():
    one, four = (run(attention(seq=128, heads=h, dim=64), retention=0.5) for h in (1, 4))
    # Only the first head's operands are waited for.
    assert four.stalls["memory"] == one.stalls["memory"] > 0
    slow = run(attention(seq=128, heads=4, dim=64), retention=0.02, memory="ddr3-1866")
    assert slow.stalls["memory"] > slow.cycles // 2


@pytest.mark.parametrize("memory", ["hbm2-2.0", "ddr4-2400"])
@pytest.mark.parametrize(("heads", "sram_bytes"), [(1, 655_360), (5, 655_360), (5, 2**13)])
def test_no_run_is_faster_than_its_memory_nor_than_the_first_load(memory, heads, sram_bytes):
    result = run(attention(seq=64, dim=64, heads=heads, causal=True), memory=memory, sram_bytes=sram_bytes)
    moved = result.traffic_bytes["dram_read"] + result.traffic_bytes["dram_write"]
    cycles = moved / stream_bytes_per_s(memory) * result.clock_hz
    first = cycles / heads + idle_latency_s(memory) * result.clock_hz
    assert result.cycles >= cycles
    assert result.stalls["memory"] >= first


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_heads_that_share_keys_are_run_and_fetched_each_for_itself(kv_heads):
    grouped = attention(seed=3, heads=4, kv_heads=kv_heads)
    o = grouped.operands()
    apart = Attention(name="a", seq=48, heads=4, dim=16, q=o.q, k=o.k, v=o.v)
    here, there = run(grouped, memory="ddr4-2400"), run(apart, memory="ddr4-2400")
    assert here.cycles == there.cycles
    assert here.traffic_bytes == there.traffic_bytes
    assert here.operations == there.operations
    assert (here.values == there.values).all()
    assert any(f"though {4 // kv_heads} heads share them" in note for note in here.notes)


def test_keys_that_do_not_fit_come_again():
    op = attention(seq=256, dim=64, heads=1)
    fits, split = run(op), run(op, sram_bytes=2**16)
    assert fits.traffic_bytes["q"] * 2 == split.traffic_bytes["q"]
    assert split.traffic_bytes["k"] == fits.traffic_bytes["k"]
    # Unfinished results go to memory once and come back once.
    assert split.traffic_bytes["o"] == 3 * fits.traffic_bytes["o"]
    assert split.traffic_bytes["dram_write"] == 2 * fits.traffic_bytes["dram_write"]


def test_products_of_chosen_keys_and_those_that_choose_are_counted_apart_at_the_peak_of_the_former():
    seq, dim, rank = 64, 64, 16
    result = run(attention(seq=seq, dim=dim, heads=2), memory="ideal")
    kept = 2 * seq * 7
    assert result.operations["multiplies"] == result.operations["adds"] == 2 * dim * kept
    # Weights with projected queries and keys, then Q~ with K~.
    assert result.operations["predictor_multiplies"] == 2 * (2 * seq * rank * rank + seq * seq * rank)
    assert result.peaks["operations_per_s"] == 2 * 4 * 512 * 1e9
    assert result.utilization == pytest.approx(2 * dim * kept / (4 * 512 * result.cycles))


def test_fetches_saved_are_counted_and_sram_reads_are_those_of_the_fetches():
    op = attention(seq=64, dim=64, heads=2)
    result = run(op)
    counters = result.counters
    assert counters["key_fetches"] + counters["key_fetches_saved"] == counters["scores_kept"] == 2 * 64 * 7
    assert result.traffic_bytes["k_sram_read"] == result.traffic_bytes["v_sram_read"] == 128 * counters["key_fetches"]
    assert run(op, scheduler="in_order").counters["key_fetches"] >= counters["key_fetches"]


def test_one_query_and_sizes_that_nothing_divides_run():
    for seq, dim, causal in ((1, 1, False), (1, 64, True), (7, 5, True), (13, 200, False), (5, 600, False)):
        result = run(attention(seq=seq, dim=dim, heads=1, causal=causal))
        assert result.values.shape == (1, 1, seq, dim)
        assert sum(result.stalls.values()) == result.cycles


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"detector_bits": 3}, "dota: detector_bits must be 2, 4 or 8, got 3"),
        ({"keys_per_round": 5}, "dota: keys_per_round must be at most tokens, 4, got 5"),
        ({"fraction_bits": 15, "operand_bits": 12}, "dota: fraction_bits must be below operand_bits, got 15"),
        ({"threshold": "high"}, "dota: threshold must be auto or a whole number of up to 9 digits, got 'high'"),
        ({"retention": 0.0}, "retention must be at least 1e-06, got 0"),
        ({"retention": float("nan")}, "retention must be finite, got nan"),
        ({"scheduler": "outoforder"}, "scheduler must be one of out_of_order, in_order"),
    ],
)
def test_settings_out_of_range_are_one_clear_line(fields, message):
    with pytest.raises(InputError) as caught:
        DotaDesign(**fields)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_operands_that_are_not_finite_are_refused():
    x = np.zeros((1, 1, 4, 4), np.float32)
    x[0, 0, 1, 2] = np.nan
    with pytest.raises(InputError, match="must be finite"):
        Attention(name="c", seq=4, heads=1, dim=4, q=x, k=np.zeros_like(x), v=np.zeros_like(x))
