"""What is refused of an ONNX model before the library works on it.

The library's shape inference and inlining run in native code and trust their input: a few hundred
bytes can ask for exponential work. These checks bound it first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import Any

from siloom.sim.errors import InputError
from siloom.sim.ops import FORMAT_BITS
from siloom.workloads.bounds import place
from siloom.workloads.onnx_graph import FLOATS, STANDARD_DOMAINS, WHOLE

MAX_NODES = 200_000
"""Nodes with all functions in place; large language models have some 10^4."""

SMALL = 4096
"""Elements up to which a tensor's values are kept: shapes and axes are read from them."""

_MAX_FUNCTIONS = 4096
_MAX_PROPAGATED = 1 << 16
_EXTERNAL = 1  # TensorProto.EXTERNAL
_TENSOR, _SPARSE = (4, 9), (11, 12)  # AttributeProto: TENSOR, TENSORS; SPARSE_TENSOR, SPARSE_TENSORS
_GRAPH = (5, 10)  # GRAPH, GRAPHS

_PROPAGATING = frozenset(
    [
        "Add",
        "Cast",
        "Concat",
        "Div",
        "Flatten",
        "Gather",
        "Identity",
        "Mul",
        "Range",
        "Reshape",
        "Shape",
        "Size",
        "Slice",
        "Squeeze",
        "Sub",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)
"""Operators through which values of shapes may be followed."""


def name_of(node: Any) -> str:
    """What messages and operations call a node: its name, or its first output's."""
    return node.name or next((output for output in node.output if output), "") or node.op_type


def tensors_of(nodes: Iterable[Any]) -> Iterator[Any]:
    """The tensors that nodes hold as attributes."""
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type in _TENSOR:
                yield from (attribute.t, *attribute.tensors)


def check_names(where: str, model: Any) -> None:
    """Refuse names that are not text, which the library hands on as bytes.

    Raises:
        InputError: there is one.
    """
    if not all(isinstance(name, str) for name in _names(model)):
        raise InputError(f"{where}: is not an ONNX model: a name is not text")


def _names(model: Any) -> Iterator[Any]:
    graph = model.graph
    yield from (opset.domain for opset in model.opset_import)
    yield from (tensor.name for tensor in graph.initializer)
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.name
        yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)
    for function in model.functions:
        yield from (function.name, function.domain, *function.input, *function.output, *function.attribute)
    for nodes in (graph.node, *(function.node for function in model.functions)):
        for node in nodes:
            yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
            for attribute in node.attribute:
                yield from (attribute.name, attribute.t.name, *(tensor.name for tensor in attribute.tensors))


def check_nodes(where: str, nodes: Iterable[Any]) -> None:
    """Refuse nodes with graphs of their own and sparse constants.

    Raises:
        InputError: naming the node.
    """
    for node in nodes:
        at = f"{where}: {place(name_of(node))} ({place(node.op_type)})"
        for attribute in node.attribute:
            if attribute.type in _GRAPH or attribute.HasField("g") or attribute.graphs:
                raise InputError(f"{at}: holds a graph of its own, which depends on values; unroll it when exporting")
            if attribute.type in _SPARSE:
                raise InputError(f"{at}: sparse tensors are not read; store it as a dense one")


