"""Widths and sizes that Sanger's parts agree on."""

from __future__ import annotations

import math
from functools import cached_property

from siloom.models._sanger_units import HEADS_HELD
from siloom.models.sanger import SangerDesign
from siloom.sim.selection.predicted_scores import EXP, SCALE
from siloom.sim.units.int4_predictor import Int4Predictor
from siloom.sim.units.mask_threshold import MaskThreshold
from siloom.sim.units.pack_split import PackSplit
from siloom.sim.units.score_scale import ScoreScale

MOST_SEQ = 1024
MOST_DIM = 256


class SangerSize:
    """Of the machine that ``design`` says.

    ``elements``: room for one head's K, V or Q. ``blocks`` of rows and ``parts`` of keys are at most that many in a
    head. ``groups`` of as many rows as a sub-row has places share a packer.
    """

    def __init__(self, design: SangerDesign) -> None:
        self.design = design
        self.rows, self.columns, self.places = design.tile_rows, design.tile_columns, design.pes_per_row
        self.row_bits = self.rows.bit_length() - 1
        self.column_bits = self.columns.bit_length() - 1
        self.elements = design.kv_sram_bytes // (2 * HEADS_HELD * -(-design.operand_bits // 8))
        # Sub-rows of a head can be as many as the square of its length, so that is what bounds it.
        self.seq = min(
            MOST_SEQ, self.elements // least_dim(design), 1 << (math.isqrt(4 * self.elements).bit_length() - 1)
        )
        self.dim = min(MOST_DIM, self.elements)
        self.blocks = max(2, -(-self.seq // self.rows))
        self.parts = max(2, -(-self.seq // self.columns))
        self.block_bits = (self.blocks - 1).bit_length()
        self.part_bits = (self.parts - 1).bit_length()
        self.query_bits = self.row_bits + self.block_bits
        self.key_bits = self.column_bits + self.part_bits
        self.element_bits = (self.dim - 1).bit_length()
        self.q_words = self.elements // self.rows
        self.kv_words = 2 * self.elements // self.columns
        self.word_bits = (max(2, self.q_words) - 1).bit_length()
        self.groups = -(-self.rows // self.places)
        self.total_bits = EXP.width + (self.seq - 1).bit_length()
        self.sum_bits = self.total_bits + design.operand_bits

    @cached_property
    def product(self) -> Int4Predictor:
        """What a cell of the prediction array multiplies."""
        return Int4Predictor(dim=1, bits=self.design.predictor_bits, stages=1)

    @cached_property
    def predicted(self) -> int:
        """Bits of a predicted score's sum."""
        return Int4Predictor(dim=self.dim, bits=self.design.predictor_bits).score.bits

    @cached_property
    def predicted_scale(self) -> ScoreScale:
        """Between the prediction array and its exponentials."""
        return ScoreScale(product_bits=self.predicted, fraction=SCALE.fraction)

    @cached_property
    def exact_scale(self) -> ScoreScale:
        """Between a score's sum and its exponential."""
        return ScoreScale(product_bits=self.score_bits, key_bits=2, fraction=SCALE.fraction)

    @property
    def score_bits(self) -> int:
        """Bits of an exact product of two vectors."""
        return 2 * self.design.operand_bits - 1 + (self.dim - 1).bit_length()

    @cached_property
    def threshold(self) -> MaskThreshold:
        """The comparison for rows of any length: 20 bits behind the point, as the model's have up to 1024 keys."""
        return MaskThreshold(threshold=self.design.threshold, total_bits=self.total_bits, threshold_bits=20)

    @cached_property
    def pack(self) -> PackSplit:
        """One packer."""
        return PackSplit(columns=self.columns, places=self.places)


def least_dim(design: SangerDesign) -> int:
    """The shortest vectors: powers must be there before the array turns to them, and every row be loaded."""
    return max(8, design.tile_rows)
