"""Are the boards what their makers say, and does dense work on them cost what it must?"""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from siloom.models._gpu_board import GENERATIONS, DenseBoard, generation
from siloom.models._gpu_design import GpuDesign
from siloom.models._gpu_machine import Gpu
from siloom.models.gpu import A100, A100Design
from siloom.models.registry import machine, machines
from siloom.reports.reproduce import run
from siloom.sim.cost import table
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.machine import run_workload
from siloom.sim.ops import FORMAT_BITS, Attention, Conv, Elementwise, Item, MatMul, Operation, Reduce, Workload
from siloom.sim.result import Result

BOARDS = ("k40", "k80", "p100", "titan-xp", "rtx-2080ti", "v100", "a100", "rtx-4090", "h100", "h200")
each = pytest.mark.parametrize("name", BOARDS)


def design(name: str, **settings: object) -> GpuDesign:
    made = machine(name).design.with_settings(name, settings)
    assert isinstance(made, GpuDesign)
    return made


def board(name: str, **settings: object) -> DenseBoard:
    return design(name, **settings).dense_board(name)


def result(name: str, op: Operation) -> Result:
    return machine(name).run(op)


# --- the boards -----------------------------------------------------------------------------------


def test_every_board_is_a_machine_with_its_own_rows() -> None:
    known = {k.name: k for k in machines() if k.machine.kind == "gpu"}
    assert set(BOARDS) <= set(known)
    for name in BOARDS:
        assert issubclass(known[name].machine, Gpu)
        rows = {field: entry for (owner, field), entry in table("devices").items() if owner == name}
        made = design(name)
        for field, entry in rows.items():
            assert getattr(made, field) == entry.value, (name, field)
            about = made.parameters()[field]
            assert (about.source, about.status) == (entry.source, entry.status)


# Data sheets' TFLOP/s or TOPS at the boost clock of devices.csv (K80: at its base clock, as TPU v1's
# paper gives it); GeForce boards with fp32 accumulation.
PEAKS: dict[str, dict[str, float]] = {
    "k40": {"fp32": 4.29, "fp64": 1.43},
    "k80": {"fp32": 2.8},
    "p100": {"fp16": 21.2, "fp32": 10.6, "fp64": 5.3},
    "titan-xp": {"fp32": 12.15},
    "rtx-2080ti": {"fp32": 13.45, "fp16": 53.8, "int8": 215},
    "v100": {"fp32": 15.7, "fp64": 7.8, "fp16": 125, "int8": 62},
    "a100": {"fp32": 19.5, "fp64": 19.5, "tf32": 156, "fp16": 312, "bf16": 312, "int8": 624},
    "rtx-4090": {"fp32": 82.6, "tf32": 82.6, "fp16": 165.2, "fp8": 330.3, "int8": 660.6},
    "h100": {"tf32": 494, "fp16": 989, "bf16": 989, "fp8": 1979, "int8": 1979},
    "h200": {"tf32": 494, "fp16": 989, "bf16": 989, "fp8": 1979, "int8": 1979},
}


@pytest.mark.parametrize(("name", "form", "peak"), [(n, f, p) for n, peaks in PEAKS.items() for f, p in peaks.items()])
def test_units_by_clock_are_the_data_sheets_peaks(name: str, form: str, peak: float) -> None:
    assert board(name).matmul_flops(form) / 1e12 == pytest.approx(peak, rel=0.015)


def test_special_function_units_of_an_h100_give_the_rate_of_the_flash_attention_3_paper() -> None:
    assert board("h100").exp_per_s == pytest.approx(3.9e12, rel=0.02)


def test_generations_are_told_by_compute_capability() -> None:
    words = [board(name).generation for name in BOARDS]
    assert words == ["kepler", "kepler", "pascal", "pascal", "turing", "volta", "ampere", "ada", "hopper", "hopper"]
    assert [generation(least) for least, _ in GENERATIONS] == [word for _, word in GENERATIONS]
    assert generation(8.6) == "ampere"
    assert [name for name in BOARDS if board(name).sparse24] == ["a100", "rtx-4090", "h100", "h200"]


