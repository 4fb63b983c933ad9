"""ONNX's products and convolutions as :class:`MatMul` and :class:`Conv`; integer ones are int8.

Biases, scales (``alpha``, quantisation) and zero points are part of the product they belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod

from siloom.sim.errors import InputError
from siloom.sim.ops import Attention, Conv, Elementwise, MatMul, Operation, Reduce
from siloom.workloads.onnx_graph import Node
from siloom.workloads.onnx_lowering import Handler, Lowering

Shape = tuple[int, ...]


def _product(making: Lowering, node: Node, a: str, b: str, form: str) -> Iterator[Operation]:
    """A product as numpy's matmul has it; one matrix under a stack of others makes a single, longer product."""
    shape_a, shape_b = making.shape(node, a), making.shape(node, b)
    out = making.shape(node, node.outputs[0])
    left, right = _matrix(shape_a, first=True), _matrix(shape_b, first=False)
    if left[-1] != right[-2]:
        raise InputError(f"inner sizes must be equal, got {list(shape_a)} times {list(shape_b)}")
    if not left[-1]:
        return
    m, k, n = left[-2], left[-1], right[-1]
    batch = prod(out) // (m * n)
    if batch * m * n != prod(out):
        raise InputError(f"{list(shape_a)} times {list(shape_b)} does not make {list(out)}")
    fixed_a, fixed_b = a in making.graph.static, b in making.graph.static
    if prod(right[:-2]) == 1:
        yield MatMul(name=node.name, m=batch * m, n=n, k=k, format=form, shared=fixed_b)
    elif prod(left[:-2]) == 1 and fixed_a:  # (A B)^T = B^T A^T, where A is the weights
        yield MatMul(name=node.name, m=batch * n, n=m, k=k, format=form, shared=True)
    else:
        yield MatMul(name=node.name, m=m, n=n, k=k, batch=batch, format=form)


def _matrix(shape: Shape, *, first: bool) -> Shape:
    """A vector is a row on the left and a column on the right."""
    if len(shape) == 1:
        return (1, *shape) if first else (*shape, 1)
    return shape


def _matmul(a: int, b: int, form: str = "") -> Handler:
    """A product of the node's inputs ``a`` and ``b``."""

    def handler(making: Lowering, node: Node) -> Iterator[Operation]:
        names = node.inputs[a], node.inputs[b]
        return _product(making, node, *names, form or making.format(node, *names))

    return handler


def _gemm(making: Lowering, node: Node) -> Iterator[Operation]:
    """A' B' + C; a C of one value a column (or fewer) is a bias, another an addition of its own."""
    a, b = making.shape(node, node.inputs[0]), making.shape(node, node.inputs[1])
    m, k = a[::-1] if node.attributes.get("transA") else a
    inner, n = b[::-1] if node.attributes.get("transB") else b
    if k != inner:
        raise InputError(f"inner sizes must be equal, got {m} x {k} times {inner} x {n}")
    form = making.format(node, *node.inputs[:2])
    if k:
        yield MatMul(name=node.name, m=m, n=n, k=k, format=form, shared=node.inputs[1] in making.graph.static)
    if len(node.inputs) > 2 and node.inputs[2] and making.elements(node, node.inputs[2]) > max(m, n):
        yield Elementwise(name=f"{node.name}.add", elements=m * n, reads=2, format=form)


def _einsum(making: Lowering, node: Node) -> Iterator[Operation]:
    """Two operands, each letter once in each: the letters of both and of none but them are summed."""
    equation = "".join(str(node.attributes["equation"]).split())
    inputs, arrow, out = equation.partition("->")
    terms = inputs.split(",")
    letters = [*terms, out]
    if not arrow or len(terms) != 2 or any(not term.isalpha() or len(set(term)) < len(term) for term in letters):
        raise InputError(f"only two operands with each letter once are modelled, got '{equation}'")
    sizes: dict[str, int] = {}
    for term, name in zip(terms, node.inputs, strict=True):
        sizes.update(zip(term, making.shape(node, name), strict=True))
    a, b, c = (set(term) for term in letters)
    if (a - b - c) or (b - a - c) or not c <= a | b:
        raise InputError(f"letters of one operand alone must stay in the result, got '{equation}'")
    batch, m, n, k = (prod(sizes[x] for x in group) for group in (a & b & c, a - b, b - a, (a & b) - c))
    if k:
        fixed = node.inputs[1] in making.graph.static and not (a & b & c)
        form = making.format(node, *node.inputs)
        yield MatMul(name=node.name, m=m, n=n, k=k, batch=batch, format=form, shared=fixed)


