"""A unit that works on one beat at a time, for a fixed number of cycles.

The first of them is the cycle in which the beat is taken, so what is done in it is done with the operands themselves;
the result is valid in the cycle after the last. The next beat is taken at the earliest with the result, so output
registers may change step by step. That is the Contract with ``latency = interval = steps``, ``capacity = 1`` and
``turnaround = 0``.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value


def stepped(m: Module, twin: Any, steps: int) -> tuple[Value, Value]:
    """Drive ``i.ready`` and ``o.valid``.

    Returns:
        The number of the step, from 0, and whether it is done in this cycle: what the unit remembers must change in
        such cycles only.
    """
    step = Signal(range(steps), name="step") if steps > 1 else Const(0, 1)
    waits, works = ~step.any(), Signal(name="works")
    m.d.comb += [
        twin.i.ready.eq(waits & (~twin.o.valid | twin.o.ready)),
        works.eq(~waits | (twin.i.valid & twin.i.ready)),
    ]
    last = step == steps - 1 if steps > 1 else Const(1)
    with m.If(works):
        m.d.sync += twin.o.valid.eq(last)
        if steps > 1:
            m.d.sync += step.eq(Mux(last, 0, step + 1))
    with m.Elif(twin.o.ready):
        m.d.sync += twin.o.valid.eq(0)
    return step, works
