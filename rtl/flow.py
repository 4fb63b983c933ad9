"""A pipeline that nothing stops: every cycle all beats move on by a stage.

Whoever feeds it knows that what comes out has a place to go. :mod:`siloom.rtl.elastic` is for the other case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Signal, Value

from siloom.rtl.elastic import Stage, Values


def flow(m: Module, values: Values, moves: Any, stages: Sequence[Stage]) -> tuple[Values, Value]:
    """What the last stage gives, and whether a beat is in it; registers stand between stages only.

    Args:
        m: where they are put.
        values: what goes into the first stage.
        moves: whether that is a beat.
        stages: as those of an elastic pipeline.
    """
    for number, stage in enumerate(stages[:-1], 1):
        held: dict[str, Any] = {}
        for name, value in stage(m, values, moves).items():
            shape = value.shape() if hasattr(value, "shape") else Value.cast(value).shape()
            held[name] = Signal(shape, name=f"{name}{number}", reset_less=True)
            with m.If(moves):
                m.d.sync += held[name].eq(value)
        values, earlier, moves = held, moves, Signal(name=f"moves{number}")
        m.d.sync += moves.eq(earlier)
    return stages[-1](m, values, moves), moves
