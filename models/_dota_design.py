"""The choices that define a DOTA, with their sources."""

from __future__ import annotations

import re
from dataclasses import dataclass

from siloom.sim.design import Design, parameter, same_parameter
from siloom.sim.errors import InputError
from siloom.sim.memory import PARTS
from siloom.sim.selection.low_rank_scores import WEIGHTS, LowRankScores
from siloom.sim.units.multi_precision_mul import MultiPrecisionMul, rate_factor
from siloom.sim.units.token_scheduler import MAX_TOKENS

_PAPER = "Qu et al., DOTA, ASPLOS 2022"
_NOTE = _PAPER + " (from a reading note)"
_SILENT = "the paper was not at hand"
WIDE_BITS = MultiPrecisionMul().wide_bits
"""Operands of a PE's multiplier whole: FX16."""


@dataclass(frozen=True)
class DotaDesign(Design):
    """The choices that define one DOTA.

    Raises (when made):
        InputError: a field out of its range, detector_bits that the array has no mode for, more keys a round than rows,
            or a threshold that is no whole number.
    """

    clock_hz: float = parameter(1.0e9, unit="Hz", source=_PAPER, status="recalled", low=1e6, high=1e10)
    lanes: int = parameter(4, unit="lanes", source=_PAPER, status="recalled", low=1, high=4096)
    array_rows: int = parameter(32, unit="PEs", source=_PAPER + "; not sure", status="recalled", low=1, high=4096)
    array_columns: int = parameter(16, unit="PEs", source=_PAPER + "; not sure", status="recalled", low=1, high=4096)
    tokens: int = parameter(4, unit="queries/group", source=_PAPER, status="recalled", low=1, high=MAX_TOKENS)
    scheduler: str = parameter(
        "out_of_order",
        unit="",
        source=_PAPER + "; in_order is the null version",
        status="recalled",
        choices=("out_of_order", "in_order"),
    )
    keys_per_round: int = parameter(
        4, unit="keys", source="of a group at work at once; " + _SILENT, status="assumed", low=1, high=MAX_TOKENS
    )
    port_bytes: int = parameter(
        256,
        unit="B/cycle",
        source="of keys or values into a lane's array: what fills it where all queries of a group share their keys, "
        "32 * 16 PEs / 4 queries * 2 B",
        status="assumed",
        low=1,
        high=2**20,
    )
    rounds_ahead: int = parameter(4, unit="rounds fetched", source=_SILENT, status="assumed", low=1, high=4096)
    selection: str = parameter(
        "topk",
        unit="",
        source=_PAPER + "; threshold: rows may differ",
        status="recalled",
        choices=("topk", "threshold"),
    )
    retention: float = same_parameter(LowRankScores, "retention")
    threshold: str = parameter(
        "auto",
        unit="",
        source="of S~, where selection is threshold. auto: learnt for retention on each head's own scores; "
        "or a whole number",
        status="assumed",
    )
    detector_bits: int = same_parameter(LowRankScores, "detector_bits")
    rank_share: float = same_parameter(LowRankScores, "rank_share")
    weights: str = parameter(
        WEIGHTS[0],
        unit="",
        source="stands in for the paper's training; identity is the null version",
        status="assumed",
        choices=WEIGHTS,
    )
    ranges: str = same_parameter(LowRankScores, "ranges")
    calibration_stride: int = parameter(
        1, unit="tokens", source="the detector is learnt on every so manyth", status="assumed", low=1, high=1024
    )
    detector_rate: str = parameter(
        "all-pairs",
        unit="",
        source="products of low precision a cycle: (16/bits)^2 of all pairs, or 16/bits; which one is unchecked",
        status="assumed",
        choices=("all-pairs", "own-pairs"),
    )
    select_lanes: int = parameter(16, unit="scores/cycle and row", source=_SILENT, status="assumed", low=1, high=4096)
    mfu_lanes: int = parameter(
        16, unit="", source="exponentials, and quotients, a cycle; " + _SILENT, status="assumed", low=1, high=4096
    )
    latency_cycles: int = parameter(
        10, unit="cycles", source="from the array to the unit behind; " + _SILENT, status="assumed", low=0, high=1000
    )
    operand_bits: int = same_parameter(LowRankScores, "operand_bits")
    fraction_bits: int = same_parameter(LowRankScores, "fraction_bits")
    seed: int = same_parameter(LowRankScores, "seed")
    sram_bytes: int = parameter(
        655_360, unit="B/lane", source=_PAPER + "; not sure", status="recalled", low=1024, high=2**33
    )
    memory: str = parameter("hbm2-2.0", unit="", source=_SILENT, status="assumed", choices=("ideal", *PARTS))
    memory_channels: int = parameter(1, unit="parts", source=_SILENT, status="assumed", low=1, high=1024)
    node_nm: float = parameter(22.0, unit="nm", source=_PAPER, status="recalled", low=7.0, high=130.0)

    def __post_init__(self) -> None:
        """Check what fields must hold together."""
        super().__post_init__()
        _ = self.detector  # refuses what it cannot be
        if self.keys_per_round > self.tokens:
            raise InputError(f"dota: keys_per_round must be at most tokens, {self.tokens}, got {self.keys_per_round}")
        if self.fraction_bits >= self.operand_bits:
            raise InputError(f"dota: fraction_bits must be below operand_bits, got {self.fraction_bits}")
        self.given_threshold()

    def given_threshold(self) -> int | None:
        """The threshold set by hand, None where it is learnt."""
        if self.threshold == "auto":
            return None
        if not re.fullmatch(r"-?[0-9]{1,9}", self.threshold):
            raise InputError(
                f"dota: threshold must be auto or a whole number of up to 9 digits, got {self.threshold[:40]!r}"
            )
        return int(self.threshold)

    @property
    def pes(self) -> int:
        """FX16 multiply-accumulators of a lane."""
        return self.array_rows * self.array_columns

    @property
    def rate(self) -> int:
        """Low-precision products that a PE does a cycle."""
        return rate_factor(WIDE_BITS, self.detector_bits, self.detector_rate == "all-pairs")

    @property
    def detector(self) -> LowRankScores:
        """How keys are chosen, but for the weights and where all above a threshold are."""
        return LowRankScores(
            retention=self.retention,
            detector_bits=self.detector_bits,
            rank_share=self.rank_share,
            ranges=self.ranges,
            operand_bits=self.operand_bits,
            fraction_bits=self.fraction_bits,
            seed=self.seed,
        )

    def rank(self, dim: int) -> int:
        """Length of Q~ and K~."""
        return self.detector.rank(dim)

    def keep(self, seq: int) -> int:
        """Keys that a row keeps of so many."""
        return self.detector.keep(seq)


def vector_bytes(design: DotaDesign, dim: int) -> int:
    """Bytes of a token's operand of one head."""
    return -(-dim * design.operand_bits // 8)
