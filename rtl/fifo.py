"""A queue between two streams: what machines put where one side may run ahead of the other."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Shape, ShapeLike, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


class Fifo(wiring.Component):
    """A queue of ``depth`` beats of any shape, in the ``sync`` domain.

    Beats leave in the order in which they came, each once. One can leave in the cycle after it came, and one
    is taken and one leaves in every cycle. Nothing passes through in the same cycle, in either direction: the
    place of a beat that leaves is offered again a cycle later (so depth 1 takes a beat every other cycle).

    The beats lie in a memory that is read without a register, which tools put into LUTs: for tens of beats,
    not for thousands. ``rtl/proofs/fifo.py`` proves what is said here, for ever.

    Attributes:
        i: Stream in.
        o: Stream out; once valid, it stays so, unchanged, until ``ready``.
        level: How many beats are held, 0 to ``depth``.
        first: Where in ``storage`` the beat lies that leaves next; the others follow, round and round.
        free: Where the next beat is put.
        storage: The memory.
    """

    i: stream.Interface
    o: stream.Interface
    level: Signal

    def __init__(self, shape: ShapeLike, depth: int) -> None:
        """Make the ports.

        Args:
            shape: of a beat.
            depth: beats that have room, at least 1.

        Raises:
            ValueError: a depth of no beat.
        """
        if depth < 1:
            raise ValueError(f"a queue holds at least 1 beat, got depth {depth}")
        self.depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )
        self.first = Signal(range(depth))
        self.free = Signal(range(depth))
        self.storage: Any = Memory(shape=Shape.cast(shape), depth=depth, init=[])

    def elaborate(self, platform: object) -> Module:
        """Two places that go round, and the difference between them."""
        m = Module()
        m.submodules.storage = self.storage
        write, read = self.storage.write_port(), self.storage.read_port(domain="comb")
        comes, leaves = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(self.level != self.depth),
            self.o.valid.eq(self.level != 0),
            comes.eq(self.i.valid & self.i.ready),
            leaves.eq(self.o.valid & self.o.ready),
            write.en.eq(comes),
            write.addr.eq(self.free),
            write.data.eq(self.i.payload),
            read.addr.eq(self.first),
            self.o.payload.eq(read.data),
        ]
        m.d.sync += self.level.eq(self.level + comes - leaves)
        with m.If(comes):
            m.d.sync += self.free.eq(self._after(self.free))
        with m.If(leaves):
            m.d.sync += self.first.eq(self._after(self.first))
        return m

    def _after(self, place: Signal) -> Any:
        return Mux(place == self.depth - 1, 0, place + 1)
