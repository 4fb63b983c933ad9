"""What Sanger takes at least for an attention, in closed form over many designs at once.

Loading, prediction and division are the same whatever the operands hold. The sparse array's time is not: here every
row keeps a single key, and all sub-rows share their passes as well as the packing lets them. Heads follow one another
through the parts at the pace of the slowest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from siloom.models._columns import ceil_div, largest
from siloom.models._sanger_units import HEADS_HELD, divide_latency, fill_cycles, tail_cycles
from siloom.sim.machine import Bound, Columns
from siloom.sim.ops import Attention


def bound(op: Attention, d: Columns, area: Any) -> Bound:
    """Least seconds of all heads; ``area`` is the design's, which is exact."""
    rows, columns = ceil_div(op.seq, d.tile_rows), ceil_div(op.seq, d.tile_columns)
    load = _load_cycles(op, d, columns)
    products = rows * columns * (op.dim + d.tile_columns)
    tail = tail_cycles(columns * d.tile_columns, d.tile_columns)
    passes = rows if d.packing == "pack_split" else rows * columns
    attention = passes * 2 * op.dim + fill_cycles(d.tile_rows)
    division = op.seq * ceil_div(op.dim, d.tile_rows)
    first = load + products + tail + attention + division
    others = (op.batch * op.heads - 1) * largest(load, products, attention, division)
    latency = np.ceil(d.memory_latency_s * d.clock_hz) + divide_latency(d.operand_bits)
    return Bound((latency + first + others) / d.clock_hz, area)


def _load_cycles(op: Attention, d: Columns, columns: Any) -> Any:
    """Cycles of a head's operands and result at the port: as :func:`siloom.models.sanger.operand_port` has them."""
    each = op.seq * ceil_div(op.dim * d.operand_bits, 8)
    trips = np.maximum(1, ceil_div(2 * HEADS_HELD * each, d.kv_sram_bytes))
    moved = each * (trips + 2 + (2 * trips - 1))
    return largest(
        np.ceil(moved / d.memory_bytes_per_s * d.clock_hz), 2 * columns * op.dim, op.seq * ceil_div(op.dim, d.tile_rows)
    )
