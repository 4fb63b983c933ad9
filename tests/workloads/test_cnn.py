"""Convolutional networks: every layer of ResNet-50 written out, published sizes, batch norm and pooling by hand."""

from __future__ import annotations

import pytest

from siloom.sim.errors import InputError
from siloom.sim.ops import Conv, Elementwise, MatMul, Reduce, Workload
from siloom.workloads.registry import load

# Parameters and multiply-adds at 224 x 224. torchvision's tables: ResNet-50 and MobileNetV2 (the latter's
# 0.30 G are 300,774,272); Graham et al. 2021, table 2: 406 M for LeViT-128, its size the released checkpoint's
# (recalled).
PUBLISHED = {
    "resnet50": (25_557_032, 4_089_184_256, 0),
    "mobilenet-v2": (3_504_872, 300_774_272, 0),
    "levit-128": (9_213_936, 406e6, 3e-3),
}


def _multiplies(workload: Workload) -> int:
    return sum(item.op.multiplies * item.repeat for item in workload.items)


def _convolutions(workload: Workload) -> list[Conv]:
    return [item.op for item in workload.items for _ in range(item.repeat) if isinstance(item.op, Conv)]


@pytest.mark.parametrize(("name", "parameters", "multiplies", "within"), [(n, *p) for n, p in PUBLISHED.items()])
def test_sizes_are_the_published_ones(name: str, parameters: int, multiplies: float, within: float) -> None:
    workload = load(name)
    assert workload.provenance["parameters"] == parameters
    assert _multiplies(workload) == pytest.approx(multiplies, rel=within)


