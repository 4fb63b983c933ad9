"""An outer-product machine on real operands: lay them out in memory, multiply, merge.

This is the plain-array front of the two phase kernels: it takes the operands as CSR, derives what
each phase reads, runs both and checks the product against the operands by another road.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from siloom.sim.engine import dram, row_merge
from siloom.sim.engine.dram import DramState, DramTiming, new_dram
from siloom.sim.engine.outer_multiply import (
    CAUSES,
    ELEMENT_BYTES,
    HEAD_BYTES,
    LINK_BYTES,
    OuterOperands,
    TileArray,
    outer_multiply,
)
from siloom.sim.engine.row_merge import Chunks, MergeArray, Outcome, new_rows
from siloom.sim.engine.timeline import new_timeline
from siloom.sim.errors import InputError
from siloom.sim.jit import kernel
from siloom.sim.sparse import Csr

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]

PAGE = 4096
SLICE_BYTES = 1 << 31
"""Room for the results, and for the spilled rounds, of each merging PE."""
MOST_CYCLES = 2**47


@dataclass(frozen=True, eq=False)
class PhaseRun:
    """What one phase did.

    ``where`` [causes, PEs] are each PE's cycles by cause; ``counts`` and ``dram`` as the kernel and
    the memory number them; ``tiles`` [tiles, bins] busy PE-cycles and ``channels`` [channels, bins]
    bursts in bins of ``bin_cycles`` and ``channel_bin_cycles``; ``log`` the recorded cache accesses.
    """

    cycles: int
    where: Ints
    counts: Ints
    dram: Ints
    tiles: Ints
    bin_cycles: int
    channels: Ints
    channel_bin_cycles: int
    log: Ints

    def by_cause(self) -> dict[str, int]:
        """PE-cycles by cause, summed over PEs."""
        return {cause: int(self.where[i].sum()) for i, cause in enumerate(CAUSES)}


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the operands and partial products lie, and the chunks by column and by row of A."""

    multiply: OuterOperands
    merge: Chunks
    partial_bytes: int


@dataclass(frozen=True, eq=False)
class Product:
    """Sums and counts of the product's rows, and the product itself where it was kept."""

    weights: Reals
    row_sums: Reals
    row_counts: Ints
    values: Csr | None


def _page(size: int) -> int:
    return (size + PAGE - 1) // PAGE * PAGE


@kernel
def by_columns(columns: int, indptr: Ints, indices: Ints) -> tuple[Ints, Ints, Ints]:
    """Turn CSR into CSC: column pointers, rows, and each CSC entry's place in CSR."""
    ptr = np.zeros(columns + 1, np.int64)
    for j in indices:
        ptr[j + 1] += 1
    for j in range(columns):
        ptr[j + 1] += ptr[j]
    rows = np.empty(len(indices), np.int64)
    order = np.empty(len(indices), np.int64)
    at = ptr[:-1].copy()
    for i in range(len(indptr) - 1):
        for e in range(indptr[i], indptr[i + 1]):
            to = at[indices[e]]
            rows[to] = i
            order[to] = e
            at[indices[e]] = to + 1
    return ptr, rows, order


@kernel
def _place_chunks(a_ptr: Ints, order: Ints, b_ptr: Ints, start: int) -> tuple[Ints, Ints, int]:
    """Addresses of the chunks, one after another by columns from ``start``: in CSC order and in CSR order."""
    by_column = np.empty(len(order), np.int64)
    by_row = np.empty(len(order), np.int64)
    at = start
    for k in range(len(a_ptr) - 1):
        length = b_ptr[k + 1] - b_ptr[k]
        size = LINK_BYTES + ELEMENT_BYTES * length if length > 0 else 0
        for e in range(a_ptr[k], a_ptr[k + 1]):
            by_column[e] = at
            by_row[order[e]] = at
            at += size
    return by_column, by_row, at


