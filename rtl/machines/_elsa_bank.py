"""One bank: its selection module, its queue, its attention module, and what it has found for every query in flight."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect

from siloom.rtl.beside import after
from siloom.rtl.machines._elsa_queue import CandidateQueue
from siloom.rtl.machines._elsa_scan import Scan
from siloom.rtl.machines._elsa_shapes import Shapes
from siloom.rtl.machines._elsa_worker import Worker


class Bank(wiring.Component):
    """A bank; inputs that have the name of one of its parts' inputs are explained there.

    Attributes:
        looked: The window's number of the query whose step is put into the queue in this cycle.
        finds: It has candidates.
        ends: It is the query's last.
        asked: The window's number of a query.
        record: What was found for it.
    """

    clear: Signal
    number: Signal
    causal: Signal
    keep_all: Signal
    bound: Signal
    last_word: Signal
    hash_valid: Signal
    hash_place: Any
    hash: Signal
    norm_valid: Signal
    norm_place: Any
    norm: Signal
    key_valid: Signal
    key_local: Signal
    key: Any
    value_valid: Signal
    value_local: Signal
    value: Any
    row_valid: Signal
    row_query: Signal
    row: Any
    query: stream.Interface
    looked: Signal
    finds: Signal
    ends: Signal
    asked: Signal
    record: Any
    window: Any
    waiting: Signal
    chunk: Signal
    part: Any
    release: Signal

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        members = Scan.members(shapes) | Worker.members(shapes)
        own = {
            "query": In(stream.Signature(shapes.hash)),
            "looked": Out(shapes.query),
            "finds": Out(1),
            "ends": Out(1),
            "asked": In(shapes.query),
            "record": Out(shapes.record),
        }
        hidden = (*own, "found", "candidates", "ended", "leaves")
        self._shared = [name for name in members if name not in hidden]
        super().__init__({name: members[name] for name in self._shared} | own)

    def elaborate(self, platform: object) -> Module:
        """Connect the parts, and keep the records."""
        m = Module()
        shapes = self._shapes
        m.submodules.scan = scan = Scan(shapes)
        m.submodules.queue = queue = CandidateQueue(shapes)
        m.submodules.worker = worker = Worker(shapes)
        for part in (scan, worker):
            for name, member in part.signature.members.items():
                if name in self._shared:
                    mine, its = getattr(self, name), getattr(part, name)
                    m.d.comb += its.eq(mine) if member.flow == In else mine.eq(its)
        connect(m, scan.found, queue.i)
        connect(m, queue.o, worker.candidates)
        m.d.comb += [
            scan.query.payload.eq(self.query.payload),
            scan.query.valid.eq(self.query.valid),
            self.query.ready.eq(scan.query.ready),
        ]

        moves = Signal()
        m.d.comb += [
            moves.eq(scan.found.valid & queue.i.ready),
            self.finds.eq(moves & scan.found.p.hits.any()),
            self.ends.eq(moves & scan.found.p.last),
        ]
        with m.If(self.ends):
            m.d.sync += self.looked.eq(after(self.looked, shapes.held))
        with m.If(self.clear):
            m.d.sync += self.looked.eq(0)

        # From when a query's last keys have been looked at until the worker leaves it.
        ended = Signal(shapes.held)
        with m.If(worker.leaves):
            m.d.sync += ended.bit_select(worker.query, 1).eq(0)
        with m.If(self.ends):
            m.d.sync += ended.bit_select(self.looked, 1).eq(1)

        records = Memory(shape=shapes.record, depth=max(2, shapes.held), init=[])
        m.submodules.records = records
        write = records.write_port()
        for_worker, for_window = (records.read_port(domain="comb") for _ in range(2))
        m.d.comb += [
            write.en.eq(self.ends),
            write.addr.eq(self.looked),
            write.data.none.eq(queue.none),
            write.data.best.eq(scan.found.p.best),
            for_window.addr.eq(self.asked),
            self.record.eq(for_window.data),
            for_worker.addr.eq(worker.query),
            worker.record.eq(for_worker.data),
            worker.ended.eq(ended.bit_select(worker.query, 1)),
        ]
        return m
