"""Widths and layouts that A3's modules agree on."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Shape, signed, unsigned
from amaranth.lib import data

from siloom.models._a3_design import A3Design, row_bits
from siloom.models._a3_units import A3Units


class Size:
    """Of one pipeline.

    A query's scores lie in the order in which they were made: an ordinal counts them. As several queries are in flight,
    there is a slot for the scores of each, and one for the powers of each.

    Attributes:
        width: Scores that are looked at in a cycle, a power of two; groups of as many ``ordinals`` or rows.
        parts: Queries whose greedy scores are kept: one is searched, the others are scanned or wait for it.
        slots: Queries whose scores are kept: from the first score to the last power.
        power_slots: Queries whose powers are kept.
    """

    def __init__(self, design: A3Design) -> None:
        self.design = design
        self.units = units = A3Units(design)
        self.keys, self.dim = design.keys, design.lanes
        self.searches = design.iterations(design.keys) > 0
        self.posts = design.post_threshold_percent > 0
        self.waiting = waiting = design.buffered_queries
        self.number_bits = row_bits(self.keys)
        self.width = min(design.scan_width, 1 << self.number_bits)
        self.width_bits = self.width.bit_length() - 1
        self.group_bits = self.number_bits - self.width_bits
        self.parts = 2 + waiting
        self.slots = 3 + 2 * waiting if self.posts else 2 + waiting
        self.power_slots = 2 + waiting

        total = units.product.total
        self.row: Any = data.ArrayLayout(signed(design.operand_bits), self.dim)
        self.count: Any = range(self.keys + 1)
        self.number: Any = unsigned(self.number_bits)
        self.group: Any = unsigned(max(1, self.group_bits))
        self.slot: Any = range(self.slots)
        self.power_slot: Any = range(self.power_slots)
        self.part: Any = range(self.parts)
        self.score: Any = Shape(total.bits, signed=True)
        self.power: Any = unsigned(units.power.power.bits)
        self.total: Any = unsigned(units.share.total.bits)

        self.iterations: Any = range(design.iterations(self.keys) + 1)
        own = {"iterations": self.iterations} if self.searches else {}
        self.head: Any = data.StructLayout({"seq": self.count, "causal": 1, **own})
        place = {"value": self.row, "row": data.ArrayLayout(self.number, self.dim)}
        self.place: Any = data.StructLayout(place)
        self.found: Any = data.StructLayout(dict.fromkeys(("candidate", "gained", "lost"), self.keys))
        self.chosen: Any = data.StructLayout({"keys": self.keys})
        self.scored: Any = data.StructLayout({"largest": self.score, "last": self.number})
        self.weighed: Any = data.StructLayout({"total": self.total, "last": self.number})
        self.score_entry: Any = data.StructLayout({"key": self.number, "score": self.score})
        self.power_entry: Any = data.StructLayout({"key": self.number, "power": self.power})
        self.score_write: Any = data.StructLayout(
            {"valid": 1, "slot": self.slot, "ordinal": self.number, "entry": self.score_entry}
        )
        self.power_write: Any = data.StructLayout(
            {"valid": 1, "slot": self.power_slot, "ordinal": self.number, "entry": self.power_entry}
        )
        self.row_write: Any = data.StructLayout({"valid": 1, "at": self.number, "row": self.row})
