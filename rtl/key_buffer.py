"""A buffer of numbers that is filled first and emptied afterwards, its first number always in view.

The memory's own output register is the first number. While the buffer fills, the memory shows its place 0 every cycle,
also what is being written there, so that the first number is in view the cycle after the last one came. Each call reads
the place behind. As it is never filled and emptied at once, the count of numbers left is where the next one goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib.memory import Memory

from siloom.rtl.contest import Entrant, entrant


@dataclass(frozen=True)
class Filling:
    """What all buffers of a unit share.

    Attributes:
        takes: something may come in this cycle; not while numbers are called that do not leave all buffers empty.
        fresh: and if so, whatever is in the buffers does not count any more.
        rewinds: the next cycle shows the first place again.
    """

    takes: Value
    fresh: Value
    rewinds: Value


@dataclass(frozen=True)
class Buffer:
    """The wires of one buffer.

    Attributes:
        first: the number in view; calling it takes it out.
        remains: whether one is left after this cycle's call.
        following: the same, of what comes in too.
    """

    first: Entrant
    remains: Value
    following: Value


def buffer(m: Module, name: str, depth: int, filling: Filling, enters: Value, number: Any) -> Buffer:
    """A buffer of up to ``depth`` numbers, into which ``number`` goes where ``enters`` and ``filling.takes``."""
    left = Signal(range(depth + 1), name=f"{name}_numbers")
    # All addresses exist, so that a simulator need not care about that behind the last number.
    behind = Signal(max(1, (depth - 1).bit_length()), name=f"{name}_behind", init=1)
    memory = Memory(shape=len(number), depth=1 << len(behind), init=[])
    m.submodules[name] = memory
    write = memory.write_port()
    read = memory.read_port(transparent_for=(write,))
    first = entrant(m, name, read.data, left.any(), Const(0, 0))
    before = Mux(filling.fresh, 0, left)
    m.d.comb += [
        write.en.eq(filling.takes & enters),
        write.addr.eq(before[: len(behind)]),
        write.data.eq(number),
        read.en.eq(filling.rewinds | first.called),
        read.addr.eq(Mux(filling.rewinds, 0, behind)),
    ]
    with m.If(filling.takes):
        m.d.sync += left.eq(before + enters)
    with m.Elif(first.called):
        m.d.sync += left.eq(left - 1)
    with m.If(filling.rewinds):
        m.d.sync += behind.eq(1)
    with m.Elif(first.called):
        m.d.sync += behind.eq(behind + 1)
    remains, following = Signal(name=f"{name}_remains"), Signal(name=f"{name}_following")
    m.d.comb += [
        remains.eq(Mux(first.called, left > 1 if depth > 1 else 0, first.left)),
        following.eq(Mux(filling.takes, enters | (first.left & ~filling.fresh), remains)),
    ]
    return Buffer(first, remains, following)
