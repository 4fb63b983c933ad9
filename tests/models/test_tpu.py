"""Do the TPUs keep to their closed forms, their published peaks, and the directions their fields must move time in?"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from siloom.models.registry import machine, machines
from siloom.models.tpu import TpuV1, TpuV1Design
from siloom.sim.errors import InfeasibleError, InputError, SiloomError
from siloom.sim.machine import run_workload
from siloom.sim.ops import Attention, Conv, Elementwise, Item, MatMul, Operation, Reduce, Workload
from siloom.sim.result import Result
from siloom.workloads.registry import load

IDEAL = TpuV1Design(weight_memory="ideal")
FETCH = 65536 / 34e9 * 700e6
TAIL = 512 + 32
"""Cycles from the last row going in to its result in the buffer, beside the draining of its rows."""


def run(op: Operation, **fields: object) -> Result:
    return TpuV1(replace(IDEAL, **fields)).run(op)  # type: ignore[arg-type]


def host_cycles(in_bytes: int, out_bytes: int) -> int:
    return math.ceil(max(in_bytes, out_bytes) / (14 * 2**30) * 700e6)


# ----------------------------------------------------------------------------------- TPU v1


def test_a_layer_bound_by_weights_takes_their_bytes_over_the_bandwidth() -> None:
    op = MatMul(m=32, n=2560, k=2560, format="int8")
    result = run(op)
    hidden = host_cycles(32 * 2560, 32 * 2560)
    assert hidden < 5 * FETCH  # the inputs come while the FIFO fills
    assert result.cycles == pytest.approx(100 * FETCH + 256 + 32 + 32 + TAIL, abs=1)
    assert result.stalls["array_active"] == pytest.approx(100 * 32, abs=1)
    assert result.traffic_bytes["dram_read"] == 2560 * 2560
    assert result.counters["weight_tiles"] == 100


def test_a_layer_bound_by_the_array_streams_every_row_over_every_tile() -> None:
    op = MatMul(m=8192, n=512, k=512, format="int8")
    result = run(op, weight_bytes_per_s=1e12)
    # 4 chunks of 2048 rows, 2 x 2 tiles; the inputs come first, and the last chunk drains at the end.
    host = host_cycles(8192 * 512, 8192 * 512)
    assert result.cycles == pytest.approx(host + 4 * 8192 + 2048 + TAIL, abs=2)
    assert result.stalls["input_stall"] + result.stalls["weight_stall"] + result.stalls["weight_shift"] == host
    assert result.counters["weight_tiles"] == 16  # fetched again for each chunk
    assert result.utilization == pytest.approx(4 * 8192 / (result.cycles or 0), rel=1e-3)


@pytest.mark.parametrize("sizes", [(256, 256), (700, 512), (1000, 600), (100, 256)])
@pytest.mark.parametrize("repeat", [2, 5, 20, 300])
def test_repetitions_take_what_as_many_operations_take(sizes: tuple[int, int], repeat: int) -> None:
    """Tiles that were fetched ahead last for some repetitions; then all take the time of their tiles at least."""
    op = MatMul(m=sizes[0], n=sizes[1], k=sizes[1], format="int8")
    repeated = run_workload(TpuV1(), Workload("repeated", (Item(op, repeat),)))
    listed = run_workload(TpuV1(), Workload.of("listed", *[op] * repeat))
    assert repeated.cycles == pytest.approx(listed.cycles, rel=0.003)
    assert repeated.seconds > (repeated.counters["weight_tiles"] - 5) * 65536 / 34e9
    assert sum(repeated.stalls.values()) == repeated.cycles


def test_a_tile_that_covers_all_of_k_stays_for_all_chunks() -> None:
    assert run(MatMul(m=8192, n=512, k=256, format="int8")).counters["weight_tiles"] == 2
    assert run(MatMul(m=8192, n=512, k=257, format="int8")).counters["weight_tiles"] == 2 * 2 * 4


def test_edge_tiles_cost_whole_ones() -> None:
    """600 x 600 on 9 tiles: 61 % of the multiplies of an active array are useful."""
    result = run(MatMul(m=96, n=600, k=600, format="int8"))
    assert result.counters["weight_tiles"] == 9
    useful = result.operations["effective_multiplies"] / result.operations["multiplies"]
    assert useful == pytest.approx(600 * 600 / (9 * 65536))


def test_sixteen_bit_activations_halve_the_peak_and_the_rate_of_the_array() -> None:
    op = MatMul(m=2048, n=2048, k=2048, format="int8")
    narrow, wide = (run(op, activation_bits=bits, weight_bytes_per_s=1e12) for bits in (8, 16))
    assert wide.peaks["operations_per_s"] == narrow.peaks["operations_per_s"] / 2
    assert wide.stalls["array_active"] == 2 * narrow.stalls["array_active"]
    for name in ("sram_ifmap_read", "sram_ofmap_write", "host_read", "host_write"):
        assert wide.traffic_bytes[name] == 2 * narrow.traffic_bytes[name]
    for name in ("array", "unified buffer", "accumulators"):
        assert wide.energy_parts[name] == pytest.approx(2 * narrow.energy_parts[name])
    with pytest.raises(InputError, match="activation_bits must be 8 or 16, got 12"):
        TpuV1Design(activation_bits=12)


def test_the_peak_is_the_published_one() -> None:
    assert IDEAL.operations_per_s == pytest.approx(92e12, rel=0.003)
    assert IDEAL.tile_bytes == 64 * 1024
    assert IDEAL.fifo.shift == 256


@pytest.mark.parametrize(
    ("better", "op"),
    [
        ({"weight_bytes_per_s": 68e9}, MatMul(m=64, n=2048, k=2048)),
        ({"clock_hz": 1.4e9}, MatMul(m=4096, n=1024, k=1024)),
        ({"pcie_bytes_per_s": 30e9}, MatMul(m=8192, n=256, k=2048)),
        ({"accumulator_rows": 8192}, MatMul(m=2100, n=1024, k=1024)),
        ({"activation_latency_cycles": 0}, MatMul(m=64, n=256, k=256)),
        ({"lanes": 512}, Elementwise(elements=10**6)),
    ],
)
def test_better_parts_make_a_run_faster(better: dict[str, object], op: Operation) -> None:
    assert run(op, **better).seconds < run(op).seconds


def test_a_real_memory_is_slower_than_its_peak_by_what_refresh_costs() -> None:
    op = MatMul(m=64, n=4096, k=4096, format="int8")
    real, ideal = TpuV1().run(op), run(op)
    # tRFC / tREFI of DDR3-2133 is 278 / 8325: 3.3 % at least, and streams lose little beside it.
    assert 1.03 < real.seconds / ideal.seconds < 1.1


def test_inputs_come_over_pcie_before_the_first_layer_only() -> None:
    layer = MatMul(m=2000, n=256, k=8192, format="int8")
    one = run_workload(TpuV1(IDEAL), Workload.of("one", layer))
    two = run_workload(TpuV1(IDEAL), Workload.of("two", layer, replace(layer, name="second", k=256)))
    waits = host_cycles(2000 * 8192, 0)
    assert one.stalls["input_stall"] == two.stalls["input_stall"] == pytest.approx(waits - FETCH - 256, abs=2)
    assert (one.traffic_bytes["host_read"], two.traffic_bytes["host_read"]) == (2000 * 8192, 2000 * 8192)
    assert two.traffic_bytes["host_write"] == 2000 * 256


def test_weights_are_fetched_ahead_across_layers() -> None:
    """A layer's first tiles come while the layer before drains: the whole is faster than the parts."""
    layers = [MatMul(name=f"fc{i}", m=168, n=1280, k=1280, format="int8") for i in range(4)]
    whole = run_workload(TpuV1(IDEAL), Workload.of("net", *layers))
    # While the inputs come, five tiles do: four in the FIFO and one in the array.
    inputs = host_cycles(168 * 1280, 168 * 1280)
    assert whole.cycles == pytest.approx(inputs + 95 * FETCH + 256 + 2 * 168 + TAIL, abs=FETCH)
    assert (whole.cycles or 0) < sum(TpuV1(IDEAL).run(layer).cycles or 0 for layer in layers)
    assert sum(whole.stalls.values()) == whole.cycles


