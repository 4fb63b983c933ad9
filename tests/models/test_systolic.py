"""Does the systolic machine lower, time and count what it says? SCALE-Sim's runs, closed forms, bounds, directions."""

from __future__ import annotations

import csv
import json
import math
import time

import numpy as np
import pytest

import siloom
from siloom.models._systolic_array import Core, Product, Step, Vector, run_steps
from siloom.models._systolic_lower import conv_group, groups_side_by_side, lower
from siloom.models.registry import machine
from siloom.models.systolic import SystolicDesign
from siloom.reports.experiments import scalesim
from siloom.sim.engine.systolic import array_cycles, scalesim_cycles
from siloom.sim.engine.systolic_cells import multiply
from siloom.sim.errors import InfeasibleError, InputError, UsageError
from siloom.sim.machine import run_workload
from siloom.sim.memory import part, stream_bytes_per_s
from siloom.sim.ops import Attention, Conv, Elementwise, Item, MatMul, Reduce, Workload
from siloom.sim.testing import check_conformance


def run(settings, op):
    return machine(f"systolic:{settings}" if settings else "systolic").run(op)


@pytest.mark.parametrize(
    "settings",
    [
        "dataflow=os,memory=ideal", "dataflow=is,convention=scalesim", "precision=int8,double_buffer=0",
        "rows=1,cols=1", "rows=7,cols=130,dataflow=os,memory=hbm2-2.0,memory_channels=4",
    ],
)  # fmt: skip
def test_every_kind_of_design_keeps_the_promises_of_a_machine(settings):
    failed = [row for row in check_conformance(machine(f"systolic:{settings}")) if not row["passed"]]
    assert failed == []


# SCALE-Sim's convention


