"""SCALE-Sim's files: topologies as it ships them, measured layers, configurations, and one line for anything else."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from siloom.sim.errors import InputError, UsageError
from siloom.sim.ops import Conv, MatMul
from siloom.sim.scalesim_config import systolic_settings, words_per_cycle
from siloom.workloads.registry import load

CONV = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"


def _load(folder: Path, text: str | bytes, settings: str = ""):
    path = folder / "topology.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(f"scalesim:topology={path}{settings}" if settings else path)


def _gemms(folder: Path, text: str) -> list[tuple[str, int, int, int]]:
    ops = [item.op for item in _load(folder, text).items]
    assert all(isinstance(op, MatMul) and op.format == "int8" for op in ops)
    return [(op.name, op.m, op.n, op.k) for op in ops]


@pytest.mark.parametrize(
    "text",
    [
        "Layer, M, N, K,\nQKT, 1024, 512, 64,\nout, 7, 8, 9,\n",
        "Layer,M,N,K\nQKT,1024,512,64\nout,7,8,9",
        "Layer Name, M, K, N,\n\nQKT, 1024, 64, 512,\nout, 7, 9, 8,\n",
        "\ufefflayer name,k,n,m\r\nQKT,64,512,1024\r\n\r\nout,9,8,7\r\n",
        "Layer, M, N, K, Sparsity,\nQKT, 1024, 512, 64, 1:1,\nout, 7, 8, 9,\n",
        "Layer, M, N, K,\nQKT, 1024, 512, 64, #scores\nout, 7, 8, 9,#\n",
    ],
)
def test_gemms_are_read_in_both_orders_with_and_without_the_last_comma(tmp_path: Path, text: str) -> None:
    assert _gemms(tmp_path, text) == [("QKT", 1024, 512, 64), ("out", 7, 8, 9)]


def test_convolutions_are_read_as_they_are_shipped(tmp_path: Path) -> None:
    text = (
        CONV
        + "\n\tConv1 ,224 ,224 ,7 ,7 ,3 ,64 ,1 ,\nConv3, 112, 112, 1, 1, 32, 64, 1\nFC, 1, 1, 1, 1, 1024, 1000, 1,\n"
    )
    ops = [item.op for item in _load(tmp_path, text).items]
    assert [op.name for op in ops] == ["Conv1", "Conv3", "FC"]
    assert [(op.h, op.w, op.r, op.s, op.c, op.k, op.stride, op.pad) for op in ops] == [
        (224, 224, 7, 7, 3, 64, 1, 0),
        (112, 112, 1, 1, 32, 64, 1, 0),
        (1, 1, 1, 1, 1024, 1000, 1, 0),
    ]
    widths = CONV.replace("Strides", "Stride height, Stride width")
    same = [item.op for item in _load(tmp_path, widths + "Conv1,30,20,7,5,3,64,2,2,\n").items]
    assert isinstance(same[0], Conv) and same[0].stride == 2


@pytest.mark.parametrize("h", range(5, 17))
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_outputs_are_scale_sims_rounded_up(tmp_path: Path, h: int, stride: int) -> None:
    """Eh = ceil((H - Fh + s) / s), counted here window by window: the last may hang over."""
    workload = _load(tmp_path, CONV + f"C, {h}, 9, 5, 3, 2, 4, {stride},\n")
    op = workload.items[0].op
    windows = 1 + sum(1 for start in range(1, h) if (start - 1) % stride == 0 and start - 1 + 5 < h)
    assert isinstance(op, Conv) and op.out_hw[0] == windows
    assert bool(workload.provenance["notes"]) == bool((h - 5) % stride or (9 - 3) % stride)


def test_alexnets_first_layer_is_taken_as_227(tmp_path: Path) -> None:
    workload = _load(tmp_path, CONV + "Conv1, 224, 224, 11, 11, 3, 96, 4,\n")
    assert workload.items[0].op.h == 227 and workload.items[0].op.out_hw == (55, 55)
    assert workload.provenance["notes"] == ["Conv1: the input is taken as 227 x 227, which stride 4 divides"]


def test_depthwise_layers_are_expanded_as_version_2_does(tmp_path: Path) -> None:
    text = CONV + "Conv2_DP, 14, 14, 3, 3, 32, 1, 1,\n"
    item = _load(tmp_path, text).items[0]
    assert (item.op.c, item.op.k, item.op.groups, item.repeat) == (1, 1, 1, 32)
    grouped = _load(tmp_path, text, ",depthwise=grouped").items[0]
    assert (grouped.op.c, grouped.op.k, grouped.op.groups, grouped.repeat) == (32, 32, 32, 1)
    assert grouped.op.multiplies == item.op.multiplies * 32 == 12 * 12 * 9 * 32
    notes = _load(tmp_path, text).provenance["notes"]
    assert notes == ["Conv2_DP: depthwise (DP), taken as 32 layers of one channel, as SCALE-Sim does"]


def test_strides_that_differ_become_a_product(tmp_path: Path) -> None:
    header = CONV.replace("Strides", "Stride height, Stride width")
    workload = _load(tmp_path, header + "C, 11, 8, 3, 2, 5, 7, 2, 3,\n")
    op = workload.items[0].op
    assert isinstance(op, MatMul) and (op.m, op.n, op.k) == (5 * 3, 7, 3 * 2 * 5)
    assert "strides 2 x 3" in workload.provenance["notes"][0]


def test_sparsity_is_kept_where_it_can_be(tmp_path: Path) -> None:
    workload = _load(tmp_path, "Layer, M, N, K, Sparsity,\nA,8,8,8,2:4,\nB,8,8,8,4:4,\nC,8,8,8,1:4,\nD,8,8,6,2:4,\n")
    assert [item.op.sparse24 for item in workload.items] == [True, False, False, False]
    assert workload.provenance["notes"] == ["C: sparsity 1:4 is taken as dense", "D: sparsity 2:4 is taken as dense"]
    conv = _load(tmp_path, CONV.replace("Strides", "Strides, Sparsity") + "C, 8, 8, 3, 3, 4, 4, 1, 2:4,\n")
    assert conv.provenance["notes"] == ["C: sparsity 2:4 is taken as dense"]


def test_comments_may_hold_commas(tmp_path: Path) -> None:
    workload = _load(tmp_path, "Layer,M,N,K,# rows, columns, depth\n#1,2,3,4,# first, of two\nb,5,6,7 , ,#\n")
    assert [(i.op.name, i.op.m, i.op.n, i.op.k) for i in workload.items] == [("#1", 2, 3, 4), ("b", 5, 6, 7)]


def test_batches_and_formats_are_taken(tmp_path: Path) -> None:
    header = CONV.replace("Strides", "Strides, Batch Size")
    op = _load(tmp_path, header + "C, 8, 8, 3, 3, 4, 4, 1, 5,\n", ",format=fp16").items[0].op
    assert (op.batch, op.format) == (5, "fp16")
    assert _load(tmp_path, "Layer,M,N,K,Batch\nA,2,3,4,6\n").items[0].op.multiplies == 2 * 3 * 4 * 6


def test_measured_convolutions_have_the_products_scale_sim_gives_them(tmp_path: Path, shared_data: Path) -> None:
    """The rows that SCALE-Sim was run on: its M, N and K against ours, lowered."""
    text = (shared_data / "scalesim_cycles.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    shapes = {(row["conv_HWRSCFs"], row["M"], row["N"], row["K"]) for row in rows if row["conv_HWRSCFs"]}
    assert len(shapes) >= 3
    for shape, m, n, k in sorted(shapes):
        sizes = shape.split("x")
        op = _load(tmp_path, CONV + "C, " + ", ".join(sizes) + ",\n").items[0].op
        assert isinstance(op, Conv)
        assert (op.out_hw[0] * op.out_hw[1], op.k, op.r * op.s * op.c) == (int(m), int(n), int(k))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("Layer,M,N,K\n" + "a" * 201 + ",1,1,1\n", "line 2: a layer's name must be at most 200 characters, got 201"),
        ("Layer,M,N,K,Sparsity\nA,4,4,4,2:٤\n", "line 2: Sparsity must be N:M with 1 <= N <= M"),
        ("Layer, M, N, K,\n", "must hold 1 to 10000 layers, got 0"),
        ("A, 1, 2, 3,\n", "line 1: the first column must be called Layer or Layer name, got 'A'"),
        (",,,\n", "line 1: the first column must be called Layer or Layer name, got ''"),
        ("Layer, M, N,\nA,1,2,\n", "line 1: column 'M' is not one of SCALE-Sim's"),
        ("Layer, M, N, K, M,\nA,1,2,3,4\n", "line 1: column 'M' is there twice"),
        ("Layer, M, N, K, Colour,\nA,1,2,3,4\n", "line 1: column 'Colour' is not one of SCALE-Sim's"),
        (CONV.replace(" Channels,", ""), "line 1: no column 'channels'"),
        ("Layer, M, N, K,\nA, 1, 2,\n", "line 2: must hold 4 values, got 3"),
        ("Layer, M, N, K,\nA, 1, 2, 3, 4,\n", "line 2: must hold 4 values, got 5"),
        (
            "Layer, M, N, K,\nA, 1, 2, 3,\nB, 0, 2, 3,\n",
            "line 3: M must be a whole number from 1 to 2147483647, got '0'",
        ),
        ("Layer, M, N, K,\n\n\nA, 1, -2, 3,\n", "line 4: N must be a whole number from 1 to 2147483647, got '-2'"),
        ("Layer, M, N, K,\nA, 1, 2, 3.5,\n", "line 2: K must be a whole number from 1 to 2147483647, got '3.5'"),
        ("Layer, M, N, K,\nA, 1, , 3,\n", "line 2: N must be a whole number from 1 to 2147483647, got ''"),
        ("Layer, M, N, K,\nA, 1, x, 3,\n", "line 2: N must be a whole number from 1 to 2147483647, got 'x'"),
        ("Layer, M, N, K,\nA, 1, 2147483648, 3,\n", "line 2: N must be a whole number from 1 to 2147483647"),
        ("Layer, M, N, K,\nA, 1, \u0663, 3,\n", "line 2: N must be a whole number"),
        ("Layer, M, N, K,\nA, 2147483647, 2147483647, 2147483647,\n", "line 2: gemm: m*n*k*batch must be below 2^62"),
        ("Layer, M, N, K, Sparsity,\nA, 1, 2, 3, half,\n", "line 2: Sparsity must be N:M with 1 <= N <= M, got 'half'"),
        ("Layer, M, N, K, Sparsity,\nA, 1, 2, 3, 4:2,\n", "line 2: Sparsity must be N:M with 1 <= N <= M, got '4:2'"),
        (CONV + "C, 4, 4, 5, 3, 1, 1, 1,\n", "line 2: the filter must be no larger than its input, got 5 x 3 on 4 x 4"),
        (CONV + "C, 4, 4, 3, 3, 1, 1, 0,\n", "line 2: Strides must be a whole number from 1 to 2147483647, got '0'"),
        (b"Layer, M, N, K,\n\xff, 1, 2, 3,\n", "must be UTF-8 text, got byte 16 of another kind"),
        ("Layer, M, N, K,\n" + "A, 1, 2, 3,\n" * 10_001, "must hold 1 to 10000 layers, got 10001"),
        ("#" * (1 << 20) + "\n", "must be at most 1048576 bytes"),
    ],
)
def test_malformed_topologies_name_line_field_rule_and_value(tmp_path: Path, text: str | bytes, rule: str) -> None:
    with pytest.raises(InputError) as caught:
        _load(tmp_path, text)
    message = str(caught.value)
    assert rule in message and "topology.csv" in message
    assert message.isprintable() and len(message) < 600


def test_a_topology_must_be_named_and_be_there() -> None:
    with pytest.raises(UsageError, match="scalesim: topology=PATH must be given"):
        load("scalesim")
    with pytest.raises(InputError, match=r"absent\.csv: no such file"):
        load("absent.csv")


CFG = """[general]
run_name = example_32x16