def test_a_repeated_layer_takes_as_long_as_its_copies() -> None:
    layer = MatMul(m=300, n=1024, k=1024, format="int8")
    repeated = run_workload(TpuV1(IDEAL), Workload("net", (Item(layer, 24),), {}))
    copies = run_workload(TpuV1(IDEAL), Workload.of("net", *[layer] * 24))
    assert repeated.cycles == pytest.approx(copies.cycles, rel=0.01)
    for name in ("multiplies", "effective_multiplies"):
        assert repeated.operations[name] == copies.operations[name]


def test_run_agrees_with_a_workload_of_one() -> None:
    op = Conv(h=19, w=19, c=48, r=5, s=5, k=256, pad=2, batch=8, format="int8")
    alone, workload = TpuV1(IDEAL).run(op), run_workload(TpuV1(IDEAL), Workload.of("one", op))
    assert (alone.cycles, alone.stalls, alone.energy_j) == (workload.cycles, workload.stalls, workload.energy_j)


def test_a_convolution_is_the_product_of_its_windows() -> None:
    conv = run(Conv(h=19, w=19, c=256, r=3, s=3, k=256, pad=1, batch=8, format="int8"))
    product = run(MatMul(m=8 * 361, n=256, k=9 * 256, format="int8"))
    assert conv.stalls["array_active"] == product.stalls["array_active"] == 2 * 9 * 1444
    assert conv.operations == product.operations


