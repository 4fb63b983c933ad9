"""ONNX models: their operations by hand sums and by ONNX's own evaluator, and one line for what is wrong."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs siloom[onnx]")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from siloom.sim.errors import InputError, MissingPartError, SiloomError, UsageError  # noqa: E402
from siloom.sim.ops import Attention, Conv, Elementwise, MatMul, Reduce  # noqa: E402
from siloom.workloads.registry import load  # noqa: E402

FLOAT, INT64, INT8, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT8, TensorProto.UINT8
node = helper.make_node


def _value(name: str, shape: Sequence[int | str | None] | None, kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def _weights(**shapes: tuple[int, ...]) -> list[Any]:
    """Weights by their shapes alone: a tensor without data."""
    return [TensorProto(name=name, dims=shape, data_type=FLOAT) for name, shape in shapes.items()]


def _whole(**values: Any) -> list[Any]:
    return [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in values.items()]


def _model(nodes: list[Any], inputs: list[Any], stored: list[Any] = (), opset: int = 20, **more: Any) -> Any:  # type: ignore[assignment]
    last = [_value(name, None) for name in nodes[-1].output[:1]] if nodes else []
    graph = helper.make_graph(nodes, "graph", inputs, last, list(stored))
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("my", 1)], **more
    )


def _load(folder: Path, model: Any, settings: str = "") -> Any:
    path = folder / "model.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return load(f"onnx:file={path},{settings}" if settings else path)


def _ops(folder: Path, model: Any, settings: str = "") -> list[Any]:
    return [item.op for item in _load(folder, model, settings).items]


def _refusal(folder: Path, model: Any, settings: str = "") -> str:
    with pytest.raises(InputError) as caught:
        _load(folder, model, settings)
    text = str(caught.value)
    assert text.isprintable() and len(text) < 900 and "model.onnx" in text
    return text


def _mlp() -> Any:
    nodes = [
        node("Gemm", ["x", "w1", "b1"], ["h"], name="fc1", transB=1),
        node("Relu", ["h"], ["r"]),
        node("Gemm", ["r", "w2", "b2"], ["y"], name="fc2"),
        node("Softmax", ["y"], ["p"]),
    ]
    return _model(nodes, [_value("x", ["batch", 784])], _weights(w1=(300, 784), b1=(300,), w2=(300, 10), b2=(10,)))


def test_a_perceptron_is_its_two_products_and_what_stands_between(tmp_path: Path) -> None:
    workload = _load(tmp_path, _mlp(), "batch=32")
    first, relu, second, softmax = (item.op for item in workload.items)
    assert (first.m, first.k, first.n, first.shared, first.name) == (32, 784, 300, True, "fc1")
    assert (second.m, second.k, second.n) == (32, 300, 10)
    assert (relu.elements, relu.reads, relu.writes, relu.flops_each) == (9600, 1, 1, 1)
    assert (softmax.rows, softmax.length, softmax.function) == (32, 10, "softmax")
    assert workload.provenance["parameters"] == 784 * 300 + 300 + 300 * 10 + 10
    assert workload.provenance["resident_bytes"] == 4 * 238_510
    assert _load(tmp_path, _mlp(), "format=int8").provenance["resident_bytes"] == 238_510
    assert _load(tmp_path, _mlp()).provenance["dims"] == {"batch": 1}
    assert {op.format for op in _ops(tmp_path, _mlp())} == {"fp32"}
    assert {op.format for op in _ops(tmp_path, _mlp(), "format=bf16")} == {"bf16"}


BATCH, SEQ, WIDTH, HEADS, INNER = 3, 10, 32, 4, 64


def _transformer_block() -> Any:
    """A block as exporters write one: shapes computed from the input's, attention as products."""
    nodes = [node("Gather", ["table", "ids"], ["x"]), node("Shape", ["x"], ["shape"])]
    nodes += [node("Gather", ["shape", f"i{i}"], [f"s{i}"]) for i in (0, 1)]
    nodes += [node("Unsqueeze", [f"s{i}", "zero"], [f"u{i}"]) for i in (0, 1)]
    nodes += [node("Concat", ["u0", "u1", "heads", "dim"], ["split"], axis=0)]
    nodes += [node("Concat", ["u0", "u1", "rest"], ["joined"], axis=0)]
    nodes += [node("LayerNormalization", ["x", "scale", "shift"], ["n"])]
    for name in "qkv":
        nodes += [node("MatMul", ["n", f"w{name}"], [f"{name}1"]), node("Reshape", [f"{name}1", "split"], [f"{name}2"])]
        order = [0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]
        nodes += [node("Transpose", [f"{name}2"], [f"{name}3"], perm=order)]
    nodes += [
        node("MatMul", ["q3", "k3"], ["scores"]),
        node("Mul", ["scores", "scale1"], ["scaled"]),
        node("Softmax", ["scaled"], ["p"]),
        node("MatMul", ["p", "v3"], ["c"]),
        node("Transpose", ["c"], ["c1"], perm=[0, 2, 1, 3]),
        node("Reshape", ["c1", "joined"], ["c2"]),
        node("MatMul", ["c2", "wo"], ["o"]),
        node("Add", ["o", "x"], ["r"]),
        node("MatMul", ["r", "up"], ["h"]),
        node("Add", ["h", "bias"], ["h1"]),
        node("Gelu", ["h1"], ["g"]),
        node("MatMul", ["g", "down"], ["d"]),
        node("Add", ["d", "r"], ["y"]),
    ]
    square = dict.fromkeys(("wq", "wk", "wv", "wo"), (WIDTH, WIDTH))
    stored = _weights(
        table=(100, WIDTH), scale=(WIDTH,), shift=(WIDTH,), scale1=(), **square, up=(WIDTH, INNER), bias=(INNER,),
        down=(INNER, WIDTH),
    )  # fmt: skip
    stored += _whole(i0=0, i1=1, zero=[0], heads=[HEADS], dim=[WIDTH // HEADS], rest=[-1])
    return _model(nodes, [_value("ids", ["batch_size", "sequence"], INT64)], stored)


def test_a_transformer_block_is_its_products_by_hand(tmp_path: Path) -> None:
    ops = _ops(tmp_path, _transformer_block(), f"batch={BATCH},seq={SEQ}")
    rows = BATCH * SEQ
    dense = 4 * rows * WIDTH * WIDTH + 2 * rows * WIDTH * INNER
    assert sum(op.multiplies for op in ops) == dense + 2 * BATCH * SEQ * SEQ * WIDTH
    products = [op for op in ops if isinstance(op, MatMul)]
    assert [(op.m, op.batch, op.shared) for op in products] == [
        *[(rows, 1, True)] * 3,
        *[(SEQ, BATCH * HEADS, False)] * 2,
        *[(rows, 1, True)] * 3,
    ]
    passes = Counter(op.function for op in ops if isinstance(op, Elementwise))
    assert passes == {"embedding": 1, "transpose": 4, "multiply": 1, "add": 3, "gelu": 1}
    adds = {op.name: op.reads for op in ops if isinstance(op, Elementwise) and op.function == "add"}
    assert adds == {"r": 2, "h1": 1, "y": 2}  # a bias is not read anew for each row
    assert {op.flops for op in ops if isinstance(op, Elementwise) and op.function == "transpose"} == {0}
    rows_of = {(op.function, op.rows, op.length) for op in ops if isinstance(op, Reduce)}
    assert rows_of == {("layernorm", rows, WIDTH), ("softmax", BATCH * HEADS * SEQ, SEQ)}


def _resnet50() -> Any:
    """He et al. 2016, table 1, with the stride in the 3 x 3 convolution; batch norm folded into the weights."""
    nodes: list[Any] = []
    stored: dict[str, tuple[int, ...]] = {}

    def conv(x: str, c: int, k: int, size: int, stride: int = 1) -> str:
        name = f"conv{len(stored)}"
        stored[f"{name}.w"] = (k, c, size, size)
        pads = [size // 2] * 4
        nodes.append(node("Conv", [x, f"{name}.w"], [name], strides=[stride] * 2, pads=pads, kernel_shape=[size] * 2))
        return name

    def relu(x: str) -> str:
        nodes.append(node("Relu", [x], [f"{x}.relu"]))
        return f"{x}.relu"

    x = relu(conv("image", 3, 64, 7, 2))
    nodes.append(node("MaxPool", [x], ["pooled"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4))
    x, c = "pooled", 64
    for width, blocks, first_stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            stride = 1 if block else first_stride
            past = x if block else conv(x, c, 4 * width, 1, stride)
            inner = relu(conv(relu(conv(x, c, width, 1)), width, width, 3, stride))
            out = conv(inner, width, 4 * width, 1)
            nodes.append(node("Add", [out, past], [f"{out}.sum"]))
            x, c = relu(f"{out}.sum"), 4 * width
    nodes += [node("GlobalAveragePool", [x], ["mean"]), node("Flatten", ["mean"], ["flat"])]
    nodes += [node("Gemm", ["flat", "fc", "bias"], ["classes"])]
    return _model(nodes, [_value("image", ["N", 3, 224, 224])], _weights(**stored, fc=(2048, 1000), bias=(1000,)))


def test_resnet50_has_the_convolutions_of_the_named_workload(tmp_path: Path) -> None:
    def convolutions(workload: Any) -> Counter[tuple[int, ...]]:
        found: Counter[tuple[int, ...]] = Counter()
        for item in workload.items:
            op = item.op
            if isinstance(op, Conv):
                found[op.h, op.w, op.c, op.r, op.s, op.k, op.stride, op.pad, op.groups, op.batch] += item.repeat
        return found

    read, named = _load(tmp_path, _resnet50(), "batch=2"), load("resnet50:batch=2")
    assert convolutions(read) == convolutions(named) and convolutions(read).total() == 53
    total = [sum(item.op.multiplies * item.repeat for item in w.items) for w in (read, named)]
    assert total == [2 * 4_089_184_256] * 2
    pools = [
        [op for op in (item.op for item in w.items) if getattr(op, "function", "") == "max_pool"] for w in (read, named)
    ]
    assert [[(op.elements, op.reads, op.flops_each) for op in found] for found in pools] == [[(401_408, 4, 8)]] * 2


CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any], type, bool]] = [
    ((2, 6, 15, 12), (8, 6, 3, 3), {"pads": [1, 1, 1, 1]}, Conv, False),
    ((2, 6, 15, 12), (8, 3, 3, 5), {"group": 2, "strides": [2, 2], "pads": [1, 1, 1, 1]}, Conv, False),
    ((1, 6, 15, 12), (6, 1, 3, 3), {"group": 6, "pads": [1, 1, 1, 1], "strides": [2, 2]}, Conv, False),
    ((1, 4, 15, 12), (8, 4, 3, 3), {"pads": [0, 0, 1, 1], "strides": [2, 2]}, Conv, True),
    ((1, 4, 15, 12), (8, 4, 5, 1), {"pads": [2, 0, 2, 0]}, Conv, True),
    ((1, 4, 15, 12), (8, 4, 4, 4), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, Conv, True),
    ((1, 4, 15, 12), (8, 4, 4, 4), {"auto_pad": "SAME_LOWER"}, Conv, True),
    ((1, 4, 15, 12), (8, 4, 4, 4), {"auto_pad": "VALID"}, Conv, False),
    ((1, 4, 15, 12), (8, 2, 3, 3), {"dilations": [2, 2], "group": 2}, MatMul, True),
    ((1, 4, 15, 12), (8, 4, 3, 3), {"strides": [2, 1]}, MatMul, True),
    ((1, 4, 15, 3), (8, 4, 3, 3), {"strides": [2, 1]}, Conv, False),
    ((1, 4, 1, 12), (8, 4, 1, 3), {"strides": [1, 2]}, Conv, False),
    ((3, 4, 50), (8, 4, 5), {"strides": [3], "pads": [2, 1]}, Conv, False),
    ((1, 4, 5, 6, 7), (8, 4, 2, 3, 3), {"pads": [0, 1, 1, 0, 1, 1]}, MatMul, True),
]


@pytest.mark.parametrize(("x", "w", "attributes", "kind", "noted"), CONVOLUTIONS)
def test_a_convolution_multiplies_as_often_as_onnx_makes_outputs(
    tmp_path: Path, x: tuple[int, ...], w: tuple[int, ...], attributes: dict[str, Any], kind: type, noted: bool
) -> None:
    """Its own evaluator runs the model; each output is a sum of c / groups * r * s products."""
    model = _model([node("Conv", ["x", "w"], ["y"], **attributes)], [_value("x", x), _value("w", w)])
    workload = _load(tmp_path, model)
    (op,) = (item.op for item in workload.items)
    feeds = {"x": np.zeros(x, np.float32), "w": np.zeros(w, np.float32)}
    if "dilations" in attributes and attributes.get("group"):
        outputs = (1, 8, 11, 8)  # 15 - 4 and 12 - 4 places for a filter that spans 5
    else:
        outputs = ReferenceEvaluator(model).run(None, feeds)[0].shape
    assert op.multiplies == prod(outputs) * prod(w[1:])
    assert isinstance(op, kind) and bool(workload.provenance["notes"]) == noted


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((5, 7), (7, 3), (5, 3, 7, 1)),
        ((2, 4, 5, 7), (7, 3), (40, 3, 7, 1)),
        ((2, 4, 5, 7), (2, 4, 7, 3), (5, 3, 7, 8)),
        ((2, 1, 5, 7), (4, 7, 3), (5, 3, 7, 8)),
        ((5, 7), (4, 7, 3), (5, 3, 7, 4)),
        ((7,), (7, 3), (1, 3, 7, 1)),
        ((4, 5, 7), (7,), (20, 1, 7, 1)),
        ((7,), (7,), (1, 1, 7, 1)),
    ],
)
def test_products_broadcast_as_numpy_does(tmp_path: Path, a: Any, b: Any, expected: tuple[int, ...]) -> None:
    (op,) = _ops(tmp_path, _model([node("MatMul", ["a", "b"], ["y"])], [_value("a", a), _value("b", b)]))
    assert (op.m, op.n, op.k, op.batch) == expected and not op.shared
    outputs = np.matmul(np.zeros(a), np.zeros(b)).size
    assert op.multiplies == outputs * a[-1]