def test_resnet50_is_the_papers_table_layer_by_layer() -> None:
    """Input side, channels in and out, kernel, stride, of all 53 convolutions in order."""
    expected = [(224, 3, 64, 7, 2)]
    channels = 64
    for width, blocks, side in ((64, 3, 56), (128, 4, 28), (256, 6, 14), (512, 3, 7)):
        for block in range(blocks):
            stride = 2 if block == 0 and width > 64 else 1
            before = side * stride
            expected += [
                (before, channels, width, 1, 1),
                (before, width, width, 3, stride),
                (side, width, 4 * width, 1, 1),
            ]
            if block == 0:
                expected.append((before, channels, 4 * width, 1, stride))
            channels = 4 * width
    got = [(op.h, op.c, op.k, op.r, op.stride) for op in _convolutions(load("resnet50"))]
    assert len(got) == len(expected) == 53
    assert sorted(got) == sorted(expected)
    assert all(op.h == op.w and op.r == op.s and op.pad == op.r // 2 for op in _convolutions(load("resnet50")))


def test_resnet50_chains_every_output_is_the_next_input() -> None:
    sides = [(op.name, op.h, op.out_hw) for op in _convolutions(load("resnet50:image=225"))]
    by_name = {name: (h, out) for name, h, out in sides}
    assert by_name["stem.conv"] == (225, (113, 113))
    for stage in ("stage1.first", "stage2.first", "stage3.first", "stage4.first", "stage4"):
        inside = [by_name[f"{stage}.conv{n}"] for n in (1, 2, 3)]
        assert inside[0][1][0] == inside[1][0] and inside[1][1][0] == inside[2][0]
    for before, after in ((1, 2), (2, 3), (3, 4)):
        assert by_name[f"stage{before}.first.conv3"][1][0] == by_name[f"stage{after}.first.conv1"][0]
        assert by_name[f"stage{after}.first.shortcut"][1] == by_name[f"stage{after}.first.conv3"][1]


def test_batch_norm_is_one_pass_at_inference_and_two_in_training() -> None:
    def norm(text: str) -> Elementwise:
        op = next(item.op for item in load(text).items if item.op.name == "stem.norm")
        assert isinstance(op, Elementwise) and op.elements == 112 * 112 * 64
        return op

    assert (norm("resnet50").reads, norm("resnet50").writes) == (1, 1)
    assert (norm("resnet50:training=1").reads, norm("resnet50:training=1").writes) == (2, 1)


def test_pooling_reads_its_input_once() -> None:
    ops = {item.op.name: item.op for item in load("resnet50:batch=2").items}
    largest, mean = ops["stem.pool"], ops["head.pool"]
    assert isinstance(largest, Elementwise) and isinstance(mean, Reduce)
    assert largest.read_bytes == 2 * 2 * 112 * 112 * 64 and largest.write_bytes == 2 * 2 * 56 * 56 * 64
    assert (mean.rows, mean.length, mean.write_bytes) == (2 * 2048, 49, 2 * 2 * 2048)


@pytest.mark.parametrize("name", ["resnet50", "mobilenet-v2"])
def test_every_convolutions_output_is_normalised_once(name: str) -> None:
    workload = load(f"{name}:batch=3")
    outputs = [3 * op.k * op.out_hw[0] * op.out_hw[1] for op in _convolutions(workload)]
    ops = [item.op for item in workload.items for _ in range(item.repeat) if isinstance(item.op, Elementwise)]
    assert sorted(outputs) == sorted(op.elements for op in ops if op.function == "batchnorm")


def test_levits_linear_layers_are_normalised_as_they_leave() -> None:
    ops = {item.op.name: item.op for item in load("levit-128:batch=3").items}
    checked = 0
    for name, op in ops.items():
        norm = ops.get(f"{name}_norm")
        if isinstance(op, MatMul) and norm is not None:
            assert isinstance(norm, Elementwise) and norm.elements == op.m * op.n
            checked += 1
    assert checked == 3 * 4 + 2 * 5, "qkv, output and two dense layers a stage; key_value and query apart between"


def test_mobilenets_depthwise_layers_have_a_group_a_channel() -> None:
    convolutions = _convolutions(load("mobilenet-v2"))
    depthwise = [op for op in convolutions if op.groups > 1]
    assert len(convolutions) == 52 and len(depthwise) == 17
    assert all(op.groups == op.c == op.k and op.r == 3 for op in depthwise)
    assert [op.stride for op in depthwise].count(2) == 4
    residuals = sum(item.repeat for item in load("mobilenet-v2").items if item.op.name.endswith("residual"))
    assert residuals == 10


def test_levit_halves_its_tokens_in_attention() -> None:
    ops = {item.op.name: item for item in load("levit-128:batch=2").items}
    shrink = ops["shrink1.attention.scores"].op
    assert isinstance(shrink, MatMul) and (shrink.m, shrink.n, shrink.k, shrink.batch) == (49, 196, 16, 2 * 8)
    values = ops["shrink1.attention.values"].op
    assert isinstance(values, MatMul) and (values.m, values.n, values.k) == (49, 64, 196)
    last = ops["stage3.attention.scores"]
    assert isinstance(last.op, MatMul) and (last.op.m, last.op.n, last.op.batch, last.repeat) == (16, 16, 24, 4)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("resnet50:image=31", "resnet50: image must be at least 32 pixels, got 31"),
        ("resnet50:image=2147483647", r"resnet50: stem.*must count below 2\^62"),
        ("resnet50:batch=0", "resnet50: batch must be at least 1 samples, got 0"),
        ("mobilenet-v2:image=8", "mobilenet-v2: image must be at least 32 pixels, got 8"),
        ("levit-128:image=32", "levit-128: image must be at least 64 pixels, got 32"),
    ],
)
def test_wrong_sizes_get_one_line(text: str, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        load(text)


@pytest.mark.parametrize(
    ("text", "read", "written", "flops"),
    [
        ("elementwise:elements=10,reads=3,writes=2,flops_each=7,format=fp32", 120, 80, 70),
        ("elementwise:elements=10,reads=0,flops_each=0,function=copy", 0, 20, 0),
        ("reduce:rows=4,length=8,function=sum,format=fp32", 128, 16, 32),
        ("reduce:rows=4,length=8,function=softmax,format=bf16", 64, 64, 160),
    ],
)
def test_elementwise_work_and_reductions_can_be_named(text: str, read: int, written: int, flops: int) -> None:
    op = load(text).items[0].op
    assert isinstance(op, Elementwise | Reduce)
    assert (op.read_bytes, op.write_bytes, op.flops) == (read, written, flops)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("elementwise:elements=0", "elements must be at least 1 elements, got 0"),
        ("elementwise:elements=4000000000000000000,reads=3", r"must count below 2\^62 reads, writes and operations"),
        ("reduce:rows=-1", "rows must be at least 1 rows, got -1"),
        ("reduce:function=median", "function must be one of sum, max, softmax, layernorm, rmsnorm, got 'median'"),
    ],
)
def test_impossible_elementwise_work_is_bad_input(text: str, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        load(text)