def test_every_measured_layer_runs_to_scalesims_digits(shared_data):
    with (shared_data / "scalesim_cycles.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["stall_cycles"] == "0" and r["status"] == "ok"]
    kinds = set()
    for row in rows:
        if row["kind"] == "conv":
            h, w, r, s, c, k, stride = (int(x) for x in row["conv_HWRSCFs"].split("x"))
            op = Conv(h=h, w=w, c=c, r=r, s=s, k=k, stride=stride)
        else:
            op = MatMul(m=int(row["M"]), n=int(row["N"]), k=int(row["K"]))
        kinds.add(row["kind"])
        text = f"rows={row['rows']},cols={row['cols']},dataflow={row['dataflow']},convention=scalesim"
        result = run(text, op)
        assert result.cycles == int(row["total_cycles"]), row
        expected = [int(row[name]) for name in ("ifmap_sram_reads", "filter_sram_reads", "ofmap_sram_writes")]
        names = ("sram_ifmap_read", "sram_filter_read", "sram_ofmap_write")
        assert [result.traffic_bytes[name] for name in names] == expected, row
    assert kinds == {"conv", "gemm"}


def test_padding_is_what_one_would_have_padded_beforehand():
    scale = "rows=8,cols=8,dataflow=ws,convention=scalesim"
    padded = run(scale, Conv(h=58, w=30, c=3, r=3, s=3, k=16))
    assert run(scale, Conv(h=56, w=28, c=3, r=3, s=3, k=16, pad=1)).cycles == padded.cycles


def test_groups_and_batches_are_layers_of_their_own():
    scale = "rows=8,cols=8,dataflow=os,convention=scalesim"
    one = run(scale, Conv(h=16, w=16, c=1, r=3, s=3, k=1))
    assert run(scale, Conv(h=16, w=16, c=12, r=3, s=3, k=12, groups=12)).cycles == 12 * one.cycles
    assert run(scale, MatMul(m=9, n=9, k=9, batch=5)).cycles == 5 * run(scale, MatMul(m=9, n=9, k=9)).cycles


def test_a_cfg_of_scalesim_sets_the_design(tmp_path):
    sizes = "ArrayHeight: 12\nArrayWidth: 14\nIfmapSramSzkB: 108\nFilterSramSzkB: 64\nOfmapSramSzkB: 32\n"
    (tmp_path / "eyeriss.cfg").write_text(f"[architecture_presets]\n{sizes}Dataflow : os\nBandwidth : 10\n")
    design = machine(f"systolic:config={tmp_path / 'eyeriss.cfg'},convention=scalesim").design
    assert (design.rows, design.cols, design.dataflow) == (12, 14, "os")
    assert (design.ifmap_sram_bytes, design.filter_sram_bytes, design.ofmap_sram_bytes) == (110592, 65536, 32768)
    assert type(design)(**design.as_dict()) == design
    with pytest.raises(InputError, match=r"absent\.cfg: cannot be read"):
        machine("systolic:config=absent.cfg")


def test_what_is_given_beside_a_cfg_goes_before_it(tmp_path):
    sizes = "ArrayHeight: 256\nArrayWidth: 14\nIfmapSramSzkB: 108\nFilterSramSzkB: 4\nOfmapSramSzkB: 32\n"
    path = tmp_path / "some.cfg"
    path.write_text(f"[architecture_presets]\n{sizes}Dataflow : os\n")
    # 32 rows and ws are the defaults: given, they count as well.
    by_text = machine(f"systolic:rows=32,config={path},dataflow=ws").design
    by_call = siloom.machine("systolic", config=str(path), rows=32, dataflow="ws").design
    for design in (by_text, by_call):
        assert (design.rows, design.cols, design.dataflow, design.filter_sram_bytes) == (32, 14, "ws", 4096)
    assert SystolicDesign(config=str(path), rows=8).rows == 8
    assert machine(f"systolic:config={path},convention=scalesim").design.rows == 256
    with pytest.raises(InputError, match=r"rows must be at least 1 cells, got 0"):
        machine(f"systolic:config={path},rows=0")
    with pytest.raises(UsageError, match="no field 'row'"):
        machine(f"systolic:config={path},row=8")


# The experiment


def test_the_causes_are_those_of_the_registers():
    rng = np.random.default_rng(2)
    for _ in range(40):
        dataflow = str(rng.choice(["os", "ws", "is"]))
        rows, cols = (int(x) for x in rng.integers(1, 6, 2))
        m, n, k = (int(x) for x in rng.integers(1, 11, 3))
        parts = scalesim.causes(scalesim.Shape(dataflow, rows, cols, m, n, k))
        counted = int(scalesim_cycles(dataflow, rows, cols, m, n, k).cycles)
        a, b = rng.integers(1, 9, (m, k)), rng.integers(1, 9, (k, n))

        def clocked(a, b, double=True, sizes=(dataflow, rows, cols)):
            return multiply(*sizes, a, b, double=double).cycles

        # Every step clocked on registers: whole folds alone, the real folds alone, in a row, with two registers.
        deep = {"os": (rows, k, cols), "ws": (m, rows, cols), "is": (cols, rows, n)}[dataflow]
        across = {"os": (m, n), "ws": (k, n), "is": (k, m)}[dataflow]
        folds = math.ceil(across[0] / rows) * math.ceil(across[1] / cols)
        whole = folds * clocked(np.ones(deep[:2], int), np.ones(deep[1:], int))
        own = 0
        for i in range(0, across[0], rows):
            for j in range(0, across[1], cols):
                here, there = slice(i, i + rows), slice(j, j + cols)
                pair = {
                    "os": (a[here], b[:, there]),
                    "ws": (a[:, here], b[here, there]),
                    "is": (a[there, here], b[here]),
                }
                own += clocked(*pair[dataflow])
        ladder = [counted, counted + 1, whole, own, clocked(a, b, False), clocked(a, b)]
        assert list(parts.values()) == np.diff(ladder).tolist()


def test_the_table_of_causes_adds_up_to_the_machines_own_cycles():
    table = list(scalesim.tables(None, lambda text: None))[1]
    assert len(table.rows) == 3 * len(scalesim.LAYERS)
    for row in table.rows:
        parts = {k: v for k, v in row.items() if k not in ("layer", "dataflow", "scalesim", "physical")}
        assert row["scalesim"] + sum(parts.values()) == row["physical"]
        m, n, k = scalesim.LAYERS[row["layer"]]
        scale = run(f"dataflow={row['dataflow']},convention=scalesim", MatMul(m=m, n=n, k=k))
        assert scale.cycles == row["scalesim"]
        assert run(f"dataflow={row['dataflow']}", MatMul(m=m, n=n, k=k)).cycles == row["physical"]
        assert parts["memory"] >= 0
        assert parts["edge folds"] <= 0


def test_the_stated_runs_are_equal_and_the_measured_ones_where_they_are_at_hand(tmp_path, monkeypatch, shared_data):
    monkeypatch.chdir(tmp_path)
    assert scalesim.measured_file(None) is None
    stated = next(iter(scalesim.tables(None, lambda text: None)))
    assert len(stated.rows) == 12
    assert {row["difference"] for row in stated.rows} == {0}
    measured = next(iter(scalesim.tables(shared_data / "matrices", lambda text: None)))
    assert sum(row["runs"] for row in measured.rows) == 153
    assert {row["largest difference"] for row in measured.rows} == {0}
    (tmp_path / scalesim.FILE).write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"scalesim_cycles\.csv: is not a table of SCALE-Sim runs"):
        list(scalesim.tables(tmp_path, lambda text: None))