def test_groups_share_tiles_along_the_diagonal() -> None:
    depthwise = run(Conv(h=14, w=14, c=512, r=3, s=3, k=512, pad=1, groups=512, format="int8"))
    # 28 groups of 9 weights fill 252 of 256 rows: 18 tiles of 28 groups and one of 8.
    assert depthwise.counters["weight_tiles"] == 19
    assert depthwise.operations["multiplies"] == 19 * 65536 * 14 * 14


def test_attention_writes_keys_and_values_where_weights_come_from() -> None:
    op = Attention(seq=512, heads=8, dim=64, format="int8")
    result = run(op)
    assert result.traffic_bytes["dram_write"] == 2 * 8 * 512 * 64
    # K^T: 64 x 512 in 1 x 2 tiles a head; V: 512 x 64 in 2 x 1.
    assert result.counters["weight_tiles"] == 8 * (2 + 2)
    assert result.operations["effective_multiplies"] == op.multiplies
    assert result.operations["vector_operations"] == 5 * 8 * 512 * 512
    shared = run(replace(op, kv_heads=2))
    assert shared.traffic_bytes["dram_write"] == result.traffic_bytes["dram_write"] // 4
    assert shared.counters["weight_tiles"] == 2 * (2 + 2)
    assert shared.operations["effective_multiplies"] == op.multiplies


def test_backward_attention_counts_its_five_products() -> None:
    op = Attention(seq=256, heads=2, dim=256, direction="bwd", format="int8")
    assert run(op).operations["multiplies"] == op.multiplies == 5 * 2 * 256**3


def test_vector_work_passes_256_values_a_cycle() -> None:
    add = run(Elementwise(elements=256_000, reads=2, format="int8"))
    assert (add.cycles or 0) == pytest.approx(host_cycles(512_000, 256_000) + 2000, abs=1)
    softmax = run(Reduce(rows=1000, length=256, function="softmax", format="int8"))
    assert softmax.stalls["non_matrix"] == pytest.approx(5000, abs=1)


def test_what_is_not_done_is_said() -> None:
    notes = " ".join(run(MatMul(m=2**15, n=1024, k=1024, format="fp16", sparse24=True)).notes)
    assert "computed in int8 where the workload asks for fp16" in notes
    assert "exceed the Unified Buffer (24 MiB)" in notes
    assert "2:4" in notes
    assert "fp16" not in " ".join(run(MatMul(m=8, n=8, k=8, format="int8")).notes)


def test_a_run_beyond_counting_is_refused() -> None:
    with pytest.raises(SiloomError, match=r"must stay below 2\^53"):
        run(MatMul(m=2**60, n=1, k=1))


