"""One bank's attention module: a candidate a cycle, from its row of keys to the query's sums.

The pipeline is elastic from end to end: the row of the key and the query's own are read, their product and its power
are made, the row of the value is read and added to the sums by the power. With a query's last candidate its sums
leave the accumulators and wait, in registers of their own, to be merged with the other banks'; the next query's are
added up meanwhile.

Candidates come from the bank's queue, and where no bank has found one for a query, from the records of the bank whose
best key it is. A query that the bank has nothing to work on for is passed by when that is certain.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from siloom.rtl.beside import after, beside
from siloom.rtl.lanes import lanes
from siloom.rtl.machines._elsa_shapes import Shapes
from siloom.rtl.units.dot_product import DotProduct
from siloom.rtl.units.exp_float import ExpFloat
from siloom.rtl.units.weighted_sum import WeightedSum


class Worker(wiring.Component):
    """The memories of a bank's keys and values, the query rows, and the pipeline.

    Attributes:
        clear: A head begins.
        key_valid: ``key`` is written at ``key_local``.
        value_valid: ``value`` is written at ``value_local``.
        row_valid: ``row`` is that of the query with the window's number ``row_query``.
        candidates: Out of the queue.
        query: The window's number of the query that is worked on.
        ended: All of its keys have been looked at.
        record: What the bank has then found for it.
        leaves: There is no more to be worked on for it.
        window: What is known of all queries.
        waiting: Sums are there to be merged.
        chunk: Which of them are shown.
        part: They, and the sum of the weights.
        release: They have been merged.
    """

    clear: Signal
    key_valid: Signal
    key_local: Signal
    key: Any
    value_valid: Signal
    value_local: Signal
    value: Any
    row_valid: Signal
    row_query: Signal
    row: Any
    candidates: stream.Interface
    query: Signal
    ended: Signal
    record: Any
    leaves: Signal
    window: Any
    waiting: Signal
    chunk: Signal
    part: Any
    release: Signal

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        super().__init__(self.members(shapes))

    @staticmethod
    def members(shapes: Shapes) -> dict[str, Any]:
        """The ports."""
        return {
            "clear": In(1),
            "key_valid": In(1),
            "key_local": In(shapes.local),
            "key": In(shapes.row),
            "value_valid": In(1),
            "value_local": In(shapes.local),
            "value": In(shapes.row),
            "row_valid": In(1),
            "row_query": In(shapes.query),
            "row": In(shapes.row),
            "candidates": In(stream.Signature(shapes.candidate)),
            "query": Out(shapes.query),
            "ended": In(1),
            "record": In(shapes.record),
            "leaves": Out(1),
            "window": In(shapes.window),
            "waiting": Out(1),
            "chunk": In(range(shapes.chunks)),
            "part": Out(shapes.part),
            "release": In(1),
        }

    def elaborate(self, platform: object) -> Module:
        """What is worked on next, the pipeline, and the sums that wait."""
        m = Module()
        shapes = self._shapes
        units = shapes.units
        m.submodules.product = product = DotProduct(units.product)
        m.submodules.power = power = ExpFloat(units.power)
        m.submodules.total = total = WeightedSum(units.weighted_sum)

        # The register behind the memories of keys and query rows.
        full, room = Signal(), Signal()
        task, takes = self._next_task(m, room)
        held: Any = Signal(task.shape(), name="held")
        keys = self._memory(m, "keys", self.key_valid, self.key_local, self.key, takes, task.local)
        with m.If(room):
            m.d.sync += full.eq(takes)
        with m.If(takes):
            m.d.sync += held.eq(task)
        rows = Memory(shape=shapes.row, depth=max(2, shapes.held), init=[])
        m.submodules.rows = rows
        write, read = rows.write_port(), rows.read_port()
        m.d.comb += [
            write.en.eq(self.row_valid),
            write.addr.eq(self.row_query),
            write.data.eq(self.row),
            # The row stays in the port's register for the query's other candidates.
            read.en.eq(takes & task.clear),
            read.addr.eq(self.query),
        ]

        enters, leaves = Signal(), Signal()
        stages = units.product.stages + units.power.stages
        note = beside(m, "tasks", task.shape(), stages, held, enters, leaves)
        m.d.comb += [
            room.eq(~full | product.i.ready),
            enters.eq(full & product.i.ready),
            product.i.valid.eq(full),
            product.i.p.a.eq(read.data),
            product.i.p.b.eq(keys),
            power.i.valid.eq(product.o.valid),
            power.i.p.score.eq(product.o.p.product),
            product.o.ready.eq(power.i.ready),
        ]

        # The register behind the memory of values.
        weighs, weight = Signal(), Signal(units.power.form.bits)
        ends: Any = Signal(data.StructLayout({"clear": 1, "last": 1}))
        m.d.comb += [power.o.ready.eq(~weighs | total.i.ready), leaves.eq(power.o.valid & power.o.ready)]
        values = self._memory(m, "values", self.value_valid, self.value_local, self.value, leaves, note.local)
        with m.If(power.o.ready):
            m.d.sync += weighs.eq(power.o.valid)
        with m.If(leaves):
            m.d.sync += [weight.eq(power.o.p.power), ends.clear.eq(note.clear), ends.last.eq(note.last)]
        m.d.comb += [
            total.i.valid.eq(weighs),
            total.i.p.weight.eq(weight),
            total.i.p.value.eq(values),
            total.i.p.clear.eq(ends.clear),
            total.i.p.last.eq(ends.last),
        ]
        self._wait(m, total)
        return m

    def _next_task(self, m: Module, room: Any) -> tuple[Any, Any]:
        """The candidate that is next, and whether it is taken."""
        shapes = self._shapes
        task: Any = Signal(data.StructLayout({"local": shapes.local, "clear": 1, "last": 1}))
        offers, passes, takes = Signal(), Signal(), Signal()
        fresh = Signal(init=1)

        def known(name: str) -> Any:
            return getattr(self.window, name).bit_select(self.query, 1)

        with m.If(self.ended & self.record.none):
            m.d.comb += [
                offers.eq(known("rescued")),
                passes.eq(~offers & (known("found") | known("decided"))),
                task.local.eq(self.record.best.local),
                task.last.eq(1),
            ]
        with m.Else():
            m.d.comb += [
                offers.eq(self.candidates.valid),
                self.candidates.ready.eq(room),
                task.local.eq(self.candidates.p.local),
                task.last.eq(self.candidates.p.last),
            ]
        m.d.comb += [task.clear.eq(fresh), takes.eq(offers & room)]
        with m.If(takes):
            m.d.sync += fresh.eq(task.last)
        m.d.comb += self.leaves.eq((takes & task.last) | passes)
        with m.If(self.leaves):
            m.d.sync += self.query.eq(after(self.query, shapes.held))
        with m.If(self.clear):
            m.d.sync += self.query.eq(0)
        return task, takes

    def _memory(self, m: Module, name: str, valid: Any, at: Any, row: Any, reads: Any, local: Any) -> Any:
        """A memory of this bank's rows, and the row that was read last."""
        shapes = self._shapes
        memory = Memory(shape=shapes.row, depth=shapes.locals, init=[])
        m.submodules[name] = memory
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(valid),
            write.addr.eq(at),
            write.data.eq(row),
            read.en.eq(reads),
            read.addr.eq(local),
        ]
        return read.data

    def _wait(self, m: Module, total: Any) -> None:
        """Registers in which sums wait; they are free again in the cycle in which the last of them are merged."""
        shapes = self._shapes
        comes = Signal()
        sums: Any = Signal(total.o.p.shape(), name="sums", reset_less=True)
        m.d.comb += [
            total.o.ready.eq(~self.waiting | self.release),
            comes.eq(total.o.valid & total.o.ready),
        ]
        with m.If(comes):
            m.d.sync += sums.eq(total.o.payload)
        with m.If(total.o.ready):
            m.d.sync += self.waiting.eq(comes)
        elements = lanes(sums.sum)
        elements += [Const(0, len(sums.total))] * (shapes.chunks * shapes.lanes - len(elements))
        with m.Switch(self.chunk):
            for chunk in range(shapes.chunks):
                with m.Case(chunk):
                    shown = elements[chunk * shapes.lanes :][: shapes.lanes]
                    m.d.comb += [self.part[lane].eq(element) for lane, element in enumerate(shown)]
        m.d.comb += self.part[shapes.lanes].eq(sums.total)