def test_weights_on_the_left_are_shared_too(tmp_path: Path) -> None:
    model = _model([node("MatMul", ["w", "x"], ["y"])], [_value("x", (4, 7, 3))], _weights(w=(5, 7)))
    (op,) = _ops(tmp_path, model)
    assert (op.m, op.n, op.k, op.batch, op.shared) == (12, 5, 7, 1, True)


@pytest.mark.parametrize(
    ("equation", "a", "b"),
    [("bhid,bhjd->bhij", (2, 3, 4, 5), (2, 3, 6, 5)), ("bij,jk->bik", (2, 4, 5), (5, 6)), ("i,j->ij", (4,), (5,))],
)
def test_einsum_multiplies_once_for_each_combination_of_letters(tmp_path: Path, equation: str, a: Any, b: Any) -> None:
    (op,) = _ops(
        tmp_path, _model([node("Einsum", ["a", "b"], ["y"], equation=equation)], [_value("a", a), _value("b", b)])
    )
    letters = dict(zip("".join(equation.split("->")[0].split(",")), (*a, *b), strict=True))
    assert op.multiplies == prod(letters.values())


def test_quantised_products_are_int8(tmp_path: Path) -> None:
    inputs = [_value("x", (2, 4, 9, 9), UINT8), _value("w", (8, 4, 3, 3), INT8), _value("a", (5, 7), UINT8)]
    inputs += [_value("b", (7, 3), INT8), _value("s", ()), _value("z", (), UINT8), _value("zw", (), INT8)]
    nodes = [
        node("QLinearConv", ["x", "s", "z", "w", "s", "zw", "s", "z"], ["c"]),
        node("ConvInteger", ["x", "w"], ["d"]),
        node("MatMulInteger", ["a", "b"], ["e"]),
        node("QLinearMatMul", ["a", "s", "z", "b", "s", "zw", "s", "z"], ["f"]),
    ]
    ops = _ops(tmp_path, _model(nodes, inputs), "format=fp16")
    assert [(op.kind, op.format, op.multiplies) for op in ops] == [
        *[("conv", "int8", 2 * 7 * 7 * 8 * 4 * 9)] * 2,
        *[("matmul", "int8", 5 * 7 * 3)] * 2,
    ]