def check_tensor(where: str, tensor: Any) -> None:
    """Refuse external data, dimensions below 0, and data that is not as large as the shape says.

    A tensor may hold no data at all: then only its shape counts. Values of large tensors are dropped
    here, in place: shapes never depend on them.

    Raises:
        InputError: naming the tensor.
    """
    at = f"{where}: tensor '{place(tensor.name)}'"
    if tensor.data_location == _EXTERNAL or tensor.external_data:
        raise InputError(f"{at} keeps its data in another file, which is not opened; save the model as one file")
    if any(size < 0 for size in tensor.dims):
        raise InputError(f"{at}: dimensions must be at least 0, got {_dims(tensor.dims)}")
    form = FLOATS.get(tensor.data_type) or WHOLE.get(tensor.data_type)
    if form is None:
        raise InputError(f"{at}: must hold numbers or truth values, got data type {tensor.data_type}")
    elements = prod(tensor.dims)
    entries = sum(map(len, (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data)))
    entries += len(tensor.uint64_data)
    needed = (elements * FORMAT_BITS[form] + 7) // 8
    if tensor.raw_data and len(tensor.raw_data) != needed:
        raise InputError(f"{at}: {_dims(tensor.dims)} takes {needed} bytes, got {len(tensor.raw_data)}")
    packed = needed if form == "int4" else elements
    if not tensor.raw_data and entries and entries not in (elements, packed):
        raise InputError(f"{at}: {_dims(tensor.dims)} takes {elements} values, got {entries}")
    if elements > SMALL:
        for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
            tensor.ClearField(field)


def check_functions(where: str, model: Any) -> None:
    """Refuse functions that call themselves, and calls that make more than ``MAX_NODES`` nodes.

    Raises:
        InputError: naming the function, or the number of nodes.
    """
    if len(model.functions) > _MAX_FUNCTIONS:
        raise InputError(f"{where}: must hold at most {_MAX_FUNCTIONS} functions, got {len(model.functions)}")
    bodies = {_key(f.domain, f.name): [_key(node.domain, node.op_type) for node in f.node] for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}
    for start in bodies:
        stack, under = [start], {start}
        while stack:
            called = next((key for key in bodies[stack[-1]] if key in bodies and key not in sizes), None)
            if called in under:
                raise InputError(f"{where}: function '{place(called[1])}' calls itself")
            if called is not None:
                stack.append(called)
                under.add(called)
                continue
            done = stack.pop()
            under.discard(done)
            sizes[done] = sum(sizes.get(key, 1) for key in bodies[done])
    nodes = sum(sizes.get(_key(node.domain, node.op_type), 1) for node in model.graph.node)
    if not 1 <= nodes <= MAX_NODES:
        raise InputError(f"{where}: must hold 1 to {MAX_NODES} nodes, got {nodes if nodes < 10**12 else 'over 10^12'}")


def check_order(where: str, graph: Any) -> None:
    """Refuse nodes that read what no earlier one makes (a cycle is one such), and names made twice.

    Raises:
        InputError: naming the node and the tensor.
    """
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        at = f"{where}: {place(name_of(node))} ({place(node.op_type)})"
        for name in node.input:
            if name and name not in known:
                raise InputError(f"{at}: reads '{place(name)}', which neither an input nor an earlier node gives")
        for name in node.output:
            if name and name in known:
                raise InputError(f"{at}: makes '{place(name)}', which is there already")
            known.add(name)


def check_propagation(where: str, graph: Any) -> None:
    """Refuse shapes computed from ever longer ones: following values through them takes exponential memory.

    Raises:
        InputError: naming the node.
    """
    lengths = {t.name: prod(t.dims) for t in graph.initializer if prod(t.dims) <= SMALL}
    for node in graph.node:
        if node.domain not in STANDARD_DOMAINS:
            continue
        if node.op_type == "Constant":
            found = max((prod(t.dims) for t in tensors_of([node])), default=SMALL)
            found = found if found <= SMALL else 0
        elif node.op_type == "Shape":
            found = 64
        elif node.op_type in _PROPAGATING:
            read = [lengths.get(name, 0) for name in node.input]
            found = sum(read) if node.op_type == "Concat" else max(read, default=0)
        else:
            found = 0
        if found > _MAX_PROPAGATED:
            raise InputError(f"{where}: {place(name_of(node))}: a shape must be short, got up to {found} values")
        for name in node.output:
            lengths[name] = found


def _key(domain: str, name: str) -> tuple[str, str]:
    return ("" if domain in STANDARD_DOMAINS else domain), name


def _dims(dims: Iterable[int]) -> str:
    return place("x".join(map(str, dims)) or "a scalar")
