"""What an OuterSPACE takes at least for a product, in closed form over many designs at once.

Each phase is bounded by its PEs, by its tiles' controllers and by memory's pins; the phases follow one another.
"""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import numpy as np

from siloom.models import _outerspace_cost as cost
from siloom.models._columns import largest
from siloom.sim.engine import gustavson
from siloom.sim.engine.outer_multiply import ELEMENT_BYTES
from siloom.sim.machine import Bound
from siloom.sim.ops import SpGEMM


class _Work(NamedTuple):
    """What a product asks of any design: multiplies, chunks to hand out, rows to merge, bytes of each phase."""

    multiplies: int
    chunks: int
    rows: int
    multiply_bytes: int
    merge_bytes: int


_KNOWN: weakref.WeakKeyDictionary[SpGEMM, _Work] = weakref.WeakKeyDictionary()


def _work(op: SpGEMM) -> _Work:
    if op not in _KNOWN:
        columns = np.bincount(op.a.indices, minlength=op.a.shape[1])
        met = op.b.row_lengths
        chunks = int(columns[met > 0].sum())
        entries = gustavson.count(op.a.shape[0], op.b.shape[1], op.a.indptr, op.a.indices, op.b.indptr, op.b.indices)[1]
        partial = ELEMENT_BYTES * op.multiplies
        # Columns and rows that meet nothing need not be read.
        read = ELEMENT_BYTES * (chunks + int(met[columns > 0].sum()))
        rows = int((entries > 0).sum())
        _KNOWN[op] = _Work(op.multiplies, chunks, rows, read + partial, partial + ELEMENT_BYTES * int(entries.sum()))
    return _KNOWN[op]


def bound(op: SpGEMM, d: Any, published: Any) -> Bound:
    """Least seconds of both phases, and the area, which is exact."""
    work = _work(op)
    bytes_per_cycle = d.hbm_channels * d.channel_bytes_per_s / d.clock_hz
    multiply = largest(
        work.multiplies * d.element_cycles / (d.tiles * d.pes_per_tile),
        work.chunks * d.dispatch_cycles / d.tiles,
        work.multiply_bytes / bytes_per_cycle,
    )
    merge = largest(
        work.multiplies * d.merge_element_cycles / (d.tiles * d.merge_pes_per_tile),
        work.rows * d.dispatch_cycles / d.tiles,
        work.merge_bytes / bytes_per_cycle,
    )
    area = sum(cost.area_parts(d, published).values())
    return Bound((multiply + merge) / d.clock_hz, area)
