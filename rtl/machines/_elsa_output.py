"""The output: sums of all banks, added up and divided by the sum of the weights, some elements a cycle.

A query is merged when it is decided and all banks that have sums of it show them. Its chunks go through the banks'
adder one a cycle. The sum of the weights comes with each; that of the first goes on to the reciprocal, while the chunks
wait in a queue as long as that takes, and are then multiplied by it, one after another.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.rtl.beside import after, beside
from siloom.rtl.lanes import lanes
from siloom.rtl.machines._elsa_shapes import Shapes
from siloom.rtl.units.bank_sum import BankSum
from siloom.rtl.units.reciprocal import Reciprocal
from siloom.rtl.units.scaled_code import ScaledCode


class Output(wiring.Component):
    """The adder of the banks' sums, and the division.

    Attributes:
        decided: The next query is decided.
        with_sums: The banks that have sums of it.
        waiting: The banks that show sums.
        chunk: Which of them they show.
        parts: They, and the sum of the weights, by bank.
        leaves: The query's last chunk is taken; sums may be overwritten.
        o: Codes of the output.
    """

    decided: Signal
    with_sums: Signal
    waiting: Signal
    chunk: Signal
    leaves: Signal
    o: stream.Interface

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        super().__init__(
            {
                "decided": In(1),
                "with_sums": In(shapes.banks),
                "waiting": In(shapes.banks),
                "chunk": Out(range(shapes.chunks)),
                "parts": In(shapes.part).array(shapes.banks),
                "leaves": Out(1),
                "o": Out(stream.Signature(shapes.codes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Add, divide, round."""
        m = Module()
        shapes = self._shapes
        units = shapes.units
        m.submodules.bank_sum = adder = BankSum(units.bank_sum)
        m.submodules.reciprocal = reciprocal = Reciprocal(units.reciprocal)
        m.submodules.scaled_code = scaled = ScaledCode(units.scaled_code)
        me: Any = self

        first, last = self.chunk == 0, self.chunk == shapes.chunks - 1
        enters, leaves = Signal(), Signal()
        place: Any = Signal(data.StructLayout({"first": 1, "last": 1}))
        m.d.comb += [
            adder.i.valid.eq(self.decided & (self.waiting | ~self.with_sums).all()),
            # A bank without sums of the query may show others' that it has already.
            Cat(*lanes(adder.i.p.part)).eq(
                Cat(Mux(self.with_sums[bank], me.parts[bank].as_value(), 0) for bank in range(shapes.banks))
            ),
            enters.eq(adder.i.valid & adder.i.ready),
            self.leaves.eq(enters & last),
            place.first.eq(first),
            place.last.eq(last),
        ]
        with m.If(enters):
            m.d.sync += self.chunk.eq(after(self.chunk, shapes.chunks))
        came = beside(m, "places", place.shape(), units.bank_sum.stages, place, enters, leaves)

        # Chunks wait for the reciprocal of their weights' sum.
        *sums, total = lanes(adder.o.p.sum)
        waits: Any = Signal(data.StructLayout({"last": 1, "sums": data.ArrayLayout(32, shapes.lanes)}))
        room, there, scales = Signal(), Signal(), Signal()
        m.d.comb += [
            adder.o.ready.eq(room & (reciprocal.i.ready | ~came.first)),
            leaves.eq(adder.o.valid & adder.o.ready),
            reciprocal.i.valid.eq(adder.o.valid & came.first & room),
            reciprocal.i.p.total.eq(total),
            waits.last.eq(came.last),
            waits.sums.eq(Cat(sums)),
        ]
        places = units.reciprocal.stages
        inside = Signal(range(places + 1))
        m.d.comb += [room.eq((inside != places) | scales), there.eq(inside != 0)]
        m.d.sync += inside.eq(inside + leaves - scales)
        oldest = beside(m, "chunks", waits.shape(), places, waits, leaves, scales)
        m.d.comb += [
            scaled.i.valid.eq(there & reciprocal.o.valid),
            Cat(*lanes(scaled.i.p.value)).eq(oldest.sums.as_value()),
            scaled.i.p.scale.eq(reciprocal.o.p.share),
            scales.eq(scaled.i.valid & scaled.i.ready),
            reciprocal.o.ready.eq(scales & oldest.last),
            Cat(*lanes(self.o.payload.code)).eq(Cat(*lanes(scaled.o.p.code))),
            self.o.valid.eq(scaled.o.valid),
            scaled.o.ready.eq(self.o.ready),
        ]
        return m
