"""Sanger as hardware: prediction array, packers, reconfigurable array and dividers, for heads one after another.

A head's operands come by streams into memories that hold three heads. When all of a head's words are there its scores
are predicted; when the mask's last sub-row is packed the sparse array begins; when the array is done its sums
are divided and leave. Each part goes on to the next head as soon as there is one and room behind it.

Vectors are at least eight elements long and a multiple of ``tile_rows``; heads in flight are as long as one another.
Nothing checks either. The quantizer, the vectors' lengths and the memory's controller are outside.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from siloom.models._sanger_units import HEADS_HELD
from siloom.models.sanger import SangerDesign
from siloom.rtl.machines._sanger_attend import Attend
from siloom.rtl.machines._sanger_divide import Divide
from siloom.rtl.machines._sanger_layouts import head_layout, mean_layout, operand_layouts, word_layout
from siloom.rtl.machines._sanger_pack import Pack
from siloom.rtl.machines._sanger_predict import Predict, later
from siloom.rtl.machines._sanger_row import Row
from siloom.rtl.machines._sanger_size import SangerSize
from siloom.rtl.machines._sanger_store import Store
from siloom.rtl.machines._sanger_sums import Sums
from siloom.rtl.shared import place
from siloom.rtl.unread import unread


class Sanger(Component):
    """A Sanger of the size that ``design`` says.

    Attributes:
        head: Stream in: what a head is like.
        query_codes, key_codes: Streams in: 4-bit codes, a word for each element of a block of rows or columns.
        query_scales, key_scales: Streams in: their scales, a word for each block.
        q: Stream in: queries, ``tile_rows`` elements of one in a word.
        kv: Stream in: keys, a word for each element of a block of columns, then values likewise.
        o: Stream out: means of values, words as those of ``q``.
    """

    head: Any
    query_codes: Any
    key_codes: Any
    query_scales: Any
    key_scales: Any
    q: Any
    kv: Any
    o: Any

    def __init__(self, design: SangerDesign) -> None:
        """Make the ports."""
        self.size = size = SangerSize(design)
        self.shapes = operand_layouts(size)
        super().__init__(
            {"head": In(stream.Signature(head_layout(size)))}
            | {name: In(stream.Signature(word_layout(*shape))) for name, shape in self.shapes.items()}
            | {"o": Out(stream.Signature(mean_layout(size)))}
        )

    def elaborate(self, platform: object) -> Module:
        """Memories, parts, and who may begin."""
        m = Module()
        size = self.size
        words = size.elements
        depths = {
            "query_codes": (words // size.rows, 2),
            "key_codes": (words // size.columns, 2),
            "query_scales": (size.blocks, 2),
            "key_scales": (size.parts, 2),
            "q": (size.q_words, HEADS_HELD),
            "kv": (size.kv_words, HEADS_HELD),
        }
        stores = {name: Store(*self.shapes[name], *depths[name]) for name in self.shapes}
        for name, store in stores.items():
            m.submodules[name] = store
            connect(m, flipped(getattr(self, name)), store.i)
        m.submodules.predict = predict = Predict(size)
        m.submodules.pack = pack = Pack(size)
        m.submodules.attend = attend = Attend(size, pack.some, pack.count_bits, predict.largest)
        m.submodules.sums = sums = Sums(size)
        m.submodules.divide = divide = Divide(size, sums.sums, sums.total)
        self._heads(m, stores, predict, pack, attend, divide)
        self._prediction(m, stores, predict, pack)
        self._attention(m, platform, stores, predict, pack, attend, sums)
        m.d.comb += [
            sums.read.eq(divide.read),
            sums.read_half.eq(divide.half),
            sums.word.eq(divide.word),
            sums.query.eq(divide.query),
            self.o.valid.eq(divide.o.valid),
            self.o.payload.eq(divide.o.payload),
            divide.o.ready.eq(self.o.ready),
        ]
        return m

    def _heads(self, m: Module, stores: dict[str, Store], predict: Any, pack: Any, attend: Any, divide: Any) -> None:
        """From part to part."""
        size = self.size
        given: Any = Signal(head_layout(size))
        coming: Any = Signal(head_layout(size))
        held = [Signal(head_layout(size), name=f"held{n}") for n in range(2)]
        last, oldest = Signal(), Signal()
        known, masked, attended = Signal(), Signal(), Signal()
        behind: Any = Signal(2)  # heads whose products have begun and that have not left the array
        dividing: Any = Signal(2)  # heads that have left the array and are not divided
        full: Any = self.head.valid | known
        for store in stores.values():
            full = full & store.full
        m.d.comb += [
            self.head.ready.eq(~known),
            coming.eq(Mux(known, given, self.head.payload)),
            predict.head.eq(coming),
            predict.begin.eq(full & predict.free & (behind - attend.ends <= 1)),
            attend.given_head.eq(Mux(oldest, held[1], held[0])),
            attend.begin.eq((masked | pack.complete) & attend.free & (dividing + attend.ends - divide.ends <= 1)),
            divide.head.eq(attend.head),
            divide.begin.eq((attended | attend.ends) & divide.free),
        ]
        with m.If(self.head.valid & self.head.ready):
            m.d.sync += [given.eq(self.head.payload), known.eq(1)]
        with m.If(predict.begin):
            m.d.sync += known.eq(0)
        for store in stores.values():
            m.d.comb += store.filled.eq(predict.begin)
        # Where a head's sweeps still run when the next one's products begin, two are on their way to the array.
        with m.If(predict.begin):
            m.d.sync += last.eq(~last)
        for n in range(2):
            with m.If(predict.begin & (last == n)):
                m.d.sync += held[n].eq(coming)
        with m.If(attend.begin):
            m.d.sync += oldest.eq(~oldest)
        m.d.sync += [
            masked.eq((masked | pack.complete) & ~attend.begin),
            attended.eq((attended | attend.ends) & ~divide.begin),
            behind.eq(behind + predict.begin - attend.ends),
            dividing.eq(dividing + attend.ends - divide.ends),
        ]

    def _prediction(self, m: Module, stores: dict[str, Store], predict: Any, pack: Any) -> None:
        """The prediction array's operands, and its words' way."""
        for name, at in (
            ("query_codes", predict.query_at),
            ("key_codes", predict.key_at),
            ("query_scales", predict.query_scale_at),
            ("key_scales", predict.key_scale_at),
        ):
            store = stores[name]
            m.d.comb += [store.turn.eq(predict.begin), store.at.eq(at), getattr(predict, name).eq(store.word)]
        m.d.comb += [
            pack.given.eq(predict.words_given),
            pack.part.eq(predict.part),
            pack.block.eq(predict.block),
            *(into.eq(word) for into, word in zip(pack.words, predict.words, strict=True)),
        ]

    def _attention(
        self, m: Module, platform: object, stores: dict[str, Store], predict: Any, pack: Any, attend: Any, sums: Any
    ) -> None:
        """Rows of PEs, one below the other."""
        size = self.size
        walk = attend.walk
        m.d.comb += [
            attend.largest_given.eq(predict.largest_given),
            attend.largest_at.eq(predict.largest_at),
            pack.half.eq(walk.half),
            pack.at_part.eq(walk.part),
            pack.at_group.eq(walk.group),
            pack.at.eq(walk.at),
            walk.filled.eq(pack.filled),
            attend.sub_row.eq(pack.sub_row),
            sums.half.eq(attend.half),
        ]
        for name, at in (("q", attend.q_at), ("kv", attend.kv_at)):
            m.d.comb += [stores[name].turn.eq(attend.begin), stores[name].at.eq(at)]
        step, passing = attend.step, stores["kv"].word
        for r in range(size.rows):
            row: Any = Row(size)
            place(m, platform, row, f"row{r}", "sanger_row")
            mine: Any = Signal(name=f"row{r}_loads")
            m.d.comb += [
                mine.eq(attend.row == r),
                row.step.eq(step),
                row.passing.eq(passing),
                row.task.eq(attend.task),
                row.task_given.eq(attend.task_given & mine),
                row.task_parity.eq(attend.parity),
                row.word.eq(stores["q"].word),
                row.word_given.eq(attend.word_given & mine),
                row.root.eq(attend.head.root),
                sums.partials[r].eq(row.partial),
                sums.weights[r].eq(row.weights),
            ]
            step, passing = row.step_below, row.passing_below
        unread(m, [step, passing])
        m.d.comb += [
            sums.place.eq(later(m, attend.step.element[: size.row_bits], 2, "place")),
            sums.place_given.eq(later(m, attend.step.valid & attend.step.values, 2, "places")),
        ]


TWIN = Sanger
