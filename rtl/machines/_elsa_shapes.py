"""Widths and layouts that ELSA's parts agree on."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Shape, signed, unsigned
from amaranth.lib import data

from siloom.models._elsa_design import ElsaDesign
from siloom.sim.contract import FP32
from siloom.sim.selection.hashed_keys import THRESHOLD_FRACTION


class Shapes:
    """Of one pipeline: of the memories that ``design`` says and the units that follow from it.

    Local numbers count the keys of one bank: key j is number ``j // banks`` of bank ``j % banks``. It lies in lane
    ``local % width`` of word ``local // width`` of the bank's hashes.
    """

    def __init__(self, design: ElsaDesign) -> None:
        self.units = units = design.units(design.dim)
        self.seq = design.max_seq
        self.banks = design.attention_units
        self.width = design.selectors
        self.slots = design.queue_entries
        self.held = design.queries_held
        self.chunks = units.finish_cycles
        self.lanes = units.output_lanes
        self.locals = max(2, -(-self.seq // self.banks))
        self.words = max(2, -(-self.seq // (self.banks * self.width)))

        self.element: Any = signed(design.operand_bits)
        self.row: Any = data.ArrayLayout(self.element, design.dim)
        self.hash: Any = unsigned(design.dim)
        self.norm: Any = unsigned(design.norm_bits)
        self.threshold: Any = signed(THRESHOLD_FRACTION + 2)
        self.bound: Any = Shape(units.select.bound_form.bits, signed=True)
        self.estimate: Any = Shape(units.select.estimate_form.bits, signed=True)
        self.bank: Any = range(self.banks)
        self.local: Any = range(self.locals)
        self.place: Any = data.StructLayout({"lane": range(self.width), "word": range(self.words)})
        self.query: Any = range(self.held)
        self.codes: Any = data.StructLayout({"code": data.ArrayLayout(self.element, self.lanes)})
        self.part: Any = data.ArrayLayout(FP32.bits, self.lanes + 1)
        self.best: Any = data.StructLayout({"any": 1, "estimate": self.estimate, "local": self.local})
        self.record: Any = data.StructLayout({"none": 1, "best": self.best})
        self.found: Any = data.StructLayout(
            {"hits": self.width, "base": self.local, "last": 1, "best": self.best},
        )
        self.candidate: Any = data.StructLayout({"local": self.local, "last": 1})
        self.window: Any = data.StructLayout({"found": self.held, "decided": self.held, "rescued": self.held})
