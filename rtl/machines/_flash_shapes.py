"""Widths that an attention array's parts read of its Design, and layouts of what they hand to one another."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from amaranth.hdl import Shape, signed, unsigned
from amaranth.lib import data

from siloom.models._flash_design import FlashDesign
from siloom.rtl.machines._flash_size import LENGTH_BITS, Op


class FlashShapes:
    """Widths and layouts of one array, for vectors as long as it is wide."""

    def __init__(self, design: FlashDesign) -> None:
        self.rows, self.cols, self.block = design.rows, design.cols, design.block
        self.unit = design.unit(design.cols)
        self.exponential = design.exponential
        self.dropped = design.dropped_bits(design.cols)
        self.guard_bits, self.power_fraction = design.guard_bits, design.power_fraction
        self.value_bits = design.operand_bits
        self.element: Any = signed(design.operand_bits)
        self.vector: Any = data.ArrayLayout(self.element, design.cols)
        self.power: Any = unsigned(self.exponential.power.bits)
        # As the unit has them: the sum of weights, and sums of weighted elements.
        keys = max(design.max_seq, design.block)
        self.weight_bits = self.power.width + design.guard_bits + (keys - 1).bit_length()
        self.sum: Any = signed(self.weight_bits + self.value_bits)
        self.dot: Any = signed(design.dot_bits)
        # One way to the right serves both, scores and sums.
        self.across: Any = signed(max(self.sum.width, self.dot.width))
        self.score: Any = signed(self.unit.score_bits)
        self.key: Any = unsigned(self.unit.score_bits + 1)
        self.seq = LENGTH_BITS

    @cached_property
    def job(self) -> data.StructLayout:
        """A head: tokens, at least one, and whether none looks at later ones."""
        return data.StructLayout({"seq": LENGTH_BITS, "causal": 1})

    @cached_property
    def beat(self) -> data.StructLayout:
        """What goes right with a beat, beside numbers.

        ``kept``: of a score, whether it counts, of a sum, whether it is one of a query. ``opens``, ``starts`` and
        ``closes``: the score is the first of its query, the first and the last of its block.
        """
        members: dict[str, Any] = {"op": Shape.cast(range(len(Op))), "kept": 1, "opens": 1, "starts": 1, "closes": 1}
        return data.StructLayout(members)