def test_a_format_without_units_is_computed_in_the_next_that_holds_it() -> None:
    assert board("a100").computed_in("fp8") == "fp16"
    assert board("h100").computed_in("int4") == "int8"
    assert board("v100").computed_in("bf16") == "fp32"
    assert board("v100").computed_in("int8") == "int8"
    assert {form: board("k40").computed_in(form) for form in FORMAT_BITS} == {
        **dict.fromkeys(FORMAT_BITS, "fp32"),
        "fp64": "fp64",
    }
    for name in BOARDS:
        for form in FORMAT_BITS:
            assert board(name).matmul_flops(board(name).computed_in(form)) > 0


@each
def test_designs_survive_copies_and_refuse_nonsense(name: str) -> None:
    made: Any = design(name)
    assert pickle.loads(pickle.dumps(made)) == made
    assert type(made)(**made.as_dict()) == made
    with pytest.raises(InputError, match="sms must be at least 1, got 0"):
        replace(made, sms=0)
    with pytest.raises(InputError, match="precision must be one of auto"):
        machine(f"{name}:precision=fp17")


# --- products -------------------------------------------------------------------------------------


def test_the_command_of_the_issue_runs() -> None:
    found = result("a100", MatMul(m=8192, n=4096, k=4096))
    assert found.seconds == pytest.approx(1.021e-3, rel=0.05)
    assert found.operations["effective_multiplies"] == 8192 * 4096 * 4096
    assert json.loads(found.to_json())["stalls"].keys() == {"launch", "compute", "operand_loading", "wave_quantisation"}


@each
def test_causes_are_whole_cycles_of_the_clock_and_the_compute_cause_is_the_peak(name: str) -> None:
    op = MatMul(m=1000, n=776, k=1024)
    found = result(name, op)
    assert found.cycles is not None and found.clock_hz is not None
    assert found.seconds == found.cycles / found.clock_hz
    assert sum(found.stalls.values()) == sum(p.cycles or 0 for p in found.phases) == found.cycles
    peak = board(name).matmul_flops(board(name).computed_in("fp16"))
    assert found.stalls["compute"] == pytest.approx(2 * op.multiplies / peak * found.clock_hz, abs=1.5)
    assert found.utilization == pytest.approx(found.stalls["compute"] / found.cycles, rel=1e-2)


def test_a_board_has_one_clock_under_tensor_load_for_products_and_attention() -> None:
    """Hopper's is fitted; an A100's measured products reach their rate at efficiency 1: no room for less."""
    share = {name: board(name).sustained_clock_share for name in BOARDS}
    assert share["h100"] == share["h200"] == table("gpu_attention")["hopper", "sustained_clock_share"].value < 1.0
    assert {share[name] for name in BOARDS if name not in ("h100", "h200")} == {1.0}
    assert table("gpu_gemm_fit")["cublas", "math_efficiency"].value == 1.0
    for op in (MatMul(m=8192, n=8192, k=8192), Attention(seq=8192, heads=16, dim=128, batch=2)):
        lowered, boost = result("h100", op), result("h100:sustained_clock_share=1", op)
        assert 0.9 * share["h100"] < boost.seconds / lowered.seconds < 1.0
        assert lowered.peaks == boost.peaks
        assert any("of the boost clock" in note for note in lowered.notes)
        assert not any("of the boost clock" in note for note in boost.notes)
    lost = result("h100", MatMul(m=8192, n=8192, k=8192)).stalls
    assert lost["compute"] / (lost["compute"] + lost["lowered_clock"]) == pytest.approx(share["h100"], rel=1e-3)
    wide = MatMul(m=2048, n=2048, k=2048, format="fp32")  # no tensor cores
    assert result("h100", wide).seconds == result("h100:sustained_clock_share=1", wide).seconds


