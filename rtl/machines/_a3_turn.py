"""How queries go from module to module: one is in a module, and it leaves when there is room behind.

A module that has finished a query keeps it until the next one, or the queue before that, takes it. In the very
cycle in which it is taken the module takes another one: ``ready`` goes through all modules in a cycle. Nothing else
stands between two modules, so a query that a module finishes in one cycle begins in the next one in the next module.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, ShapeLike, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect

from siloom.rtl.beside import beside


class Turn:
    """The handshake of a module with streams ``i`` and ``o`` of queries.

    ``takes``: a query comes in at the end of this cycle; ``busy``: one is here; ``done``, driven by the module: its
    result is on ``o``'s payload from this cycle on; ``leaves``: it goes at the end of this cycle.
    """

    def __init__(self, m: Module, i: Any, o: Any) -> None:
        """Put it into ``m``."""
        self.takes, self.busy, self.done, self.leaves = (Signal(name=n) for n in ("takes", "busy", "done", "leaves"))
        kept = Signal(name="kept_back")
        m.d.comb += [
            o.valid.eq(self.done | kept),
            self.leaves.eq(o.valid & o.ready),
            i.ready.eq(~self.busy | self.leaves),
            self.takes.eq(i.valid & i.ready),
        ]
        m.d.sync += [self.busy.eq(self.takes | (self.busy & ~self.leaves)), kept.eq(o.valid & ~o.ready)]


class Waiting(wiring.Component):
    """A queue of ``places`` beats, empty at first, which a beat passes in no time where nothing waits before it.

    A place that is given up can be taken in the same cycle.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, shape: ShapeLike, places: int) -> None:
        """Make the ports; one place at least."""
        self._shape, self._places = shape, places
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        """A ring, and a way past it."""
        m = Module()
        level = Signal(range(self._places + 1))
        some, enters, leaves = Signal(), Signal(), Signal()
        m.d.comb += [
            some.eq(level.any()),
            self.o.valid.eq(some | self.i.valid),
            self.i.ready.eq((level != self._places) | self.o.ready),
            enters.eq(self.i.valid & self.i.ready & (some | ~self.o.ready)),
            leaves.eq(some & self.o.ready),
        ]
        oldest = beside(m, "beats", self._shape, self._places, self.i.payload, enters, leaves)
        m.d.comb += self.o.payload.eq(Mux(some, oldest.as_value(), self.i.payload.as_value()))
        m.d.sync += level.eq(level + enters - leaves)
        return m


def join(m: Module, name: str, shape: ShapeLike, places: int, source: Any, sink: Any) -> None:
    """Connect two modules' streams, through a queue where there are places."""
    if places == 0:
        connect(m, source, sink)
        return
    queue = Waiting(shape, places)
    m.submodules[name] = queue
    connect(m, source, queue.i)
    connect(m, queue.o, sink)
