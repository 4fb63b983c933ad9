"""The attention array with an online softmax as hardware: a job is a head, operands and means are streams.

A head says how many tokens it has and whether it is causal. ``q`` brings its queries, once; ``k`` and ``v`` bring, for
each tile of as many queries as there are rows, all keys and values that the tile meets, in order: every one, or, where
causal, those up to the tile's last query. A beat is a vector, as long as the array is wide. The means of a tile's
query i leave by the stream ``means`` and i, an element a beat, the last one first.

=================  ========================================================================================
``_flash_head``    which beat enters the array
``_flash_grid``    cells with a query's element and a sum; scores go right, keys and values down
``_flash_softmax``  right of each row: the running maximum, powers, and the sum of weights
``_flash_divide``  behind it: division, and a queue for means, which stops the array when it is full
=================  ========================================================================================

Row i and column j are delayed by i and j. Weights go back from the right of a row to its left on a wire of their own.
Memories, quantisation, and what of one over the root of the dimension is no power of two are outside; so are vectors
shorter than the array is wide. A head has at most ``max_seq`` tokens, for which sums have room; nothing checks it.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from siloom.models._flash_design import FlashDesign
from siloom.rtl.machines._flash_divide import Divide
from siloom.rtl.machines._flash_grid import Row
from siloom.rtl.machines._flash_head import Head
from siloom.rtl.machines._flash_shapes import FlashShapes
from siloom.rtl.machines._flash_size import Op
from siloom.rtl.machines._flash_softmax import Softmax
from siloom.rtl.machines._systolic_grid import delayed
from siloom.rtl.shared import place
from siloom.rtl.unread import unread


class FlashArray(Component):
    """An attention array of the size that ``design`` says.

    Attributes:
        job: Stream in: heads.
        q: Stream in: queries.
        k: Stream in: keys.
        v: Stream in: values.
        means0: Stream out: means of the first query of each tile; ``means1`` and so on are those of the others.
    """

    job: Any
    q: Any
    k: Any
    v: Any

    def __init__(self, design: FlashDesign) -> None:
        """Make the ports."""
        self.size = size = FlashShapes(design)
        super().__init__(
            {
                "job": In(stream.Signature(size.job)),
                **{name: In(stream.Signature(size.vector)) for name in ("q", "k", "v")},
                **{f"means{i}": Out(stream.Signature(size.value_bits)) for i in range(size.rows)},
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Rows below one another, each with its softmax and its division."""
        m = Module()
        size = self.size
        run = Signal()
        m.submodules.head = head = Head(size)
        for name in ("job", "q", "k", "v"):
            connect(m, flipped(getattr(self, name)), getattr(head, name))
        m.d.comb += head.run.eq(run)
        down: Any = Signal(size.vector)
        m.d.comb += [down[j].eq(delayed(m, y, j, run, f"column{j}")) for j, y in enumerate(head.top)]
        rooms: Any = 1
        for i in range(size.rows):
            row: Any = Row(size)
            softmax: Any = Softmax(size)
            divide: Any = Divide(size)
            place(m, platform, row, f"row{i}", "flash_row")
            place(m, platform, softmax, f"softmax{i}", "flash_softmax")
            place(m, platform, divide, f"divide{i}", "flash_divide")
            lane = delayed(m, head.lanes[i], i, run, f"lane{i}")
            means = getattr(self, f"means{i}")
            m.d.comb += [
                row.run.eq(run),
                row.beat_in.eq(lane),
                row.x_in.eq(softmax.x),
                row.s_in.eq(0),
                row.y_in.eq(down),
                softmax.run.eq(run),
                softmax.beat.eq(row.beat_out),
                softmax.s.eq(row.s_out),
                softmax.takes.eq(run & ((lane.op == Op.SCALE) | (lane.op == Op.WEIGH))),
                divide.run.eq(run),
                divide.comes.eq((row.beat_out.op == Op.DRAIN) & row.beat_out.kept),
                divide.sum.eq(row.s_out),
                divide.weight.eq(softmax.weight),
                means.valid.eq(divide.o.valid),
                means.payload.eq(divide.o.payload),
                divide.o.ready.eq(means.ready),
            ]
            if i == 0:
                m.d.comb += head.ready.eq(softmax.ready)
            down = row.y_out
            rooms = rooms & divide.room
        m.d.comb += run.eq(rooms)
        unread(m, [down])
        return m


TWIN = FlashArray