def test_shared_weights_make_a_batch_one_taller_product() -> None:
    apart = result("a100", MatMul(m=100, n=512, k=512, batch=8))
    shared = result("a100", MatMul(m=100, n=512, k=512, batch=8, shared=True))
    taller = result("a100", MatMul(m=800, n=512, k=512))
    assert shared.cycles == taller.cycles and shared.traffic_bytes == taller.traffic_bytes
    assert apart.traffic_bytes["b"] == 8 * shared.traffic_bytes["b"]
    assert apart.seconds > shared.seconds


def test_queued_calls_cost_a_launch_only() -> None:
    op = MatMul(m=64, n=64, k=64)
    timed, queued = result("a100", op), result("a100:calls=queued", op)
    fit, launch = table("gpu_gemm_fit")["cublas", "call_s"].value, table("devices")["a100", "launch_s"].value
    assert timed.seconds - queued.seconds == pytest.approx(fit - launch, abs=2 / 1.41e9)


def test_a_chosen_precision_changes_bytes_rate_and_the_note() -> None:
    op = MatMul(name="bert", m=4096, n=4096, k=4096, format="fp16")
    asked, int8 = result("a100", op), result("a100:precision=int8", op)
    assert int8.traffic_bytes["c"] * 2 == asked.traffic_bytes["c"]
    assert int8.seconds < asked.seconds
    assert "a100:precision=int8 runs in int8, the workload asks for fp16" in int8.notes
    old = result("k40", op)
    assert (asked.precision, int8.precision, old.precision) == (("fp16",), ("int8",), ("fp32",))
    assert any("stored as fp16 and computed in fp32" in note for note in old.notes)
    assert old.traffic_bytes["c"] == asked.traffic_bytes["c"]


def test_boards_without_sparse_tensor_cores_run_24_dense_and_say_so() -> None:
    dense, sparse = MatMul(m=512, n=512, k=512), MatMul(m=512, n=512, k=512, sparse24=True)
    old, new = result("v100", sparse), result("a100", sparse)
    assert old.cycles == result("v100", dense).cycles
    assert old.operations["multiplies"] >= 2 * old.operations["effective_multiplies"]
    assert any("B is stored and multiplied dense" in note for note in old.notes)
    assert new.operations["multiplies"] == new.operations["effective_multiplies"] == 512**3 // 2
    assert new.traffic_bytes["b"] == round(512 * 512 * 2 * 9 / 16)
    assert any("metadata" in note for note in new.notes)


def test_operands_beyond_the_memory_are_infeasible_and_counted() -> None:
    op = MatMul(name="large", m=2**18, n=2**18, k=2**10)
    needed = 2 * (2**36 + 2 * 2**28)
    with pytest.raises(InfeasibleError, match=f"a100: large needs {needed} bytes for its operands, memory_bytes is 8"):
        result("a100", op)
    assert result("a100:memory_bytes=2e11", op).seconds > 0
    with pytest.raises(InfeasibleError, match="conv needs"):
        result("titan-xp", Conv(h=4096, w=4096, c=512, r=1, s=1, k=512))


# --- convolutions, streams ------------------------------------------------------------------------


def test_a_convolution_is_its_product_without_unfolded_copies() -> None:
    conv = result("a100", Conv(h=56, w=56, c=64, r=3, s=3, k=128, pad=1, batch=16))
    product = result("a100", MatMul(m=16 * 56 * 56, n=128, k=576))
    for cause in ("launch", "compute", "tile_quantisation", "operand_loading", "wave_quantisation"):
        assert conv.stalls.get(cause, 0) == pytest.approx(product.stalls.get(cause, 0), abs=1)
    assert conv.traffic_bytes["a"] == 2 * 16 * 64 * 56 * 56
    assert conv.traffic_bytes["b"] == 2 * 128 * 576
    assert conv.operations["effective_multiplies"] == 16 * 56 * 56 * 128 * 576


def test_a_pointwise_convolution_is_exactly_its_product() -> None:
    conv = result("v100", Conv(h=28, w=28, c=256, r=1, s=1, k=512, batch=8))
    product = result("v100", MatMul(m=8 * 28 * 28, n=512, k=256))
    assert (conv.cycles, conv.traffic_bytes) == (product.cycles, product.traffic_bytes)


