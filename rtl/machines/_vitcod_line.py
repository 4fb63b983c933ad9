"""A line of multipliers: a whole score in a cycle, or a value times a weight, of whichever engine the head says.

Scores: the key stays in the register of its memory while queries pass by; products are added from multiplier to
multiplier. Products with V: every multiplier keeps the sum of its own element. The two have multipliers of their own
here, of whole numbers and of weights in floating point; the model has one set for both. Each line has copies of all
operands of two heads, so that lines never wait for one another's memory.

Scores go through a pipeline that nothing stops. Sums go through an elastic one, which stands still while a row's
sums cannot leave.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from siloom.rtl.beside import beside
from siloom.rtl.lanes import lanes
from siloom.rtl.machines._sanger_predict import later
from siloom.rtl.machines._vitcod_items import Columns, Rows
from siloom.rtl.machines._vitcod_layouts import Layouts, one_bit
from siloom.rtl.units.dot_product import DotProduct
from siloom.rtl.units.exp_float import ExpFloat
from siloom.rtl.units.weighted_sum import WeightedSum
from siloom.rtl.unread import unread


class Line(wiring.Component):
    """One line.

    Attributes:
        token: In: codes of a query or a key for ``token_at``, as ``query_given`` and ``key_given`` say.
        value: In: of a value for ``value_at``, when ``value_given``.
        item: In: of ``item_half``; a column or a row for the sparser engine, as ``column_given`` and ``row_given`` say.
        half: In: where the head lies that is worked on; ``scoring`` or ``summing`` says at what.
        clear: In: the next head's scores begin, and what was the largest of each row is forgotten.
        denser: In: the line is the denser engine's, and does what ``command`` says.
        scored: Out: a score.
        asks, asked, granted, scores, largest: as of :class:`siloom.rtl.machines._vitcod_items.Rows`.
        sparse_row, denser_row: In: rows of which ``sparse_held`` and ``denser_held`` are the largest scores here.
        denser_score: In: the score of the last command, marked if it is kept.
        next_largest: In: of the row that the denser engine's line turns to next, when ``next_given``.
        room: Out: a command may come, to sum.
        busy: Out: the sparser engine has more to do on what has come of this head, behind this cycle.
        flying: Out: values are still to be read.
        waiting: Out: ``result`` waits until ``taken``.
    """

    def __init__(self, layouts: Layouts) -> None:
        self._layouts = layouts
        one, address, index = 1, layouts.address, layouts.index
        ins: dict[str, Any] = {
            "token": layouts.codes, "token_at": address, "query_given": one, "key_given": one,
            "value": layouts.codes, "value_at": address, "value_given": one,
            "item": layouts.item, "item_half": one, "column_given": one, "row_given": one,
            "half": one, "scoring": one, "summing": one, "clear": one, "denser": one, "command": layouts.command,
            "granted": one, "largest": layouts.score,
            "sparse_row": index, "denser_row": index, "denser_score": layouts.marked,
            "next_largest": layouts.score, "next_given": one, "taken": one,
        }  # fmt: skip
        outs: dict[str, Any] = {
            "scored": layouts.scored, "asks": one, "asked": index, "sparse_held": layouts.marked,
            "denser_held": layouts.marked, "room": one, "busy": one, "flying": one, "waiting": one,
            "result": layouts.result,
        }  # fmt: skip
        super().__init__(
            {name: In(shape) for name, shape in ins.items()}
            | {name: Out(shape) for name, shape in outs.items()}
            | {"scores": In(layouts.block).array(layouts.size.blocks)}
        )

    def elaborate(self, platform: object) -> Module:
        """Queues, scores, sums."""
        m = Module()
        me: Any = self
        layouts = self._layouts
        m.submodules.columns = columns = Columns(layouts)
        m.submodules.rows = rows = Rows(layouts)
        for queue, given, works in (
            (columns, me.column_given, me.scoring & ~me.denser),
            (rows, me.row_given, me.summing & ~me.denser & me.room),
        ):
            m.d.comb += [
                queue.given.eq(given),
                queue.item.eq(me.item),
                queue.item_half.eq(me.item_half),
                queue.half.eq(me.half),
                queue.works.eq(works),
            ]
        m.d.comb += [
            me.asks.eq(rows.asks & ~me.denser),
            me.asked.eq(rows.asked),
            rows.granted.eq(me.granted),
            *(into.eq(given) for into, given in zip(rows.scores, me.scores, strict=True)),
            rows.largest.eq(me.largest),
            me.busy.eq(Mux(me.scoring, columns.busy, rows.busy)),
        ]
        self._score(m, columns)
        self._keep_largest(m)
        self._sum(m, rows)
        return m

    def _memory(self, m: Module, name: str, shape: Any, given: Any, at: Any, word: Any, reads: Any, where: Any) -> Any:
        memory = Memory(shape=shape, depth=2 << self._layouts.index, init=[])
        m.submodules[name] = memory
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(given),
            write.addr.eq(at),
            write.data.eq(word),
            read.en.eq(reads),
            read.addr.eq(where),
        ]
        return read.data

    def _score(self, m: Module, columns: Any) -> None:
        """A score in every cycle; the key is read when a column begins."""
        me: Any = self
        layouts, size = self._layouts, self._layouts.size
        product: Any = DotProduct(size.product)
        m.submodules.product = product
        asked: Any = Signal(layouts.scored)
        first, mine = Signal(), me.command
        m.d.comb += [
            asked.valid.eq(Mux(me.denser, mine.valid & me.scoring, columns.valid)),
            asked.row.eq(Mux(me.denser, mine.row, columns.row)),
            asked.column.eq(Mux(me.denser, mine.column, columns.column)),
            asked.kept.eq(mine.kept | ~me.denser),
            asked.dense.eq(me.denser),
            first.eq(Mux(me.denser, mine.first, columns.first)),
        ]
        query = self._memory(
            m, "queries", layouts.codes, me.query_given, me.token_at, me.token,
            asked.valid, Cat(asked.row, me.half),
        )  # fmt: skip
        key = self._memory(
            m, "keys", layouts.codes, me.key_given, me.token_at, me.token,
            asked.valid & first, Cat(asked.column, me.half),
        )  # fmt: skip
        there: Any = later(m, asked, 1 + size.product.stages, "asked")
        m.d.comb += [
            product.i.valid.eq(later(m, asked.valid, 1, "read")),
            Cat(*lanes(product.i.p.a)).eq(query.as_value()),
            Cat(*lanes(product.i.p.b)).eq(key.as_value()),
            product.o.ready.eq(1),
            me.scored.valid.eq(product.o.valid),
            me.scored.row.eq(there.row),
            me.scored.column.eq(there.column),
            me.scored.kept.eq(there.kept),
            me.scored.dense.eq(there.dense),
            me.scored.score.eq(product.o.p.product),
        ]
        unread(m, [product.i.ready, asked.score, there.valid, there.score])

    def _keep_largest(self, m: Module) -> None:
        """Of every row the largest score that is kept."""
        me: Any = self
        layouts = self._layouts
        known = Signal(1 << layouts.index)
        memory = Memory(shape=layouts.score, depth=1 << layouts.index, init=[])
        m.submodules.largest = memory
        write, old, held = memory.write_port(), memory.read_port(domain="comb"), memory.read_port(domain="comb")
        scored = me.scored
        # Rows are read for the denser engine only while no scores are made.
        before: Any = Signal(layouts.marked)
        m.d.comb += [
            old.addr.eq(Mux(scored.valid, scored.row, me.denser_row)),
            held.addr.eq(me.sparse_row),
            before.score.eq(old.data),
            before.marked.eq(known.bit_select(old.addr, 1)),
            me.denser_held.eq(before),
            me.sparse_held.score.eq(held.data),
            me.sparse_held.marked.eq(known.bit_select(held.addr, 1)),
            write.en.eq(scored.valid & scored.kept & (~before.marked | (scored.score > before.score))),
            write.addr.eq(scored.row),
            write.data.eq(scored.score),
        ]
        m.d.sync += known.eq(Mux(me.clear, 0, known | one_bit(m, "comes", write.en, scored.row, len(known))))

    def _sum(self, m: Module, rows: Any) -> None:
        """A weighted value in every cycle that there is room for one."""
        me: Any = self
        layouts, size = self._layouts, self._layouts.size
        power: Any = ExpFloat(size.power)
        total: Any = WeightedSum(size.sum)
        m.submodules.power, m.submodules.total = power, total
        turn, held_largest = Signal(layouts.score, name="turn"), Signal(layouts.score, name="held_largest")
        with m.If(me.next_given):
            m.d.sync += turn.eq(me.next_largest)
        note_shape = data.StructLayout(
            {"row": layouts.index, "column": layouts.index, "dense": 1, "half": 1, "first": 1, "last": 1}
        )
        task: Any = Signal(note_shape)
        mine = me.command
        takes, largest = Signal(), Signal(layouts.score, name="row_largest")
        m.d.comb += [
            takes.eq(Mux(me.denser, mine.valid & me.summing, rows.valid)),
            task.row.eq(Mux(me.denser, mine.row, rows.row)),
            task.column.eq(Mux(me.denser, mine.column, rows.column)),
            task.first.eq(Mux(me.denser, mine.first, rows.first)),
            task.last.eq(Mux(me.denser, mine.last, rows.last)),
            task.dense.eq(me.denser),
            task.half.eq(me.half),
            largest.eq(Mux(me.denser, Mux(mine.first, turn, held_largest), rows.row_largest)),
        ]
        full, held, score = Signal(), Signal(note_shape, name="held"), Signal(layouts.score)
        base: Any = Signal(layouts.score)
        with m.If(me.room):
            m.d.sync += full.eq(takes)
        with m.If(takes):
            m.d.sync += [held.eq(task), score.eq(rows.score), base.eq(largest), held_largest.eq(largest)]

        # The denser engine's score comes from its memory, and stays there until the next one is asked for.
        kept, enters, leaves = Signal(), Signal(), Signal()
        number: Any = Signal(layouts.score, name="number")
        noted = data.StructLayout({"note": note_shape, "kept": 1})
        note: Any = Signal(noted)
        m.d.comb += [
            kept.eq(me.denser_score.marked | ~held.dense),
            number.eq(Mux(held.dense, me.denser_score.score, score)),
            note.note.eq(held),
            note.kept.eq(kept),
            me.room.eq(~full | power.i.ready),
            power.i.valid.eq(full),
            power.i.p.score.eq(number - base),
            enters.eq(full & power.i.ready),
        ]
        came: Any = beside(m, "notes", noted, size.power.stages, note, enters, leaves)

        # The register behind the memory of values.
        weighs, weight = Signal(), Signal(size.power.form.bits)
        behind: Any = Signal(note_shape, name="behind")
        m.d.comb += [power.o.ready.eq(~weighs | total.i.ready), leaves.eq(power.o.valid & power.o.ready)]
        value = self._memory(
            m, "values", layouts.codes, me.value_given, me.value_at, me.value,
            leaves, Cat(came.note.column, came.note.half),
        )  # fmt: skip
        with m.If(power.o.ready):
            m.d.sync += weighs.eq(power.o.valid)
        with m.If(leaves):
            m.d.sync += [weight.eq(Mux(came.kept, power.o.p.power, 0)), behind.eq(came.note)]
        flies: Any = Signal(range(size.power.stages + 2))
        m.d.sync += flies.eq(flies + takes - leaves)
        m.d.comb += [
            me.flying.eq(flies.any()),
            total.i.valid.eq(weighs),
            total.i.p.weight.eq(weight),
            Cat(*lanes(total.i.p.value)).eq(value.as_value()),
            total.i.p.clear.eq(behind.first),
            total.i.p.last.eq(behind.last),
        ]
        self._leave(m, total, behind, weighs & total.i.ready & behind.last)

    def _leave(self, m: Module, total: Any, behind: Any, ends: Any) -> None:
        """A row's sums wait here; they are free again in the cycle in which they are taken."""
        me: Any = self
        layouts = self._layouts
        shape = data.StructLayout({"row": layouts.index, "dense": 1})
        row: Any = Signal(shape)
        comes = Signal()
        m.d.comb += [
            row.row.eq(behind.row),
            row.dense.eq(behind.dense),
            total.o.ready.eq(~me.waiting | me.taken),
            comes.eq(total.o.valid & total.o.ready),
        ]
        unread(m, [behind.column, behind.half])
        whose: Any = beside(m, "ends", shape, layouts.size.sum.stages, row, ends, comes)
        with m.If(comes):
            m.d.sync += [
                Cat(*me.result.sums).eq(Cat(*lanes(total.o.p.sum), total.o.p.total)),
                me.result.row.eq(whose.row),
                me.result.dense.eq(whose.dense),
            ]
        with m.If(total.o.ready):
            m.d.sync += me.waiting.eq(comes)
