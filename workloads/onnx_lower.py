"""Operations of an ONNX graph: a table of operators, each with what makes operations of one node.

- :mod:`siloom.workloads.onnx_products`: products and convolutions;
- :mod:`siloom.workloads.onnx_passes`: what passes over memory: elementwise, reductions, pooling, movement.

Nothing is matched across nodes: attention written as products and a softmax stays that. Nodes whose
result follows from weights and sizes alone make no operation, nor do those that only name the same
bytes anew (``VIEWS``). Operators that are not in the table are left out and counted; those whose work
cannot be left out without making the rest meaningless are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from siloom.sim.errors import InputError
from siloom.sim.ops import FORMAT_BITS, Item
from siloom.workloads.bounds import place
from siloom.workloads.onnx_graph import FLOATS, STANDARD_DOMAINS, WHOLE, Graph, Node, Tensor
from siloom.workloads.onnx_lowering import Handler, Lowering
from siloom.workloads.onnx_passes import PASSES
from siloom.workloads.onnx_products import PRODUCTS

_TABLE: Mapping[str, Handler] = {**PRODUCTS, **PASSES}

VIEWS = frozenset({"Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators that leave all bytes where they are."""

REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("If", "Loop", "Scan", "SequenceMap"), "depends on values"),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), "recurrent layers are not modelled"),
    **dict.fromkeys(("ConvTranspose", "DeformConv", "CausalConvWithState"), "this convolution is not modelled"),
    **dict.fromkeys(("FlexAttention", "LinearAttention"), "this attention is not modelled"),
}
"""Operators that would be most of a model's work."""


def lower(graph: Graph, number_format: str) -> tuple[tuple[Item, ...], dict[str, Any]]:
    """The operations of a graph in its order, and what to say of them.

    Raises:
        InputError: a refused operator, a shape that is not known, or sizes that an operation refuses.
    """
    making = Lowering(graph, number_format)
    items: list[Item] = []
    for node in graph.nodes:
        standard = node.domain in STANDARD_DOMAINS
        if standard and node.kind in REFUSED:
            raise InputError(f"{making.at(node)}: {REFUSED[node.kind]}")
        if all(name in graph.static for name in node.outputs if name) or (standard and node.kind in VIEWS):
            continue
        if not standard or node.kind not in _TABLE:
            making.left_out[node.title] += 1
            continue
        items.extend(_items(making, node, _TABLE[node.kind]))
    if not items:
        raise InputError(f"{graph.where}: holds no operation that is modelled")
    return tuple(items), _about(making)


def _items(making: Lowering, node: Node, handler: Handler) -> Iterable[Item]:
    """A node's operations; none where it has nothing to compute."""
    if 0 in (size for name in node.outputs[:1] for size in making.shape(node, name)):
        return ()
    at = making.at(node)
    try:
        return [Item(op) for op in handler(making, node)]
    except InputError as error:
        message = str(error)
        raise InputError(message if message.startswith(making.graph.where) else f"{at}: {message}") from None
    except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        # Shape inference passes over what it finds wrong in a node; here that comes to light.
        raise InputError(f"{at}: its inputs or attributes do not fit together ({type(error).__name__})") from None


def _about(making: Lowering) -> dict[str, Any]:
    graph = making.graph
    about: dict[str, Any] = {"opset": graph.opset, "dims": dict(graph.dims)}
    forms = [(_weight_format(making, weight), weight.elements) for weight in graph.weights]
    about["parameters"] = sum(count for _, count in forms)
    about["resident_bytes"] = sum((count * FORMAT_BITS[form] + 7) // 8 for form, count in forms)
    notes = list(making.notes)
    if making.left_out:
        about["left_out"] = {place(title): count for title, count in sorted(making.left_out.items())}
        listed = ", ".join(f"{count} x {title}" for title, count in about["left_out"].items())
        notes.append(f"left out, not modelled: {listed}")
    if (
        any(node.kind in ("QuantizeLinear", "DequantizeLinear") for node in graph.nodes)
        and making.number_format == "auto"
    ):
        notes.append("products between quantised tensors are in their floats' format; format=int8 sets another")
    return {**about, "notes": notes}


def _weight_format(making: Lowering, weight: Tensor) -> str:
    if weight.type in FLOATS and making.number_format != "auto":
        return making.number_format
    return FLOATS.get(weight.type) or WHOLE[weight.type]