@pytest.mark.parametrize("name", ["a100", "epyc-7763", "systolic"])
def test_a_stride_beyond_the_window_reads_what_it_uses(name: str) -> None:
    conv = result(name, Conv(h=56, w=57, c=256, r=1, s=1, k=512, stride=2, batch=8))
    product = result(name, MatMul(m=8 * 28 * 29, n=512, k=256, shared=True))
    assert conv.traffic_bytes == product.traffic_bytes
    assert conv.seconds == pytest.approx(product.seconds, rel=1e-9)


def test_depthwise_convolutions_stream() -> None:
    op = Conv(h=112, w=112, c=96, r=3, s=3, k=96, pad=1, groups=96, batch=32)
    found = result("a100", op)
    moved = 2 * (2 * 32 * 96 * 112 * 112 + 96 * 9)
    assert found.traffic_bytes["dram_read"] + found.traffic_bytes["dram_write"] == moved
    call = table("gpu_gemm_fit")["cublas", "call_s"].value
    assert found.seconds == pytest.approx(call + moved / (2039e9 * 0.88), rel=1e-3)
    assert found.operations["multiplies"] == op.multiplies


def test_an_elementwise_kernel_is_its_bytes_at_streaming_bandwidth() -> None:
    found = result("v100", Elementwise(elements=10**8, reads=2))
    call = design("v100").kernel_call_s
    assert found.seconds == pytest.approx(call + 6e8 / (900e9 * 0.88), rel=1e-6)
    assert found.traffic_bytes == {"a": 4 * 10**8, "c": 2 * 10**8, "dram_read": 4 * 10**8, "dram_write": 2 * 10**8}


def test_many_operations_an_element_bind_the_units() -> None:
    busy = result("a100", Elementwise(elements=10**8, flops_each=1000))
    # An operation is a lane's clock; a peak counts two for each, which only multiply-adds have.
    assert busy.stalls["compute"] == pytest.approx(1e11 / (108 * 64), rel=1e-6)
    gelu = result("a100", Elementwise(elements=10**8, function="gelu"))
    assert gelu.operations["exponentials"] == 10**8


def test_reductions_leave_what_they_should() -> None:
    total = result("a100", Reduce(rows=4096, length=1024))
    assert total.traffic_bytes["c"] == 2 * 4096
    soft = result("a100", Reduce(rows=4096, length=1024, function="softmax"))
    assert soft.traffic_bytes["a"] == soft.traffic_bytes["c"] == 2 * 4096 * 1024
    assert soft.operations["exponentials"] == 4096 * 1024


@pytest.mark.parametrize(("function", "passes", "blocks"), [("softmax", 3, 4), ("layernorm", 3, 8), ("rmsnorm", 2, 8)])
def test_long_rows_come_again_from_memory_once_all_that_are_at_work_exceed_the_cache(
    function: str, passes: int, blocks: int
) -> None:
    """``blocks`` rows a multiprocessor at a time, which half of the A100's 40 MiB hold up to a length."""
    longest = 20 * 2**20 // (2 * 108 * blocks)
    for length, times in ((1024, 1), (longest, 1), (longest + 1, passes)):
        found = result("a100", Reduce(rows=4096, length=length, function=function))
        assert found.traffic_bytes["a"] == times * 2 * 4096 * length, length
        assert found.traffic_bytes["c"] == 2 * 4096 * length
    # Few rows are never so many at a time.
    few = result("a100", Reduce(rows=16, length=longest + 1, function=function))
    assert few.traffic_bytes["a"] == 2 * 16 * (longest + 1)


