"""ONNX files as graphs with every shape known; weights are looked at by their shapes only.

Nothing of a model is run, and no other file is opened. A file is read in this order: its size and
its protobuf; what :mod:`siloom.workloads.onnx_checks` refuses; functions put in place of their calls;
sizes for the free dimensions of the inputs; ONNX's shape inference, with what it leaves open followed
through small whole numbers (:mod:`siloom.workloads.onnx_fold`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from siloom.sim.errors import InputError, MissingPartError
from siloom.workloads.bounds import check_bytes, place
from siloom.workloads.onnx_checks import (
    SMALL,
    check_functions,
    check_names,
    check_nodes,
    check_order,
    check_propagation,
    check_tensor,
    name_of,
    tensors_of,
)
from siloom.workloads.onnx_dims import Dims, bind_declared, bind_inputs
from siloom.workloads.onnx_fold import Array, fold
from siloom.workloads.onnx_graph import STANDARD_DOMAINS, Graph, Node, Tensor
from siloom.workloads.regular_file import regular_file_size

INSTALL = "pip install 'siloom[onnx]'"
_MAX_BYTES = (1 << 31) - 1  # a protobuf's own limit
_COPIES = 3  # the file, its parsed form, and small change
_MAX_ROUNDS = 32
_LONGEST_NAME = 200
_RANDOM = frozenset(
    ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"]
)


def read_onnx(path: Path, dims: Dims) -> Graph:
    """The graph of a file, with ``dims`` for its inputs' free dimensions.

    Raises:
        MissingPartError: the ``onnx`` package is not installed.
        InputError: not an ONNX model, one that asks for what is refused, or a dimension not given.
    """
    where = place(path)
    size = regular_file_size(path)
    if size > _MAX_BYTES:
        raise InputError(f"{where}: must be at most {_MAX_BYTES} bytes, got {size}")
    check_bytes(where, _COPIES * size, f"an ONNX model of {size} bytes")
    onnx = _library(where)
    try:
        return _graph(onnx, where, _parsed(onnx, where, path), dims)
    except UnicodeDecodeError:
        raise InputError(f"{where}: is not an ONNX model: a name is not text") from None
    except RecursionError:
        raise InputError(f"{where}: is nested too deeply") from None


def _library(where: str) -> Any:
    try:
        return importlib.import_module("onnx")
    except ImportError:
        raise MissingPartError(f"{where}: reading ONNX models needs the onnx package: {INSTALL}") from None


def _parsed(onnx: Any, where: str, path: Path) -> Any:
    message = importlib.import_module("google.protobuf.message")
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror}") from None
    except message.DecodeError:
        raise InputError(f"{where}: is not an ONNX model: not a whole protobuf message") from None
    if not model.HasField("graph") or not model.opset_import:
        raise InputError(f"{where}: is not an ONNX model: it has no {'opset' if model.HasField('graph') else 'graph'}")
    return model


def _graph(onnx: Any, where: str, model: Any, dims: Dims) -> Graph:
    check_names(where, model)
    if model.graph.sparse_initializer:
        raise InputError(f"{where}: sparse weights are not read; store them as dense ones")
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        check_nodes(where, nodes)
        for tensor in tensors_of(nodes):
            check_tensor(where, tensor)
    for tensor in model.graph.initializer:
        check_tensor(where, tensor)
    check_functions(where, model)
    if model.functions:
        inliner = importlib.import_module("onnx.inliner")
        model = _trusting(where, inliner.inline_local_functions, model)
    graph = model.graph
    check_order(where, graph)
    check_propagation(where, graph)
    stored = {tensor.name for tensor in graph.initializer}
    bind_inputs(where, [value for value in graph.input if value.name not in stored], dims)
    _keep_declared_where_needed(onnx, graph, dims.bound)
    model, values = _inferred(onnx, where, model)
    tensors = _tensors(where, model.graph)
    nodes = tuple(_node(onnx, where, node) for node in model.graph.node)
    weights = tuple(Tensor(tuple(t.dims), t.data_type) for t in model.graph.initializer if t.data_type not in (6, 7, 9))
    return Graph(
        where=where,
        nodes=nodes,
        tensors=tensors,
        static=_static(nodes, stored | values),
        weights=weights,
        opset=max((o.version for o in model.opset_import if o.domain in STANDARD_DOMAINS), default=1),
        dims=dict(dims.bound),
        complaint="" if _all_known(model.graph, tensors) else _complaint(onnx, model),
    )


def _trusting(where: str, function: Any, *arguments: Any, **options: Any) -> Any:
    """A call of the library, whose own errors become one line."""
    try:
        return function(*arguments, **options)
    except MemoryError:
        raise
    except Exception as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{where}: onnx refuses the model: {place(said)}") from None


def _keep_declared_where_needed(onnx: Any, graph: Any, bound: Mapping[str, int]) -> None:
    """Drop inner shapes that inference finds by itself: exporters leave wrong ones where a size was free."""
    foreign = {
        name for node in graph.node if not onnx.defs.has(node.op_type, _domain(node.domain)) for name in node.output
    }
    kept = [value for value in graph.value_info if value.name in foreign]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    for value in graph.value_info:
        bind_declared(value, bound)
    for value in graph.output:
        if value.name in foreign:
            bind_declared(value, bound)
        else:
            value.ClearField("type")


def _domain(name: str) -> str:
    return "" if name in STANDARD_DOMAINS else name


def _inferred(onnx: Any, where: str, model: Any) -> tuple[Any, set[str]]:
    """The model with inferred shapes, and the names of the tensors whose values were followed.

    Each round adds the shapes that the values found in the one before decide.
    """
    folded: set[str] = set()
    for _ in range(_MAX_ROUNDS):
        model = _trusting(where, onnx.shape_inference.infer_shapes, model, data_prop=True)
        tensors = _tensors(where, model.graph)
        if all(
            tensors.get(name, Tensor(None, 0)).shape is not None for n in model.graph.node for name in n.output if name
        ):
            break
        found = _followed(onnx, model.graph, tensors)
        new = {name: value for name, value in found.items() if name not in folded}
        if not new:
            break
        _store(onnx, model.graph, new)
        folded |= new.keys()
    return model, folded


def _all_known(graph: Any, tensors: Mapping[str, Tensor]) -> bool:
    names = (name for node in graph.node for name in node.output if name)
    return all(tensors.get(name, Tensor(None, 0)).shape is not None for name in names)


def _complaint(onnx: Any, model: Any) -> str:
    """The first thing that the library's strict inference finds wrong."""
    try:
        onnx.shape_inference.infer_shapes(model, data_prop=True, strict_mode=True)
    except Exception as error:
        return place(" ".join(str(error).split()))
    return ""


