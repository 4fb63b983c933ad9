"""Sums of several banks added up in single precision, the lowest bank first: one query's sums from all workers (ELSA).

Each beat holds ``lanes`` sums of every bank, lanes of one bank side by side. They are added one bank after another,
each addition rounded to nearest even. A bank that has nothing to add gives zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import FP32, Answer, Codes, Contract, Port, Stream, Unit
from siloom.sim.design import Design, parameter

Singles = npt.NDArray[np.float32]
_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class BankSum(Design):
    """The size of one unit."""

    banks: int = parameter(4, unit="", source=_CHOICE, status="assumed", low=1, high=256)
    lanes: int = parameter(17, unit="", source="16 sums and the weights'", status="assumed", low=1, high=4097)
    add_stages: int = parameter(2, unit="cycle", source="for one addition", status="assumed", low=1, high=8)

    @property
    def stages(self) -> int:
        """Cycles for all additions; one where there is none."""
        return max(1, (self.banks - 1) * self.add_stages)


def add_banks(sums: Singles) -> Singles:
    """Sums [..., lanes] of sums [banks, ..., lanes]."""
    total: Singles = sums[0].copy()
    for bank in sums[1:]:
        total += bank
    return total


def bank_sum_reference(parts: Sequence[float]) -> float:
    """One lane: a rounding to single after each addition in double precision, where it is innocuous."""
    total = parts[0]
    for part in parts[1:]:
        total = float(np.float32(total + part))
    return total


def contract(design: BankSum) -> Contract:
    """What a unit of this size promises: sums of all banks every cycle, added up ``stages`` cycles later."""

    def function(beats: Codes) -> Answer:
        parts = beats.astype(np.uint32).view(np.float32).reshape(len(beats), design.banks, design.lanes)
        total = add_banks(np.ascontiguousarray(parts.transpose(1, 0, 2)))
        return Answer(total.view(np.uint32).astype(np.int64), np.arange(len(beats)))

    return Contract(
        name="bank_sum",
        inputs=Stream((Port("part", FP32, "lanes of the first bank, then of the next", design.banks * design.lanes),)),
        outputs=Stream((Port("sum", FP32, "added up, nearest even at every step", design.lanes),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
        legal=_legal,
    )


def _legal(beats: Codes) -> Codes:
    """Finite numbers, far enough below the largest one that no sum of 256 of them overflows."""
    field = (beats >> FP32.mantissa_bits) & 255
    return np.where(field >= 240, beats & ~(np.int64(31) << 27), beats)


UNIT = Unit(
    name="bank_sum",
    summary="sums of several banks added up in single precision, in order (ELSA)",
    design_type=BankSum,
    contract=contract,
    sizes=(BankSum(banks=2, lanes=1, add_stages=1), BankSum(lanes=5), BankSum(banks=3, lanes=2, add_stages=4)),
)
