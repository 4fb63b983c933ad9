"""TPU v1's instructions for an operation: which weight tiles, which rows, and what they count.

Matrix products are lowered as on the machine: weights in tiles of the array's size, the other operand
streamed over each. All k tiles of a column of tiles add into one half of the accumulators, so more rows
than a half holds are cut into equal chunks, and the column's weights are fetched again for each chunk;
where one tile covers all of k it stays in the array for all chunks instead. Convolutions stream a row an
output place (the systolic data setup unfolds them on the way), groups packed along the diagonal of a tile.

Attention's keys and values stand where weights stand, and weights come from the weight memory alone:
they are written there first. Masked scores are computed like the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

from siloom.sim.engine.weight_fifo import Block, Kind
from siloom.sim.ops import Attention, Conv, Elementwise, MatMul, Operation, Reduce

ELEMENT_BYTES = 1
SUM_BYTES = 4


class Array(Protocol):
    """What lowering asks of a design."""

    @property
    def rows(self) -> int:
        """Cells down the array."""

    @property
    def cols(self) -> int:
        """Cells across."""

    @property
    def accumulator_rows(self) -> int:
        """Rows of accumulators, both halves."""

    @property
    def lanes(self) -> int:
        """Values a cycle of the activation unit."""

    @property
    def passes(self) -> int:
        """Cycles that a row of operands takes."""

    @property
    def store_bytes_per_cycle(self) -> float:
        """Rate of writing into the weight memory."""


@dataclass
class Program:
    """Blocks in order, and what they count: ``rows`` streamed over tiles, elements by memory."""

    blocks: list[Block] = field(default_factory=list)
    row_steps: int = 0
    tiles: int = 0
    operands: int = 0
    results: int = 0
    stored: int = 0
    vector_values: int = 0


def lower(op: Operation, array: Array) -> Program:
    """The program of one operation.

    Raises:
        TypeError: an operation that TPUs do not run.
    """
    program = Program()
    if isinstance(op, MatMul):
        rows, products = (op.m * op.batch, 1) if op.shared else (op.m, op.batch)
        _product(program, array, rows, op.n, op.k, products)
    elif isinstance(op, Conv):
        _convolution(program, array, op)
    elif isinstance(op, Attention):
        _attention(program, array, op)
    elif isinstance(op, Elementwise):
        _vector(program, array, op.elements, max(1, op.reads, op.writes, op.flops_each))
    elif isinstance(op, Reduce):
        _vector(program, array, op.rows * op.length, op.FLOPS_EACH[op.function])
    else:
        raise TypeError(f"{op.kind}: not an operation of a TPU")
    return program


def host_bytes(first: Operation, last: Operation) -> tuple[int, int]:
    """Bytes that come from the host for ``first`` and go back to it from ``last``."""
    return ELEMENT_BYTES * _elements(first)[0], ELEMENT_BYTES * _elements(last)[1]


def _elements(op: Operation) -> tuple[int, int]:
    """Activations in and out; weights lie in the weight memory already."""
    if isinstance(op, MatMul):
        return op.m * op.k * op.batch, op.m * op.n * op.batch
    if isinstance(op, Conv):
        high, wide = op.out_hw
        return op.batch * op.h * op.w * op.c, op.batch * high * wide * op.k
    if isinstance(op, Attention):
        return op.elements_in, op.elements_out
    if isinstance(op, Elementwise):
        return op.elements * op.reads, op.elements * op.writes
    if isinstance(op, Reduce):
        return op.rows * op.length, op.rows * (1 if op.function in ("sum", "max") else op.length)
    raise TypeError(f"{op.kind}: not an operation of a TPU")


def buffer_bytes(op: Operation) -> int:
    """Activations in and out together: what the Unified Buffer would hold at once."""
    return ELEMENT_BYTES * sum(_elements(op))


def _product(program: Program, array: Array, m: int, n: int, k: int, products: int) -> None:
    """``products`` times [m, k] x [k, n], each with its own weights; waits for all work before it."""
    k_tiles, n_tiles = -(-k // array.rows), -(-n // array.cols)
    chunks = -(-m // (array.accumulator_rows // 2))
    rows = -(-m // chunks)
    block = Block(
        groups=products * n_tiles * chunks,
        held=chunks if k_tiles == 1 else 1,
        tiles=k_tiles,
        rows=rows * array.passes,
        drain=rows * -(-array.cols // array.lanes),
        waits=True,
    )
    program.blocks.append(block)
    program.row_steps += block.groups * k_tiles * rows
    program.tiles += block.fetches
    program.operands += products * n_tiles * m * k
    program.results += products * m * n


def _convolution(program: Program, array: Array, op: Conv) -> None:
    high, wide = op.out_hw
    k, n = op.r * op.s * (op.c // op.groups), op.k // op.groups
    packed = max(1, min(op.groups, array.rows // k, array.cols // n))
    whole, rest = divmod(op.groups, packed)
    rows = op.batch * high * wide
    _product(program, array, rows, packed * n, packed * k, whole)
    if rest:
        _product(program, array, rows, rest * n, rest * k, 1)


def _attention(program: Program, array: Array, op: Attention) -> None:
    products, rows, scores = op.batch * op.key_heads, op.seq * op.shared, op.scores
    if op.direction == "fwd":
        _store(program, array, 2 * op.kv_elements)
        _product(program, array, rows, op.seq, op.dim, products)
        _vector(program, array, scores, Reduce.FLOPS_EACH["softmax"])
        _product(program, array, rows, op.dim, op.seq, products)
        return
    # K and V, dO and Q stand where weights stand: S = Q K^T, dP = dO V^T, dV = P^T dO, dQ = dS K, dK = dS^T Q.
    _store(program, array, 2 * (op.kv_elements + op.q_elements))
    _product(program, array, rows, op.seq, op.dim, products)
    _vector(program, array, scores, Reduce.FLOPS_EACH["softmax"])
    _product(program, array, rows, op.seq, op.dim, products)
    _vector(program, array, scores, op.SOFTMAX_GRADIENT)
    _product(program, array, rows, op.dim, op.seq, products)
    for _ in ("dv", "dk"):
        _product(program, array, op.seq, op.dim, rows, products)


def _vector(program: Program, array: Array, values: int, operations: int) -> None:
    program.blocks.append(Block(kind=Kind.VECTOR, delay=-(-values // array.lanes) * operations))
    program.vector_values += values * operations


def _store(program: Program, array: Array, elements: int) -> None:
    cycles = ceil(elements * ELEMENT_BYTES / array.store_bytes_per_cycle)
    program.blocks.append(Block(kind=Kind.STORE, delay=cycles))
    program.stored += elements


def copies(program: Program, times: int) -> Iterator[Block]:
    """The blocks so many times over."""
    for _ in range(times):
        yield from program.blocks
