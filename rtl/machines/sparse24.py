"""The 2:4 sparse systolic array as hardware: the weight-stationary ``systolic`` with cells that choose their operands.

A beat of ``left`` holds four neighbours along k for every row of cells, one of ``top`` two kept weights with
their places for every column, the lowest row of B's tile first; sums leave below, every column's on a stream of its
own, as of ``systolic``, whose fold controller, grid, skew registers and columns these are. A job says m, n and k in
elements, and whether B is dense:

- sparse: a row of cells takes four of k, two weights with the places that come with them;
- dense: a row takes two of k, in the lower half of its four; the array fills in the places 0 and 1, whatever comes in
  theirs, and does not look at the upper half. Where k is odd, the last weight must be zero.

k is a multiple of four where B is sparse. Memories, and what prunes and encodes weights, are outside; waiting and
stopping are as of ``systolic``, and so is what a job may stream where k is cut.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from siloom.models.sparse24 import Sparse24Design
from siloom.rtl.machines._sparse24_size import array_size
from siloom.rtl.machines._systolic_array import Array
from siloom.rtl.machines._systolic_layouts import left_layout, top_layout
from siloom.rtl.machines._systolic_size import LENGTH_BITS
from siloom.sim.units.sparse24_cell import PLACE_BITS
from siloom.sim.units.sparse24_select import GROUP, KEPT


class Sparse24(Component):
    """A 2:4 sparse array of the size that ``design`` says.

    Attributes:
        job: Stream in: products to be computed, one after another; folds of one follow those of the other.
        left: Stream in: four operands for every row.
        top: Stream in: two weights and their places for every column.
        sums0: Stream out: finished sums of column 0; ``sums1`` and so on are those of the others.
    """

    job: Any
    left: Any
    top: Any

    def __init__(self, design: Sparse24Design) -> None:
        """Make the ports."""
        self.size = size = array_size(design)
        self.weight_bits = size.top_bits - KEPT * PLACE_BITS
        job = data.StructLayout({"m": LENGTH_BITS, "n": LENGTH_BITS, "k": LENGTH_BITS, "dense": 1})
        ins = {"job": job, "left": left_layout(size), "top": top_layout(size)}
        super().__init__(
            {name: In(stream.Signature(shape)) for name, shape in ins.items()}
            | {f"sums{j}": Out(stream.Signature(size.sum_bits)) for j in range(size.cols)}
        )

    def elaborate(self, platform: object) -> Module:
        """The array, told how many rows k takes, and given places where there are none."""
        m = Module()
        m.submodules.array = array = Array(self.size)
        given, dense = self.job.p, self.job.p.dense
        m.d.comb += [
            array.job.valid.eq(self.job.valid),
            self.job.ready.eq(array.job.ready),
            array.job.p.m.eq(given.m),
            array.job.p.n.eq(given.n),
            array.job.p.k.eq(Mux(dense, _rows(given.k, KEPT), _rows(given.k, GROUP))),
            array.top.valid.eq(self.top.valid),
            self.top.ready.eq(array.top.ready),
        ]
        # The array takes tiles of a job only while that job stands at its stream.
        in_order = sum(place << PLACE_BITS * place for place in range(KEPT))
        for inside, word in zip(array.top.p, self.top.p, strict=True):
            weights, places = word[: self.weight_bits], word[self.weight_bits :]
            m.d.comb += inside.eq(Cat(weights, Mux(dense, in_order, places)))
        connect(m, flipped(self.left), array.left)
        for j in range(self.size.cols):
            connect(m, getattr(array, f"sums{j}"), flipped(getattr(self, f"sums{j}")))
        return m


def _rows(k: Value, each: int) -> Value:
    """``k / each``, rounded up; ``each`` is a power of two."""
    return (k + (each - 1)) >> (each.bit_length() - 1)


TWIN = Sparse24