# Lowering


def test_a_shared_b_makes_one_product_of_the_batch():
    shared = run("", MatMul(m=8, n=64, k=64, batch=16, shared=True))
    assert shared.cycles == run("", MatMul(m=128, n=64, k=64)).cycles
    assert shared.cycles < run("", MatMul(m=8, n=64, k=64, batch=16)).cycles


def test_a_convolution_is_its_product_with_windows_counted_once_in_memory():
    op = Conv(h=14, w=14, c=32, r=3, s=3, k=64, pad=1, batch=2)
    one = conv_group(op)
    assert (one.m, one.n, one.k) == (2 * 14 * 14, 64, 9 * 32)
    assert one.a_unique + one.a_halo == 2 * 14 * 14 * 32
    conv = run("memory=ideal,precision=int8", op)
    product = run("memory=ideal,precision=int8", MatMul(m=one.m, n=one.n, k=one.k))
    assert conv.cycles == product.cycles
    assert conv.traffic_bytes["sram_ifmap_read"] == product.traffic_bytes["sram_ifmap_read"]
    assert conv.traffic_bytes["dram_ifmap_read"] == 2 * 14 * 14 * 32
    assert product.traffic_bytes["dram_ifmap_read"] == one.m * one.k


def touched(op):
    """Inputs that some window covers, by marking them."""
    seen = np.zeros((op.h + 2 * op.pad, op.w + 2 * op.pad), bool)
    out_h, out_w = op.out_hw
    for y in range(out_h):
        for x in range(out_w):
            seen[y * op.stride : y * op.stride + op.r, x * op.stride : x * op.stride + op.s] = True
    inside = seen[op.pad : op.pad + op.h, op.pad : op.pad + op.w]
    return int(inside.sum()) * op.batch * op.c // op.groups


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("window", [(1, 1), (3, 3), (2, 4)])
def test_inputs_of_a_convolution_are_those_that_its_windows_touch(stride, window):
    op = Conv(h=17, w=13, c=4, r=window[0], s=window[1], k=8, stride=stride, batch=3)
    one = conv_group(op)
    assert one.a_unique + one.a_halo == touched(op)


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_depthwise_groups_share_the_array(dataflow):
    op = Conv(h=28, w=28, c=64, r=3, s=3, k=64, pad=1, groups=64)
    core = Core(rows=32, cols=32, dataflow=dataflow)
    one = conv_group(op)
    side = groups_side_by_side(64, one, core)
    alone = int(array_cycles(dataflow, 32, 32, one.m, one.n, one.k, 64))
    result = run(f"dataflow={dataflow},memory=ideal", op)
    # ws: as many as have rows, 32 // 9. os: four, whose 36 cycles of operands hide the 32 of the way out. is:
    # loading 9 rows takes longer than one column streams, and packing saves no load.
    if dataflow != "is":
        assert side == {"os": 4, "ws": 3}[dataflow]
        assert result.cycles < alone / 2
    assert result.cycles <= alone
    whole, rest = divmod(64, side)
    assert result.operations["effective_multiplies"] == op.multiplies
    assert result.operations["multiplies"] == 28 * 28 * 9 * (whole * side**2 + rest**2)
    assert result.traffic_bytes["dram_filter_read"] == 2 * 9 * 64
    assert result.traffic_bytes["dram_ofmap_write"] == 2 * 28 * 28 * 64


