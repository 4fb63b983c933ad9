"""Proofs: a part, laws that it must keep whatever its neighbours do, and what must be able to happen.

A :class:`Harness` holds the part, drives it from free inputs, of which the solver chooses every bit in every
cycle, and watches it with logic of its own. Its outputs are facts: a law must be 1 in every cycle that can be
reached from reset while all assumptions were. It is an ordinary component, so it can be simulated too. Each file
``rtl/proofs/<name>.py`` gives a :class:`Proof` as ``PROOF``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import ShapeLike, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

Says = Mapping[str, str]
"""Name of a fact -> what it says, in a sentence."""

LAW, ASSUMPTION, HELP, REACH = "law", "assumes", "help", "reach"


class Harness(wiring.Component):
    """Base of all harnesses: the ports.

    Attributes:
        free: Inputs that the solver chooses, by name.
        facts: By kind, the facts. Laws must hold. Assumptions are what the neighbours promise. Helps are laws about
            the part's inside that its laws follow from, step by step; without them only a bounded number of steps
            can be looked at. Reaches must be possible: they show that the laws do not hold merely because
            nothing happens. Subclasses drive each as ``self.fact("name")``, one bit.
    """

    def __init__(
        self,
        free: Mapping[str, ShapeLike],
        *,
        laws: Says,
        reaches: Says,
        assumptions: Says | None = None,
        helps: Says | None = None,
    ) -> None:
        """Make the ports."""
        self.free = free
        self.facts: dict[str, Says] = {LAW: laws, ASSUMPTION: assumptions or {}, HELP: helps or {}, REACH: reaches}
        bits = {port_name(kind, name): Out(1) for kind, names in self.facts.items() for name in names}
        super().__init__({name: In(shape) for name, shape in free.items()} | bits)

    def fact(self, name: str) -> Signal:
        """The output of a fact."""
        (kind,) = (kind for kind, names in self.facts.items() if name in names)
        out: Signal = getattr(self, port_name(kind, name))
        return out


def port_name(kind: str, name: str) -> str:
    """What a fact's port is called, and its assertion."""
    return f"{kind}_{name}"


@dataclass(frozen=True)
class Part:
    """One size of what is proved.

    ``make`` gives a new part. ``laws_depth``: steps from reset in which no law may fail; in a proof for ever it is also
    how many steps in a row must keep laws and helps for the next to keep them. ``reach_depth``: steps in which
    every reach must be possible.
    """

    make: Callable[[], Any]
    laws_depth: int
    reach_depth: int


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What is proved of a part.

    ``parts``: size, as text -> the part. ``harness``: a part -> its harness. ``forever``: laws are proved for all
    steps, by induction with the harness's helps.
    """

    name: str
    summary: str
    parts: Mapping[str, Part]
    harness: Callable[[Any], Harness]
    forever: bool = False