def test_onnx_attention_is_one_operation_where_it_can_be(tmp_path: Path) -> None:
    def ops(keys: int) -> list[Any]:
        inputs = [_value("q", (2, 8, 16, 64)), _value("k", (2, 2, keys, 64)), _value("v", (2, 2, keys, 64))]
        return _ops(tmp_path, _model([node("Attention", ["q", "k", "v"], ["y"])], inputs, opset=23))

    (op,) = ops(16)
    assert isinstance(op, Attention) and (op.heads, op.kv_heads, op.seq, op.dim, op.batch) == (8, 2, 16, 64, 2)
    assert sum(op.multiplies for op in ops(20) if isinstance(op, MatMul)) == 2 * (2 * 8) * 16 * 20 * 64


@pytest.mark.parametrize(
    ("opset", "attributes", "rows", "length"),
    [(20, {}, 24, 5), (20, {"axis": 1}, 40, 3), (11, {}, 2, 60), (11, {"axis": 2}, 6, 20), (11, {"axis": -1}, 24, 5)],
)
def test_softmax_runs_over_the_axes_of_its_opset(
    tmp_path: Path, opset: int, attributes: dict[str, int], rows: int, length: int
) -> None:
    model = _model([node("Softmax", ["x"], ["y"], **attributes)], [_value("x", (2, 3, 4, 5))], opset=opset)
    (op,) = _ops(tmp_path, model)
    assert (op.rows, op.length) == (rows, length)