@kernel
def _chunks_by_row(
    a_ptr: Ints, a_cols: Ints, a_vals: Reals, b_ptr: Ints, at: Ints
) -> tuple[Ints, Ints, Ints, Reals, Ints]:
    """Row pointers, and of each chunk its first element of B, length, factor and address.

    A row's chunks stand as its list is walked: each was put before those of the columns before it.
    """
    row_ptr = np.zeros(len(a_ptr), np.int64)
    most = len(a_cols)
    first = np.empty(most, np.int64)
    length = np.empty(most, np.int64)
    scale = np.empty(most, np.float64)
    place = np.empty(most, np.int64)
    n = 0
    for i in range(len(a_ptr) - 1):
        for e in range(a_ptr[i + 1] - 1, a_ptr[i] - 1, -1):
            k = a_cols[e]
            elements = b_ptr[k + 1] - b_ptr[k]
            if elements > 0:
                first[n] = b_ptr[k]
                length[n] = elements
                scale[n] = a_vals[e]
                place[n] = at[e]
                n += 1
        row_ptr[i + 1] = n
    return row_ptr, first[:n], length[:n], scale[:n], place[:n]


def lay_out(a: Csr, b: Csr) -> Layout:
    """Place A (by columns), B (by rows), the list heads and one chunk per useful non-zero of A.

    Raises:
        InputError: more columns than the machine's 32-bit indices can name.
    """
    if b.shape[1] >= 2**31:
        raise InputError(f"product: columns must be below 2^31, the machine's indices have 32 bits, got {b.shape[1]}")
    a_ptr, a_rows, order = by_columns(a.shape[1], a.indptr, a.indices)
    a_pointers = _page(ELEMENT_BYTES * a.nnz)
    b_base = a_pointers + _page(LINK_BYTES * len(a_ptr))
    b_pointers = b_base + _page(ELEMENT_BYTES * b.nnz)
    lists = b_pointers + _page(LINK_BYTES * len(b.indptr))
    partial = lists + _page(HEAD_BYTES * a.shape[0])
    at_csc, at_csr, end = _place_chunks(a_ptr, order, b.indptr, partial)
    row_ptr, first, length, scale, at = _chunks_by_row(a.indptr, a.indices, a.data, b.indptr, at_csr)
    partial_bytes = int(end) - partial
    pointers = partial + _page(partial_bytes)
    result = pointers + _page(LINK_BYTES * (a.shape[0] + 1))
    return Layout(
        OuterOperands(a_ptr, a_rows, b.indptr, at_csc, 0, b_base, a_pointers, b_pointers, lists),
        Chunks(
            row_ptr=row_ptr,
            first=first,
            length=length,
            scale=scale,
            at=at,
            cols=b.indices.astype(np.int32),
            vals=b.data,
            lists=lists,
            pointers=pointers,
            result=result,
            spill=result + (1 << 46),
            slice=SLICE_BYTES,
        ),
        partial_bytes,
    )


@kernel
def column_weights(columns: int) -> Reals:
    """The weight of each column by which the merge phase sums rows, [columns]."""
    out = np.empty(columns)
    for j in range(columns):
        out[j] = row_merge.column_weight(j)
    return out


def multiply_phase(shape: TileArray, timing: DramTiming, operands: OuterOperands, log: int = 0) -> PhaseRun:
    """Run the multiply phase on idle hardware, recording the first ``log`` cache accesses."""
    state = new_dram(timing)
    where = np.zeros((len(CAUSES), shape.tiles * shape.pes), np.int64)
    counts = np.zeros(6, np.int64)
    tiles, shift = new_timeline(shape.tiles)
    channels, channel_shift = new_timeline(1 << timing.channel_bits)
    record = np.zeros((log, 3), np.int64)
    cycles = outer_multiply(
        shape, timing, operands, state, where, counts, tiles, channels, shift, channel_shift, record,
    )  # fmt: skip
    return _phase(cycles, where, counts, state, tiles, shift, channels, channel_shift, record)