def test_attention_is_its_products_and_a_softmax():
    op = Attention(seq=96, heads=4, dim=32, batch=2)
    steps = lower(op, Core(rows=32, cols=32, ofmap_bytes=2**20, ifmap_bytes=2**20), "fp16")
    assert [step.name for step in steps] == ["attention"]
    assert sum(p.multiplies for p in steps[0].products) == op.multiplies
    assert steps[0].vectors[0].operations == 5 * 2 * 4 * 96 * 96
    apart = lower(op, Core(rows=32, cols=32, ofmap_bytes=2**14, ifmap_bytes=2**14), "fp16")
    assert [step.name for step in apart] == ["scores", "softmax", "output"]
    # On chip, memory sees Q, K, V and the output; else the scores go out, in, out and in again.
    fused = run("memory=ideal", op).traffic_bytes
    assert fused["dram_read"] == 3 * 2 * 4 * 96 * 32 * 2
    assert fused["dram_write"] == 2 * 4 * 96 * 32 * 2
    split = run("memory=ideal,ofmap_sram_bytes=16384,ifmap_sram_bytes=16384", op).traffic_bytes
    assert split["dram_write"] - fused["dram_write"] == 2 * (2 * 4 * 96 * 96 * 2)


@pytest.mark.parametrize("direction", ["fwd", "bwd"])
@pytest.mark.parametrize("kv_heads", [0, 2])
def test_a_causal_mask_saves_nearly_half_and_skips_no_score(direction, kv_heads):
    full = Attention(seq=1024, heads=8, dim=64, kv_heads=kv_heads, direction=direction)
    causal = Attention(seq=1024, heads=8, dim=64, kv_heads=kv_heads, direction=direction, causal=True)
    core = Core(rows=32, cols=32)

    def work(op):
        return sum(p.multiplies for step in lower(op, core, "fp16") for p in step.products)

    assert work(full) == full.multiplies
    assert causal.multiplies <= work(causal) <= 1.26 * causal.multiplies
    assert run("", causal).cycles < 0.75 * run("", full).cycles


