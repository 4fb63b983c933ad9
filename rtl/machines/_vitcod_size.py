"""Sizes that ViTCoD's parts and trials agree on, without Amaranth."""

from __future__ import annotations

import math

from siloom.models._vitcod_design import ViTCoDDesign
from siloom.models._vitcod_units import mix_unit, power_unit, product_unit, sum_unit
from siloom.sim.units.head_mix import HeadMix

MOST_SEQ = 256

SLOTS = 4
"""Heads of which something is known at a time: two that are loaded or worked on, one before them, one announced."""

SCORE_BYTES = 2
"""What the model's score memory has for each score; the hardware keeps all bits of it."""


class ViTCoDSize:
    """Of the machine that ``design`` says, whose lines hold whole keys.

    ``seq`` is the most tokens of a head: two heads' operands have room, and all scores of one. ``lines`` are the
    engines'; ``decoder`` those of the decoder, none where Q and K come as they are.
    """

    def __init__(self, design: ViTCoDDesign) -> None:
        self.design = design
        self.dim, self.bits = design.pe_height, design.operand_bits
        self.heads = design.codec_heads
        self.encoded = design.encoded_heads(self.heads)
        self.decodes = self.encoded != self.heads
        self.decoder = design.decoder_lines if self.decodes else 0
        self.lines = design.pe_width - self.decoder
        self.seq = min(
            MOST_SEQ,
            8 * design.operand_sram_bytes // (2 * self.dim * self.bits),
            math.isqrt(design.output_sram_bytes // SCORE_BYTES),
        )
        # Banks of columns are written down in blocks of equal size.
        self.block = min(16, self.seq & -self.seq)
        self.blocks = self.seq // self.block
        self.index_bits = max(1, (self.seq - 1).bit_length())
        self.count_bits = self.seq.bit_length()
        self.line_bits = max(1, (self.lines - 1).bit_length())
        self.product = product_unit(design, self.dim)
        self.power = power_unit(design, self.dim)
        self.sum = sum_unit(design, self.dim)

    @property
    def score_bits(self) -> int:
        """Of an exact score."""
        return self.product.total.bits

    @property
    def mix(self) -> HeadMix:
        """A lane of the decoder."""
        return mix_unit(self.design, self.encoded)

    @property
    def decode_cycles(self) -> int:
        """Cycles in which the decoder makes a token."""
        return self.encoded // max(1, self.decoder)

    @property
    def denser_words(self) -> int:
        """Most words of scores, one of each line in a word, that the denser engine makes for one head."""
        return max(-(-self.seq // self.fewest_lines(many)) * many for many in range(1, self.seq + 1))

    @property
    def settle_cycles(self) -> int:
        """From the last score asked for until each line can have its first row of scores."""
        return self.product.stages + self.lines + 2

    def fewest_lines(self, many: int) -> int:
        """Lines of the denser engine for so many global tokens, where all other columns are full as well."""
        if many == self.seq:
            return self.lines
        return min(max(1, self.lines * many // self.seq), self.lines - 1)
