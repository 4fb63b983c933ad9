"""One lane of a bank's candidate selection: how far a key's hash is from the query's, and if that is near enough."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.rtl.beside import beside
from siloom.rtl.machines._elsa_shapes import Shapes
from siloom.rtl.units.candidate_select import CandidateSelect
from siloom.rtl.units.hamming import Hamming


class Selector(wiring.Component):
    """A Hamming unit and a comparison with the bound, one behind the other.

    Attributes:
        i: A hash of a query and of a key, and the key's length.
        o: Whether the key is a candidate, and its estimate.
        bound: The same for all keys of a head.
    """

    i: stream.Interface
    o: stream.Interface
    bound: Signal

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        pair = data.StructLayout({"query": shapes.hash, "key": shapes.hash, "norm": shapes.norm})
        judged = data.StructLayout({"candidate": 1, "estimate": shapes.estimate})
        super().__init__(
            {"i": In(stream.Signature(pair)), "o": Out(stream.Signature(judged)), "bound": In(shapes.bound)}
        )

    def elaborate(self, platform: object) -> Module:
        """The length waits beside the Hamming unit."""
        m = Module()
        units = self._shapes.units
        m.submodules.hamming = hamming = Hamming(units.hamming)
        m.submodules.select = select = CandidateSelect(units.select)
        norm = beside(
            m, "norm", self._shapes.norm, units.hamming.stages, self.i.p.norm,
            self.i.valid & self.i.ready, hamming.o.valid & hamming.o.ready,
        )  # fmt: skip
        m.d.comb += [
            hamming.i.p.query.eq(self.i.p.query),
            hamming.i.p.key.eq(self.i.p.key),
            hamming.i.valid.eq(self.i.valid),
            self.i.ready.eq(hamming.i.ready),
            select.i.p.norm.eq(norm),
            select.i.p.cosine.eq(hamming.o.p.cosine),
            select.i.p.bound.eq(self.bound),
            select.i.valid.eq(hamming.o.valid),
            hamming.o.ready.eq(select.i.ready),
            self.o.p.candidate.eq(select.o.p.candidate),
            self.o.p.estimate.eq(select.o.p.estimate),
            self.o.valid.eq(select.o.valid),
            select.o.ready.eq(self.o.ready),
        ]
        return m