def _followed(onnx: Any, graph: Any, tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    """Small whole numbers that nodes compute, by the tensors' names."""
    known: dict[str, Array] = {}
    for tensor in graph.initializer:
        if (value := _value(onnx, tensor)) is not None:
            known[tensor.name] = value
    found: dict[str, Array] = {}
    for node in graph.node:
        if node.domain not in STANDARD_DOMAINS or len(node.output) != 1:
            continue
        result = _folded(onnx, node, known, tensors)
        if result is not None:
            known[node.output[0]] = found[node.output[0]] = result
    return found


def _folded(onnx: Any, node: Any, known: Mapping[str, Array], tensors: Mapping[str, Tensor]) -> Array | None:
    attributes = _attributes(onnx, node)
    if node.op_type in ("Shape", "Size") and node.input:
        shape = tensors.get(node.input[0], Tensor(None, 0)).shape
        if shape is None:
            return None
        whole = np.array(shape, dtype=np.int64)
        if node.op_type == "Size":
            return np.array(whole.prod(), dtype=np.int64)
        return whole[attributes.get("start", 0) : attributes.get("end", len(shape))]
    if node.op_type == "Constant":
        for attribute in node.attribute:
            if attribute.name == "value":
                return _value(onnx, attribute.t)
            if attribute.name in ("value_int", "value_ints"):
                return np.array(onnx.helper.get_attribute_value(attribute), dtype=np.int64)
        return None
    if node.op_type == "ConstantOfShape":
        given = next((_value(onnx, a.t) for a in node.attribute if a.name == "value"), None)
        attributes = {**attributes, "value": given}
    return fold(node.op_type, [known.get(name) if name else None for name in node.input], attributes)


def _value(onnx: Any, tensor: Any) -> Array | None:
    """The values of a small tensor of whole numbers."""
    if tensor.data_type not in (6, 7, 9) or np.prod(tensor.dims, dtype=float) > SMALL:
        return None
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except (ValueError, TypeError):
        return None


def _store(onnx: Any, graph: Any, values: Mapping[str, Array]) -> None:
    """Put values where nodes computed them."""
    kept = [node for node in graph.node if not (len(node.output) == 1 and node.output[0] in values)]
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in values.items())
    others = [value for value in graph.value_info if value.name not in values]
    del graph.value_info[:]
    graph.value_info.extend(others)


def _tensors(where: str, graph: Any) -> dict[str, Tensor]:
    """Shape and type of each tensor that has a type."""
    found = {}
    for value in (*graph.value_info, *graph.output, *graph.input):
        if value.type.HasField("tensor_type"):
            inner = value.type.tensor_type
            axes = inner.shape.dim
            known = inner.HasField("shape") and all(dim.HasField("dim_value") for dim in axes)
            shape = tuple(dim.dim_value for dim in axes) if known else None
            if shape is not None and min(shape, default=0) < 0:
                raise InputError(f"{where}: tensor '{place(value.name)}': dimensions must be at least 0, got {shape}")
            found[value.name] = Tensor(shape, inner.elem_type)
    for tensor in graph.initializer:
        found[tensor.name] = Tensor(tuple(tensor.dims), tensor.data_type)
    return found


def _static(nodes: tuple[Node, ...], stored: set[str]) -> frozenset[str]:
    """What follows from weights and sizes alone: every runtime computes it once, before the first input."""
    found = set(stored)
    for node in nodes:
        by_shape = node.kind in ("Shape", "Size") and node.domain in STANDARD_DOMAINS
        if by_shape or (node.kind not in _RANDOM and all(name in found for name in node.inputs if name)):
            found.update(name for name in node.outputs if name)
    return frozenset(found)


def _node(onnx: Any, where: str, node: Any) -> Node:
    name = name_of(node)
    name = name if name.isprintable() else ascii(name)
    attributes = _trusting(where, _attributes, onnx, node)
    return Node(name[:_LONGEST_NAME], node.op_type, node.domain, tuple(node.input), tuple(node.output), attributes)


def _attributes(onnx: Any, node: Any) -> dict[str, Any]:
    """Numbers, words and lists of numbers; tensors are passed over."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute) if attribute.type in (1, 2, 3, 6, 7) else None
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if value is not None:
            found[attribute.name] = list(value) if attribute.type in (6, 7) else value
    return found
