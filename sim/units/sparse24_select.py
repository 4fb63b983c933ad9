"""2:4 operand selection: what lets a dot-product unit skip half of its products.

Of every four neighbours of a 2:4 sparse operand at most two are kept, each with its place among the
four in 2 bits. This unit stands on the *other* operand's side: it takes groups of four values and the
two places, and hands on the two values that meet the kept ones. A two-input multiplier array behind
it then does the work of a four-input one.

Values pass through as bit patterns, so one unit serves every format of its width. Any two places are
allowed, also twice the same one; an encoder's are in rising order.

The encoder is here as well, as software: :func:`encode24` keeps the two largest magnitudes of four,
ties to the lower place, and :func:`expand24` undoes it. No unit for it is promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siloom.sim.contract import Answer, Codes, Contract, Float, Format, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.jit import kernel

GROUP = 4
KEPT = 2
_CHOICE = "free choice of the design"
_PLACE = Whole(2, signed=False)


@dataclass(frozen=True, kw_only=True)
class Sparse24Select(Design):
    """The size of one selector: ``groups`` of four values of ``bits`` each in a beat."""

    bits: int = parameter(16, unit="bit", source=_CHOICE, status="assumed", low=1, high=64)
    groups: int = parameter(2, unit="", source=_CHOICE, status="assumed", low=1, high=64)
    stages: int = parameter(1, unit="cycle", source=_CHOICE, status="assumed", low=1, high=8)


@kernel
def sparse24_select_stream(values: Codes, places: Codes) -> Codes:
    """For each beat and group, the two values at its two places.

    ``values`` is (beats, 4 * groups), ``places`` (beats, 2 * groups) with entries 0 to 3; the result
    is (beats, 2 * groups).
    """
    beats, columns = places.shape
    chosen = np.empty((beats, columns), np.int64)
    for i in range(beats):
        for j in range(columns):
            chosen[i, j] = values[i, GROUP * (j // KEPT) + places[i, j]]
    return chosen


@kernel
def keep_two(magnitudes: Codes) -> Codes:
    """Places of the two largest of each four, in rising order; the lower place wins a tie.

    ``magnitudes`` is (groups, 4), the result (groups, 2). A place is kept where fewer than two others
    beat it, which is how a comparator network decides it.
    """
    places = np.empty((len(magnitudes), KEPT), np.int64)
    for i in range(len(magnitudes)):
        found = 0
        for j in range(GROUP):
            beaten = 0
            for other in range(GROUP):
                if magnitudes[i, other] > magnitudes[i, j] or (magnitudes[i, other] == magnitudes[i, j] and other < j):
                    beaten += 1
            if beaten < KEPT:
                places[i, found] = j
                found += 1
    return places


def encode24(codes: Codes, form: Format) -> tuple[Codes, Codes]:
    """Prune groups of four to 2:4: the kept codes and their places, both (groups, 2).

    ``codes`` is (groups, 4), in ``form``. A floating-point magnitude is its pattern without the sign,
    so infinities outrank finite numbers and NaN outranks both: neither is lost in silence.

    Raises:
        ValueError: not groups of four.
    """
    if codes.ndim != 2 or codes.shape[1] != GROUP:
        raise ValueError(f"encode24: codes must be groups of {GROUP}, got an array of shape {codes.shape}")
    places = keep_two(np.ascontiguousarray(_magnitudes(codes, form)))
    return np.take_along_axis(codes, places, axis=1), places


def _magnitudes(codes: Codes, form: Format) -> Codes:
    """Codes in the order of their size, as integers."""
    if isinstance(form, Float):
        return codes & ((1 << (form.bits - 1)) - 1)
    # |x| - 1 rather than |x|: the most negative 64-bit code has no positive twin.
    return np.where(codes < 0, -(codes + 1), codes - 1) if form.signed else codes


def expand24(kept: Codes, places: Codes) -> Codes:
    """The groups of four, (groups, 4), that :func:`encode24` kept these of; zero elsewhere."""
    dense = np.zeros((len(kept), GROUP), np.int64)
    np.put_along_axis(dense, places, kept, axis=1)
    return dense


def sparse24_select_reference(values: Sequence[int], places: Sequence[int]) -> list[int]:
    """One beat of :func:`sparse24_select_stream`, as plainly as can be said."""
    chosen = []
    for group in range(len(places) // KEPT):
        four = values[GROUP * group : GROUP * group + GROUP]
        chosen += [four[place] for place in places[KEPT * group : KEPT * group + KEPT]]
    return chosen


def contract(design: Sparse24Select) -> Contract:
    """What a unit of this size promises: a beat every cycle, its values ``stages`` cycles later."""
    columns = GROUP * design.groups
    value = Whole(design.bits, signed=False)

    def function(beats: Codes) -> Answer:
        values, places = (np.ascontiguousarray(part) for part in (beats[:, :columns], beats[:, columns:]))
        return Answer(sparse24_select_stream(values, places), np.arange(len(beats)))

    return Contract(
        name="sparse24_select",
        inputs=Stream(
            (
                Port("value", value, "groups of four neighbours, the lowest place first", columns),
                Port("place", _PLACE, "two places for each group, of the kept values", KEPT * design.groups),
            )
        ),
        outputs=Stream((Port("chosen", value, "the two values of each group", KEPT * design.groups),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
    )


UNIT = Unit(
    name="sparse24_select",
    summary="2:4 operand selection: two of every four values, by 2-bit places",
    design_type=Sparse24Select,
    contract=contract,
    sizes=(
        Sparse24Select(bits=2, groups=1),
        Sparse24Select(),
        Sparse24Select(bits=8, groups=4, stages=2),
        Sparse24Select(bits=64, groups=1, stages=3),
    ),
)