def test_reductions_pools_and_norms_have_the_rows_they_leave(tmp_path: Path) -> None:
    nodes = [
        node("ReduceMean", ["x", "axes"], ["a"], keepdims=0),
        node("ReduceMax", ["x"], ["b"]),
        node("ArgMax", ["x"], ["c"], axis=1),
        node("ReduceL2", ["x", "axes"], ["d"]),
        node("GlobalMaxPool", ["x"], ["e"]),
        node("InstanceNormalization", ["x", "s", "s"], ["f"]),
        node("AveragePool", ["x"], ["g"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    ops = _ops(tmp_path, _model(nodes, [_value("x", (2, 3, 4, 6))], _weights(s=(3,)) + _whole(axes=[2, 3])))
    got = [(op.function, op.rows, op.length) for op in ops if isinstance(op, Reduce)]
    assert got == [("sum", 6, 24), ("max", 1, 144), ("max", 48, 3), ("max", 6, 24), ("layernorm", 6, 24)]
    squares, pool = (op for op in ops if isinstance(op, Elementwise))
    assert (squares.elements, squares.reads, squares.writes, squares.flops) == (144, 1, 0, 288)
    assert (pool.elements, pool.reads, pool.flops_each) == (36, 4, 4)


def test_what_follows_from_weights_and_sizes_alone_costs_nothing(tmp_path: Path) -> None:
    """Here with the chain that exporters write for expand(-1, 5), which ONNX's inference does not follow."""
    nodes = [
        node("DequantizeLinear", ["w8", "s"], ["w"]),
        node("Shape", ["x"], ["shape"]),
        node("ConstantOfShape", ["two"], ["ones"], value=helper.make_tensor("", INT64, [1], [1])),
        node("Mul", ["ones", "minus"], ["free"]),
        node("Slice", ["shape", "zero", "one"], ["rows"]),
        node("Concat", ["rows", "minus"], ["wanted"], axis=0),
        node("Equal", ["wanted", "free"], ["open"]),
        node("Where", ["open", "ones", "wanted"], ["target"]),
        node("Expand", ["row", "target"], ["r"]),
        node("MatMul", ["x", "w"], ["y"]),
        node("Add", ["y", "r"], ["z"]),
    ]
    stored = _whole(two=[2], minus=[-1], zero=[0], one=[1]) + _weights(s=())
    stored += [TensorProto(name="w8", dims=(7, 5), data_type=INT8)]
    model = _model(nodes, [_value("x", ["n", 7]), _value("row", (1, 5))], stored)
    expand, product, add = _ops(tmp_path, model, "batch=6")
    assert (expand.elements, expand.reads, expand.writes, expand.flops) == (30, 0, 1, 0)
    assert (product.m, product.n, product.k, product.shared) == (6, 5, 7, True)
    assert add.reads == 2


def test_views_are_free_and_movement_has_no_operations(tmp_path: Path) -> None:
    nodes = [
        node("Reshape", ["x", "shape"], ["a"]),
        node("Identity", ["a"], ["b"]),
        node("Transpose", ["b"], ["c"], perm=[1, 0]),
        node("Transpose", ["x"], ["d"], perm=[1, 0, 2]),
        node("Split", ["c"], ["e", "f"], axis=1, num_outputs=2),
        node("Concat", ["e", "f", "f"], ["g"], axis=1),
        node("Cast", ["g"], ["h"], to=TensorProto.FLOAT16),
    ]
    ops = _ops(tmp_path, _model(nodes, [_value("x", (1, 4, 6))], _whole(shape=[4, 6])))
    got = [(op.function, op.elements, op.reads, op.writes, op.flops, op.format) for op in ops]
    sizes = {"transpose": 24, "split": 24, "concat": 36, "cast": 36}
    assert got == [(name, elements, 1, 1, 0, "fp32") for name, elements in sizes.items()]


def test_functions_stand_where_they_are_called(tmp_path: Path) -> None:
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("my", 1)]
    dense = helper.make_function(
        "my", "Dense", ["x", "w"], ["y"], [node("MatMul", ["x", "w"], ["t"]), node("Relu", ["t"], ["y"])], opsets
    )
    calls = [node("Dense", ["x", "w"], ["t"], domain="my"), node("Dense", ["t", "w"], ["y"], domain="my")]
    twice = helper.make_function("my", "Twice", ["x", "w"], ["y"], calls, opsets)
    model = _model(
        [node("Twice", ["x", "w"], ["y"], domain="my")], [_value("x", (4, 9))], _weights(w=(9, 9)),
        functions=[dense, twice],
    )  # fmt: skip
    assert [(op.kind, op.multiplies) for op in _ops(tmp_path, model)] == [("matmul", 324), ("elementwise", 0)] * 2


def test_unknown_operators_are_counted_and_named(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], ["a"])] + [node("Odd", [f"{'a' * i}"], ["a" * (i + 1)], domain="my") for i in (1, 2)]
    nodes += [node("TopK", ["x", "k"], ["v", "i"])]
    workload = _load(tmp_path, _model(nodes, [_value("x", (4, 9))], _whole(k=[3])))
    assert [item.op.function for item in workload.items] == ["relu"]
    assert workload.provenance["left_out"] == {"TopK": 1, "my.Odd": 2}
    assert workload.provenance["notes"] == ["left out, not modelled: 1 x TopK, 2 x my.Odd"]


