"""A table of constants that is looked up within a cycle.

It is a memory that is only read. A synthesis tool makes logic of a small one; of a large one it makes block memory
where the register behind it can be the memory's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module
from amaranth.lib.memory import Memory


def look_up(m: Module, name: str, entries: Sequence[int], shape: Any, index: Any) -> Any:
    """``entries[index]`` in ``shape``; the index stays below the number of entries."""
    memory = Memory(shape=shape, depth=len(entries), init=entries)
    m.submodules[name] = memory
    port = memory.read_port(domain="comb")
    m.d.comb += port.addr.eq(index)
    return port.data
