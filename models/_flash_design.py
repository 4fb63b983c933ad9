"""The choices that define a systolic array for attention with an online softmax, and the units that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from siloom.sim.design import Design, parameter
from siloom.sim.engine.flash_blocks import Steps
from siloom.sim.errors import InputError
from siloom.sim.memory import PARTS
from siloom.sim.units.exp_split import ExpSplit
from siloom.sim.units.online_softmax import OnlineSoftmax

_FREE = "free choice of the design"

BESIDE_EXP = 2
"""Cycles from a score to its weight beside those of the exponential: through two queues."""

BESIDE_DIGITS = 1
"""Cycles of a division beside one a digit: rounding."""


@dataclass(frozen=True)
class FlashDesign(Design):
    """The choices that define one array.

    Raises (when made):
        InputError: a field out of its range, or sums that are too wide.
    """

    rows: int = parameter(64, unit="queries", source=_FREE, status="assumed", low=1, high=1024)
    cols: int = parameter(64, unit="elements", source="of a vector, at most", status="assumed", low=1, high=1024)
    block: int = parameter(64, unit="keys", source=_FREE, status="assumed", low=1, high=256)
    operand_bits: int = parameter(12, unit="bit", source="of elements of Q, K and V", status="assumed", low=4, high=16)
    fraction_bits: int = parameter(7, unit="bit", source=_FREE, status="assumed", low=0, high=15)
    score_fraction: int = parameter(
        8,
        unit="bit",
        source="behind the point of a score, as the exponential takes it",
        status="assumed",
        low=1,
        high=16,
    )
    power_fraction: int = parameter(12, unit="bit", source=_FREE, status="assumed", low=4, high=16)
    guard_bits: int = parameter(6, unit="bit", source=_FREE, status="assumed", low=0, high=12)
    max_seq: int = parameter(4096, unit="keys", source="that sums have room for", status="assumed", low=1, high=2**14)
    exp_stages: int = parameter(2, unit="cycle", source=_FREE, status="assumed", low=1, high=4)
    clock_hz: float = parameter(1.0e9, unit="Hz", source=_FREE, status="assumed", low=1e6, high=1e10)
    kv_sram_bytes: int = parameter(2**19, unit="B", source=_FREE, status="assumed", low=256, high=2**33)
    memory: str = parameter(
        "hbm2-2.0",
        unit="",
        source="a DRAM part, at the rate that its engine sustains; ideal: infinite",
        status="assumed",
        choices=("ideal", *PARTS),
    )
    memory_channels: int = parameter(1, unit="channels", source=_FREE, status="assumed", low=1, high=1024)
    node_nm: float = parameter(22.0, unit="nm", source="node of the tables", status="assumed", low=7.0, high=130.0)

    def __post_init__(self) -> None:
        """Check what fields must hold together."""
        super().__post_init__()
        if self.fraction_bits >= self.operand_bits:
            raise InputError(f"flash_array: fraction_bits must be below operand_bits, got {self.fraction_bits}")
        if self.score_fraction > 2 * self.fraction_bits:
            raise InputError(
                f"flash_array: score_fraction must be at most twice fraction_bits, {2 * self.fraction_bits}, "
                f"got {self.score_fraction}"
            )
        _ = self.unit(self.cols)

    def root_shift(self, dim: int) -> int:
        """Binary places by which scores are divided; what is left of the root of ``dim``, queries are divided by."""
        return round(math.log2(dim) / 2)

    def dropped_bits(self, dim: int) -> int:
        """Low bits of a score that are rounded off."""
        return 2 * self.fraction_bits + self.root_shift(dim) - self.score_fraction

    @property
    def dot_bits(self) -> int:
        """Bits of a score before rounding."""
        return 2 * self.operand_bits + (self.cols - 1).bit_length()

    def unit(self, dim: int) -> OnlineSoftmax:
        """The softmax whose bits are the array's; it has no time of its own."""
        return OnlineSoftmax(
            block=self.block,
            dim=dim,
            score_bits=self.dot_bits - self.dropped_bits(dim) + 1,
            score_fraction=self.score_fraction,
            power_fraction=self.power_fraction,
            guard_bits=self.guard_bits,
            value_bits=self.operand_bits,
            most_keys=self.max_seq,
        )

    @property
    def exponential(self) -> ExpSplit:
        """The exponential of each row."""
        return replace(self.unit(self.cols).exponential, stages=self.exp_stages)

    @property
    def steps(self) -> Steps:
        """What time depends on."""
        return Steps(
            rows=self.rows,
            cols=self.cols,
            block=self.block,
            weights=self.exp_stages + BESIDE_EXP,
            divide=self.operand_bits + BESIDE_DIGITS,
        )
