"""Is a score near enough to the largest? A3's second choice, in the logarithm of the softmax.

A key is kept where its weight is above ``percent`` of the row's largest weight::

    e^(score - largest) > percent / 100      that is      largest - score < ln(100 / percent) = t

Scores are whole numbers in their own last place, and ``bound`` is t in it, rounded up by :func:`bound_code`: a
difference of whole numbers is below t exactly where it is below that. The largest score itself is always kept.

Source: Ham et al., A3, HPCA 2020 (post-scoring selection; the form in logarithms is derived).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import FLAG, Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.jit import kernel

_A3 = "Ham et al., A3, HPCA 2020"
_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class PostScore(Design):
    """The size of one comparison."""

    score_bits: int = parameter(
        23, unit="bit", source="exact products of 9 bits, 64 of them", status="recalled", low=2, high=60
    )
    score_fraction: int = parameter(8, unit="bit", source=_A3, status="recalled", low=0, high=40)
    stages: int = parameter(1, unit="cycle", source=_CHOICE, status="assumed", low=1, high=8)


def bound_code(percent: float, unit: float) -> int:
    """The bound, for scores whose last place stands for ``unit`` in the exponent.

    Raises:
        InputError: a percentage that is not above 0 and below 100.
    """
    if not 0 < percent < 100:
        raise InputError(f"post_score: percent must be above 0 and below 100, got {percent}")
    return math.ceil(math.log(100.0 / percent) / unit)


@kernel
def near_largest(scores: Codes, kept: npt.NDArray[np.bool_], bound: int) -> tuple[npt.NDArray[np.bool_], Codes]:
    """Keys that are kept [rows, keys] and each row's largest score [rows].

    ``scores`` [rows, keys] count where ``kept`` is set; a row without any keeps none, its largest is the least int64.
    """
    rows, keys = scores.shape
    out = np.zeros((rows, keys), np.bool_)
    largest = np.full(rows, -(2**63), np.int64)
    for i in range(rows):
        most = largest[i]
        for j in range(keys):
            if kept[i, j]:
                most = max(most, scores[i, j])
        largest[i] = most
        for j in range(keys):
            out[i, j] = kept[i, j] and most - scores[i, j] < bound
    return out, largest


@kernel
def post_score_stream(beats: Codes) -> Codes:
    """Flags of beats of a score, the largest score and a bound, [beats, 1]."""
    out = np.empty((len(beats), 1), np.int64)
    for i in range(len(beats)):
        out[i, 0] = beats[i, 1] - beats[i, 0] < beats[i, 2]
    return out


def post_score_reference(score: Fraction, largest: Fraction, bound: Fraction) -> bool:
    """The comparison on exact values."""
    return largest - score < bound


def contract(design: PostScore) -> Contract:
    """What a unit of this size promises: a score every cycle, its flag ``stages`` cycles later."""
    score = Whole(design.score_bits, fraction=design.score_fraction)
    bound = Whole(design.score_bits + 1, signed=False, fraction=design.score_fraction)

    def function(beats: Codes) -> Answer:
        return Answer(post_score_stream(np.ascontiguousarray(beats)), np.arange(len(beats)))

    return Contract(
        name="post_score",
        inputs=Stream(
            (
                Port("score", score, "exact product of query and key"),
                Port("largest", score, "largest of the row"),
                Port("bound", bound, "how far below it is near enough, itself not"),
            )
        ),
        outputs=Stream((Port("kept", FLAG, "1: the weight is to be had"),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
    )


UNIT = Unit(
    name="post_score",
    summary="whether a score is within a distance of the row's largest (A3)",
    design_type=PostScore,
    contract=contract,
    sizes=(PostScore(score_bits=3, score_fraction=1), PostScore(), PostScore(score_bits=40, stages=2)),
)
