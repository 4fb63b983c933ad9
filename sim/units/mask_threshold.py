"""Is a softmax probability above a threshold? Without a division: ``power > threshold * total`` (Sanger).

``power`` is e to a score, ``total`` the sum of a row's powers, ``threshold`` a constant of ``threshold_bits`` behind
the point. Both sides are whole numbers in the last place of the right one, so the comparison is exact for that
threshold; it is strict, as the software's is.

Source: Lu et al., Sanger, MICRO 2021 (mask of probabilities above a threshold); the form without division is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import FLAG, Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.jit import kernel

_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class MaskThreshold(Design):
    """The size of one comparison.

    Raises (when made):
        InputError: sides beyond 63 bits.
    """

    power_bits: int = parameter(32, unit="bit", source=_CHOICE, status="assumed", low=1, high=48)
    total_bits: int = parameter(42, unit="bit", source=_CHOICE, status="assumed", low=1, high=60)
    threshold_bits: int = parameter(20, unit="bit", source=_CHOICE, status="assumed", low=1, high=30)
    threshold: float = parameter(
        2e-3, unit="", source="Lu et al., Sanger, MICRO 2021: SQuAD and CLOTH", low=0.0, high=1.0
    )
    stages: int = parameter(1, unit="cycle", source=_CHOICE, status="assumed", low=1, high=8)

    def __post_init__(self) -> None:
        """Refuse sides that a 64-bit word cannot hold."""
        super().__post_init__()
        if max(self.power_bits + self.threshold_bits, self.total_bits + self.constant.bit_length()) > 63:
            raise InputError(
                f"mask_threshold: both sides must have at most 63 bits, got powers of {self.power_bits}, totals of "
                f"{self.total_bits} and a threshold of {self.threshold_bits}"
            )

    @property
    def constant(self) -> int:
        """The threshold as a whole number."""
        constant: int = round(self.threshold * 2**self.threshold_bits)
        return constant


@kernel
def above_threshold(
    powers: npt.NDArray[np.int64], totals: npt.NDArray[np.int64], constant: int, bits: int
) -> npt.NDArray[np.bool_]:
    """Which of ``powers`` [rows, keys] are above the threshold's share of their row's total [rows]."""
    out = np.empty(powers.shape, np.bool_)
    for i in range(len(powers)):
        bound = totals[i] * constant
        for j in range(powers.shape[1]):
            out[i, j] = powers[i, j] << bits > bound
    return out


def above_threshold_reference(power: int, total: int, constant: int, bits: int) -> bool:
    """The comparison by exact fractions."""
    return Fraction(power) > Fraction(constant, 2**bits) * total


def contract(design: MaskThreshold) -> Contract:
    """What a unit of this size promises: a power every cycle, its flag ``stages`` cycles later."""

    def function(beats: Codes) -> Answer:
        flags = above_threshold(
            np.ascontiguousarray(beats[:, :1]),
            np.ascontiguousarray(beats[:, 1]),
            design.constant,
            design.threshold_bits,
        )
        return Answer(flags.astype(np.int64), np.arange(len(beats)))

    return Contract(
        name="mask_threshold",
        inputs=Stream(
            (
                Port("power", Whole(design.power_bits, signed=False), "e to the score"),
                Port("total", Whole(design.total_bits, signed=False), "sum of the row's powers"),
            )
        ),
        outputs=Stream((Port("kept", FLAG, "1: the probability is above the threshold"),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
    )


UNIT = Unit(
    name="mask_threshold",
    summary="whether a softmax probability is above a threshold, without dividing (Sanger)",
    design_type=MaskThreshold,
    contract=contract,
    sizes=(
        MaskThreshold(power_bits=4, total_bits=4, threshold_bits=4, threshold=0.3),
        MaskThreshold(),
        MaskThreshold(threshold=0.02, stages=2),
    ),
)
