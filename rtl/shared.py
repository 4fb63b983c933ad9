"""Parts that stand many times in one machine, written once and instantiated.

Amaranth elaborates every component on its own, so an array of a thousand equal cells becomes a thousand
modules. Here a machine asks for a part to be placed; in a simulation by Amaranth it is an ordinary
submodule, and when text is made, the first one of its kind is kept by the :class:`Library` and all are
instances of its module.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Value
from amaranth.lib.wiring import In


class Library:
    """The ``platform`` under which text is made: module name -> the part that is written under it."""

    def __init__(self) -> None:
        self.parts: dict[str, Any] = {}


def place(m: Module, platform: object, part: Any, name: str, module: str) -> None:
    """Put a part (a sequential component of the ``sync`` domain) into a module.

    Args:
        m: where it is put.
        platform: what ``elaborate`` was given.
        part: the component; its ports are connected through its own attributes, as those of any submodule.
        name: of this one.
        module: of the kind; parts of one module name must be equal, so it says their size.
    """
    if not isinstance(platform, Library):
        m.submodules[name] = part
        return
    if platform.parts.setdefault(module, part) is not part:
        part._MustUse__used = True  # only its ports are: Amaranth need not warn that it is never elaborated
    wires = {f"i_{port}" if given else f"o_{port}": value for port, value, given in _wires(part)}
    m.submodules[name] = Instance(module, i_clk=ClockSignal(), i_rst=ResetSignal(), **wires)


def part_ports(part: Any) -> dict[str, tuple[Value, None]]:
    """The ports of a part's module, for the writer."""
    return {port: (value, None) for port, value, _ in _wires(part)}


def _wires(part: Any) -> list[tuple[str, Value, bool]]:
    return [
        ("__".join(map(str, path)), Value.cast(value), member.flow == In)
        for path, member, value in part.signature.flatten(part)
    ]
