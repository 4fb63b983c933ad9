"""GEMMs on systolic arrays as plain arrays: one row a (design, GEMM) pair, one column a field.

The table is what the kernels read; :func:`jobs` fills it from broadcast keywords and checks it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siloom.sim.engine.cycles import MAX_COUNT
from siloom.sim.engine.systolic_folds import dataflow_codes
from siloom.sim.errors import InputError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FIELDS = (
    "dataflow", "rows", "cols", "double", "m", "n", "k", "batch",
    "a_room", "b_room", "o_room", "a_bits", "b_bits", "o_bits", "sum_bits",
    "a_unique", "a_halo", "b_unique", "latency", "stages",
)  # fmt: skip
(
    DATAFLOW, ROWS, COLS, DOUBLE, M, N, K, BATCH,
    A_ROOM, B_ROOM, O_ROOM, A_BITS, B_BITS, O_BITS, SUM_BITS,
    A_UNIQUE, A_HALO, B_UNIQUE, LATENCY, STAGES,
) = range(len(FIELDS))  # fmt: skip


PORT_FIELDS = ("bytes_per_cycle", "a_copies", "b_copies", "o_copies")
RATE, A_COPIES, B_COPIES, O_COPIES = range(len(PORT_FIELDS))


class Jobs(NamedTuple):
    """``table``: int64 (jobs, fields), in the order of ``FIELDS``; ``port``: float64, of ``PORT_FIELDS``.

    ``write_costs``: float64 (jobs, shares), a byte's time at equal steps of the share of writes from 0 to 1.
    """

    table: Ints
    port: Floats
    write_costs: Floats


def jobs(
    *,
    dataflow: str | ArrayLike,
    rows: ArrayLike,
    cols: ArrayLike,
    m: ArrayLike,
    n: ArrayLike,
    k: ArrayLike,
    batch: ArrayLike = 1,
    double: ArrayLike = True,
    ifmap_bytes: ArrayLike = 2**50,
    filter_bytes: ArrayLike = 2**50,
    ofmap_bytes: ArrayLike = 2**50,
    a_bits: ArrayLike = 8,
    b_bits: ArrayLike = 8,
    o_bits: ArrayLike = 8,
    sum_bits: ArrayLike = 32,
    a_unique: ArrayLike = -1,
    a_halo: ArrayLike = 0,
    b_unique: ArrayLike = -1,
    a_copies: ArrayLike = 1,
    b_copies: ArrayLike = 1,
    o_copies: ArrayLike = 1,
    bytes_per_cycle: ArrayLike = np.inf,
    latency: ArrayLike = 0,
    stages: ArrayLike = 0,
    write_costs: ArrayLike = (1.0,),
) -> Jobs:
    """One job for each element of the broadcast arguments.

    Args:
        dataflow: ``os``, ``ws``, ``is`` or their codes 0, 1, 2.
        rows: cells down one array.
        cols: cells across.
        m: rows of A and C.
        n: columns of B and C.
        k: columns of A, rows of B.
        batch: products of these sizes, one after another.
        double: whether a cell has the second register; see ``systolic_folds``.
        ifmap_bytes: SRAM of A, half of it for the block at work.
        filter_bytes: SRAM of B.
        ofmap_bytes: SRAM of the sums.
        a_bits: bits an element of A, in memory and SRAM.
        b_bits: of B.
        o_bits: of a finished element of C in memory; 0: it is used on chip and not written.
        sum_bits: of an unfinished sum.
        a_unique: elements of memory that A is made of, beside the halo (-1: m x k); a convolution's inputs are fewer.
        a_halo: elements that every block of rows reads, though others read them too.
        b_unique: elements of memory that B is made of (-1: k x n); zeros between groups are not stored.
        a_copies: factor on A's traffic: 0 where it is on chip already, p where p arrays each read their own.
        b_copies: of B.
        o_copies: of C.
        bytes_per_cycle: rate of the one memory port, reads alone; infinite: ideal memory.
        latency: cycles until the first bytes come.
        stages: registers between a cell's operands and its adder; see ``systolic_folds``.
        write_costs: time of a byte over that of reads alone, at equal steps of the share of writes from 0 to 1 along
            the last axis; each job runs at its own share, between two of them in proportion.

    Raises:
        InputError: sizes below 1, an unknown dataflow, or a run whose counts could reach 2^62.
    """
    given = dict(locals())
    given["dataflow"] = dataflow_codes(dataflow)
    costs = np.asarray(given.pop("write_costs"), np.float64)
    port = {name: np.asarray(given.pop(name), np.float64) for name in PORT_FIELDS}
    whole = {name: np.asarray(value, np.int64) for name, value in given.items()}
    for name, size, bits in (
        ("a_room", "ifmap_bytes", "a_bits"),
        ("b_room", "filter_bytes", "b_bits"),
        ("o_room", "ofmap_bytes", "sum_bits"),
    ):
        whole[name] = whole.pop(size) * 4 // np.maximum(whole[bits], 1)  # half of the SRAM, 8 bits a byte
    for name in ("rows", "cols", "m", "n", "k", "batch", "a_bits", "b_bits", "sum_bits"):
        if whole[name].size and whole[name].min() < 1:
            raise InputError(f"systolic: {name} must be at least 1, got {whole[name].min()}")
    if port["bytes_per_cycle"].size and not port["bytes_per_cycle"].min() > 0:
        raise InputError(f"systolic: bytes_per_cycle must be above 0, got {port['bytes_per_cycle'].min()}")
    if not costs.min() >= 1.0:
        raise InputError(f"systolic: write_costs must be at least 1, got {costs.min()}")
    shape = np.broadcast_shapes(costs.shape[:-1], *(array.shape for array in (*port.values(), *whole.values())))
    table = _columns(whole, FIELDS, shape, np.int64)
    work = table[:, [M, N, K, BATCH]].astype(np.float64).prod(axis=1)
    if work.size and work.max() >= MAX_COUNT:
        raise InputError(f"systolic: m*n*k*batch must be below 2^62, got {work.max():.4g}")
    for unique, one, other in ((A_UNIQUE, M, K), (B_UNIQUE, K, N)):
        table[:, unique] = np.where(table[:, unique] < 0, table[:, one] * table[:, other], table[:, unique])
    costs = np.broadcast_to(costs, (*shape, costs.shape[-1])).reshape(len(table), costs.shape[-1])
    return Jobs(table, _columns(port, PORT_FIELDS, shape, np.float64), np.ascontiguousarray(costs))


def _columns(given: dict[str, Any], names: tuple[str, ...], shape: tuple[int, ...], kind: type) -> NDArray[Any]:
    """The broadcast arrays side by side, one row an element."""
    out: NDArray[Any] = np.empty((math.prod(shape), len(names)), kind)
    for column, name in enumerate(names):
        out[:, column] = np.broadcast_to(given[name], shape).ravel()
    return out