def test_what_stands_behind_an_unknown_operator_says_so(tmp_path: Path) -> None:
    nodes = [
        node("Odd", ["x"], ["a"], domain="my", name="strange"),
        node("Relu", ["a"], ["b"]),
        node("Relu", ["b"], ["c"]),
    ]
    said = _refusal(tmp_path, _model(nodes, [_value("x", (4, 9))]))
    assert said.endswith("b (Relu): the shape of 'b' is not known: strange (my.Odd) leaves it open")


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ("", "dimension 'seq_len' of input 'x' (axis 1) is free: give seq=SIZE"),
        ("seq=5", "dimension 'wide' of input 'x' (axis 2) is free: give dims=wide:SIZE"),
        ("seq=5,dims=wide:6", "a dimension of input 'x' (axis 3) is free: give dims=x.3:SIZE"),
        ("seq=5,dims=wide:6;x.3:7;other:8", "no free dimension takes 'other'"),
        ("dims=wide", "dims must have the form name:size"),
        ("dims=wide:0", "'wide' must be a whole number from 1 to"),
        ("dims=wide:1;wide:2", "'wide' is given twice"),
        ("seq=5,dims=wide:6;x.3:7;y.0:9", "dimension 'batch' is given as 1 and as 9"),
    ],
)
def test_a_free_dimension_is_asked_for_by_name(tmp_path: Path, settings: str, rule: str) -> None:
    inputs = [_value("x", ["batch", "seq_len", "wide", None]), _value("y", ["batch", 1, 1, 1])]
    model = _model([node("Add", ["x", "y"], ["z"])], inputs)
    with pytest.raises(InputError) as caught:
        _load(tmp_path, model, settings)
    assert rule in str(caught.value)
    (op,) = _ops(tmp_path, model, "batch=2,seq=5,dims=wide:6;x.3:7")
    assert op.elements == 2 * 5 * 6 * 7


