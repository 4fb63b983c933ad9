"""An elastic pipeline: what most twins are, so that each of them only says what its stages compute.

A register stands after every stage; each takes a beat whenever it is empty or its own beat moves on,
so a bubble closes up while the output waits, ``ready`` passes through all stages in the same cycle,
and as many beats have room as there are stages. That is the Contract with ``latency = capacity =
stages``, ``interval = 1``, ``turnaround = 0``. The last register is the output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from amaranth.hdl import Module, Signal, Value

from siloom.rtl.hold import hold

Values = Mapping[str, Any]
"""Name -> what is carried from one stage to the next: Amaranth values, views, or dataclasses of them."""

Stage = Callable[[Module, Values, Value], Values]
"""``stage(m, values, moves)``: the values behind the stage, of those before it, as combinational logic.

``moves`` is high in the cycle in which a beat goes through; whatever the stage remembers from beat to
beat (``m.d.sync``) must change in that cycle only. The last stage gives the ports of the output and,
where not every beat completes a result, a bit ``gives``: a beat without it vanishes there.
"""


def carry(m: Module, values: Values, moves: Value) -> Values:
    """A stage that computes nothing, for a synthesis tool to move logic into."""
    return values


def stretched(stages: Sequence[Stage], count: int) -> list[Stage]:
    """These stages, composed or with ``carry`` between until there are ``count`` of them.

    Fewer registers than stages: the first ones share one, so that a stage with state stays last.
    """
    if len(stages) <= count:
        return [*stages[:-1], *[carry] * (count - len(stages)), stages[-1]]
    shared = stages[: len(stages) - count + 1]

    def together(m: Module, values: Values, moves: Value) -> Values:
        for stage in shared:
            values = stage(m, values, moves)
        return values

    return [together, *stages[len(shared) :]]


def elastic(m: Module, twin: Any, stages: Sequence[Stage], *, offer: Any = None, room: Any = None) -> None:
    """Build the pipeline from ``twin.i`` to ``twin.o`` into ``m``.

    Args:
        m: the twin's module.
        twin: a component with streams ``i`` and ``o``.
        stages: one register each; the ports of ``i`` go into the first.
        offer: what is taken for ``i.valid`` (a twin that is not always ready holds its beats back here).
        room: what is driven in place of ``i.ready``.
    """
    values: Values = {name: getattr(twin.i.p, name) for name in twin.i.p.shape().members}
    valid: Any = twin.i.valid if offer is None else offer
    taken: Any = twin.i.ready if room is None else room
    for number, stage in enumerate(stages, 1):
        last = number == len(stages)
        full = twin.o.valid if last else Signal(name=f"full{number}")
        onward = twin.o.ready if last else Signal(name=f"room{number}")
        moves = Signal(name=f"moves{number}")
        m.d.comb += [taken.eq(~full | onward), moves.eq(valid & taken)]
        values = dict(stage(m, values, moves))
        gives = values.pop("gives", 1) if last else 1
        with m.If(taken):
            m.d.sync += full.eq(valid & gives)
        if last:
            with m.If(moves):
                m.d.sync += [getattr(twin.o.p, name).eq(value) for name, value in values.items()]
        else:
            values = {name: hold(m, value, f"{name}{number}", moves) for name, value in values.items()}
        valid, taken = full, onward
