"""A lane of DOTA as hardware: detector, sorters, scheduler, one array for all products, and softmax beside it.

A head's operands come by streams into memories of two halves while the head before is worked on. First its queries and
keys become low-rank vectors. Then the array goes through the groups of rows in a fixed order - detection of one, scores
of the one before, values of the one before that - while other groups are sorted and scheduled and their softmax is
made. A group's results leave together, a vector for each of its rows; rows that are beyond the last query hold zeros.

This is one lane with its own memories, for 16-bit operands and rows that keep their best keys. Vectors are as long as
the port of keys is wide, so that a key comes each cycle, and take all PEs of a row one cycle or more; a group has as
many rows as a PE's operand holds numbers of the detector's width. Heads are at least one vector long and at most as
long as the memories are; nothing checks that. Not here: several lanes, which exchange low-rank keys; rows that keep
all keys above a threshold; ports for several keys or for parts of one; several rounds side by side; the quantizing of
operands, the fitting of the detector, and the memory's controller.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from siloom.models._dota_design import DotaDesign
from siloom.rtl.fifo import Fifo
from siloom.rtl.machines._dota_array import Array
from siloom.rtl.machines._dota_layouts import head_layout, later, low_layout, share, vector_bits, vector_layout
from siloom.rtl.machines._dota_load import Load
from siloom.rtl.machines._dota_select import Select
from siloom.rtl.machines._dota_size import OUTPUTS, DotaSize
from siloom.rtl.machines._dota_softmax import Softmax
from siloom.rtl.machines._dota_transform import Transform
from siloom.rtl.machines._dota_visits import Visits


class Part(IntEnum):
    """What the array is doing."""

    NOTHING = 0
    DETECTION = 1
    SCORES = 2
    VALUES = 3


class Order(Elaboratable):
    """Which part of which group is next.

    Attributes:
        begin: In: the first part begins in the next cycle.
        groups: In: of the head.
        part, group: Out: at work, or waiting to begin.
        ends: In: its last step is issued in this cycle. ``finished``: and it is the head's last.
    """

    def __init__(self, size: DotaSize) -> None:
        self.begin: Any = Signal()
        self.groups: Any = Signal(size.group_bits + 1)
        self.part: Any = Signal(Part)
        self.group: Any = Signal(size.group_bits + 1)
        self.ends: Any = Signal()
        self.finished: Any = Signal()

    def elaborate(self, platform: object) -> Module:
        """Turn t is detection of group t, scores of group t - 1 and values of group t - 2, as far as there are such."""
        m = Module()
        part, turn, groups = self.part, Signal(len(self.group) + 1), self.groups
        has_scores, has_values, more = Signal(), Signal(), Signal()
        following: Any = Signal(turn.shape())
        opening: Any = Signal(Part)
        m.d.comb += [
            has_scores.eq((turn >= 1) & (turn <= groups)),
            has_values.eq(turn >= 2),
            following.eq(turn + 1),
            more.eq(turn != groups + 1),
            opening.eq(Mux(following < groups, Part.DETECTION, Mux(following == groups, Part.SCORES, Part.VALUES))),
            self.group.eq(Mux(part == Part.VALUES, turn - 2, Mux(part == Part.SCORES, turn - 1, turn))),
            self.finished.eq(self.ends & (part == Part.VALUES) & ~more),
        ]
        with m.If(self.ends):
            with m.If((part == Part.DETECTION) & has_scores):
                m.d.sync += part.eq(Part.SCORES)
            with m.Elif((part != Part.VALUES) & has_values):
                m.d.sync += part.eq(Part.VALUES)
            with m.Else():
                m.d.sync += [turn.eq(following), part.eq(Mux(more, opening, Part.NOTHING))]
        with m.If(self.begin):
            m.d.sync += [turn.eq(0), part.eq(Part.DETECTION)]
        return m


class Dota(Component):
    """A lane of the size that ``design`` says.

    Attributes:
        head: Stream in: what a head is like.
        weights: Stream in: columns of the detector's weights, those for keys first.
        q, k, v: Streams in: vectors.
        o: Stream out: results, a group in a beat.
    """

    head: Any
    weights: Any
    q: Any
    k: Any
    v: Any
    o: Any

    def __init__(self, design: DotaDesign) -> None:
        """Make the ports."""
        self.size = size = DotaSize(design)
        vector = stream.Signature(vector_layout(size))
        super().__init__(
            {
                "head": In(stream.Signature(head_layout(size))),
                "weights": In(stream.Signature(low_layout(size))),
                "q": In(vector),
                "k": In(vector),
                "v": In(vector),
                "o": Out(stream.Signature(size.tokens * vector_bits(size))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Parts, and what they hand to each other."""
        m = Module()
        size = self.size
        m.submodules.load = load = Load(size)
        m.submodules.transform = transform = Transform(size)
        m.submodules.order = order = Order(size)
        m.submodules.array = array = Array(size)
        m.submodules.select = select = Select(size)
        m.submodules.visits = visits = Visits(size)
        m.submodules.softmax = softmax = Softmax(size)
        for name in ("head", "weights", "q", "k", "v"):
            connect(m, flipped(getattr(self, name)), getattr(load, name))

        # Heads.
        busy, begin, room = Signal(), Signal(), Signal()
        head: Any = Signal(head_layout(size))
        m.d.comb += [begin.eq(load.full & ~busy), load.begin.eq(begin), transform.begin.eq(begin)]
        with m.If(later(m, order.finished, size.design.latency_cycles, "finished")):
            m.d.sync += busy.eq(0)
        with m.If(begin):
            m.d.sync += [busy.eq(1), head.eq(load.given)]
        row_bits = size.tokens.bit_length() - 1
        m.d.comb += [
            transform.head.eq(head),
            select.head.eq(head),
            select.begin.eq(begin),
            softmax.begin.eq(begin),
            order.begin.eq(transform.done),
            order.groups.eq(share(m, "groups_low", head.seq, row_bits)),
        ]

        # Detection.
        detects: Any = order.part == Part.DETECTION
        word: Any = Signal(size.key_bits + 1)
        seen: Any = Signal(size.group_bits + row_bits + 2)
        keys: Any = Signal(size.seq_bits)
        words: Any = Signal(size.key_bits + 2)
        last_word = Signal()
        m.d.comb += [
            seen.eq((order.group + 1) * size.tokens),
            keys.eq(Mux(head.causal & (seen < head.seq), seen, head.seq)),
            words.eq(share(m, "words_low", keys, size.keys_at_once.bit_length() - 1)),
            last_word.eq(detects & (word + 1 == words)),
            array.detect.valid.eq(detects),
            array.detect.word.eq(word),
            array.detect.parity.eq(order.group[0]),
            transform.low_keys_at.eq(word),
            transform.low_group_at.eq(order.group),
            array.low_keys.eq(transform.low_keys),
            array.low_group.eq(transform.low_group),
            select.issued.eq(last_word),
            select.step.eq(array.detected_step),
            select.scores.eq(array.detected),
        ]
        with m.If(detects):
            m.d.sync += word.eq(Mux(last_word, 0, word + 1))

        # Scores and values.
        scores, values = Signal(), Signal()
        m.d.comb += [
            scores.eq((order.part == Part.SCORES) & (select.scheduled != order.group)),
            values.eq((order.part == Part.VALUES) & (softmax.weighted != order.group) & room),
            visits.round.eq(select.round),
            visits.gives.eq(select.gives),
            visits.ends.eq(select.ends),
            visits.into.eq(select.group),
            visits.go.eq(scores | values),
            visits.group.eq(order.group),
            visits.values.eq(values),
            visits.vector.eq(Mux(later(m, values, 1, "values"), load.value, load.key)),
            array.visit.eq(visits.step),
            array.vectors.eq(visits.vectors),
            array.queries.eq(load.group),
            array.weights.eq(softmax.weights),
            softmax.step.eq(array.scored_step),
            softmax.scores.eq(array.scores),
            softmax.issued.eq(visits.last & scores),
            softmax.parity.eq(order.group[0]),
            softmax.begins.eq(Mux(values, visits.begins, 0)),
            softmax.restarts.eq(visits.last & values),
            order.ends.eq(last_word | visits.last),
        ]

        # Memories of vectors: the transform's first, then the array's.
        m.d.comb += [
            load.key_at.eq(Mux(transform.runs, transform.key_at, visits.key_at)),
            load.key_en.eq(~transform.runs | transform.key_en),
            load.value_at.eq(visits.key_at),
            load.group_at.eq(Mux(transform.runs, transform.group_at, order.group)),
            load.group_en.eq(~transform.runs | transform.group_en),
            transform.key.eq(load.key),
            transform.group.eq(load.group),
            transform.columns.eq(load.columns),
        ]
        self._results(m, array, visits.last & values, room)
        return m

    def _results(self, m: Module, array: Array, issued: Any, room: Any) -> None:
        """Results leave ``latency_cycles`` after their last step, or wait; values are begun where one has room."""
        size = self.size
        m.submodules.results = results = Fifo(size.tokens * vector_bits(size), OUTPUTS)
        owed: Any = Signal(range(OUTPUTS + 1))
        due: Any = Signal(range(OUTPUTS + 1))
        leaves = Signal()
        m.d.comb += [
            room.eq(owed != OUTPUTS),
            results.i.valid.eq(later(m, issued, 6, "result")),
            results.i.payload.eq(array.results),
            self.o.valid.eq(results.o.valid & (due != 0)),
            self.o.payload.eq(results.o.payload),
            leaves.eq(self.o.valid & self.o.ready),
            results.o.ready.eq(self.o.ready & (due != 0)),
        ]
        m.d.sync += [
            owed.eq(owed + issued - leaves),
            due.eq(due + later(m, issued, size.design.latency_cycles - 1, "due") - leaves),
        ]


TWIN = Dota