def merge_phase(
    shape: MergeArray, timing: DramTiming, chunks: Chunks, columns: int, keep: Ints | None = None, log: int = 0
) -> tuple[PhaseRun, Product]:
    """Run the merge phase on idle hardware; keep the product where ``keep`` [rows + 1] places it."""
    rows = len(chunks.row_ptr) - 1
    state = new_dram(timing)
    stored = 0 if keep is None else int(keep[-1])
    outcome = Outcome(
        row_sums=np.zeros(rows),
        row_counts=np.zeros(rows, np.int64),
        keep_ptr=np.zeros(0, np.int64) if keep is None else keep,
        keep_cols=np.zeros(stored, np.int64),
        keep_vals=np.zeros(stored),
    )
    servers = shape.tiles * shape.pes
    where = np.zeros((len(CAUSES), servers), np.int64)
    counts = np.zeros(10, np.int64)
    tiles, shift = new_timeline(shape.tiles)
    channels, channel_shift = new_timeline(1 << timing.channel_bits)
    record = np.zeros((log, 3), np.int64)
    cycles = row_merge.row_merge(
        shape, timing, chunks, columns, outcome, state, new_rows(shape), where, counts,
        tiles, channels, shift, channel_shift, record,
    )  # fmt: skip
    run = _phase(cycles, where, counts, state, tiles, shift, channels, channel_shift, record)
    values = None
    if keep is not None:
        values = Csr((rows, columns), keep, outcome.keep_cols, outcome.keep_vals)
    return run, Product(column_weights(columns), outcome.row_sums, outcome.row_counts, values)


def _phase(
    cycles: int, where: Ints, counts: Ints, state: DramState, tiles: Ints, shift: Ints, channels: Ints,
    channel_shift: Ints, record: Ints,
) -> PhaseRun:  # fmt: skip
    return PhaseRun(
        cycles=int(cycles),
        where=where,
        counts=counts,
        dram=state.counts,
        tiles=tiles,
        bin_cycles=1 << int(shift[0]),
        channels=channels,
        channel_bin_cycles=1 << int(channel_shift[0]),
        log=record,
    )


def check_size(multiplies: int, shape: MergeArray, timing: DramTiming) -> None:
    """Refuse work whose cycles could leave the counters' range.

    Raises:
        InputError: the worst case of one PE doing all the work exceeds 2^47 cycles.
    """
    request = timing.latency + timing.activate + timing.row_cycle + timing.refresh + math.ceil(8 * timing.burst)
    each = shape.element + shape.add + shape.step * shape.heads + shape.dispatch + 2 * request
    if multiplies * (each + 1) >= MOST_CYCLES:
        raise InputError(f"product: {multiplies} multiplies could take 2^47 cycles or more; nothing was simulated")


def check_product(a: Csr, b: Csr, product: Product, counts: Ints) -> float:
    """Hold the merged rows to the operands; return the largest relative error of a row's sum.

    Rows times a weight vector must equal A (B w), and each row's entries an independent count.

    Raises:
        ArithmeticError: a row that does not agree: a defect of the simulator.
    """
    if not np.array_equal(product.row_counts, counts):
        row = int(np.flatnonzero(product.row_counts != counts)[0])
        raise ArithmeticError(f"row {row} has {product.row_counts[row]} entries, counted {counts[row]}")
    left, right = a.to_scipy(), b.to_scipy()
    expected = left @ (right @ product.weights)
    scale = abs(left) @ (abs(right) @ product.weights)
    error = np.abs(product.row_sums - expected) / np.where(scale > 0, scale, 1.0)
    worst = float(error.max(initial=0.0))
    if not worst <= 1e-9:
        raise ArithmeticError(f"row {int(error.argmax())} differs from A (B w) by {worst:.2e}")
    return worst


__all__ = [
    "Layout",
    "PhaseRun",
    "Product",
    "check_product",
    "check_size",
    "dram",
    "lay_out",
    "merge_phase",
    "multiply_phase",
]
