"""ViTCoD as hardware: heads under fixed masks, dense columns and sparse ones on an engine each.

A head is announced with its length, its global tokens and how many lines the denser engine has for it; the others are
the sparser one's. Queries and keys come with their mask's bits, global tokens in front, and values beside them. All
scores of a head are made, then, when each row's largest is known, their products with V, while the next head's operands
come; sums are divided and leave while the next head's scores are made. Encoded queries and keys go through a decoder
first, which has lines of its own.

Lines are as long as keys: ``pe_height`` is the heads' length, so no sums pass from line to line. Tokens in their new
order, the split of the lines, and which line takes which sparse column and row, are worked out with the mask, before
anything runs; nothing checks them. The mask comes as bits of rows and columns, where the model counts bytes of lists,
and scores keep all their bits. The auto-encoder's encoder, masks' making and the memory's controller are outside.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from siloom.models._vitcod_design import ViTCoDDesign
from siloom.rtl.barrel import named
from siloom.rtl.machines._vitcod_decode import Decoder
from siloom.rtl.machines._vitcod_denser import Denser
from siloom.rtl.machines._vitcod_layouts import Layouts
from siloom.rtl.machines._vitcod_line import Line
from siloom.rtl.machines._vitcod_load import Load
from siloom.rtl.machines._vitcod_output import Output
from siloom.rtl.machines._vitcod_scores import Scores
from siloom.rtl.machines._vitcod_size import SLOTS, ViTCoDSize
from siloom.rtl.pick import pick
from siloom.rtl.shared import place


class ViTCoD(Component):
    """A ViTCoD of the size that ``design`` says.

    Attributes:
        head: Stream in: what a head is like.
        qk: Stream in: its queries, then its keys; where they are encoded, all encoded heads of a token.
        v: Stream in: its values.
        o: Stream out: its output's rows as they are done, with their number and the head's, modulo two.
    """

    head: Any
    qk: Any
    v: Any
    o: Any

    def __init__(self, design: ViTCoDDesign) -> None:
        """Make the ports."""
        self.size = ViTCoDSize(design)
        self.layouts = layouts = Layouts(self.size)
        super().__init__(
            {
                "head": In(stream.Signature(layouts.head)),
                "qk": In(stream.Signature(layouts.encoded)),
                "v": In(stream.Signature(layouts.codes)),
                "o": Out(stream.Signature(layouts.row)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Lines, engines, operands, results."""
        m = Module()
        layouts = self.layouts
        lines = [Line(layouts) for _ in range(self.size.lines)]
        for number, line in enumerate(lines):
            place(m, platform, line, f"line{number}", "vitcod_line")
        heads: list[Any] = [Signal(layouts.head, name=f"head{n}") for n in range(SLOTS)]
        m.submodules.load = load = Load(layouts, heads, lines)
        m.submodules.scores = scores = Scores(layouts, lines)
        m.submodules.denser = denser = Denser(layouts, lines)
        m.submodules.output = output = Output(layouts, lines)
        if self.size.decodes:
            m.submodules.decoder = decoder = Decoder(layouts, heads)
            connect(m, flipped(self.qk), decoder.i)
            connect(m, decoder.o, load.tokens)
            m.d.comb += decoder.known.eq(load.known)
        else:
            connect(m, flipped(self.qk), load.tokens)
        connect(m, flipped(self.v), load.values)
        connect(m, output.o, flipped(self.o))
        self._phases(m, heads, lines, load, scores, denser, output)
        m.d.comb += [
            denser.kept_given.eq(load.kept_given),
            denser.kept_at.eq(load.kept_at),
            denser.kept.eq(load.kept),
            output.row_given.eq(load.row_given),
            output.row_at.eq(load.row_at.number),
            output.row_place.eq(load.loading[:2]),
            output.row_kept.eq(load.row_kept),
        ]
        return m

    def _phases(
        self, m: Module, heads: list[Any], lines: list[Any], load: Any, scores: Any, denser: Any, output: Any
    ) -> None:
        """Scores, a wait, products with V: head after head, counted round and round."""
        layouts, size = self.layouts, self.size
        known, worked = Signal(3), Signal(3)
        # Rows of a head, or even of the one before, may still leave when its products have all begun.
        m.d.comb += self.head.ready.eq(((known - worked)[:3] < SLOTS) & ((known - output.leaving)[:3] < SLOTS))
        with m.If(self.head.valid & self.head.ready):
            m.d.sync += known.eq(known + 1)
            for n, head in enumerate(heads):
                with m.If(known[:2] == n):
                    m.d.sync += head.eq(self.head.payload)
        head = denser.head
        m.d.comb += head.eq(pick(heads, worked[:2]))

        scoring, waits, sums = Signal(init=1), Signal(), Signal()
        wait_cycles = size.design.softmax_cycles
        timer: Any = Signal(range(wait_cycles))
        loaded, valued, values_left = Signal(), Signal(), Signal()
        summing = named(m, sums & valued & ~values_left, "summing")
        busy = named(m, denser.busy | Cat(line.busy for line in lines).any(), "busy")
        scored = named(m, scoring & (loaded | load.ends) & ~busy, "scored")
        waited = named(m, waits & (timer == wait_cycles - 1), "waited")
        summed = named(m, summing & ~busy, "summed")
        m.d.comb += [loaded.eq(load.loading != worked), valued.eq(load.values_loading != worked)]
        m.d.sync += [
            scoring.eq((scoring & ~scored) | summed),
            waits.eq((waits & ~waited) | scored),
            sums.eq((sums & ~summed) | waited),
            worked.eq(worked + summed),
        ]
        with m.If(waits):
            m.d.sync += timer.eq(timer + 1)
        with m.If(scored):
            m.d.sync += timer.eq(0)
        settled = Signal()
        with m.If(waits & (timer == size.product.stages)):
            m.d.sync += settled.eq(1)
        with m.If(summed):
            m.d.sync += settled.eq(0)

        # A head's values are read a little longer than they are asked for.
        values_done: Any = Signal(3)
        with m.If(summed):
            m.d.sync += values_left.eq(1)
        with m.If(values_left & ~Cat(line.flying for line in lines).any()):
            m.d.sync += [values_left.eq(0), values_done.eq(values_done + 1)]
        behind = named(m, (worked - output.leaving)[:3], "behind")
        m.d.comb += [
            load.known.eq(known),
            load.worked.eq(worked),
            load.values_done.eq(values_done),
            scores.settled.eq(settled),
            denser.settled.eq(settled),
            denser.half.eq(worked[0]),
            denser.begins_scores.eq(summed),
            denser.begins_sums.eq(scored),
            denser.scoring.eq(scoring),
            denser.summing.eq(summing),
            output.head.eq(pick(heads, output.leaving[:2])),
            output.allowed.eq((behind == 1) | (behind == 2) | ((behind == 0) & summing)),
        ]
        came = named(m, (load.token - head.seq)[: layouts.count + 1], "came")
        with m.If(loaded):
            m.d.comb += denser.columns_here.eq(head.seq)
        with m.Elif(load.token > head.seq):
            m.d.comb += denser.columns_here.eq(came)
        for number, line in enumerate(lines):
            m.d.comb += [
                line.half.eq(worked[0]),
                line.scoring.eq(scoring),
                line.summing.eq(summing),
                line.clear.eq(summed),
                line.denser.eq(number < head.denser),
            ]


TWIN = ViTCoD