[architecture_presets]
ArrayHeight:    32
ArrayWidth:     16
IfmapSramSzkB:   64
FilterSramSzkB:  32
OfmapSramSzkB:   8
IfmapOffset:    0
FilterOffset:   10000000
OfmapOffset:    20000000
Bandwidth : 10
Dataflow : os
MemoryBanks:   1

[run_presets]
InterfaceBandwidth: CALC
"""


def _settings(folder: Path, text: str | bytes) -> dict[str, int | str]:
    path = folder / "scale.cfg"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    words_per_cycle(path)
    return systolic_settings(path)


def test_a_configuration_gives_a_systolic_arrays_settings(tmp_path: Path) -> None:
    expected = {
        "rows": 32,
        "cols": 16,
        "ifmap_sram_bytes": 65536,
        "filter_sram_bytes": 32768,
        "ofmap_sram_bytes": 8192,
        "dataflow": "os",
    }
    assert _settings(tmp_path, CFG) == expected
    assert words_per_cycle(tmp_path / "scale.cfg") is None
    user = CFG.replace("CALC", "USER").replace(": 10\n", ": 12,10,10\n")
    assert _settings(tmp_path, user) == expected
    assert words_per_cycle(tmp_path / "scale.cfg") == 12
    old = CFG.replace("SramSzkB", "SramSz").replace("os\n", "WS ; weight stationary\n").partition("[run_presets]")[0]
    assert _settings(tmp_path, old) == {**expected, "dataflow": "ws"}
    assert words_per_cycle(tmp_path / "scale.cfg") is None


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "must be a file of 1 to 1048576 bytes"),
        ("hello", "is not a .cfg"),
        ("[general]\nx = 1\n", "[architecture_presets] has no key 'ArrayHeight'"),
        (CFG.replace("ArrayWidth:     16", ""), "[architecture_presets] has no key 'ArrayWidth'"),
        (
            CFG.replace("ArrayWidth:     16", "ArrayWidth: 0"),
            "ArrayWidth must be a whole number from 1 to 65536, got '0'",
        ),
        (CFG.replace("64\n", "-64\n"), "IfmapSramSzkB must be a whole number from 1 to 1073741824, got '-64'"),
        (CFG.replace(": os", ": rs"), "Dataflow must be one of os, ws, is, got 'rs'"),
        (CFG.replace("CALC", "MAYBE"), "InterfaceBandwidth must be one of calc, user, got 'maybe'"),
        (CFG.replace("CALC", "USER").replace(": 10\n", ": fast\n"), "Bandwidth must be a whole number"),
        (CFG + "[general]\n", "is not a .cfg"),
        (CFG.replace("16\n", "%(ArrayHeight)s\n"), "ArrayWidth must be a whole number"),
        (b"\xff\xfe\x00", "must be UTF-8 text, got byte 0 of another kind"),
    ],
)
def test_malformed_configurations_get_one_line(tmp_path: Path, text: str | bytes, rule: str) -> None:
    with pytest.raises(InputError) as caught:
        _settings(tmp_path, text)
    message = str(caught.value)
    assert rule in message and "scale.cfg" in message
    assert message.isprintable() and len(message) < 600


def test_an_absent_configuration_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        systolic_settings(tmp_path / "absent.cfg")
    with pytest.raises(InputError, match="must be a file"):
        systolic_settings(tmp_path)