def test_a_size_for_a_fixed_dimension_is_refused(tmp_path: Path) -> None:
    model = _model([node("Relu", ["x"], ["y"])], [_value("x", (1, 3))])
    assert "no free dimension takes 'batch'; the inputs are x[1, 3]" in _refusal(tmp_path, model, "batch=8")


def _hostile() -> dict[str, tuple[Any, str]]:
    relu = node("Relu", ["x"], ["y"])
    x = [_value("x", (4, 9))]
    whole = _mlp().SerializeToString()
    external = TensorProto(name="w", dims=(9, 9), data_type=FLOAT, data_location=TensorProto.EXTERNAL)
    external.external_data.add(key="location", value="/etc/passwd")
    product = node("MatMul", ["x", "w"], ["y"])
    branch = helper.make_graph([node("Constant", [], ["c"], value_int=1)], "b", [], [_value("c", (), INT64)])
    short = TensorProto(name="w", dims=(9, 9), data_type=FLOAT, raw_data=b"1234")
    doubling = [node("Concat", [f"s{i}"] * 2, [f"s{i + 1}"], axis=0) for i in range(60)]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("my", 1)]
    bodies = [[node(f"F{i + 1}", [a], [b], domain="my") for a, b in ("ab", "bc")] for i in range(60)]
    bodies.append([node("Relu", ["a"], ["c"])])
    calls = [helper.make_function("my", f"F{i}", ["a"], ["c"], body, opsets) for i, body in enumerate(bodies)]
    again = helper.make_function("my", "F0", ["a"], ["b"], [node("F0", ["a"], ["b"], domain="my")], opsets)
    call = [node("F0", ["x"], ["y"], domain="my")]
    return {
        "empty": (b"", "is empty"),
        "text": (b"name: 'model'\n" * 9, "is not an ONNX model"),
        "truncated": (whole[: len(whole) * 2 // 3], "is not an ONNX model: not a whole protobuf message"),
        "no graph": (helper.make_model(helper.make_graph([], "g", [], [])).SerializeToString()[:2], "it has no graph"),
        "a pickle": (b"\x80\x04\x95\x10\x00\x00\x00.", "is not an ONNX model"),
        "no nodes": (_model([], x), "must hold 1 to 200000 nodes, got 0"),
        "negative": (_model([relu], [_value("x", (4, -9))]), "axis 1 of input 'x' must be at least 0, got -9"),
        "negative weight": (_model([product], x, _weights(w=(-1, 9))), "dimensions must be at least 0, got -1x9"),
        "huge": (_model([relu], [_value("x", (2**40, 2**40))]), "below 2^62"),
        "huge weight": (_model([product], x, _weights(w=(9, 2**62))), "below 2^62"),
        "short weight": (_model([product], x, [short]), "tensor 'w': 9x9 takes 324 bytes, got 4"),
        "external": (_model([product], x, [external]), "'w' keeps its data in another file, which is not opened"),
        "cyclic": (
            _model([node("Relu", ["b"], ["a"], name="loop"), node("Relu", ["a"], ["b"])], x),
            "loop (Relu): reads 'b', which neither an input nor an earlier node gives",
        ),
        "made twice": (_model([relu, relu], x), "makes 'y', which is there already"),
        "unlike sizes": (_model([product], x, _weights(w=(8, 9))), "leaves it open: [ShapeInferenceError]"),
        "if": (
            _model([node("If", ["x"], ["y"], name="if", then_branch=branch, else_branch=branch)], x),
            "if (If): holds a graph of its own",
        ),
        "recurrent": (_model([node("RNN", ["x"] * 3, ["y"], hidden_size=1)], x), "recurrent layers are not modelled"),
        "transposed": (
            _model([node("ConvTranspose", ["x", "w"], ["y"])], [_value("x", (1, 2, 5, 5))], _weights(w=(2, 3, 3, 3))),
            "y (ConvTranspose): this convolution is not modelled",
        ),
        "shapes that double": (_model([node("Shape", ["x"], ["s0"]), *doubling], x), "a shape must be short"),
        "functions that double": (_model(call, x, functions=calls), "must hold 1 to 200000 nodes, got over 10^12"),
        "a function of itself": (_model(call, x, functions=[again]), "function 'F0' calls itself"),
        "a sequence": (
            _model([relu], [helper.make_tensor_sequence_value_info("x", FLOAT, [1])]), "input 'x' must be a tensor",
        ),
        "text operands": (_model([relu], [_value("x", (4,), TensorProto.STRING)]), "type is not modelled"),
    }  # fmt: skip


@pytest.mark.parametrize("name", _hostile())
def test_what_cannot_be_read_gets_one_line(tmp_path: Path, name: str) -> None:
    model, rule = _hostile()[name]
    assert rule in _refusal(tmp_path, model)


def test_paths_that_are_no_files_get_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "loop.onnx").symlink_to(tmp_path / "loop.onnx")
    for name, rule in (("folder", "is a directory"), ("loop", "cannot be read"), ("absent", "no such file")):
        for text in (tmp_path / f"{name}.onnx", f"onnx:file={tmp_path / name}.onnx"):
            with pytest.raises(InputError, match=rule):
                load(text)
    with pytest.raises(UsageError, match="onnx: file=PATH must be given"):
        load("onnx")


def test_a_file_beyond_the_memory_budget_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SILOOM_MEMORY_BYTES", "500")
    assert "more than the memory budget" in _refusal(tmp_path, _mlp())


def test_without_the_package_the_install_line_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingPartError, match=r"needs the onnx package: pip install 'siloom\[onnx\]'") as caught:
        _load(tmp_path, _mlp())
    assert caught.value.exit_code == 5


def test_damaged_bytes_never_escape_as_a_defect(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    whole = _transformer_block().SerializeToString()
    for _ in range(300):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(damaged), rng.integers(1, 5)):
            damaged[at] = rng.integers(0, 256)
        try:
            _load(tmp_path, bytes(damaged), "seq=8")
        except SiloomError as error:
            assert str(error).isprintable()
