"""Brain floating point of 16 bits, without scale factors, summed in FP32 or any other format.

BF16 has FP32's range, so operands are rounded as they are; what would round beyond the largest number is cut off at it
and counted. Sums: ``sim.arithmetic.floating``; rounding: ``sim.arithmetic.scaling``.
"""

from __future__ import annotations

from dataclasses import dataclass

from siloom.sim.arithmetic import Arithmetic, Direction, Product, Singles
from siloom.sim.arithmetic.floating import ROUNDINGS, FloatWay, accumulator, float_product
from siloom.sim.arithmetic.scaling import UNSCALED
from siloom.sim.design import parameter
from siloom.sim.errors import InputError
from siloom.sim.units.fp_mac import FpMac

_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class Bf16(Arithmetic):
    """BF16 operands, sums in any format with one rounding a step.

    Raises (when made):
        InputError: an unknown accumulator; settings that exclude each other.
    """

    name = "bf16"
    summary = "16-bit brain floating point, in an accumulator of any format"
    format = "bf16"

    acc: str = parameter("fp32", unit="", source="Kalamkar et al. 2019", status="recalled")
    chunk: int = parameter(0, unit="", source=_CHOICE, status="assumed", low=0, high=65536)
    overflow: str = parameter("infinity", unit="", source=_CHOICE, status="assumed", choices=("infinity", "saturate"))
    rounding: str = parameter("nearest", unit="", source=_CHOICE, status="assumed", choices=ROUNDINGS)
    acc_rounding: str = parameter("nearest", unit="", source=_CHOICE, status="assumed", choices=ROUNDINGS)

    def __post_init__(self) -> None:
        """Refuse what cannot be computed."""
        super().__post_init__()
        accumulator("bf16", self.acc)
        if self.acc_rounding == "stochastic" and self.overflow == "saturate":
            raise InputError("bf16: overflow must be infinity where sums are rounded by chance, got 'saturate'")

    def product(self, a: Singles, b: Singles, direction: Direction, key: int = 0) -> Product:
        """A times B."""
        form = accumulator("bf16", self.acc)
        unit = FpMac(
            a_format="bf16",
            b_format="bf16",
            acc_exponent_bits=form.exponent_bits,
            acc_mantissa_bits=form.mantissa_bits,
            overflow=self.overflow,
        )
        way = FloatWay(
            name=f"bf16, {direction}",
            unit=unit,
            tops=(1.0, 1.0),
            scaling=UNSCALED,
            block=1,
            chunk=self.chunk,
            by_chance=self.rounding == "stochastic",
            sums_by_chance=self.acc_rounding == "stochastic",
        )
        return float_product(way, a, b, key)
