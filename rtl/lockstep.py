"""Lanes that do the same at the same time: components with a handshake each, joined to one.

All of them take a beat in the same cycle and give one in the same cycle, so they are in the same state, always. A lane
is written once (:func:`siloom.rtl.shared.place`), however many there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Module

from siloom.rtl.shared import place


def lockstep(m: Module, platform: object, twin: Any, lanes: Mapping[str, Any], module: str) -> None:
    """Put lanes into a twin and join their streams ``i`` and ``o`` to the twin's; payloads are left to the caller.

    Args:
        m: the twin's module.
        platform: what ``elaborate`` was given.
        twin: a component with streams ``i`` and ``o``.
        lanes: name -> a lane, all of one kind and size.
        module: the name of the lane's module; it says its size.
    """
    for name, lane in lanes.items():
        place(m, platform, lane, name, module)
        m.d.comb += [lane.i.valid.eq(twin.i.valid), lane.o.ready.eq(twin.o.ready)]
    m.d.comb += [
        twin.i.ready.eq(Cat(lane.i.ready for lane in lanes.values()).all()),
        twin.o.valid.eq(Cat(lane.o.valid for lane in lanes.values()).all()),
    ]
