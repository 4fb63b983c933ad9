"""Whole numbers times a scale, rounded half to even and cut off symmetrically: what feeds a low-precision array.

``y = clamp(round(x * scale / 2**shift), -top, top)`` with ``top = 2**(out_bits - 1) - 1``: the most negative code is
never used, so that the range is symmetric. The scale comes with each beat, because it differs between rows where
vectors are normalised.

Source: Sanger's software (quant_utils.py: torch.round, symmetric); width and form of the scale are open there.
:func:`quantize` is that software itself, on floating-point numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.jit import inline_kernel, kernel

_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class Quantizer(Design):
    """The size of one quantizer.

    Raises (when made):
        InputError: products beyond 63 bits.
    """

    in_bits: int = parameter(16, unit="bit", source=_CHOICE, status="assumed", low=2, high=32)
    out_bits: int = parameter(4, unit="bit", source="Lu et al., Sanger, MICRO 2021", low=2, high=16)
    scale_bits: int = parameter(12, unit="bit", source=_CHOICE, status="assumed", low=1, high=31)
    shift: int = parameter(20, unit="bit", source=_CHOICE, status="assumed", low=0, high=61)
    lanes: int = parameter(1, unit="", source=_CHOICE, status="assumed", low=1, high=256)
    stages: int = parameter(2, unit="cycle", source=_CHOICE, status="assumed", low=1, high=8)

    def __post_init__(self) -> None:
        """Refuse products that a 64-bit word cannot hold."""
        super().__post_init__()
        if self.in_bits + self.scale_bits > 62:
            raise InputError(f"quantizer: in_bits and scale_bits must be at most 62 together, got {self.in_bits}")


@inline_kernel
def round_shift(value: int, shift: int) -> int:
    """``value / 2**shift`` to nearest, ties to even."""
    if shift == 0:
        return value
    whole = value >> shift
    rest = value - (whole << shift)
    half = 1 << (shift - 1)
    return whole + (rest > half or (rest == half and whole & 1 == 1))


@kernel
def quantizer_stream(x: Codes, scale: Codes, shift: int, top: int) -> Codes:
    """Codes [beats, lanes] of ``x`` [beats, lanes] at each beat's ``scale`` [beats]."""
    out = np.empty(x.shape, np.int64)
    for i in range(len(x)):
        for j in range(x.shape[1]):
            out[i, j] = min(max(round_shift(x[i, j] * scale[i], shift), -top), top)
    return out


def quantizer_reference(x: int, scale: int, shift: int, top: int) -> int:
    """One number, by exact fractions; Python's ``round`` takes ties to even."""
    return min(max(round(Fraction(x * scale, 2**shift)), -top), top)


def quantize(
    x: npt.NDArray[np.float32], scale: np.float32 | npt.NDArray[np.float32], bits: int
) -> npt.NDArray[np.int32]:
    """Sanger's software quantizer: ``clamp(round(x * scale))``, half to even, in single precision."""
    top = np.float32((1 << (bits - 1)) - 1)
    codes: npt.NDArray[np.int32] = np.clip(np.rint(x * scale), -top, top).astype(np.int32)
    return codes


def contract(design: Quantizer) -> Contract:
    """What a unit of this size promises: a beat every cycle, its codes ``stages`` cycles later."""
    top = (1 << (design.out_bits - 1)) - 1

    def function(beats: Codes) -> Answer:
        x, scale = np.ascontiguousarray(beats[:, : design.lanes]), np.ascontiguousarray(beats[:, design.lanes])
        return Answer(quantizer_stream(x, scale, design.shift, top), np.arange(len(beats)))

    return Contract(
        name="quantizer",
        inputs=Stream(
            (
                Port("x", Whole(design.in_bits), "numbers", design.lanes),
                Port("scale", Whole(design.scale_bits, signed=False, fraction=design.shift), "factor of this beat"),
            )
        ),
        outputs=Stream((Port("y", Whole(design.out_bits), "nearest even, symmetric", design.lanes),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
    )


UNIT = Unit(
    name="quantizer",
    summary="scale, round half to even and cut off symmetrically, to any width (Sanger)",
    design_type=Quantizer,
    contract=contract,
    sizes=(
        Quantizer(in_bits=4, out_bits=2, scale_bits=4, shift=4, stages=1),
        Quantizer(),
        Quantizer(in_bits=24, out_bits=8, scale_bits=16, shift=31, lanes=4, stages=3),
    ),
)
