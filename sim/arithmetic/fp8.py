"""Floating point of 8 bits: E4M3 under scale factors, gradients in E5M2, summed in an accumulator of any format.

Both formats are OCP's (``fp8_e4m3`` to 448 without infinities, ``fp8_e5m2`` to 57344). In backward products A, the
gradient, is of ``gradient``'s format and B is E4M3; forward both are E4M3. Quotients beyond the largest number are cut
off at it, never turned into NaN or infinity. Scale factors and rounding: ``sim.arithmetic.scaling``; sums:
``sim.arithmetic.floating``.

**The accumulator** is FP32 unless another is named: the name ``fp8`` promises 8 bits of operands and nothing narrower
behind them, which is how training in FP8 was published (Micikevicius et al., "FP8 formats for deep learning", 2022;
recalled). ``acc=e8m13,chunk=128`` is like what was measured of Hopper's tensor cores (sources differ between 14 and 22
bits), ``acc=fp16`` a small unit.

**Headroom.** Scaled to their formats' largest numbers, two operands would overflow FP16 after one product
(448 * 448 > 65504). So ``headroom=sum`` scales neither beyond the largest power of two T for which ``n`` products of
the largest size stay within the accumulator: ``min(T, top_a) * min(T, top_b) * n <= largest``, n being ``chunk``, the
block, or else all of k. T is beyond both formats for accumulators of 8 exponent bits. ``headroom=none`` uses the whole
range of both formats, whatever becomes of the sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from siloom.sim.arithmetic import Arithmetic, Direction, Product, Singles
from siloom.sim.arithmetic.floating import ROUNDINGS, FloatWay, accumulator, float_product
from siloom.sim.arithmetic.scaling import SCALINGS
from siloom.sim.design import parameter
from siloom.sim.errors import InputError
from siloom.sim.units.fp_mac import FpMac
from siloom.sim.units.host_floats import rounding

_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class Fp8(Arithmetic):
    """FP8 operands, sums in any format with one rounding a step.

    Raises (when made):
        InputError: an unknown accumulator; settings that exclude each other.
    """

    name = "fp8"
    summary = "8-bit floating point (E4M3, gradients E5M2) under scale factors, in an accumulator of any format"
    format = "fp8"

    acc: str = parameter("fp32", unit="", source="Micikevicius et al. 2022", status="recalled")
    chunk: int = parameter(0, unit="", source=_CHOICE, status="assumed", low=0, high=65536)
    gradient: str = parameter(
        "e5m2", unit="", source="Micikevicius et al. 2022", status="recalled", choices=("e5m2", "e4m3")
    )
    overflow: str = parameter("infinity", unit="", source=_CHOICE, status="assumed", choices=("infinity", "saturate"))
    headroom: str = parameter("sum", unit="", source=_CHOICE, status="assumed", choices=("sum", "none"))
    scaling: str = parameter("tensor", unit="", source=_CHOICE, status="assumed", choices=SCALINGS)
    block: int = parameter(32, unit="", source="OCP microscaling formats", status="recalled", low=2, high=1024)
    rounding: str = parameter("nearest", unit="", source=_CHOICE, status="assumed", choices=ROUNDINGS)
    acc_rounding: str = parameter("nearest", unit="", source=_CHOICE, status="assumed", choices=ROUNDINGS)

    def __post_init__(self) -> None:
        """Refuse what cannot be computed."""
        super().__post_init__()
        accumulator("fp8", self.acc)
        if self.scaling == "block" and self.chunk:
            raise InputError(f"fp8: chunk must be 0 where blocks cut the sum already, got {self.chunk}")
        if self.acc_rounding == "stochastic" and self.overflow == "saturate":
            raise InputError("fp8: overflow must be infinity where sums are rounded by chance, got 'saturate'")

    def product(self, a: Singles, b: Singles, direction: Direction, key: int = 0) -> Product:
        """A times B."""
        form = accumulator("fp8", self.acc)
        unit = FpMac(
            a_format="fp8_e4m3" if direction == "forward" else f"fp8_{self.gradient}",
            b_format="fp8_e4m3",
            acc_exponent_bits=form.exponent_bits,
            acc_mantissa_bits=form.mantissa_bits,
            overflow=self.overflow,
        )
        length = self.block if self.scaling == "block" else self.chunk
        way = FloatWay(
            name=f"fp8, {direction}",
            unit=unit,
            tops=self._tops(unit, min(length or a.shape[2], a.shape[2])),
            scaling=self.scaling,
            block=self.block,
            chunk=self.chunk,
            by_chance=self.rounding == "stochastic",
            sums_by_chance=self.acc_rounding == "stochastic",
        )
        return float_product(way, a, b, key)

    def _tops(self, unit: FpMac, products: int) -> tuple[float, float]:
        a, b, most = (rounding(form, True)[3] for form in (unit.a, unit.b, unit.accumulator))
        if self.headroom == "none":
            return a, b
        power = 2.0 ** math.ceil(math.log2(max(a, b)))
        while min(a, power) * min(b, power) * products > most:
            power /= 2
        return min(a, power), min(b, power)
