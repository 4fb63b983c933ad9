"""Rows of a head as they come: counted, and told to the memory that they are written to."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal

from siloom.rtl.barrel import named
from siloom.rtl.machines._a3_size import Size


def take_rows(m: Module, name: str, size: Size, rows: Any, known: Any, busy: Any, clear: Any) -> tuple[Any, Any, Any]:
    """Take the stream ``rows`` of a head, all of ``known.seq``.

    Returns:
        What is written in this cycle, how many were, and whether that is all.
    """
    count = Signal(size.count, name=f"{name}_count")
    write: Any = Signal(size.row_write, name=f"{name}_write")
    all_there = named(m, count == known.seq, f"{name}_all")
    m.d.comb += [
        rows.ready.eq(busy & ~all_there),
        write.valid.eq(rows.valid & rows.ready),
        write.at.eq(count[: size.number_bits]),
        write.row.eq(rows.payload),
    ]
    with m.If(clear):
        m.d.sync += count.eq(0)
    with m.Elif(write.valid):
        m.d.sync += count.eq(count + 1)
    return write, count, all_there
