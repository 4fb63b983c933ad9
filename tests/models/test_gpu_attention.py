"""Are the blocks, bytes and seconds of attention on a GPU within their closed forms and bounds?"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.models._gpu_attention import (
    ALGORITHMS,
    FLASH_SINCE,
    AttentionCosts,
    _Times,
    refusal,
    run_attention,
)
from siloom.models._gpu_attention_kernels import LARGEST_DIM, Kernel, Product, flash1_columns, kernel_of
from siloom.models._gpu_attention_work import busiest, count_work, floor_sum, tile_blocks, visited_blocks
from siloom.models.gpu import A100Design, H100Design
from siloom.models.registry import machine
from siloom.sim.engine.dispatch import greedy
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.ops import Attention

E = 2  # bytes of an operand's element


H100, A100 = H100Design().dense_board("h100"), A100Design().dense_board("a100")


def plain_kernel(rows: int, columns: int, dim: int) -> Kernel:
    products = (Product(rows, columns, dim, 1, 1), Product(rows, dim, columns, 0, 1))
    return Kernel(rows, columns, dim, products, 2 * columns * dim)


# --- closed forms ----------------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers(1, 40), st.integers(0, 90), st.integers(0, 90))
def test_floor_sum_is_the_sum(n: int, m: int, a: int, b: int) -> None:
    assert floor_sum(n, m, a, b) == sum((a * i + b) // m for i in range(n))


@given(st.integers(1, 90), st.integers(1, 24), st.integers(1, 24), st.booleans())
def test_visited_blocks_are_those_with_a_score_to_compute(seq: int, rows: int, columns: int, causal: bool) -> None:
    kernel = plain_kernel(rows, columns, 8)
    needed = np.tri(seq, dtype=bool) if causal else np.ones((seq, seq), bool)
    grid = [[needed[i : i + rows, j : j + columns].any() for j in range(0, seq, columns)] for i in range(0, seq, rows)]
    by_row = [sum(line) for line in grid]
    assert tile_blocks(seq, kernel, causal, by_columns=False) == by_row
    assert tile_blocks(seq, kernel, causal, by_columns=True) == [sum(line) for line in zip(*grid, strict=True)]
    assert visited_blocks(seq, kernel, causal) == sum(by_row)


def test_long_sequences_are_counted_without_a_loop() -> None:
    op = Attention(seq=2**24, heads=1, dim=64, causal=True)
    found = run_attention(H100, op, "flash3")
    assert found.tensor_flops == pytest.approx(2 * op.multiplies, rel=1e-4)


@pytest.mark.parametrize("algorithm", ["flash1", "flash2", "flash3"])
@pytest.mark.parametrize("dim", [8, 40, 64, 72, 96, 128, 160, 256])
@pytest.mark.parametrize("backward", [False, True])
def test_every_kernel_does_two_or_five_products_and_stages_at_least_its_blocks(
    algorithm: str, dim: int, backward: bool
) -> None:
    dim = min(dim, LARGEST_DIM[algorithm])
    for causal in (False, True):
        kernel = kernel_of(algorithm, dim, backward, causal, H100.smem_bytes)
        products = 5 if backward else 2
        assert dim <= kernel.dim
        assert kernel.flops == products * 2 * kernel.rows * kernel.columns * kernel.dim
        # The side that streams past has to come in, and has to be read once at the least.
        side = kernel.columns if algorithm != "flash1" and not backward else kernel.rows
        assert kernel.staged_bytes(E) >= 2 * side * kernel.dim * E


def test_staged_bytes_of_a_block_by_hand() -> None:
    # Version 2, d 128, forward, 128 x 64, four warps of 32 rows: each reads its rows of Q, all of K and
    # of V (64 x 128 each); K and V come in once.
    assert kernel_of("flash2", 128, False, False, A100.smem_bytes).staged_bytes(2) == 2 * (
        128 * 128 + 4 * 64 * 128 * 2 + 2 * 64 * 128
    )
    # Version 3, d 128, forward, 128 x 176, two warpgroups of 64 rows.
    assert kernel_of("flash3", 128, False, False, H100.smem_bytes).staged_bytes(2) == 2 * (
        128 * 128 + 2 * 176 * 128 * 2 + 2 * 176 * 128
    )
    # FP8: half the bytes of an element, and V is read and written once more to transpose it.
    assert kernel_of("flash3", 128, False, False, H100.smem_bytes, fp8=True).staged_bytes(1) == (
        128 * 128 + 2 * 224 * 128 * 2 + 2 * 224 * 128 + 2 * 224 * 128
    )


def test_bytes_of_version_1_follow_theorem_2() -> None:
    # Theta(N^2 d^2 / M): four times the bytes for twice the sequence, half for twice the memory.
    long = [run_attention(A100, Attention(seq=n, heads=1, dim=128), "flash1").hbm_bytes for n in (2**15, 2**16)]
    assert long[1] / long[0] == pytest.approx(4.0, rel=0.01)
    half = replace(A100, smem_bytes=A100.smem_bytes / 2)
    op = Attention(seq=2**16, heads=1, dim=128)
    assert flash1_columns(128, half.smem_bytes) * 2 == flash1_columns(128, A100.smem_bytes)
    more, less = (run_attention(b, op, "flash1").hbm_bytes for b in (half, A100))
    assert more / less == pytest.approx(2.0, rel=0.01)


# --- seconds ---------------------------------------------------------------------------------------

OPS = st.builds(
    Attention,
    seq=st.integers(1, 5000),
    heads=st.sampled_from([1, 8, 16, 40]),
    dim=st.sampled_from([16, 64, 128]),
    batch=st.integers(1, 40),
    causal=st.booleans(),
    direction=st.sampled_from(["fwd", "bwd"]),
    format=st.sampled_from(["fp16", "bf16", "fp8"]),
    kv_heads=st.sampled_from([0, 1]),
)


@given(OPS, st.sampled_from(ALGORITHMS))
@settings(deadline=None)
def test_parts_add_up_and_nothing_is_faster_than_a_resource_alone(op: Attention, algorithm: str) -> None:
    found = run_attention(H100, op, algorithm)
    assert all(part >= 0.0 for part in found.parts.values())
    assert math.fsum(found.parts.values()) == found.seconds
    assert found.seconds >= found.tensor_flops / H100.tensor_flops[found.computed]
    assert found.seconds >= found.exps / H100.exp_per_s
    assert found.seconds >= found.hbm_bytes / H100.bandwidth_bytes_per_s
    width = 2 if found.computed != "fp8" else 1
    both = op.batch * op.seq * op.dim * width * (op.heads + (op.kv_heads or op.heads))
    # Q, K, V and O at the least; backward also dO and three gradients.
    assert found.hbm_bytes >= both * (2 if op.direction == "fwd" else 4)


@given(st.lists(st.floats(0.01, 100.0), min_size=5, max_size=5), st.floats(0.0, 6.0))
def test_overlap_lies_between_one_after_the_other_and_the_longest_alone(times: list[float], q: float) -> None:
    t = _Times(*times)
    alone = [t.tensor, t.exp + t.fp32, t.smem, t.memory]
    assert max(alone) * (1 - 1e-12) <= t.together(q) <= sum(alone) * (1 + 1e-12)
    assert t.together(0.0) == pytest.approx(sum(alone))
    assert t.together(500.0) == pytest.approx(max(alone), rel=0.01)
    assert math.fsum(t.waited(q).values()) == pytest.approx(t.together(q))


FASTER = ("tensor_flops", "exp_per_sm_clock", "other_flops", "bandwidth_bytes_per_s", "l2_bytes", "launch_s")


@given(OPS, st.sampled_from(ALGORITHMS), st.sampled_from(FASTER))
@settings(deadline=None)
def test_a_better_board_is_never_slower(op: Attention, algorithm: str, field: str) -> None:
    value = getattr(H100, field)
    if isinstance(value, float | int):
        better: Any = value / 2 if field == "launch_s" else value * 2
    else:
        better = {name: 2 * rate for name, rate in value.items()}
    faster = run_attention(replace(H100, **{field: better}), op, algorithm).seconds
    assert faster <= run_attention(H100, op, algorithm).seconds * (1 + 1e-12)


@pytest.mark.parametrize("seq", [512, 4096])
@pytest.mark.parametrize("dim", [64, 128])
def test_each_version_is_faster_than_the_one_before(seq: int, dim: int) -> None:
    for direction in ("fwd", "bwd"):
        for causal in (False, True):
            op = Attention(seq=seq, heads=2048 // dim, dim=dim, batch=16384 // seq, causal=causal, direction=direction)
            # Version 1 at dimension 128 holds only 128 keys a block: its passes over Q and O are no gain here.
            order = ALGORITHMS if dim == 64 else ALGORITHMS[1:]
            times = [run_attention(H100, op, algorithm).seconds for algorithm in order]
            assert times == sorted(times, reverse=True)


def test_version_1_leaves_multiprocessors_idle_with_few_heads() -> None:
    one = run_attention(A100, Attention(seq=8192, heads=1, dim=64), "flash1")
    all_busy = run_attention(A100, Attention(seq=8192, heads=108, dim=64), "flash1")
    # One multiprocessor works: as long as all of them with a head each, but for the shared memory bus.
    on_chip = 1 - all_busy.parts["memory"] / all_busy.seconds
    assert on_chip * all_busy.seconds <= one.seconds <= all_busy.seconds
    assert one.parts["wave_quantisation"] > 0.9 * one.seconds


def test_fp8_halves_the_products_and_not_the_exponentials() -> None:
    op = Attention(seq=16384, heads=16, dim=128)
    narrow, wide = run_attention(H100, replace(op, format="fp8"), "flash3"), run_attention(H100, op, "flash3")
    assert narrow.exps == pytest.approx(wide.exps, rel=0.01)
    assert narrow.read["k"] * 2 == wide.read["k"]
    assert 1.2 < wide.seconds / narrow.seconds < 2.0


@pytest.mark.parametrize("direction", ["fwd", "bwd"])
def test_a_mask_and_dropout_cost_kernels_of_their_own_or_operations_on_the_chip(direction: str) -> None:
    op = Attention(seq=2048, heads=16, dim=64, batch=4, direction=direction)
    for extra in ("mask", "dropout"):
        for algorithm in ("flash1", "flash2", "flash3"):
            plain, more = (run_attention(H100, replace(op, **{extra: on}), algorithm) for on in (False, True))
            assert more.hbm_bytes == plain.hbm_bytes
            assert more.other_flops >= plain.other_flops + 4 * 16 * 2048**2
            assert plain.seconds < more.seconds < 1.5 * plain.seconds
    plain, dropped = (run_attention(H100, replace(op, dropout=on), "standard") for on in (False, True))
    # Two passes of two bytes and one of one, each way.
    assert dropped.hbm_bytes - plain.hbm_bytes == 5 * 4 * 16 * 2048**2
    causal, both = (run_attention(H100, replace(op, causal=True, mask=on), "standard") for on in (False, True))
    assert causal.hbm_bytes == both.hbm_bytes  # one tensor masks for both


def test_standard_attention_copies_its_operands_head_by_head() -> None:
    """Q, K and V read and written once more; of K, transposed, every element is a cache line of its own."""
    op = Attention(seq=512, heads=16, dim=128, batch=32)
    bare, copied = (run_attention(H100, op, "standard", layout_copies=copies) for copies in (False, True))
    elements = 32 * 16 * 512 * 128
    assert copied.hbm_bytes - bare.hbm_bytes == 3 * 2 * 2 * elements
    streamed = 4 * elements / H100.stream_bytes_per_s
    lines = elements / (H100.sms * H100.clock_hz)
    assert lines > streamed
    assert copied.seconds - bare.seconds == pytest.approx(3 * H100.launch_s + 2 * streamed + lines, rel=1e-9)
    shared = run_attention(H100, replace(op, kv_heads=2), "standard", layout_copies=True)
    assert shared.parts["lines"] < 0.2 * copied.parts["lines"]
    for setting, found in (("", copied), (",layout_copies=0", bare)):
        assert machine(f"h100:attention=standard{setting}").run(op).seconds == pytest.approx(found.seconds, rel=1e-4)


def test_causal_saves_half_at_most() -> None:
    for algorithm in ("flash1", "flash2", "flash3"):
        op = Attention(seq=8192, heads=32, dim=64, batch=8)
        full, causal = (run_attention(H100, replace(op, causal=c), algorithm).seconds for c in (False, True))
        assert 0.5 * full <= causal < 0.62 * full


# --- uneven shares ---------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 50), min_size=1, max_size=200), st.integers(1, 20))
@settings(deadline=None)
def test_busiest_is_the_makespan_of_the_dispatch_engine(queue: list[int], servers: int) -> None:
    assert busiest(queue, servers) == greedy(queue, servers).makespan


@pytest.mark.parametrize("algorithm", ["flash2", "flash3"])
@pytest.mark.parametrize("direction", ["fwd", "bwd"])
def test_the_end_of_the_queue_tells_the_makespan_of_the_whole(algorithm: str, direction: str) -> None:
    op = Attention(seq=2048, heads=32, dim=64, batch=64, causal=True, direction=direction)
    backward = direction == "bwd"
    kernel = kernel_of(algorithm, op.dim, backward, True, H100.smem_bytes)
    queue = tile_blocks(op.seq, kernel, True, backward) * (op.heads * op.batch)
    whole = busiest(queue, H100.sms) / (sum(queue) / H100.sms)
    assert count_work(H100, op, algorithm, kernel, E, 0.5).makespan_share == pytest.approx(whole, abs=0.005)


# --- refusals and notes ----------------------------------------------------------------------------


def test_versions_that_a_board_has_not_got_are_infeasible() -> None:
    op = Attention(seq=128, heads=1, dim=64)
    with pytest.raises(InfeasibleError, match="a100: attention=flash3 needs a board of hopper, got ampere"):
        run_attention(A100, op, "flash3")
    with pytest.raises(InfeasibleError, match="needs a head dimension of at most 256, got 320"):
        run_attention(H100, replace(op, dim=320), "flash2")
    with pytest.raises(InputError, match="attention must be one of standard, flash1, flash2, flash3, got 'flash9'"):
        run_attention(H100, op, "flash9")
    assert refusal(H100, replace(op, dim=4096), "standard") == ""
    assert set(FLASH_SINCE) == set(LARGEST_DIM) == set(ALGORITHMS) - {"standard"}


def test_formats_without_a_kernel_are_computed_in_16_bits_and_said_so() -> None:
    op = Attention(seq=256, heads=2, dim=64, format="fp32")
    found = run_attention(H100, op, "flash3")
    assert found.computed == "fp16"
    assert any("no kernel for fp32: runs in fp16" in note for note in found.notes)
    backward = run_attention(H100, replace(op, format="fp8", direction="bwd"), "flash3")
    assert any("no backward kernel for fp8: runs in fp16" in note for note in backward.notes)


def test_constants_are_those_of_the_table_and_few() -> None:
    costs = AttentionCosts.of_table()
    assert costs.overlap["flash1"] == costs.overlap["flash2"] < costs.overlap["flash3"]
    assert 0.0 < costs.backward <= 1.0
