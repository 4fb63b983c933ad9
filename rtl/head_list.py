"""A list of heads sorted by column: one is put in, before those of its column, and the first is popped.

Two ways to build it. :func:`walked_list` is a memory, and a new head walks through it from the front, past one smaller
head in so many cycles; only the front stands in a register. :func:`shifted_list` has a register and a comparator
for each head, and a new one finds its place at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, memory

from siloom.rtl.barrel import named


@dataclass(frozen=True)
class HeadList:
    """The wires of a list.

    ``insert``: ``new`` is put in, in this cycle; not while the list is ``walking``. ``pop``: the front is taken
    out; only when the list is ``settled``, which it may be in the very cycle of ``insert``. Then ``front`` is the
    first head, one of this cycle included; ``more`` says whether there is one behind it, ``next_column`` its column.
    """

    new: Any
    insert: Any
    pop: Any
    front: Any
    next_column: Any
    more: Any
    walking: Any
    settled: Any


def walked_list(m: Module, layout: data.StructLayout, depth: int, step_cycles: int) -> HeadList:
    """A list of two heads or more in a memory; each that a new one passes costs ``step_cycles``, one at least.

    Slots are counted from the back, so that only heads before the new one move; the front is at ``size - 1``. The new
    head is compared with the next two at once, in a register and out of the memory: where it belongs is known, and
    written, when the cycles of its last step begin. The memory shows in every cycle the head that may be needed then.
    """
    wires = _wires(layout)
    new, insert, pop = wires.new, wires.insert, wires.pop
    size, first = Signal(range(depth + 1), name="size"), Signal(layout, name="first")
    place = Signal(range(depth - 1))
    # All addresses exist, so that a simulator need not care about those of cycles in which nothing is written.
    slots = m.submodules.slots = memory.Memory(shape=layout, depth=1 << len(place), init=[])
    write = slots.write_port()
    read = slots.read_port(transparent_for=(write,))
    second: Any = read.data

    searches, carried = Signal(), Signal(layout, name="carried", reset_less=True)
    timer = Signal(range(step_cycles))
    behind = named(m, insert & size.any() & (first.column < new.column), "behind")
    steps = named(m, behind | (searches & ~timer.any()), "steps")
    mover: Any = Signal(layout, name="mover")
    m.d.comb += mover.eq(Mux(searches, carried, new))
    spot = named(m, Mux(searches, place, size - 1)[: len(place)], "spot")
    passes = named(m, steps & spot.any() & (second.column < mover.column), "passes")

    # What moves to the slot before: a head that was passed, or the front, where the new one takes its place.
    in_front = insert & ~behind
    m.d.comb += [
        write.en.eq(steps | (in_front & ~pop & size.any())),
        write.addr.eq(spot),
        write.data.eq(Mux(in_front, first, Mux(passes, second, mover))),
    ]
    m.d.comb += [
        wires.walking.eq(searches | timer.any()),
        wires.settled.eq(~(wires.walking | behind)),
        wires.front.eq(Mux(insert, new, first)),
        wires.next_column.eq(Mux(insert, first.column, second.column)),
        wires.more.eq(Mux(insert, size.any(), size > 1)),
    ]
    next_size = named(m, (size + insert - pop)[: len(size)], "next_size")
    next_place = named(m, Mux(steps, spot - 1, place)[: len(place)], "next_place")
    next_searches = named(m, Mux(steps, passes, searches), "next_searches")
    m.d.comb += read.addr.eq(Mux(next_searches, next_place - 1, next_size - 2))
    m.d.sync += [size.eq(next_size), place.eq(next_place), searches.eq(next_searches)]
    with m.If(steps):
        m.d.sync += [carried.eq(mover), timer.eq(step_cycles - 1)]
    with m.Elif(timer.any()):
        m.d.sync += timer.eq(timer - 1)
    with m.If(in_front & ~pop):
        m.d.sync += first.eq(new)
    with m.Elif(pop & ~insert):
        m.d.sync += first.eq(second)
    return wires


def shifted_list(m: Module, layout: data.StructLayout, depth: int) -> HeadList:
    """A list in registers, all of which a new head is compared with in its cycle."""
    wires = _wires(layout)
    size = Signal(range(depth + 1), name="size")
    heads: list[Any] = [Signal(layout, name=f"head{place}", reset_less=True) for place in range(depth)]
    passed: list[Any] = [
        named(m, (size > place) & (head.column < wires.new.column), f"passed{place}")
        for place, head in enumerate(heads)
    ]
    # The list with the new head in it.
    shown: list[Any] = [Signal(layout, name=f"shown{place}") for place in range(depth)]
    for place, head in enumerate(heads):
        pushed = Mux(passed[place - 1], wires.new, heads[place - 1]) if place else wires.new
        m.d.comb += shown[place].eq(Mux(wires.insert & ~passed[place], pushed, head))
        if place + 1 < depth:
            m.d.sync += head.eq(Mux(wires.pop, shown[place + 1], shown[place]))
        else:
            m.d.sync += head.eq(shown[place])
    m.d.sync += size.eq(size + wires.insert - wires.pop)
    m.d.comb += [
        wires.walking.eq(0),
        wires.settled.eq(1),
        wires.front.eq(shown[0]),
        wires.next_column.eq(shown[1].column if depth > 1 else 0),
        wires.more.eq(size + wires.insert > 1 if depth > 1 else 0),
    ]
    return wires


def _wires(layout: data.StructLayout) -> HeadList:
    head: dict[str, Any] = {name: Signal(layout, name=name) for name in ("new", "front")}
    bits: dict[str, Any] = {name: Signal(name=name) for name in ("insert", "pop", "more", "walking", "settled")}
    return HeadList(**head, **bits, next_column=Signal(layout["column"].shape, name="next_column"))