def test_energy_is_idle_power_plus_events_and_near_the_measured_power() -> None:
    """40 W were measured busy; no constant of ours was chosen by it."""
    for op in (MatMul(m=200, n=4096, k=4096, format="int8"), MatMul(m=4096, n=4096, k=4096, format="int8")):
        result = TpuV1().run(op)
        assert result.energy_parts["idle (measured)"] == pytest.approx(28 * result.seconds)
        assert 0.8 * 40 < (result.power_w or 0) < 1.25 * 40
    assert TpuV1().run(op).area_mm2 == pytest.approx(331)


# ----------------------------------------------------------------------------------- from v2 on

PEAKS = {  # bf16 and int8 operations a second: the scaling book; v3: 123 TFLOP/s of its paper
    "tpu-v2": (4.6e13, 4.6e13),
    "tpu-v3": (1.23e14, 1.23e14),
    "tpu-v4": (2.75e14, 2.75e14),
    "tpu-v5e": (1.97e14, 3.94e14),
    "tpu-v5p": (4.59e14, 9.18e14),
    "tpu-v6e": (9.20e14, 1.84e15),
}


def test_vector_work_is_measured_at_the_vector_units() -> None:
    for name, lanes, clock in (("tpu-v1", TpuV1Design().lanes, 700e6), ("tpu-v4", 2 * 1024 * 2, 1.05e9)):
        result = machine(name).run(Reduce(rows=4096, length=4096, function="softmax"))
        assert result.peaks["operations_per_s"] == pytest.approx(lanes * clock)
        assert result.utilization == pytest.approx(5 * 4096**2 / (lanes * clock * result.seconds))


@pytest.mark.parametrize("name", PEAKS)
def test_peaks_are_the_published_ones_and_large_products_come_near(name: str) -> None:
    chip = machine(name)
    for form, peak in zip(("bf16", "int8"), PEAKS[name], strict=True):
        op = MatMul(m=8192, n=8192, k=8192, format=form)
        result = chip.run(op)
        assert result.peaks["operations_per_s"] == pytest.approx(peak, rel=0.005)
        assert 0.9 < 2 * op.multiplies / result.seconds / peak < 1.005


def test_all_generations_are_found() -> None:
    assert {"tpu-v1", *PEAKS} <= {known.name for known in machines()}


def test_a_thin_product_is_bound_by_the_bytes_of_its_weights() -> None:
    op = MatMul(m=8, n=16384, k=16384, format="bf16")
    result = machine("tpu-v4").run(op)
    least = 2 * 16384**2 / 1.2e12
    assert least < result.seconds < 1.35 * least
    assert result.traffic_bytes["dram_read"] >= 2 * 16384**2
    faster = machine("tpu-v4:hbm_bytes_per_s=2.4e12").run(op)
    assert faster.seconds < result.seconds


@pytest.mark.parametrize(("size", "as_large_as"), [(1, 128), (129, 256), (300, 384)])
def test_sizes_are_padded_to_the_array(size: int, as_large_as: int) -> None:
    for side in ("n", "k"):
        sizes = {"m": 1024, "n": 1024, "k": 1024}
        small, large = (
            machine("tpu-v3").run(MatMul(**{**sizes, side: value}, format="bf16")) for value in (size, as_large_as)
        )
        assert small.cycles == large.cycles
        assert small.operations["multiplies"] == large.operations["multiplies"]
        assert small.operations["effective_multiplies"] < large.operations["effective_multiplies"]
    assert machine("tpu-v6e").run(MatMul(m=8, n=1, k=1)).operations["multiplies"] == 8 * 256 * 256