def _attention(making: Lowering, node: Node) -> Iterator[Operation]:
    """ONNX's own Attention: one operation where queries and keys are as many, else its three parts."""
    if any(node.inputs[4:6]):
        raise InputError("past keys and values are not modelled")
    q, k, v = (making.shape(node, name) for name in node.inputs[:3])
    if len(q) == 3:
        heads, kv_heads = int(node.attributes["q_num_heads"]), int(node.attributes["kv_num_heads"])
        q, k, v = ((s[0], h, s[1], s[2] // h) for s, h in ((q, heads), (k, kv_heads), (v, kv_heads)))
    batch, heads, seq, dim = q
    keys, kv_heads, out_dim, form = k[2], k[1], v[3], making.format(node, *node.inputs[:3])
    if keys == seq and out_dim == dim:
        yield Attention(
            name=node.name,
            seq=seq,
            heads=heads,
            dim=dim,
            batch=batch,
            causal=bool(node.attributes.get("is_causal")),
            format=form,
            kv_heads=0 if kv_heads == heads else kv_heads,
            mask=any(node.inputs[3:4]),
        )
        return
    yield MatMul(name=f"{node.name}.scores", m=seq, n=keys, k=dim, batch=batch * heads, format=form)
    yield Reduce(name=f"{node.name}.softmax", rows=batch * heads * seq, length=keys, function="softmax", format=form)
    yield MatMul(name=f"{node.name}.values", m=seq, n=out_dim, k=keys, batch=batch * heads, format=form)


def _conv(x: int, w: int, form: str = "") -> Handler:
    """A convolution of the node's inputs ``x`` [n, c, ...] and ``w`` [k, c / groups, ...]."""

    def handler(making: Lowering, node: Node) -> Iterator[Operation]:
        shape, filters = making.shape(node, node.inputs[x]), making.shape(node, node.inputs[w])
        out = making.shape(node, node.outputs[0])
        number_format = form or making.format(node, node.inputs[x], node.inputs[w])
        yield _convolution(making, node, shape, filters, out, number_format)

    return handler


def _convolution(making: Lowering, node: Node, x: Shape, w: Shape, out: Shape, form: str) -> Operation:
    """One convolution; its multiplies are out * r s * c / groups in every case.

    ``Conv`` has one stride and one padding for all sides. Sides that are padded more than the least
    padded one are taken as an input that much larger. Dilated filters, strides of two sizes and three
    dimensions become the product that they are lowered to. Both are noted.
    """
    groups = int(node.attributes.get("group", 1))
    spatial = len(x) - 2
    if len(w) != len(x) or len(out) != len(x) or w[1] * groups != x[1] or not spatial:
        raise InputError(f"filters {list(w)} in {groups} groups do not fit the input {list(x)}")
    strides = _list(node, "strides", 1, spatial)
    dilations = _list(node, "dilations", 1, spatial)
    lead, trail = _pads(node, x[2:], w[2:], strides, dilations, out[2:])
    product: Callable[[str], Operation] = lambda why: _lowered(making, node, w, out, groups, form, why)  # noqa: E731
    if spatial > 2:
        return product(f"{spatial} dimensions")
    if any(d > 1 and size > 1 for d, size in zip(dilations, w[2:], strict=True)):
        return product("dilated filters")
    pads = [*lead, *trail]
    pad = max(0, min(pads)) if spatial == 2 else 0
    sizes = [size + a + b - 2 * pad for size, a, b in zip(x[2:], lead, trail, strict=True)]
    # Where one window is all there is, its stride does not matter and what it does not reach is not read.
    steps = {s for s, o in zip(strides, out[2:], strict=True) if o > 1}
    if len(steps) > 1:
        return product(f"strides {' x '.join(map(str, strides))}")
    stride = steps.pop() if steps else strides[0]
    for axis, one in enumerate(o == 1 for o in out[2:]):
        if one and strides[axis] != stride:
            sizes[axis] = w[2 + axis] - 2 * pad
    if min(sizes) < 1:  # no input but padding is left of it
        return product("a single window")
    if spatial == 2 and len(set(pads)) > 1:
        making.notes.append(f"{node.name}: pads {pads} are taken as pad {pad} of an input {sizes[0]} x {sizes[1]}")
    h, width = (1, *sizes)[-2:]
    r, s = (1, *w[2:])[-2:]
    op = Conv(
        name=node.name, h=h, w=width, c=x[1], r=r, s=s, k=w[0], stride=stride, pad=pad, groups=groups, batch=x[0],
        format=form,
    )  # fmt: skip
    if op.out_hw != (1, *out[2:])[-2:]:
        raise InputError(f"strides and pads make {op.out_hw}, not the inferred {list(out[2:])}")
    return op


def _list(node: Node, name: str, default: int, count: int) -> list[int]:
    found = [int(value) for value in node.attributes.get(name, [default] * count)]
    if len(found) != count or min(found) < 1:
        raise InputError(f"{name} must be {count} numbers of at least 1, got {found}")
    return found


def _pads(
    node: Node, x: Shape, w: Shape, strides: list[int], dilations: list[int], out: Shape
) -> tuple[list[int], list[int]]:
    """Padding before and after, by direction; ``auto_pad`` is as much as the outputs need."""
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto == "NOTSET":
        pads = [int(value) for value in node.attributes.get("pads", [0] * 2 * len(x))]
        if len(pads) != 2 * len(x) or min(pads) < 0:
            raise InputError(f"pads must be {2 * len(x)} numbers of at least 0, got {pads}")
        return pads[: len(x)], pads[len(x) :]
    total = [
        0 if auto == "VALID" else max(0, (o - 1) * step + (size - 1) * d + 1 - i)
        for i, size, step, d, o in zip(x, w, strides, dilations, out, strict=True)
    ]
    half = [t // 2 for t in total]
    rest = [t - t // 2 for t in total]
    return (rest, half) if auto == "SAME_LOWER" else (half, rest)


def _lowered(making: Lowering, node: Node, w: Shape, out: Shape, groups: int, form: str, why: str) -> Operation:
    making.notes.append(f"{node.name}: {why}: taken as the product that it is lowered to")
    return MatMul(
        name=node.name,
        m=out[0] * prod(out[2:]),
        n=w[0] // groups,
        k=prod(w[1:]),
        batch=groups,
        format=form,
        shared=groups == 1,
    )


PRODUCTS: Mapping[str, Handler] = {
    "MatMul": _matmul(0, 1),
    "MatMulInteger": _matmul(0, 1, "int8"),
    "QLinearMatMul": _matmul(0, 3, "int8"),
    "Gemm": _gemm,
    "Einsum": _einsum,
    "Attention": _attention,
    "Conv": _conv(0, 1),
    "ConvInteger": _conv(0, 1, "int8"),
    "QLinearConv": _conv(0, 3, "int8"),
}
"""Operators that multiply."""