def test_a_softmax_of_long_rows_is_bound_by_its_instructions_where_lanes_are_few() -> None:
    """By hand, an element of a row of 4096: read three times, raised twice, divided once, by 64 lanes an SM."""
    ordinary = (1 + 1) + (1 + 1 + 6 + 1) + (1 + 1 + 6 + 6 + 1)  # convert, maximum; convert, subtract, exp, add; ...
    clocks = ordinary / 64 + 3 / 16
    long = result("a100:calls=queued", Reduce(rows=2**14, length=4096, function="softmax"))
    assert long.cycles == pytest.approx(2**26 / 108 * clocks + 4e-6 * 1.41e9, abs=2)
    assert long.operations["exponentials"] == 2**27
    assert "memory" not in long.stalls
    # Hopper has twice the lanes: of a row in registers, raised once, memory is the limit.
    short = result("h100:calls=queued", Reduce(rows=2**16, length=1024, function="softmax"))
    assert short.seconds == pytest.approx(4 * 2**26 / (3350e9 * 0.9) + 4e-6, rel=1e-4)


def test_few_rows_leave_multiprocessors_idle() -> None:
    few = result("a100", Reduce(rows=1, length=2**20, function="softmax"))
    many = result("a100", Reduce(rows=108, length=2**20, function="softmax"))
    assert few.stalls["few_rows"] > 0 and "few_rows" not in many.stalls
    assert "few_rows" not in result("a100", Reduce(rows=1, length=2**20)).stalls


def test_a_wait_is_not_rounded_up_for_every_repetition() -> None:
    ops = ((Reduce(rows=64, length=64, function="softmax"), 24), (MatMul(m=64, n=64, k=64), 7))
    for pairs in (ops, ops[::-1], ops[:1]):
        short = run_workload(machine("v100"), Workload("short", tuple(Item(op, times) for op, times in pairs)))
        long = run_workload(machine("v100"), Workload("long", tuple(Item(op) for op, n in pairs for _ in range(n))))
        assert (short.cycles, short.stalls) == (long.cycles, long.stalls)
        assert short.energy_j == pytest.approx(long.energy_j, rel=1e-12)


def test_a_kernel_alone_costs_less_to_call_than_a_library_but_a_workload_no_less_than_its_parts() -> None:
    soft, product = Reduce(rows=64, length=64, function="softmax"), MatMul(m=64, n=64, k=64)
    made = design("a100")
    assert result("a100", product).overhead_s == pytest.approx(made.call_s, abs=1e-9)
    assert result("a100", soft).overhead_s == pytest.approx(made.kernel_call_s, abs=1e-9)
    # A host that was measured to call libraries faster calls no kernel slower.
    assert result("a100:call_s=6e-6", soft).overhead_s == pytest.approx(6e-6, abs=1e-9)
    for ops in ((soft, product), (product, soft), (soft, soft)):
        whole = run_workload(machine("a100"), Workload("w", tuple(map(Item, ops))))
        assert whole.seconds >= max(result("a100", op).seconds for op in ops)
        assert whole.overhead_s == pytest.approx(max(result("a100", op).overhead_s or 0 for op in ops) + 4e-6, abs=3e-9)


# --- attention ------------------------------------------------------------------------------------


def test_each_board_runs_the_newest_attention_it_has() -> None:
    op = Attention(seq=1024, heads=8, dim=64)
    newest = {name: result(name, op).phases[-1].name for name in BOARDS}
    assert {newest[name] for name in ("h100", "h200")} == {"flash3"}
    assert {newest[name] for name in ("a100", "rtx-4090")} == {"flash2"}
    assert {newest[name] for name in ("k40", "k80", "p100", "titan-xp", "rtx-2080ti", "v100")} == {"standard"}
    with pytest.raises(InfeasibleError, match="attention=flash3 needs a board of hopper, got ampere"):
        result("a100:attention=flash3", op)
    with pytest.raises(InfeasibleError, match="attention=flash2 needs a board of ampere, ada, hopper, got volta"):
        result("v100:attention=flash2", op)


@each
def test_standard_backward_attention_is_not_said_to_do_the_product_it_saves(name: str) -> None:
    """It keeps its probabilities: four products, where the operation counts the five of FlashAttention."""
    op = Attention(seq=2048, heads=32, dim=256, batch=2, direction="bwd")
    found = result(f"{name}:attention=standard", op)
    assert 5 * found.operations["multiplies"] == 4 * found.operations["effective_multiplies"]
    rate = 2 * found.operations["multiplies"] / found.seconds
    assert found.utilization == pytest.approx(rate / found.peaks["operations_per_s"])