@pytest.mark.parametrize("name", PEAKS)
@pytest.mark.parametrize(("channels", "side"), [(384, 14), (20, 12)])
def test_groups_share_a_tile_as_is_fastest_once_padded(name: str, channels: int, side: int) -> None:
    """Depthwise: no slower than the same block-diagonal products asked for as products, of which ever so many a tile.

    Memory is no limit here: a product's A has every element of every window, more bytes than the convolution's.
    """
    chip = machine(f"{name}:memory=ideal,hbm_bytes_per_s=1e14")
    op = Conv(h=side, w=side, c=channels, r=3, s=3, k=channels, pad=1, groups=channels, format="bf16")
    taken = chip.run(op).cycles
    assert taken is not None
    for together in (count for count in range(1, 15) if channels % count == 0):
        product = MatMul(m=side * side, n=together, k=9 * together, batch=channels // together, format="bf16")
        assert taken <= (chip.run(product).cycles or 0)


def between(name: str, op: Operation) -> Result:
    """The operation as the middle one of three: what it reads was just made, what it leaves is read next."""
    return machine(name).run_in_order([Item(op)] * 3)[1]


def test_cmem_keeps_activations_that_fit() -> None:
    op = Elementwise(elements=2**20, reads=2, format="bf16")
    kept, moved = between("tpu-v4", op), between("tpu-v4:cmem_bytes=0", op)
    assert kept.traffic_bytes["dram_read"] == 0
    assert moved.traffic_bytes["dram_read"] == 2 * 2 * 2**20
    assert kept.seconds < moved.seconds


@pytest.mark.parametrize("name", PEAKS)
def test_vector_work_on_wide_numbers_moves_all_their_bytes(name: str) -> None:
    """AdamW's master weights and two moments, read and written: 24 bytes a parameter in fp32."""
    parameters = 10**7
    for form in ("fp32", "tf32", "fp64"):  # the vector units have nothing wider than fp32
        update = Elementwise(elements=parameters, reads=3, writes=3, flops_each=15, format=form)
        result = machine(name).run(update)
        assert result.traffic_bytes["dram_read"] + result.traffic_bytes["dram_write"] == 24 * parameters
        assert result.seconds > 24 * parameters / result.peaks["bytes_per_s"]
    softmax = machine(name).run(Reduce(rows=1000, length=1000, function="softmax", format="fp32"))
    assert softmax.traffic_bytes["dram_read"] == softmax.traffic_bytes["dram_write"] == 4 * 10**6


def test_the_first_operation_leaves_its_result_in_cmem_and_the_last_finds_its_operands_there() -> None:
    product = MatMul(m=1024, n=512, k=256, format="bf16", shared=True)
    softmax = Reduce(rows=1024, length=512, function="softmax", format="bf16")
    attention = Attention(seq=512, heads=4, dim=128, format="bf16")
    b, a, c, q = 256 * 512, 1024 * 256, 1024 * 512, 4 * 512 * 128
    for ops, traffic in (
        ((product, softmax), [(a + b, 0), (0, c)]),
        ((softmax, product), [(c, 0), (b, c)]),
        ((attention, softmax), [(3 * q, 0), (0, c)]),
        ((softmax, attention), [(c, 0), (0, q)]),
    ):
        found = [r.traffic_bytes for r in machine("tpu-v4").run_in_order(tuple(map(Item, ops)))]
        assert [(t["dram_read"], t["dram_write"]) for t in found] == [(2 * r, 2 * w) for r, w in traffic]


def test_scores_that_neither_vmem_nor_cmem_holds_cross_hbm() -> None:
    """Q, K, V and O of 16384 tokens fit CMEM; their scores, 1 GiB, are written and read twice over."""
    op = Attention(seq=2**14, heads=2, dim=64, format="bf16")
    scores = 2 * 2 * 2**28
    found = between("tpu-v4", op)
    assert (found.traffic_bytes["dram_read"], found.traffic_bytes["dram_write"]) == (2 * scores, 2 * scores)
    roomy = between("tpu-v4:cmem_bytes=4294967296", op)
    assert (roomy.traffic_bytes["dram_read"], roomy.traffic_bytes["dram_write"]) == (0, 0)
    assert roomy.seconds < found.seconds
    # Backward: S and dP out, in and out as P' and dS, and in again for dV (one), dQ and dK (the other, twice).
    back = between("tpu-v4", replace(op, direction="bwd"))
    assert (back.traffic_bytes["dram_read"], back.traffic_bytes["dram_write"]) == (5 * scores, 4 * scores)


def test_what_a_training_step_wants_again_crosses_hbm() -> None:
    """Forward results are written, gradients read them and not what was just made; those of weights are written."""
    linear = MatMul(m=256, n=1024, k=512, format="bf16", shared=True)
    dw = MatMul(m=512, n=1024, k=256, format="bf16")
    dx = Elementwise(elements=2**16, reads=2, function="gelu_backward", format="bf16")
    norm = Reduce(rows=256, length=512, function="layernorm", format="bf16")
    back = Attention(seq=256, heads=4, dim=128, direction="bwd", format="bf16")
    qkv = 256 * 4 * 128
    for item, read, written in (
        (Item(linear, saved=True), 512 * 1024, 256 * 1024),
        (Item(dw, saved=True, recalled=1), 256 * 512, 512 * 1024),
        (Item(dx, recalled=1), 2**16, 0),
        (Item(dx, recalled=2, saved=True), 2 * 2**16, 2**16),
        (Item(norm, saved=True), 0, 256 * 512),
        (Item(replace(back, direction="fwd"), saved=True), 0, qkv),
        (Item(back, recalled=1), 4 * qkv, 0),
    ):
        found = machine("tpu-v4").run_in_order([item] * 3)[1].traffic_bytes
        assert (found["dram_read"], found["dram_write"]) == (2 * read, 2 * written), item
        bare = machine("tpu-v4:cmem_bytes=0").run_in_order([item] * 3)[1].traffic_bytes
        assert bare == machine("tpu-v4:cmem_bytes=0").run(item.op).traffic_bytes
        assert found["dram_read"] + found["dram_write"] <= bare["dram_read"] + bare["dram_write"]


def test_a_training_step_writes_all_that_its_forward_pass_keeps() -> None:
    chip, step = machine("tpu-v4"), load("bert-base:seq=128,batch=2,training=1")
    bare = replace(step, items=tuple(Item(item.op, item.repeat) for item in step.items))
    less, more = (run_workload(chip, workload).traffic_bytes["dram_write"] for workload in (bare, step))
    before = step.items[:-1]  # what the last leaves is written in any case
    assert sum(item.saved for item in before) > 20
    kept = (item for item in before if item.saved and not between("tpu-v4", item.op).traffic_bytes["dram_write"])
    assert more - less == sum(item.repeat * chip.run(item.op).traffic_bytes["dram_write"] for item in kept)


def test_cmem_holds_no_optimizers_state() -> None:
    """DeiT-tiny's state would fit, but a step begins and ends with it in memory."""
    step = load("deit-tiny:batch=1,training=1")
    update = next(item.op for item in step.items if item.op.name == "optimizer.update")
    assert isinstance(update, Elementwise)
    assert 4 * 6 * update.elements > 2**27 > 2 * 6 * update.elements
    small = replace(update, elements=10**6)
    assert between("tpu-v4", small).traffic_bytes["dram_write"] == 12 * 10**6
    assert between("tpu-v4", replace(small, state=False)).traffic_bytes["dram_write"] == 0


def test_weights_come_from_memory_and_an_operation_alone_keeps_nothing() -> None:
    for op in (MatMul(m=128, n=1024, k=1024, format="bf16"), MatMul(m=128, n=1024, k=256, batch=4, format="bf16")):
        b_bytes = 2 * 1024 * 1024
        inner, alone = between("tpu-v4", op), machine("tpu-v4").run(op)
        assert (inner.traffic_bytes["dram_read"], inner.traffic_bytes["dram_write"]) == (b_bytes, 0)
        assert alone.traffic_bytes["dram_read"] == b_bytes + 2 * op.batch * 128 * op.k
        assert alone.traffic_bytes["dram_write"] == 2 * op.batch * 128 * 1024


@pytest.mark.parametrize("repeats", [(5,), (2,), (3, 1), (1, 4), (3, 1, 2), (2, 3)])
def test_repeated_operations_cost_what_they_do_written_out(repeats: tuple[int, ...]) -> None:
    """The first and the last of a run meet HBM, whether or not they are repetitions of one operation."""
    ops = [
        Elementwise(name="first", elements=2**20, format="bf16"),
        Reduce(name="second", rows=2**10, length=2**10, function="softmax", format="bf16"),
        MatMul(name="third", m=1024, n=1024, k=1024, format="bf16"),
    ]
    pairs = list(zip(ops, repeats, strict=False))
    short = run_workload(machine("tpu-v4"), Workload("short", tuple(Item(op, times) for op, times in pairs)))
    long = run_workload(machine("tpu-v4"), Workload("long", tuple(Item(op) for op, n in pairs for _ in range(n))))
    for of in ("cycles", "seconds", "traffic_bytes", "operations", "stalls", "energy_j"):
        assert getattr(short, of) == pytest.approx(getattr(long, of), rel=1e-12), of
    assert sum(row["repeat"] for row in short.rows) == sum(repeats)
    assert short.coverage["operations"] == 1.0
    # Not by leaving the ends out: more than so many from between.
    inner = sum(n * (between("tpu-v4", op).cycles or 0) for op, n in pairs)
    assert (short.cycles or 0) > inner


def test_the_host_brings_and_takes_as_many_bytes_for_repetitions_as_for_operations_written_out() -> None:
    op = MatMul(m=37, n=100, k=267, format="int8")
    short = run_workload(machine("tpu-v1"), Workload("short", (Item(op, 24),)))
    long = run_workload(machine("tpu-v1"), Workload("long", (Item(op),) * 24))
    assert short.traffic_bytes["host_read"] == long.traffic_bytes["host_read"] == 37 * 267
    assert short.traffic_bytes["host_write"] == long.traffic_bytes["host_write"] == 37 * 100
    assert short.cycles == pytest.approx(long.cycles, abs=22)  # a mean's cycle is rounded up


def test_operands_beyond_the_memory_are_refused() -> None:
    with pytest.raises(InfeasibleError, match=r"tpu-v2: matmul needs 24800000000 bytes .* memory_bytes is 16000000000"):
        machine("tpu-v2").run(MatMul(m=40000, n=100000, k=80000 - 2 * 10**4, format="bf16"))


def test_one_array_of_one_core_is_one_eighth_of_the_chip() -> None:
    op = MatMul(m=4096, n=4096, k=4096, format="bf16")
    chip = machine("tpu-v4:memory=ideal,hbm_bytes_per_s=1e14").run(op)
    array = machine("tpu-v4:memory=ideal,hbm_bytes_per_s=1e14,cores=1,mxus_per_core=1").run(op)
    assert array.seconds / chip.seconds == pytest.approx(8, rel=0.02)


@pytest.mark.parametrize("name", PEAKS)
def test_every_kind_of_operation_runs_and_adds_up(name: str) -> None:
    ops: list[Operation] = [
        MatMul(m=100, n=200, k=300, batch=3, format="int8"),
        Conv(h=28, w=28, c=64, r=3, s=3, k=64, pad=1, groups=64),
        Attention(seq=200, heads=4, dim=64, kv_heads=2, causal=True),
        Attention(seq=200, heads=4, dim=64, direction="bwd"),
        Elementwise(elements=1000, reads=3, flops_each=7),
        Reduce(rows=64, length=1000, function="layernorm"),
    ]
    chip = machine(name)
    for op in ops:
        result = chip.run(op)
        assert sum(result.stalls.values()) == result.cycles
        assert result.operations["effective_multiplies"] == op.multiplies
        assert result.operations["multiplies"] >= op.multiplies


def test_precision_is_the_operations_own_or_the_users() -> None:
    op = MatMul(m=4096, n=4096, k=4096, format="int8")
    auto, wide = machine("tpu-v5e").run(op), machine("tpu-v5e:precision=bf16").run(op)
    assert wide.seconds / auto.seconds == pytest.approx(2, rel=0.1)
    assert (auto.precision, wide.precision) == (("int8",), ("bf16",))
    asked = "computed in bf16 where the workload asks for int8"
    assert asked in wide.notes
    assert asked not in auto.notes


def test_a_vmem_too_small_for_the_arrays_is_infeasible() -> None:
    with pytest.raises(
        InfeasibleError, match=r"tpu-v4:.*: vmem_bytes must hold what the arrays work on, got 1048576 B"
    ):
        machine("tpu-v4:vmem_bytes=1048576,mxu_size=1024").run(MatMul(m=8, n=1024, k=1024))
