"""Hamming distance of two hashes, and the cosine of the angle that it stands for (ELSA).

Of k hash bits h differ: the angle is about ``pi h / k``. The estimate is corrected by ``bias_rad``, by which the
angle would else be overestimated for one pair in five, and looked up as a cosine::

    cosine[h] = round(cos(max(0, pi h / k - bias)) * 2**cosine_fraction), ties to even

With k = 64 and the bias 0.127, h = 0 to 2 give one and h >= 35 are negative.

Source: Ham et al., ELSA, ISCA 2021 (recalled); the bias is the 80th percentile of the angle's error for pairs of
independent Gaussian vectors, see :func:`siloom.sim.hash_angle.angle_bias_rad`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.engine.bits import popcount
from siloom.sim.errors import InputError
from siloom.sim.jit import kernel
from siloom.sim.units.srp_hash import WORD, Hashes

Distances = npt.NDArray[np.uint16]
_CHOICE = "free choice of the design"
_ELSA = "Ham et al., ELSA, ISCA 2021"


@dataclass(frozen=True, kw_only=True)
class Hamming(Design):
    """The size of one comparison of hashes.

    Raises (when made):
        InputError: more than a word of bits that are not whole words.
    """

    bits: int = parameter(64, unit="bit", source=_ELSA, status="recalled", low=1, high=4096)
    cosine_fraction: int = parameter(7, unit="bit", source=_CHOICE, status="assumed", low=1, high=15)
    bias_rad: float = parameter(
        0.127,
        unit="rad",
        source="80th percentile of the angle's error, 64 bits of 64 elements (siloom.sim.hash_angle)",
        status="measured",
        low=0.0,
        high=3.0,
    )
    stages: int = parameter(1, unit="cycle", source=_CHOICE, status="assumed", low=1, high=8)

    def __post_init__(self) -> None:
        """Refuse a last word of fewer bits, which a port of words cannot say."""
        super().__post_init__()
        if self.bits > WORD and self.bits % WORD:
            raise InputError(f"hamming: bits above {WORD} must be a multiple of it, got {self.bits}")

    @property
    def cosine_form(self) -> Whole:
        """Signed, with one bit before the point, so that one is a code."""
        return Whole(self.cosine_fraction + 2, fraction=self.cosine_fraction)

    @property
    def distance_form(self) -> Whole:
        """From 0 to ``bits``."""
        return Whole(self.bits.bit_length(), signed=False)


def cosine_table(bits: int, bias_rad: float, fraction: int) -> npt.NDArray[np.int64]:
    """Codes of the cosine for every distance from 0 to ``bits``."""
    angles = np.maximum(0.0, np.pi * np.arange(bits + 1) / bits - bias_rad)
    codes: npt.NDArray[np.int64] = np.rint(np.cos(angles) * (1 << fraction)).astype(np.int64)
    return codes


@kernel
def distances(queries: Hashes, keys: Hashes) -> Distances:
    """Distance of every query to every key, [queries, keys], of hash words [n, words]."""
    out = np.empty((len(queries), len(keys)), np.uint16)
    words = queries.shape[1]
    for i in range(len(queries)):
        if words == 1:
            own = queries[i, 0]
            for j in range(len(keys)):
                out[i, j] = popcount(own ^ keys[j, 0])
        else:
            for j in range(len(keys)):
                total = 0
                for word in range(words):
                    total += popcount(queries[i, word] ^ keys[j, word])
                out[i, j] = total
    return out


@kernel
def hamming_stream(beats: Codes, words: int, table: npt.NDArray[np.int64]) -> Codes:
    """Distance and cosine of each beat, [beats, 2]; a beat is one hash's words, then the other's."""
    out = np.empty((len(beats), 2), np.int64)
    for i in range(len(beats)):
        total = 0
        for word in range(words):
            total += popcount(np.uint64(beats[i, word] ^ beats[i, words + word]))
        out[i, 0] = total
        out[i, 1] = table[total]
    return out


def hamming_reference(one: int, other: int, bits: int, bias_rad: float, fraction: int) -> tuple[int, int]:
    """Distance and cosine code of two hashes, as plainly as can be said."""
    distance = sum((one >> j & 1) != (other >> j & 1) for j in range(bits))
    return distance, round(math.cos(max(0.0, math.pi * distance / bits - bias_rad)) * 2**fraction)


def contract(design: Hamming) -> Contract:
    """What a unit of this size promises: a pair every cycle, its answer ``stages`` cycles later."""
    words = -(-design.bits // WORD)
    table = cosine_table(design.bits, design.bias_rad, design.cosine_fraction)
    hash_form = Whole(min(design.bits, WORD), signed=False)

    def function(beats: Codes) -> Answer:
        return Answer(hamming_stream(np.ascontiguousarray(beats), words, table), np.arange(len(beats)))

    return Contract(
        name="hamming",
        inputs=Stream(
            (
                Port("query", hash_form, "hash of the query, the lowest word first", words),
                Port("key", hash_form, "hash of the key", words),
            )
        ),
        outputs=Stream(
            (
                Port("distance", design.distance_form, "bits that differ"),
                Port("cosine", design.cosine_form, "cosine of the angle, its bias taken off"),
            )
        ),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
    )


UNIT = Unit(
    name="hamming",
    summary="distance of two hashes and the cosine of the angle that it stands for (ELSA)",
    design_type=Hamming,
    contract=contract,
    sizes=(Hamming(bits=4, cosine_fraction=3), Hamming(), Hamming(bits=32, stages=2), Hamming(bits=128, stages=3)),
)