def test_two_stations_on_bands_show_the_shorter_one_once():
    core = Core(rows=4, cols=4, vector_lanes=1)
    product = Product(name="p", m=40, n=4, k=4)
    alone = run_steps(core, [Step(name="s", products=(product,))], "int8", "int32").cycles
    both = run_steps(
        core,
        [Step(name="s", products=(product,), vectors=(Vector(name="v", operations=1000),), bands=10)],
        "int8",
        "int32",
    )
    assert both.cycles == 1000 + -(-alone // 10)
    assert sum(both.stalls.values()) == both.cycles


# Several arrays


def test_arrays_share_work_and_the_port():
    def cycles(arrays, product, rate=math.inf):
        core = Core(rows=16, cols=16, arrays=arrays, bytes_per_cycle=rate)
        return run_steps(core, [Step(name="s", products=(product,))], "int8", "int32")

    wide = Product(name="p", m=512, n=256, k=64)
    assert cycles(4, wide).cycles < cycles(1, wide).cycles / 3.7
    many = Product(name="p", m=64, n=16, k=64, batch=8)
    assert cycles(8, many).cycles < cycles(1, many).cycles / 6
    # The port is one: an operand that all arrays use crosses once, and memory-bound work gains nothing.
    assert cycles(4, wide).port_bytes == cycles(1, wide).port_bytes
    slow = cycles(4, wide, 0.05)
    assert slow.cycles >= sum(slow.port_bytes.values()) / 0.05
    assert slow.words["ofmap_write"] == 512 * 256 * 4


# Time and traffic


def test_ideal_memory_gives_the_arrays_own_cycles():
    op = MatMul(m=300, n=200, k=100)
    for dataflow in ("os", "ws", "is"):
        result = run(f"dataflow={dataflow},memory=ideal,rows=16,cols=24", op)
        assert result.cycles == array_cycles(dataflow, 16, 24, 300, 200, 100)


def test_memory_bound_work_runs_at_the_memorys_rate():
    result = run("rows=128,cols=128,filter_sram_bytes=4194304,clock_hz=1e9", MatMul(m=8, n=8192, k=8192))
    moved = result.traffic_bytes["dram_read"] + result.traffic_bytes["dram_write"]
    assert moved >= 2 * (8192 * 8192 + 2 * 8 * 8192)
    assert 1.0 <= result.seconds / (moved / stream_bytes_per_s("ddr4-2400")) < 1.1
    assert result.stalls["dram_bandwidth"] > 0.5 * result.cycles


def test_more_of_anything_is_never_slower():
    op = MatMul(m=700, n=900, k=500)
    for low, high in (
        ("rows=16", "rows=64"),
        ("memory_channels=1", "memory_channels=4"),
        ("memory=ddr4-2400", "memory=ideal"),
        ("double_buffer=0", "double_buffer=1"),
        ("precision=fp32", "precision=int8"),
    ):
        assert run(high, op).cycles <= run(low, op).cycles, (low, high)
    small = run("ifmap_sram_bytes=8192,filter_sram_bytes=8192,ofmap_sram_bytes=16384", op)
    large = run("ifmap_sram_bytes=8388608,filter_sram_bytes=8388608,ofmap_sram_bytes=8388608", op)
    assert large.traffic_bytes["dram_read"] < small.traffic_bytes["dram_read"]
    assert large.traffic_bytes["dram_read"] >= 2 * (700 * 500 + 500 * 900)


def test_sums_of_a_cut_k_are_written_and_read_back():
    result = run("rows=32,cols=32,dataflow=ws,memory=ideal,precision=int8", MatMul(m=64, n=32, k=128))
    assert result.traffic_bytes["sram_ofmap_write"] == 4 * 64 * 32 * 4
    assert result.traffic_bytes["sram_ofmap_read"] == 4 * 64 * 32 * 3


def test_vector_work_takes_the_slower_of_lanes_and_port():
    ideal = run("vector_lanes=16,memory=ideal", Elementwise(elements=1600, reads=2, flops_each=3))
    assert ideal.cycles == 300
    assert run("vector_lanes=16,memory=ideal", Reduce(rows=10, length=160, function="layernorm")).cycles == 800
    moved = run("vector_lanes=4096", Elementwise(elements=10**6, reads=2))
    assert moved.traffic_bytes["dram_read"] == 4 * 10**6
    assert moved.traffic_bytes["dram_write"] == 2 * 10**6
    alone = 6e6 / stream_bytes_per_s("ddr4-2400")
    assert 1.06 * alone < moved.seconds < 1.10 * alone  # a third of writes
    only_read = run("vector_lanes=4096", Reduce(rows=1, length=3 * 10**6, function="max"))
    assert only_read.seconds == pytest.approx(alone, rel=1e-3)


# Energy, precision, rules


def test_peaks_are_those_of_the_units_at_work_and_of_the_memorys_pins():
    product, vector = run("", MatMul(m=256, n=256, k=256)), run("", Elementwise(elements=10**6, reads=2))
    assert product.peaks == {"operations_per_s": 2 * 32 * 32 * 1e9, "bytes_per_s": part("ddr4-2400").peak_bytes_per_s}
    assert vector.peaks == {**product.peaks, "operations_per_s": 64e9}
    assert vector.utilization == pytest.approx(10**6 / (64e9 * vector.seconds))
    assert "bytes_per_s" not in run("memory=ideal", MatMul(m=8, n=8, k=8)).peaks


def test_energy_follows_work_traffic_and_node():
    op = MatMul(m=256, n=256, k=256)
    base, twice = run("", op), run("", MatMul(m=256, n=256, k=256, batch=2))
    for name in ("mac", "ifmap_sram", "dram"):
        assert twice.energy_parts[name] == pytest.approx(2 * base.energy_parts[name], rel=0.02)
    assert run("node_nm=45", op).energy_parts["mac"] > base.energy_parts["mac"]
    assert run("precision=int8", op).energy_parts["mac"] < base.energy_parts["mac"]
    stacked = run("memory=hbm2-2.0", op)
    moved = [r.traffic_bytes["dram_read"] + r.traffic_bytes["dram_write"] for r in (base, stacked)]
    assert stacked.energy_parts["dram"] / moved[1] < 0.5 * base.energy_parts["dram"] / moved[0]
    assert "dram" not in run("memory=ideal", op).energy_parts
    assert run("rows=64", op).area_parts["mac"] == pytest.approx(2 * base.area_parts["mac"])


def test_another_precision_is_said():
    result = run("precision=int8", MatMul(name="layer", m=4, n=4, k=4, format="fp16"))
    assert result.notes == ("layer computed in int8, the workload asks for fp16",)
    assert result.provenance["precision"] == {"operands": "int8", "sums": "int32"}
    assert run("", MatMul(m=4, n=4, k=4, format="bf16")).notes == ()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ("filter_sram_bytes=100", InfeasibleError, "filter_sram_bytes must be at least 1024 B to hold one fold"),
        ("dataflow=os,ofmap_sram_bytes=8000", InfeasibleError, "ofmap_sram_bytes must be at least 8192 B"),
        ("rows=0", InputError, "rows must be at least 1"),
        ("memory=ddr9", InputError, "memory must be one of ideal"),
        ("dataflow=rs", InputError, "dataflow must be one of os, ws, is"),
    ],
)
def test_designs_that_cannot_be_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        machine(f"systolic:{settings}")


