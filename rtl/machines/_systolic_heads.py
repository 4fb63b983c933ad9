"""What enters the array and when: the controllers of the two kinds of dataflow.

Each takes folds and operands and says, cycle by cycle, what stands at the head of the array's rows and columns. A
missing operand makes an idle beat and moves later ones back; it never stops what is in the array. ``run`` low
stops everything.

Nothing waits for the array to empty. Shifting operands in, or sums out, and streaming overlap as far as the
registers of a cell allow, and the last possible beat is held back, not the first, so that operands are taken early.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from siloom.rtl.machines._systolic_layouts import fold_layout, head_layout, left_layout, note_layout, top_layout
from siloom.rtl.machines._systolic_size import LENGTH_BITS, ArraySize


class Head(Component):
    """The ports of both controllers.

    Attributes:
        run: In: whether the array moves in this cycle.
        fold: Stream in: what is to be done.
        left: Stream in: a factor for every row; what lies in rows that the fold does not use is not looked at.
        top: Stream in: a factor, or an operand that stays, for every column.
        head: Out: what enters the array in this cycle.
        note: Out: what is known of the row of results that stands at the lower edge, skewed, ``rows`` cycles later.

    Where k may be cut, also:
        place: Out: which row of its fold enters with the array's next move, if one does.
    """

    run: Any
    fold: Any
    left: Any
    top: Any
    head: Any
    note: Any
    place: Any

    def __init__(self, size: ArraySize) -> None:
        """Make the ports."""
        self.size = size
        super().__init__(
            {
                "run": In(1),
                "fold": In(stream.Signature(fold_layout(size))),
                "left": In(stream.Signature(left_layout(size))),
                "top": In(stream.Signature(top_layout(size))),
                "head": Out(head_layout(size)),
                "note": Out(note_layout(size)),
            }
            | ({"place": Out(range(size.depth))} if size.depth else {})
        )

    def _factors(self, m: Module, used: Value) -> None:
        """Factors into the rows in use, a bit of ``used`` each, nothing into the others."""
        for i, lane in enumerate(self.head.lanes):
            m.d.comb += lane.a.eq(Mux(used[i], self.left.p[i], 0))
            if "live" in lane.shape().members:
                m.d.comb += lane.live.eq(used[i])


class SumsStay(Head):
    """The controller of an output-stationary array.

    A beat is a row of B's tile above and a column of A's on the left. With a fold's last beat its sums begin to go
    down, the lowest first, one row a cycle. Where cells have a second register, the next fold's products go on
    meanwhile, and only its last beat waits for the way down to be free; else its first does.
    """

    def elaborate(self, platform: object) -> Module:
        """One counter of beats, one of sums that are to go down."""
        m = Module()
        size, fold, note = self.size, self.fold.p, self.note
        at = Signal(LENGTH_BITS)
        first, last, allowed, beat, ends = Signal(), Signal(), Signal(), Signal(), Signal()
        due, cols = Signal(range(size.rows + 1)), Signal.like(fold.cols)
        going = Signal.like(due)  # of the fold whose sums go down, those that have not begun to
        waits = last if size.cell.double else first
        m.d.comb += [
            first.eq(at == 0),
            last.eq(at == fold.streamed - 1),
            allowed.eq(self.run & self.fold.valid & ~(waits & due.any())),
            beat.eq(allowed & self.left.valid & self.top.valid),
            self.left.ready.eq(allowed & self.top.valid),
            self.top.ready.eq(allowed & self.left.valid),
            ends.eq(beat & last),
            self.fold.ready.eq(ends),
            going.eq(Mux(ends, fold.rows, due)),
            note.valid.eq(going.any()),
            note.cols.eq(Mux(ends, fold.cols, cols)),
            self.head.top.eq(self.top.payload),
        ]
        used = Signal(size.rows)
        m.d.comb += used.eq(Mux(beat, Cat(i < fold.rows for i in range(size.rows)), 0))
        self._factors(m, used)
        for i, lane in enumerate(self.head.lanes):
            m.d.comb += [lane.first.eq(first & used[i]), lane.last.eq(last & used[i])]
            # Sums pass the rows that hold none of them at once, the others as soon as they have handed over their own.
            m.d.comb += lane.shift.eq(note.valid & (i >= going) if i else 0)
        with m.If(beat):
            m.d.sync += at.eq(Mux(last, 0, at + 1))
        with m.If(self.run & note.valid):
            m.d.sync += [due.eq(going - 1), cols.eq(note.cols)]
        return m


class OperandStays(Head):
    """The controller of a weight- or input-stationary array: one half loads tiles, the other streams through them.

    A tile comes from above, lowest row first, and goes down; each row keeps what passes until its own has come. The
    flag that takes it to work enters with the last operand that the tile before is multiplied with, or with the
    tile's last row, whichever is later. Where cells have a second register, the next tile may come in the cycle after;
    else with the last operand of the fold before.

    Where no factor comes the rows in use get one that means nothing: what becomes of it is no sum that counts. So
    whether there is one need not be known before it is multiplied, which would be the array's slowest path. For the
    same reason nothing that enters looks at ``run``: while it is low nothing moves, whatever is said.
    """

    def elaborate(self, platform: object) -> Module:
        """A fold is loaded, waits in a slot for the end of the one before, and is streamed."""
        m = Module()
        size, note, coming = self.size, self.note, self.fold.p
        work: Any = Signal(note_layout(size))  # valid as long as factors of this fold are to come
        left_over, used, place = Signal(LENGTH_BITS), Signal(size.rows), Signal(range(size.depth))
        beat, ends = Signal(), Signal()
        come, to_come = Signal(range(size.rows)), Signal(range(size.rows + 1))
        room, loads, loaded, takes = Signal(), Signal(), Signal(), Signal()
        taken: Any = Signal(fold_layout(size))
        m.d.comb += [
            beat.eq(work.valid & self.left.valid),
            ends.eq(beat & (left_over == 1)),
            self.left.ready.eq(self.run & work.valid),
            note.eq(work),
            note.valid.eq(beat),
            self.place.eq(Mux(takes, 0, place + beat)),
            to_come.eq(coming.rows - come),
            loads.eq(self.fold.valid & room & self.top.valid),
            loaded.eq(loads & (to_come == 1)),
            self.top.ready.eq(self.run & self.fold.valid & room),
            self.fold.ready.eq(self.run & loaded),
            self.head.top.eq(self.top.payload),
        ]
        if size.cell.double:
            slot, full = Signal.like(taken), Signal()
            m.d.comb += [
                room.eq(~full),
                takes.eq((loaded | full) & (~work.valid | ends)),
                taken.eq(Mux(full, slot, coming)),
            ]
            with m.If(self.run):
                m.d.sync += full.eq((loaded | full) & ~takes)
                with m.If(loaded):
                    m.d.sync += slot.eq(coming)
        else:
            m.d.comb += [room.eq(~work.valid | ends), takes.eq(loaded), taken.eq(coming)]

        self._factors(m, used)
        for i, lane in enumerate(self.head.lanes):
            # Rows without a factor may take what they like, and ``last`` says nothing here.
            m.d.comb += [lane.first.eq(takes), lane.shift.eq(loads & (i < to_come))]
        with m.If(self.run):
            m.d.sync += place.eq(self.place)
            with m.If(loads):
                m.d.sync += come.eq(Mux(loaded, 0, come + 1))
            with m.If(beat):
                m.d.sync += [left_over.eq(left_over - 1), work.valid.eq(~ends)]
            with m.If(takes):
                m.d.sync += [work[name].eq(taken[name]) for name in ("cols", "opens", "closes")]
                m.d.sync += [work.valid.eq(1), left_over.eq(taken.streamed)]
                m.d.sync += used.eq(Cat(i < taken.rows for i in range(size.rows)))
        return m
