"""Which keys are worth an exact product: ELSA's comparison of an estimated score with a bound.

A key is a candidate where ``norm * cosine > bound``. The query's own length cancels: both sides are in units of it.
``bound`` is ``threshold * largest key norm``, made once for all keys by :func:`bound_code`: the floor of the exact
product in the last place of the left side, which loses nothing, because the left side is whole in it.

The left side goes out as well: where no key of a query passes, the one with the largest is taken.

Source: Ham et al., ELSA, ISCA 2021 (recalled).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import FLAG, Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.jit import kernel
from siloom.sim.units.hamming import Distances

_CHOICE = "free choice of the design"
_ELSA = "Ham et al., ELSA, ISCA 2021"


@dataclass(frozen=True, kw_only=True)
class CandidateSelect(Design):
    """The size of one comparison."""

    norm_bits: int = parameter(8, unit="bit", source=_ELSA, status="recalled", low=1, high=24)
    norm_fraction: int = parameter(3, unit="bit", source=_ELSA, status="recalled", low=0, high=15)
    cosine_fraction: int = parameter(7, unit="bit", source=_CHOICE, status="assumed", low=1, high=15)
    stages: int = parameter(1, unit="cycle", source=_CHOICE, status="assumed", low=1, high=8)

    @property
    def bound_form(self) -> Whole:
        """As wide as a product of a norm and a cosine of at most one."""
        return Whole(self.norm_bits + self.cosine_fraction + 1, fraction=self.norm_fraction + self.cosine_fraction)

    @property
    def estimate_form(self) -> Whole:
        """As wide as a product of any norm and cosine."""
        return Whole(self.norm_bits + self.cosine_fraction + 2, fraction=self.norm_fraction + self.cosine_fraction)


def bound_code(threshold: float, largest_norm: int, cosine_fraction: int) -> int:
    """The bound for a threshold from -1 to 1 and the code of the largest norm."""
    return math.floor(Fraction(threshold) * largest_norm * (1 << cosine_fraction))


@kernel
def candidates(
    distance: Distances, norm: npt.NDArray[np.int32], table: npt.NDArray[np.int64], bound: int
) -> npt.NDArray[np.bool_]:
    """Candidates [queries, keys] by their ``distance`` [queries, keys] and the keys' norms; ``table``: cosines."""
    queries, keys = distance.shape
    out = np.empty((queries, keys), np.bool_)
    # Whether a key is taken falls with its distance: for each key, the largest distance that still is.
    most = np.full(keys, -1, np.int64)
    for j in range(keys):
        for h in range(len(table)):
            if norm[j] * table[h] > bound:
                most[j] = h
    for i in range(queries):
        for j in range(keys):
            out[i, j] = distance[i, j] <= most[j]
    return out


@kernel
def candidate_select_stream(beats: Codes) -> Codes:
    """Flags and estimates of beats of a norm, a cosine and a bound, [beats, 2]."""
    out = np.empty((len(beats), 2), np.int64)
    for i in range(len(beats)):
        out[i, 1] = beats[i, 0] * beats[i, 1]
        out[i, 0] = out[i, 1] > beats[i, 2]
    return out


def candidate_select_reference(norm: Fraction, cosine: Fraction, bound: Fraction) -> bool:
    """The comparison on exact values."""
    return norm * cosine > bound


def contract(design: CandidateSelect) -> Contract:
    """What a unit of this size promises: a key every cycle, its flag and estimate ``stages`` cycles later."""

    def function(beats: Codes) -> Answer:
        return Answer(candidate_select_stream(np.ascontiguousarray(beats)), np.arange(len(beats)))

    cosine = Whole(design.cosine_fraction + 2, fraction=design.cosine_fraction)
    return Contract(
        name="candidate_select",
        inputs=Stream(
            (
                Port("norm", Whole(design.norm_bits, signed=False, fraction=design.norm_fraction), "length of the key"),
                Port("cosine", cosine, "estimated cosine to the query"),
                Port("bound", design.bound_form, "threshold times the largest norm"),
            )
        ),
        outputs=Stream(
            (
                Port("candidate", FLAG, "1: the product may matter"),
                Port("estimate", design.estimate_form, "norm times cosine: the score in units of the query's length"),
            )
        ),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
    )


UNIT = Unit(
    name="candidate_select",
    summary="whether a key's estimated score passes the bound (ELSA)",
    design_type=CandidateSelect,
    contract=contract,
    sizes=(
        CandidateSelect(norm_bits=2, norm_fraction=0, cosine_fraction=1),
        CandidateSelect(),
        CandidateSelect(norm_bits=12, cosine_fraction=10, stages=3),
    ),
)
