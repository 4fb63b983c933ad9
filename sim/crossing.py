"""What an operation brings over a link and leaves there: bytes of its operands and of its results.

Numbers take their format's bits in memory. Sparse operands have an index of 32 bits and a value of 64 to each entry,
and a row pointer of 32 bits to each row, as hardware here keeps them; a mask of attention a bit a score.
"""

from __future__ import annotations

from functools import singledispatch
from typing import NamedTuple

from siloom.sim.ops import (
    SDDMM,
    Attention,
    Collective,
    Conv,
    Elementwise,
    KeyFilter,
    MatMul,
    Operation,
    Reduce,
    SpGEMM,
    SpMM,
    format_bytes,
)
from siloom.sim.sparse import Csr

_INDEX = 4
_VALUE = 8


class Crossing(NamedTuple):
    """Bytes in and out."""

    operands: int
    results: int


@singledispatch
def crossing(op: Operation) -> Crossing:
    """Bytes of the operands and of the results of one repetition.

    Raises:
        TypeError: an operation that is not of :mod:`siloom.sim.ops`.
    """
    raise TypeError(f"{op.kind}: has no known operands")


@crossing.register
def _(op: MatMul) -> Crossing:
    b = op.k * op.n * (1 if op.shared else op.batch)
    # Of four neighbours two are kept, and two bits say which each is.
    weights = format_bytes(op.format, b // 2) + b // 8 if op.sparse24 else format_bytes(op.format, b)
    return Crossing(
        format_bytes(op.format, op.m * op.k * op.batch) + weights, format_bytes(op.format, op.m * op.n * op.batch)
    )


@crossing.register
def _(op: Conv) -> Crossing:
    rows, cols = op.out_hw
    inputs = op.batch * op.h * op.w * op.c + op.k * op.r * op.s * (op.c // op.groups)
    return Crossing(format_bytes(op.format, inputs), format_bytes(op.format, op.batch * rows * cols * op.k))


@crossing.register
def _(op: Attention) -> Crossing:
    masks = 0 if op.kept is None else -(-op.scores // 8)
    return Crossing(format_bytes(op.format, op.elements_in) + masks, format_bytes(op.format, op.elements_out))


@crossing.register
def _(op: Elementwise) -> Crossing:
    return Crossing(op.read_bytes, op.write_bytes)


@crossing.register
def _(op: Reduce) -> Crossing:
    return Crossing(op.read_bytes, op.write_bytes)


@crossing.register
def _(op: SpGEMM) -> Crossing:
    """The result has an entry for each product at most, and no more than it has places."""
    rows, cols = op.a.shape[0], op.b.shape[1]
    entries = min(op.multiplies, rows * cols)
    return Crossing(_matrix(op.a) + _matrix(op.b), entries * (_INDEX + _VALUE) + (rows + 1) * _INDEX)


@crossing.register
def _(op: SpMM) -> Crossing:
    rows, cols = op.a.shape
    return Crossing(_matrix(op.a) + cols * op.n * _VALUE, rows * op.n * _VALUE)


@crossing.register
def _(op: SDDMM) -> Crossing:
    """Results are values alone: where they stand is known on both sides."""
    rows, cols = op.mask.shape
    structure = op.mask.nnz * _INDEX + (rows + 1) * _INDEX
    return Crossing(structure + (rows + cols) * op.k * _VALUE, op.mask.nnz * _VALUE)


@crossing.register
def _(op: KeyFilter) -> Crossing:
    """Queries and keys of fp16, and a bit for each pair."""
    vectors = (op.queries + op.keys) * op.dim * op.heads
    return Crossing(format_bytes("fp16", vectors), -(-op.queries * op.keys * op.heads // 8))


@crossing.register
def _(op: Collective) -> Crossing:
    return Crossing(op.bytes_each, op.bytes_each)


def _matrix(matrix: Csr) -> int:
    return matrix.nnz * (_INDEX + _VALUE) + (matrix.shape[0] + 1) * _INDEX