def test_attention_in_wide_formats_keeps_them_unless_a_narrower_kernel_is_named() -> None:
    op = Attention(seq=1024, heads=8, dim=64, format="fp32")
    for name, computed in (("h100", "fp32"), ("a100", "fp32"), ("h100:precision=fp64", "fp64")):
        found = result(name, op)
        assert (found.phases[-1].name, found.precision) == ("standard", (computed,))
    named = result("h100:attention=flash3", op)
    assert named.precision == ("fp16",) and any("no kernel for fp32: runs in fp16" in n for n in named.notes)


def test_attention_falls_back_where_the_tensor_cores_are_taken_away() -> None:
    op = Attention(seq=1024, heads=8, dim=64)
    assert result("h100:tensor_fp16_per_sm=0", op).phases[-1].name == "standard"
    assert result("k40:compute_capability=9", op).phases[-1].name == "standard"
    with pytest.raises(InfeasibleError, match="attention=flash3 needs tensor cores for fp16, the board has none"):
        result("k40:compute_capability=9,attention=flash3", op)
    found = result("h100:precision=fp8,tensor_fp8_per_sm=0", op)
    assert (found.phases[-1].name, found.precision) == ("flash3", ("fp16",))


def test_backward_attention_holds_the_gradients_too() -> None:
    """A board that holds q, k, v and o exactly has no room for their gradients."""
    forward = Attention(seq=1024, heads=8, kv_heads=2, dim=64)
    room = 2 * (forward.elements_in + forward.elements_out)
    assert room == 2 * (2 * 8 + 2 * 2) * 1024 * 64
    result(f"a100:memory_bytes={room}", forward)
    with pytest.raises(InfeasibleError, match=f"needs {2 * room} bytes for its operands"):
        result(f"a100:memory_bytes={room}", replace(forward, direction="bwd"))


# --- energy ---------------------------------------------------------------------------------------


@each
def test_energy_is_between_idle_and_rated_power_and_its_parts_are_positive(name: str) -> None:
    made = design(name)
    for op in (
        MatMul(m=4096, n=4096, k=4096, format="fp32"),
        MatMul(m=4096, n=4096, k=4096),
        MatMul(m=1, n=4096, k=4096),
        Elementwise(elements=10**8),
    ):
        found = result(name, op)
        assert found.energy_j is not None and found.power_w is not None
        assert all(part >= 0 for part in found.energy_parts.values())
        assert math.isclose(math.fsum(found.energy_parts.values()), found.energy_j, rel_tol=1e-12)
        assert made.idle_w * 0.999 <= found.power_w <= made.tdp_w * 1.001


def test_a_product_at_full_rate_draws_near_the_rated_power() -> None:
    found = result("a100", MatMul(m=16384, n=16384, k=16384))
    assert found.power_w is not None and 0.85 * 400 < found.power_w <= 400


def test_dram_energy_follows_the_bytes() -> None:
    one, two = (result("a100", Elementwise(elements=n)).energy_parts["dram"] for n in (10**7, 2 * 10**7))
    assert two == pytest.approx(2 * one, rel=1e-9)


def test_a_board_that_idles_at_more_than_its_rated_power_draws_that() -> None:
    name = "h100:tdp_w=100,idle_w=200"
    for op in (Elementwise(elements=64, reads=0, writes=0, flops_each=0), MatMul(m=64, n=64, k=64)):
        found = result(name, op)
        assert found.energy_j == pytest.approx(100 * found.seconds) == found.energy_parts["idle"]


# --- what is printed ------------------------------------------------------------------------------


