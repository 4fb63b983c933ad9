"""ONNX operators that pass over memory: elementwise functions, reductions, pooling and movement.

Operations an element are counted as in :mod:`siloom.workloads.layers`: one for each add, multiply,
divide, root, exponential, logarithm, error function, hyperbolic tangent, comparison and choice. Reads
are whole numbers an output element: an operand that is broadcast (a bias, a mask over heads) counts
by its own size, and the sum is rounded. Indices are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

from siloom.sim.errors import InputError
from siloom.sim.ops import Elementwise, Operation, Reduce
from siloom.workloads.layers import ACTIVATIONS
from siloom.workloads.onnx_graph import Node
from siloom.workloads.onnx_lowering import Handler, Lowering

_ONE_OPERATION = (
    "Abs Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Erf Exp Floor Log Neg Reciprocal Round Sign Sin Sinh Sqrt Tan "
    "ThresholdedRelu IsInf IsNaN Not BitwiseNot CumSum Add Sub Mul Div Pow Mod And Or Xor BitShift BitwiseAnd "
    "BitwiseOr BitwiseXor Where Equal Greater GreaterOrEqual Less LessOrEqual"
)

_FUNCTIONS: Mapping[str, int] = {
    **dict.fromkeys(_ONE_OPERATION.split(), 1),
    "Relu": ACTIVATIONS["relu"][0],
    "Tanh": ACTIVATIONS["tanh"][0],
    "HardSwish": ACTIVATIONS["hardswish"][0],
    "Swish": ACTIVATIONS["silu"][0],
    "Clip": 2,  # max, min
    "LeakyRelu": 2,  # scale, choose
    "PRelu": 2,
    "Softsign": 3,  # |x|, add, divide
    "Softplus": 3,  # exp, add, log
    "Sigmoid": 4,  # negate, exp, add, divide
    "HardSigmoid": 4,  # scale, add, max, min
    "Elu": 4,  # exp, subtract, scale, choose
    "Celu": 5,  # and the division before
    "Selu": 5,  # and the scale behind
    "Mish": 5,  # softplus (3), tanh, multiply
    "QuantizeLinear": 5,  # divide, round, add, max, min
    "DequantizeLinear": 2,  # subtract, scale
    "RotaryEmbedding": 3,  # two multiplies and an add
    "BatchNormalization": 2,  # with running statistics: scale, shift
}
"""Operations an element of the output."""

_NAMES: Mapping[str, str] = {
    "Relu": "relu", "Tanh": "tanh", "HardSwish": "hardswish", "Swish": "silu", "Add": "add", "Mul": "multiply",
    "BatchNormalization": "batchnorm", "RotaryEmbedding": "rotary",
}  # fmt: skip
"""Functions that other workloads have too, by the names that they have there."""

_ONE_OPERAND = frozenset({"BatchNormalization", "RotaryEmbedding", "Clip", "QuantizeLinear", "DequantizeLinear"})
"""Operators whose other inputs are parameters that stay on chip."""


def _pass(
    making: Lowering, node: Node, names: tuple[str, ...], flops: int, function: str, most: int | None = None
) -> Iterator[Operation]:
    """One pass that reads ``names``, at most ``most`` numbers an element, and writes all outputs."""
    outputs = tuple(name for name in node.outputs if name)
    elements = sum(making.elements(node, name) for name in outputs)
    read = sum(making.elements(node, name) for name in names if name)
    reads = round_half_up(read, elements)
    yield Elementwise(
        name=node.name,
        elements=elements,
        reads=reads if most is None else min(reads, most),
        flops_each=flops,
        function=function,
        format=making.format(node, *names, *outputs),
    )


def round_half_up(above: int, below: int) -> int:
    """The whole number nearest to ``above`` / ``below``."""
    return (2 * above + below) // (2 * below)


def _function(making: Lowering, node: Node) -> Iterator[Operation]:
    if node.kind == "BatchNormalization" and node.attributes.get("training_mode"):
        raise InputError("training_mode=1 is not modelled; export the model for inference")
    names = node.inputs[:1] if node.kind in _ONE_OPERAND else node.inputs
    return _first(making, node, names, _FUNCTIONS[node.kind], _NAMES.get(node.kind, node.kind.lower()))


def _first(making: Lowering, node: Node, names: tuple[str, ...], flops: int, function: str) -> Iterator[Operation]:
    """A pass whose first output alone is data."""
    kept = Node(node.name, node.kind, node.domain, node.inputs, node.outputs[:1], node.attributes)
    return _pass(making, kept, names, flops, function)


def _gelu(making: Lowering, node: Node) -> Iterator[Operation]:
    name = "gelu_tanh" if node.attributes.get("approximate") == "tanh" else "gelu"
    return _pass(making, node, node.inputs, ACTIVATIONS[name][0], name)


def _variadic(making: Lowering, node: Node) -> Iterator[Operation]:
    """One operation less than there are operands; the mean divides too."""
    flops = len(node.inputs) - 1 + (node.kind == "Mean")
    return _pass(making, node, node.inputs, flops, {"Sum": "add"}.get(node.kind, node.kind.lower()))


def _cast(making: Lowering, node: Node) -> Iterator[Operation]:
    """Both sides at the wider format; nothing where they are the same."""
    if making.format(node, node.inputs[0]) == making.format(node, node.outputs[0]):
        return iter(())
    return _pass(making, node, node.inputs[:1], 0, "cast")


def _movement(making: Lowering, node: Node) -> Iterator[Operation]:
    """Each output element is read once, or not where it is spread from fewer, and written once."""
    names = node.inputs if node.kind == "Concat" else node.inputs[:1]
    if node.kind == "Transpose":
        shape = making.shape(node, names[0])
        order = node.attributes.get("perm", range(len(shape))[::-1])
        moved = [axis for axis in order if shape[axis] > 1]
        if moved == sorted(moved):
            return iter(())
    if node.kind in ("ConstantOfShape", "Range", "OneHot", "EyeLike"):
        names = ()
    return _pass(making, node, names, 0, node.kind.lower(), most=1)


def _gather(making: Lowering, node: Node) -> Iterator[Operation]:
    table = node.inputs[0]
    embedding = table in making.graph.static and len(making.shape(node, table)) == 2
    yield Elementwise(
        name=node.name,
        elements=making.elements(node, node.outputs[0]),
        flops_each=0,
        function="embedding" if embedding else "gather",
        format=making.format(node, table),
    )


def _resize(making: Lowering, node: Node) -> Iterator[Operation]:
    """Two operations for each neighbour: 2 or 4 of them in each direction that changes; none for the nearest."""
    shape, out = making.shape(node, node.inputs[0]), making.shape(node, node.outputs[0])
    changed = sum(a != b for a, b in zip(shape, out, strict=True))
    taps = {"linear": 2, "cubic": 4}.get(str(node.attributes.get("mode", "nearest")))
    return _pass(making, node, node.inputs[:1], 2 * taps**changed if taps else 0, "resize", most=1)


def _lrn(making: Lowering, node: Node) -> Iterator[Operation]:
    """x^2 and the sum over ``size`` channels, then scale, add, power, divide."""
    return _pass(making, node, node.inputs[:1], int(node.attributes["size"]) + 4, "lrn")


_SUMS: Mapping[str, int] = {
    "ReduceL1": 2, "ReduceL2": 2, "ReduceSumSquare": 2, "ReduceProd": 1, "ReduceLogSum": 1, "ReduceLogSumExp": 2,
}  # fmt: skip
"""Operations an element of reductions that are not a plain sum or maximum."""


def _reduce(making: Lowering, node: Node) -> Iterator[Operation]:
    """One row an output element; what is done once a row (a mean's division) is not counted."""
    elements, rows = making.elements(node, node.inputs[0]), making.elements(node, node.outputs[0])
    form = making.format(node, node.inputs[0])
    if node.kind in _SUMS:
        flops = _SUMS[node.kind]
        yield Elementwise(
            name=node.name, elements=elements, writes=round_half_up(rows, elements), flops_each=flops,
            function=node.kind.lower(), format=form,
        )  # fmt: skip
    elif rows < elements:
        function = "sum" if node.kind in ("ReduceSum", "ReduceMean") else "max"
        yield Reduce(name=node.name, rows=rows, length=elements // rows, function=function, format=form)


def _softmax(making: Lowering, node: Node) -> Iterator[Operation]:
    """Over one axis; before opset 13 over all from it on."""
    shape = making.shape(node, node.inputs[0])
    old = making.graph.opset < 13
    axis = int(node.attributes.get("axis", 1 if old else -1)) if shape else 0
    length = (prod(shape[axis:]) if old else shape[axis]) if shape else 1
    yield _rows(making, node, prod(shape) // length, length, "softmax")


def _rows(making: Lowering, node: Node, rows: int, length: int, function: str) -> Operation:
    return Reduce(
        name=node.name, rows=rows, length=length, function=function, format=making.format(node, node.inputs[0])
    )


def _layernorm(making: Lowering, node: Node) -> Iterator[Operation]:
    shape = making.shape(node, node.inputs[0])
    length = prod(shape[int(node.attributes.get("axis", -1)) :])
    function = "rmsnorm" if node.kind.startswith("RMS") else "layernorm"
    yield _rows(making, node, prod(shape) // length, length, function)


def _groupnorm(making: Lowering, node: Node) -> Iterator[Operation]:
    """A row for each image and group; of InstanceNormalization for each image and channel."""
    shape = making.shape(node, node.inputs[0])
    rows = shape[0] * int(node.attributes["num_groups"] if node.kind.startswith("Group") else shape[1])
    yield _rows(making, node, rows, prod(shape) // rows, "layernorm")


def _pool(making: Lowering, node: Node) -> Iterator[Operation]:
    """One operation for each place of the window, less the first of a maximum; each input is read once."""
    window = prod(int(size) for size in node.attributes["kernel_shape"])
    largest = node.kind == "MaxPool"
    function = "max_pool" if largest else "average_pool"
    return _first(making, node, node.inputs[:1], window - largest, function)


def _global_pool(making: Lowering, node: Node) -> Iterator[Operation]:
    shape = making.shape(node, node.inputs[0])
    function = "max" if node.kind == "GlobalMaxPool" else "sum"
    yield _rows(making, node, shape[0] * shape[1], prod(shape[2:]), function)


_MOVEMENTS = (
    "CenterCropPad Compress Concat ConstantOfShape DepthToSpace Expand EyeLike GatherElements GatherND OneHot Pad "
    "Range ReverseSequence ScatterElements ScatterND Slice SpaceToDepth Split Tile Transpose Trilu"
)

PASSES: Mapping[str, Handler] = {
    **dict.fromkeys(_FUNCTIONS, _function),
    **dict.fromkeys(("Max", "Min", "Sum", "Mean"), _variadic),
    **dict.fromkeys((*_SUMS, "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ArgMax", "ArgMin"), _reduce),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _layernorm),
    **dict.fromkeys(("GroupNormalization", "InstanceNormalization"), _groupnorm),
    **dict.fromkeys(("MaxPool", "AveragePool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global_pool),
    **dict.fromkeys(_MOVEMENTS.split(), _movement),
    **dict.fromkeys(("Cast", "CastLike"), _cast),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    "Gather": _gather,
    "Gelu": _gelu,
    "LRN": _lrn,
}
"""Operators that pass over memory."""
