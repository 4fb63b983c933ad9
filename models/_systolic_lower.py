"""Operations as work for systolic arrays: dense products, and what the vector unit does between them.

- A product whose B is shared by the batch is one product with that many more rows.
- A convolution is a product of its input windows with its filters: m = images x output positions,
  n = filters, k = channels x window, windows being cut out on the way from the SRAM to the array; so SRAM reads
  count every element of every window, memory traffic only the inputs themselves (halos between blocks too).
- Groups of a convolution are products of their own. Where they are small (depthwise: k = window, n = 1),
  several are laid side by side as one product with a block-diagonal B: its zeros cost multiplies that nobody asked
  for, but rows and columns that would lie idle work. As many as make the array fastest.
- Attention is Q K', a softmax, P V (backward: five products). Where a band of scores, as many queries as the array
  has rows, fits twice into the SRAMs, scores stay on chip and the vector unit works on one band
  while the array works on others; else they go through memory. A causal mask is kept by bands of queries: scores
  right of a band's last query are not computed. Low bands waste less, high ones read keys less often; the
  height is taken that is fastest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from siloom.models._systolic_array import ACCUMULATORS, Core, Product, Step, Vector, accumulator_of, run_steps
from siloom.sim.engine.systolic import array_cycles
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.ops import (
    FORMAT_BITS,
    Attention,
    Conv,
    Elementwise,
    MatMul,
    Operation,
    Reduce,
    format_bytes,
)

OPERATIONS = (MatMul, Conv, Attention, Elementwise, Reduce)
"""What :func:`lower` takes."""

_MOST_BANDS = 64
"""Bands of queries in which a causal mask is kept, at most: a 64th of the work is wasted then."""


_Layout = Callable[[Product], Product]


def _as_asked(product: Product) -> Product:
    return product


def lower(
    op: Operation, core: Core, form: str, accumulator: str | None = None, layout: _Layout = _as_asked
) -> tuple[Step, ...]:
    """The steps of ``op`` on ``core`` with operands in the format ``form``.

    ``layout`` makes of a product the one that the machine lays out, padded where it pads: of several ways to lower
    an operation, the fastest is the one that is fastest so.

    Raises:
        InputError: an operation of another type.
    """
    sums = accumulator or accumulator_of(form)
    if isinstance(op, MatMul):
        return (_alone(layout(matmul_product(op))),)
    if isinstance(op, Conv):
        return (Step(name="product", products=_conv(op, core, form, sums, layout)),)
    if isinstance(op, Attention):
        one = _forward if op.direction == "fwd" else _backward
        ways = [
            tuple(_laid_out(step, layout) for step in one(op, core, form, sums, bands)) for bands in _bands(op, core)
        ]
        return min(ways, key=lambda steps: run_steps(core, steps, form, sums).cycles) if len(ways) > 1 else ways[0]
    if isinstance(op, Elementwise):
        moved = max(op.reads, op.writes, 1) * op.elements
        read, written = format_bytes(form, op.elements * op.reads), format_bytes(form, op.elements * op.writes)
        work = Vector(name="vector", operations=max(op.flops, moved), read_bytes=read, write_bytes=written)
        return (Step(name="vector", vectors=(work,)),)
    if isinstance(op, Reduce):
        left = op.rows * (1 if op.function in ("sum", "max") else op.length)
        read, written = format_bytes(form, op.rows * op.length), format_bytes(form, left)
        work = Vector(name="vector", operations=op.flops, read_bytes=read, write_bytes=written)
        return (Step(name="vector", vectors=(work,)),)
    raise InputError(f"systolic: does not run {op.kind}")


def _alone(product: Product) -> Step:
    return Step(name=product.name, products=(product,))


def _laid_out(step: Step, layout: _Layout) -> Step:
    return replace(step, products=tuple(map(layout, step.products)))


def matmul_product(op: MatMul) -> Product:
    """A dense product; 2:4 zeros are multiplied like any other number."""
    if op.shared:
        return Product(name="product", m=op.m * op.batch, n=op.n, k=op.k)
    return Product(name="product", m=op.m, n=op.n, k=op.k, batch=op.batch)


def conv_group(op: Conv) -> Product:
    """The product of one group, all images."""
    out_h, out_w = op.out_hw
    depth, step = op.c // op.groups, op.stride
    high, wide = op.touched_hw
    halo = min(high, max(op.r - step, 0)) * wide * depth
    m, k = op.batch * out_h * out_w, op.r * op.s * depth
    touched = min(op.batch * high * wide * depth, m * k)
    halo = min(halo, touched)
    return Product(name="product", m=m, n=op.k // op.groups, k=k, a_unique=touched - halo, a_halo=halo)


def _conv(op: Conv, core: Core, form: str, sums: str, layout: _Layout) -> tuple[Product, ...]:
    one = conv_group(op)
    if op.groups == 1:
        return (layout(one),)
    # What keeps the array busiest may be cut badly by the SRAMs or wait for the port, so others are tried too: those
    # that leave no rest among them, which several arrays share evenly.
    most = _most_side_by_side(op.groups, one, core)
    whole = (side for side in range(1, most + 1) if op.groups % side == 0)
    sides = (groups_side_by_side(op.groups, one, core), *(2**i for i in range(most.bit_length())), most, *whole)
    ways = [tuple(map(layout, _side_by_side(op.groups, one, side))) for side in dict.fromkeys(sides)]
    return min(ways, key=lambda way: _cycles(core, way, form, sums))


def _cycles(core: Core, products: tuple[Product, ...], form: str, sums: str) -> float:
    """How long the products take; infinity where an SRAM does not hold one fold."""
    try:
        return run_steps(core, (Step(name="product", products=products),), form, sums).cycles
    except InfeasibleError:
        return math.inf


def _side_by_side(groups: int, one: Product, side: int) -> tuple[Product, ...]:
    """All groups, ``side`` of them in one block-diagonal product, and the rest in another."""
    whole, rest = divmod(groups, side)
    return tuple(
        Product(
            name="product",
            m=one.m,
            n=one.n * count,
            k=one.k * count,
            batch=batch,
            a_unique=one.a_unique * count,
            a_halo=one.a_halo * count,
            b_unique=one.n * one.k * count,
        )
        for count, batch in ((side, whole), (rest, 1))
        if count and batch
    )


def _most_side_by_side(groups: int, one: Product, core: Core) -> int:
    """How many groups fit on the array beside one another, at least one."""
    wide, high = core.cols // one.n, core.rows // one.k
    return min(groups, max({"os": wide, "ws": min(wide, high), "is": high}[core.dataflow], 1))


def groups_side_by_side(groups: int, one: Product, core: Core) -> int:
    """How many groups share a block-diagonal product, so that the array is fastest; the fewest of those."""
    counts = list(range(1, _most_side_by_side(groups, one, core) + 1))
    whole = [groups // c for c in counts]
    cycles = array_cycles(
        core.dataflow, core.rows, core.cols, one.m, [one.n * c for c in counts], [one.k * c for c in counts], whole,
        core.double,
    )  # fmt: skip
    rests = [max(groups % c, 1) for c in counts]
    last = array_cycles(
        core.dataflow, core.rows, core.cols, one.m, [one.n * r for r in rests], [one.k * r for r in rests], 1,
        core.double,
    )  # fmt: skip
    total = [int(t) + (int(u) if groups % c else 0) for c, t, u in zip(counts, cycles, last, strict=True)]
    return counts[total.index(min(total))]


_Bands = list[tuple[int, int]]
"""Queries of each band and the keys that they meet."""


def _bands(op: Attention, core: Core) -> list[_Bands]:
    """Ways to cut the queries: all at once, or where causal also lower and lower down to the array's height."""
    ways = [[(op.seq, op.seq)]]
    size = core.rows * max(1, -(-op.seq // (core.rows * _MOST_BANDS)))
    while op.causal and size < op.seq:
        ways.append([(min(size, op.seq - at), min(at + size, op.seq)) for at in range(0, op.seq, size)])
        size *= 4
    return ways


def _stays(op: Attention, core: Core, form: str, sums: str, tensors: int) -> bool:
    """Whether bands of ``tensors`` score matrices fit the SRAMs, one at work and one on its way."""
    band = min(op.seq, core.rows) * op.seq
    made = tensors * 2 * band * ACCUMULATORS[sums] <= 8 * core.ofmap_bytes
    return made and tensors * 2 * band * FORMAT_BITS[form] <= 8 * core.ifmap_bytes


def _keeps(op: Attention, core: Core, form: str, tensors: int) -> bool:
    """Whether ``tensors`` of seq x dim stay in half of the filter SRAM."""
    return 2 * tensors * op.seq * op.dim * FORMAT_BITS[form] <= 8 * core.filter_bytes // core.arrays


def _forward(op: Attention, core: Core, form: str, sums: str, bands: _Bands) -> tuple[Step, ...]:
    batch, seq, shared = op.batch * op.key_heads, op.seq, op.shared  # queries that share K and V are rows of one A
    stays = _stays(op, core, form, sums, 1)
    scores = batch * shared * sum(queries * keys for queries, keys in bands)
    kept = _keeps(op, core, form, 2)
    made, used = ("c", "a") if stays else ("", "")
    first: list[Product] = []
    second: list[Product] = []
    for q, keys in bands:
        # The keys of the bands before are in the filter SRAM still, where it has room for all of a head's.
        new = q / keys if kept else 1.0
        first.append(Product(name="scores", m=q * shared, n=keys, k=op.dim, batch=batch, on_chip=made, b_new=new))
        second.append(Product(name="output", m=q * shared, n=op.dim, k=keys, batch=batch, on_chip=used, b_new=new))
    moved = 0 if stays else format_bytes(form, scores)
    softmax = Vector(
        name="softmax", operations=scores * Reduce.FLOPS_EACH["softmax"], read_bytes=moved, write_bytes=moved
    )
    if stays:
        pieces = batch * shared * -(-seq // core.rows)
        return (Step(name="attention", products=(*first, *second), vectors=(softmax,), bands=pieces),)
    return (
        Step(name="scores", products=tuple(first)),
        Step(name="softmax", vectors=(softmax,)),
        Step(name="output", products=tuple(second)),
    )


def _backward(op: Attention, core: Core, form: str, sums: str, bands: _Bands) -> tuple[Step, ...]:
    """S = Q K' again, dP = dO V', dV = P' dO, dQ = dS K, dK = dS' Q; P from S and the saved log-sums."""
    batch, seq, shared = op.batch * op.key_heads, op.seq, op.shared  # queries that share K and V are rows of one A
    stays = _stays(op, core, form, sums, 2)
    scores = batch * shared * sum(queries * keys for queries, keys in bands)
    made, used = ("c", "a") if stays else ("", "")
    first: list[Product] = []
    second: list[Product] = []
    begin = 0
    kept, all_kept = _keeps(op, core, form, 2), _keeps(op, core, form, 2 + 2 * shared)
    for queries, keys in bands:
        rows = queries * shared
        new = queries / keys if kept else 1.0
        for name in ("scores", "dP"):
            first.append(Product(name=name, m=rows, n=keys, k=op.dim, batch=batch, on_chip=made, b_new=new))
        second.append(Product(name="dQ", m=rows, n=op.dim, k=keys, batch=batch, on_chip=used, b_new=new))
        # A band of keys meets the queries from its first position on.
        meets = (seq - begin if op.causal else seq) * shared
        for name in ("dV", "dK"):
            again = 0.0 if all_kept and begin else 1.0
            second.append(Product(name=name, m=queries, n=op.dim, k=meets, batch=batch, on_chip=used, b_new=again))
        begin += queries
    moved = 0 if stays else 2 * format_bytes(form, scores)
    inputs = 2 * format_bytes(form, op.q_elements)  # O and dO, for D
    work = Vector(
        name="softmax",
        operations=op.gradient_operations(scores),
        read_bytes=moved + inputs,
        write_bytes=moved,
    )
    if stays:
        pieces = batch * shared * -(-seq // core.rows)
        return (Step(name="attention", products=(*first, *second), vectors=(work,), bands=pieces),)
    return (
        Step(name="scores", products=tuple(first)),
        Step(name="softmax", vectors=(work,)),
        Step(name="gradients", products=tuple(second)),
    )
