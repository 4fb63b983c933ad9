"""One element of a head made of the same element of other heads: a lane of ViTCoD's encoder or decoder.

Heads are mixed by fixed weights of ``weight_fraction`` bits behind the point, an exact sum of products rounded to the
nearest code, ties to even, and held at the ends of its format::

    y = clip(round(sum over h of w[h] x[h] * 2**-weight_fraction))

The encoder makes fewer heads of many, the decoder many of few. :func:`fit_codec` gives both as the pair that loses
least: for heads as vectors of all their elements, the leading singular vectors, and their transpose (Eckart and Young).
No mean is taken off, as a linear map has no room for one.

Source: You et al., ViTCoD, HPCA 2023: an auto-encoder along the heads of Q and K, trained with the network, 8 bits
(GATECH-EIC/ViTCoD, Simulator). Its weights' format is not given; the fit in closed form stands in for training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.jit import kernel

Reals = npt.NDArray[np.floating]
_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class HeadMix(Design):
    """The size of one lane.

    Raises (when made):
        InputError: weights with more bits behind the point than they have.
    """

    heads: int = parameter(12, unit="heads", source="You et al., HPCA 2023: 12 to 6", low=1, high=64)
    code_bits: int = parameter(8, unit="bit", source="GATECH-EIC/ViTCoD, Simulator", low=2, high=16)
    weight_bits: int = parameter(8, unit="bit", source=_CHOICE, status="assumed", low=2, high=16)
    weight_fraction: int = parameter(6, unit="bit", source=_CHOICE, status="assumed", low=0, high=15)
    stages: int = parameter(2, unit="cycle", source=_CHOICE, status="assumed", low=1, high=16)

    def __post_init__(self) -> None:
        """Check what fields must hold together."""
        super().__post_init__()
        if self.weight_fraction >= self.weight_bits:
            raise InputError(f"head_mix: weight_fraction must be below weight_bits, got {self.weight_fraction}")


@dataclass(frozen=True)
class Codec:
    """Weights of the encoder [kept, heads] and the decoder [heads, kept]."""

    encoder: Reals
    decoder: Reals


def fit_codec(samples: Reals, kept: int) -> Codec:
    """The linear maps over heads that lose least of ``samples`` [heads, elements] through ``kept`` heads.

    Signs are chosen so that each vector's largest weight is positive: the same samples give the same weights.

    Raises:
        InputError: no or too many heads, or samples that are not finite.
    """
    heads = len(samples)
    if not 1 <= kept <= heads:
        raise InputError(f"head_mix: kept must be 1 to {heads} heads, got {kept}")
    if not np.isfinite(samples).all():
        raise InputError("head_mix: samples must be finite")
    wide = samples.astype(np.float64)
    _, vectors = np.linalg.eigh(wide @ wide.T)
    leading = vectors[:, ::-1][:, :kept]
    largest = np.take_along_axis(leading, np.argmax(np.abs(leading), axis=0)[None], axis=0)
    leading = leading * np.where(largest < 0, -1.0, 1.0)
    return Codec(leading.T, leading)


def weight_codes(weights: Reals, bits: int, fraction: int) -> Codes:
    """Weights as codes, nearest even, held at the ends of their format."""
    top = (1 << (bits - 1)) - 1
    codes: Codes = np.clip(np.rint(np.asarray(weights, np.float64) * (1 << fraction)), -top, top).astype(np.int64)
    return codes


@kernel
def head_mix_stream(x: Codes, w: Codes, fraction: int, low: int, high: int) -> Codes:
    """One code a beat, [beats, 1], of codes and weights [beats, heads]."""
    out = np.empty((len(x), 1), np.int64)
    one = np.int64(1) << fraction
    for i in range(len(x)):
        total = np.int64(0)
        for j in range(x.shape[1]):
            total += x[i, j] * w[i, j]
        whole = total >> fraction
        rest = total - (whole << fraction)
        if 2 * rest > one or (2 * rest == one and whole & 1 == 1):
            whole += 1
        if whole > high:
            whole = np.int64(high)
        elif whole < low:
            whole = np.int64(low)
        out[i, 0] = whole
    return out


def mixed_heads(x: Codes, w: Codes, fraction: int, bits: int) -> tuple[Codes, int]:
    """All heads [made, ...] of ``x`` [heads, ...] by weights [made, heads], and how many codes were held at an end.

    What a lane gives beat by beat: sums of at most 64 products of 32 bits are exact in double precision.
    """
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    sums = w.astype(np.float64) @ x.reshape(len(x), -1).astype(np.float64)
    scaled = np.rint(np.ldexp(sums, -fraction))
    codes: Codes = np.clip(scaled, low, high).astype(np.int64).reshape(len(w), *x.shape[1:])
    return codes, int(np.count_nonzero((scaled < low) | (scaled > high)))


def head_mix_reference(x: Sequence[int], w: Sequence[int], fraction: int, bits: int) -> int:
    """One code, by exact fractions."""
    exact: int = round(Fraction(sum(a * b for a, b in zip(x, w, strict=True)), 2**fraction))
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return min(max(exact, low), high)


def contract(design: HeadMix) -> Contract:
    """What a lane of this size promises: an element every cycle, ``stages`` cycles later."""
    code, weight = Whole(design.code_bits), Whole(design.weight_bits, fraction=design.weight_fraction)

    def function(beats: Codes) -> Answer:
        x, w = np.ascontiguousarray(beats[:, : design.heads]), np.ascontiguousarray(beats[:, design.heads :])
        out = head_mix_stream(x, w, design.weight_fraction, code.low, code.high)
        return Answer(out, np.arange(len(beats)))

    return Contract(
        name="head_mix",
        inputs=Stream(
            (
                Port("x", code, "the element of every head", design.heads),
                Port("w", weight, "weight of every head", design.heads),
            )
        ),
        outputs=Stream((Port("y", code, "nearest even, saturated"),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
    )


UNIT = Unit(
    name="head_mix",
    summary="one head's element of other heads' by fixed weights: a lane of an auto-encoder over heads (ViTCoD)",
    design_type=HeadMix,
    contract=contract,
    sizes=(
        HeadMix(heads=2, code_bits=2, weight_bits=2, weight_fraction=1, stages=1),
        HeadMix(),
        HeadMix(heads=6, code_bits=12, weight_bits=10, weight_fraction=8, stages=3),
    ),
)
