"""How rows are dealt to banks as they come: round after round, one to each."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal

from siloom.rtl.beside import after
from siloom.rtl.machines._elsa_shapes import Shapes


class Deal:
    """Where the next key or value goes, and how many were dealt.

    ``bank``: its number; ``local``: the row's number there; ``place``: the lane and word of its hash.
    """

    def __init__(self, m: Module, name: str, shapes: Shapes, deals: Any, clear: Any) -> None:
        """Count in ``m``: one more whenever ``deals``, from zero after ``clear``."""
        self.count = Signal(range(shapes.seq + 1), name=f"{name}_count")
        self.bank = Signal(shapes.bank, name=f"{name}_bank")
        self.local = Signal(shapes.local, name=f"{name}_local")
        self.place: Any = Signal(shapes.place, name=f"{name}_place")
        lane, word = self.place.lane, self.place.word
        with m.If(deals):
            m.d.sync += [self.count.eq(self.count + 1), self.bank.eq(after(self.bank, shapes.banks))]
            with m.If(self.bank == shapes.banks - 1):
                m.d.sync += [self.local.eq(self.local + 1), lane.eq(after(lane, shapes.width))]
                with m.If(lane == shapes.width - 1):
                    m.d.sync += word.eq(word + 1)
        with m.If(clear):
            m.d.sync += [signal.eq(0) for signal in (self.count, self.bank, self.local, lane, word)]
