"""Widths, sizes and units that the parts of a lane of DOTA agree on. No Amaranth."""

from __future__ import annotations

from functools import cached_property

from siloom.models._dota_design import WIDE_BITS, DotaDesign, vector_bytes
from siloom.models._dota_softmax import POWER_BITS, exponential
from siloom.sim.units.exp_float import ExpFloat
from siloom.sim.units.low_rank_detector import SCALE_BITS, LowRankDetector, scale_for
from siloom.sim.units.multi_precision_mul import MultiPrecisionMul
from siloom.sim.units.quantizer import Quantizer
from siloom.sim.units.row_topk import RowTopk
from siloom.sim.units.ternary_projection import TernaryProjection
from siloom.sim.units.token_scheduler import TokenScheduler

MOST_SEQ = 4096
BUFFERS = 4
"""Groups whose rounds are held: those from a group's scheduling to its values are three."""
OUTPUTS = 8
"""Groups whose results are held while nobody takes them."""
LATENCY = 10
"""The least ``latency_cycles``: from the array's operands to the softmax's first exponential."""


class DotaSize:
    """Of the lane that ``design`` says.

    Vectors are as long as the port is wide. A row of a group has ``per_row`` PEs, each for ``each`` elements next to
    each other, one after another. In detection a PE has one element of the low-rank vectors of a whole group and of
    as many keys: ``keys_at_once`` keys are detected in a cycle.
    """

    def __init__(self, design: DotaDesign) -> None:
        self.design = design
        self.tokens = design.tokens
        self.bits = design.detector_bits
        self.numbers = WIDE_BITS // self.bits
        self.dim = 8 * design.port_bytes // design.operand_bits
        self.rank = design.rank(self.dim)
        self.pes = design.pes
        self.per_row = max(1, self.pes // self.tokens)
        self.each = max(1, self.dim // self.per_row)
        self.key_blocks = max(1, self.pes // self.rank)
        self.keys_at_once = self.key_blocks * self.numbers
        self.seq = min(MOST_SEQ, design.sram_bytes // (4 * vector_bytes(design, self.dim)))
        self.lanes = design.select_lanes
        self.keys = -(-max(1, self.seq) // self.lanes) * self.lanes
        self.seq_bits = self.seq.bit_length()
        self.key_bits = max(1, (self.keys - 1).bit_length())
        self.groups = max(2, -(-self.seq // self.tokens))
        self.group_bits = (self.groups - 1).bit_length()
        self.keep = max(1, design.keep(self.seq))
        self.row_lanes = max(1, design.mfu_lanes // self.tokens)
        self.list_words = -(-self.keep // self.row_lanes)
        self.most_rounds = self.tokens * self.keep
        self.per_round = design.keys_per_round

    @cached_property
    def projection(self) -> TernaryProjection:
        """By additions, as many a cycle as there are PEs."""
        design = self.design
        return TernaryProjection(
            dim=self.dim, rank=self.rank, x_bits=design.operand_bits, adders=self.pes, seed=design.seed
        )

    @cached_property
    def before_shift(self) -> int:
        """Bits behind the point of the scale of projections: as many as their largest range needs."""
        return scale_for((1 << (self.projection.result.bits - 1)) - 1, self.bits)[1]

    @cached_property
    def quantizer(self) -> Quantizer:
        """Of a projection."""
        wide = self.projection.result.bits
        finest = SCALE_BITS + self.before_shift - scale_for(1, self.bits)[1]
        return Quantizer(
            in_bits=wide, out_bits=self.bits, scale_bits=min(31, 62 - wide, finest), shift=self.before_shift,
            lanes=self.rank, stages=2,
        )  # fmt: skip

    @cached_property
    def low_rank(self) -> LowRankDetector:
        """An element of a low-rank vector; the scale is as fine as the largest range needs, as large as the least."""
        top = (1 << (self.bits - 1)) - 1
        shift = scale_for(self.rank * top * top, self.bits)[1]
        finest = SCALE_BITS + shift - scale_for(1, self.bits)[1]
        return LowRankDetector(rank=self.rank, bits=self.bits, shift=shift, scale_bits=min(31, finest), stages=3)

    @cached_property
    def multiplier(self) -> MultiPrecisionMul:
        """A PE's."""
        return MultiPrecisionMul(wide_bits=WIDE_BITS, base_bits=min(4, self.bits), stages=2)

    @cached_property
    def detected_bits(self) -> int:
        """Of a detected score."""
        top = (1 << (self.bits - 1)) - 1
        return (self.rank * top * top).bit_length() + 1

    @cached_property
    def topk(self) -> RowTopk:
        """A row's sorter."""
        return RowTopk(keys=self.keys, keep=self.keep, lanes=self.lanes, score_bits=self.detected_bits)

    @cached_property
    def scheduler(self) -> TokenScheduler:
        """The one of all groups."""
        return TokenScheduler(
            tokens=self.tokens, keys=self.keys, lanes=self.lanes, per_round=self.per_round,
            in_order=self.design.scheduler == "in_order",
        )  # fmt: skip

    @cached_property
    def exponential(self) -> ExpFloat:
        """One of the softmax's."""
        return exponential(self.design, self.dim)

    @property
    def score_bits(self) -> int:
        """Of an exact product of two vectors."""
        return 2 * self.design.operand_bits - 1 + (self.dim - 1).bit_length()

    @property
    def power_bits(self) -> int:
        """Of a power, at most 1."""
        return POWER_BITS + 1

    @property
    def total_bits(self) -> int:
        """Of a row's sum of powers."""
        return self.power_bits + (self.keep - 1).bit_length()

    @property
    def weight_bits(self) -> int:
        """Of a softmax weight's digits: those behind the point."""
        return self.design.operand_bits - 1

    @property
    def sum_bits(self) -> int:
        """Of a weighted sum of values: weights are cut to less than 1 and their sum is not much more."""
        return 2 * self.design.operand_bits - 1 + (self.keep - 1).bit_length()

    def words(self, at_once: int) -> int:
        """How many words of so many keys hold all keys."""
        return -(-self.keys // at_once)
