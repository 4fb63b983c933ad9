"""What stands between an array that moves as a whole and a stream out of it: a queue of two places that lets pass.

A result may leave in the cycle in which it comes. Whoever gives the results stops as long as ``room`` is low.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, ShapeLike, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out


class Passing(Component):
    """Results in, a stream out.

    Attributes:
        comes: In: whether there is a result; only in a cycle in which ``room`` is high.
        i: In: the result.
        room: Out: whether one more can be kept, whatever the stream does.
        o: Stream out.
    """

    comes: Any
    i: Any
    room: Any
    o: Any

    def __init__(self, shape: ShapeLike) -> None:
        """Make the ports."""
        super().__init__({"comes": In(1), "i": In(shape), "room": Out(1), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        """Two registers and how many of them are in use."""
        m = Module()
        waiting = Signal(range(3))
        oldest, youngest = Signal.like(self.i), Signal.like(self.i)
        m.d.comb += [
            self.room.eq(waiting != 2),
            self.o.valid.eq(waiting.any() | self.comes),
            self.o.payload.eq(Mux(waiting.any(), oldest, self.i)),
        ]
        goes = self.o.valid & self.o.ready
        m.d.sync += waiting.eq(waiting + self.comes - goes)
        with m.If(self.comes):
            m.d.sync += youngest.eq(self.i)
        with m.If(goes | ~waiting.any()):
            # What comes is the oldest, unless one is left before it.
            m.d.sync += oldest.eq(Mux(waiting == 2, youngest, self.i))
        return m