def test_reproduce_gpu_gemm_prints_the_ten_rows_with_their_error() -> None:
    ((_, only),) = run("gpu-gemm", None, lambda _: None)
    assert len(only.rows) == 10
    for row in only.rows:
        assert row["error"] == f"{row['simulated_ms'] / row['measured_ms'] - 1:+.1%}"
        assert abs(row["simulated_ms"] / row["measured_ms"] - 1) < 0.05


def test_reproduce_sparse24_prints_beside_the_measured_ones_where_the_rate_is_lost() -> None:
    (_, gains), (_, ladder), (_, peaks) = run("sparse24", None, lambda _: None)
    assert [row["measured"] for row in gains.rows] == ["1.24x", "1.27x", "1.25x"]
    for row in gains.rows:
        assert 1.0 < float(row["simulated"][:-1]) < 1.5
    for row in ladder.rows:
        steps = [float(str(v)[:-1]) for k, v in row.items() if k not in ("case", "measured", "left over")]
        assert steps[:2] == [2.0, 1.5]
        assert all(a >= b - 0.02 for a, b in pairwise(steps))
    for row in peaks.rows:
        assert row["sparse_peak"] == 2 * row["dense_peak"]
        assert row["dense_tflops"] < row["dense_peak"] and row["sparse_tflops"] < row["sparse_peak"]


def test_fitted_fields_say_on_what() -> None:
    fitted = {n: about for n, about in A100Design.parameters().items() if about.status == "fitted"}
    assert {"call_s", "math_efficiency", "operand_bytes_per_clock"} <= set(fitted)
    assert all("measure" in about.source for about in fitted.values())
    notes = A100().run(MatMul(m=64, n=64, k=64)).notes
    assert any("leave-one-out" in note and "A100" in note for note in notes)


def test_calls_of_a_workload_of_several_operations_are_queued_and_waited_for_once():
    op = MatMul(m=64, n=64, k=64)
    alone = run_workload(machine("a100"), Workload.of("alone", op))
    queued = result("a100:calls=queued", op).seconds
    several = run_workload(machine("a100"), Workload.of("several", op, op))
    assert several.seconds == pytest.approx(alone.seconds + queued, abs=2 / 1.41e9) != pytest.approx(2 * alone.seconds)
    assert several.design["calls"] == "auto"


@each
@pytest.mark.parametrize("op", [MatMul(m=64, n=64, k=64), Conv(h=8, w=8, c=8, r=3, s=3, k=8), Elementwise(elements=9)])
def test_more_of_an_operation_takes_longer_and_no_part_is_slower_than_the_whole(name: str, op: Operation) -> None:
    board = machine(name)
    attention = Attention(seq=64, heads=1, dim=64)
    alone = run_workload(board, Workload.of("one", op))
    times = [run_workload(board, Workload("many", (Item(op, repeat),))).seconds for repeat in (1, 2, 3, 1000)]
    assert times[0] == alone.seconds and times == sorted(set(times))
    after = run_workload(board, Workload.of("two", attention, op))
    assert after.seconds > alone.seconds
    assert sum(after.stalls.values()) == after.cycles == sum(phase.cycles or 0 for phase in after.phases)
    assert after.energy_parts["idle"] > alone.energy_parts["idle"]


@each
def test_a_networks_rate_is_under_the_roof_that_its_result_states(name: str) -> None:
    """The first operation runs on the fp32 units; the roof must be that of the products after it."""
    made = run_workload(machine(name), Workload.of("two", Elementwise(elements=9), MatMul(m=4096, n=4096, k=4096)))
    assert 2 * made.operations["multiplies"] / made.seconds < made.peaks["operations_per_s"]
    assert made.peaks["operations_per_s"] == board(name).matmul_flops(board(name).computed_in("fp16"))


def test_launches_are_part_of_the_kernel_they_start() -> None:
    for op in (
        MatMul(m=64, n=64, k=64),
        Elementwise(elements=64),
        Reduce(rows=4, length=4),
        Attention(seq=8, heads=1, dim=64),
    ):
        (phase,) = result("h100", op).phases
        assert phase.stalls["launch"] > 0 and sum(phase.stalls.values()) == phase.cycles