def test_an_sram_that_only_wide_operands_outgrow_is_refused_with_them():
    narrow = "filter_sram_bytes=2048"
    assert run(narrow, MatMul(m=32, n=32, k=32, format="int8")).cycles
    with pytest.raises(InfeasibleError, match="filter_sram_bytes must be at least 4096 B"):
        run(narrow, MatMul(m=32, n=32, k=32, format="fp16"))


def test_a_run_beyond_counting_is_refused():
    with pytest.raises(InputError, match=r"2\^62"):
        run("rows=1,cols=1", MatMul(m=1_500_000, n=1_500_000, k=1_500_000))
    with pytest.raises(InputError, match=r"2\^62"):
        run("rows=1,cols=1,convention=scalesim", MatMul(m=1_500_000, n=1_500_000, k=1_500_000))


# The whole


def bert_large(seq=384):
    layer = (
        MatMul(name="qkv", m=seq, n=3072, k=1024),
        Attention(name="attention", seq=seq, heads=16, dim=64),
        MatMul(name="project", m=seq, n=1024, k=1024),
        MatMul(name="up", m=seq, n=4096, k=1024),
        Elementwise(name="gelu", elements=seq * 4096, flops_each=8),
        MatMul(name="down", m=seq, n=1024, k=4096),
        Reduce(name="norm", rows=seq, length=1024, function="layernorm"),
    )
    return Workload("bert-large", tuple(Item(op, 24) for op in layer))


def test_bert_large_takes_milliseconds_here_and_is_dominated_by_its_products():
    ours, work = machine("systolic"), bert_large()
    first = run_workload(ours, work)
    begun = time.perf_counter()
    again = run_workload(ours, work)
    assert time.perf_counter() - begun < 0.1
    assert again.to_json() == first.to_json()
    assert first.operations["effective_multiplies"] == 24 * (384 * 1024 * 12288 + 2 * 16 * 384 * 384 * 64)
    assert first.utilization > 0.7
    json.loads(first.to_json())
