"""The ``keep`` largest scores of a row, of equal ones those of the lowest index: DOTA's choice of keys.

A beat brings ``lanes`` scores of one row, the first ``count`` of them valid; ``last`` ends the row. A sorted list of
``keep`` places takes them in: every place compares with the newcomers and keeps, shifts or inserts, all in
the one cycle. Then the indices go out, ``lanes`` a beat, the largest score first; places behind a beat's ``count``
repeat its last index. A row of fewer than ``keep`` scores gives all of them, one without any gives no beat.

:func:`top_of_rows` is the same choice for all rows of a matrix: it searches each row's threshold bit by bit.

Source: Qu et al., DOTA, ASPLOS 2022: row-wise top-k, the same number for each row (recalled). Ties and the sorter are
choices of this model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import FLAG, Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.jit import kernel

_DOTA = "Qu et al., DOTA, ASPLOS 2022"
_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class RowTopk(Design):
    """The size of one sorter, for rows of up to ``keys`` scores.

    Raises (when made):
        InputError: rows shorter than a beat.
    """

    keys: int = parameter(512, unit="keys", source=_CHOICE, status="assumed", low=1, high=16384)
    keep: int = parameter(52, unit="keys", source=_DOTA, status="recalled", low=1, high=16384)
    lanes: int = parameter(1, unit="keys/cycle", source=_CHOICE, status="assumed", low=1, high=64)
    score_bits: int = parameter(11, unit="bit", source="of 16 products at 4 bits", status="assumed", low=2, high=32)

    def __post_init__(self) -> None:
        """Refuse rows that not even one beat fits."""
        super().__post_init__()
        if self.lanes > self.keys:
            raise InputError(f"row_topk: lanes must be at most keys, {self.keys}, got {self.lanes}")

    @property
    def index(self) -> Whole:
        """Format of a key's index."""
        return Whole(max(1, (self.keys - 1).bit_length()), signed=False)

    @property
    def counted(self) -> Whole:
        """Format of how many lanes are valid."""
        return Whole(self.lanes.bit_length(), signed=False)


@kernel
def top_of_rows(
    scores: npt.NDArray[np.int32], lengths: npt.NDArray[np.int64], keep: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Mask [rows, keys]: of the first ``lengths`` [rows] scores of each row, the ``keep`` [rows] largest."""
    rows, keys = scores.shape
    out = np.zeros((rows, keys), np.bool_)
    for i in range(rows):
        row = scores[i, : lengths[i]]
        if keep[i] >= len(row):
            out[i, : lengths[i]] = True
            continue
        if keep[i] <= 0:
            continue
        low = np.int64(row[0])
        high = np.int64(row[0])
        for j in range(len(row)):
            low = min(low, np.int64(row[j]))
            high = max(high, np.int64(row[j]))
        # The largest threshold that at least ``keep`` scores reach.
        while low < high:
            middle = low + (high - low + 1) // 2
            bound = np.int32(middle)
            reach = 0
            for j in range(len(row)):
                reach += row[j] >= bound
            if reach >= keep[i]:
                low = middle
            else:
                high = middle - 1
        bound = np.int32(low)
        above = 0
        for j in range(len(row)):
            above += row[j] > bound
        equals = keep[i] - above
        for j in range(len(row)):
            if row[j] > bound:
                out[i, j] = True
            elif row[j] == bound and equals > 0:
                out[i, j] = True
                equals -= 1
    return out


@kernel
def row_topk_stream(scores: Codes, count: Codes, last: Codes, keep: int) -> tuple[Codes, Codes]:
    """Beats [results, lanes + 1] of indices and their count, and the beat that ended each row."""
    beats, lanes = scores.shape
    best = np.empty(keep, np.int64)
    where = np.empty(keep, np.int64)
    ends = 0
    for i in range(beats):
        ends += last[i]
    out = np.zeros((ends * ((keep + lanes - 1) // lanes), lanes + 1), np.int64)
    cause = np.empty(len(out), np.int64)
    k = 0
    held = 0
    seen = 0
    for i in range(beats):
        for lane in range(count[i]):
            at = held
            while at > 0 and scores[i, lane] > best[at - 1]:
                at -= 1
            if at < keep:
                held = min(held + 1, keep)
                for place in range(held - 1, at, -1):
                    best[place] = best[place - 1]
                    where[place] = where[place - 1]
                best[at] = scores[i, lane]
                where[at] = seen
            seen += 1
        if last[i]:
            for first in range(0, held, lanes):
                valid = min(lanes, held - first)
                for lane in range(lanes):
                    out[k, lane] = where[first + min(lane, valid - 1)]
                out[k, lanes] = valid
                cause[k] = i
                k += 1
            held = 0
            seen = 0
    return out[:k], cause[:k]


def row_topk_reference(scores: Sequence[int], keep: int) -> list[int]:
    """The indices chosen, the largest score first."""
    return sorted(range(len(scores)), key=lambda j: (-scores[j], j))[:keep]


def contract(design: RowTopk) -> Contract:
    """What a unit of this size promises: a beat a cycle; behind a row, its indices before the next row is taken."""
    lanes = design.lanes

    def function(beats: Codes) -> Answer:
        scores, count, last = (np.ascontiguousarray(a) for a in (beats[:, :lanes], beats[:, lanes], beats[:, -1]))
        return Answer(*row_topk_stream(scores, count, last, design.keep))

    def interval(beats: Codes) -> Codes:
        # What each row has seen by the end of each beat.
        seen = np.cumsum(beats[:, lanes])
        ends = np.flatnonzero(beats[:, -1])
        cycles = np.ones(len(beats), np.int64)
        cycles[ends] = np.maximum(1, -(-np.minimum(np.diff(seen[ends], prepend=0), design.keep) // lanes))
        return cycles

    def legal(beats: Codes) -> Codes:
        """No more valid lanes than there are, no longer row than indices tell apart."""
        kept = beats.copy()
        kept[:, lanes] = np.minimum(kept[:, lanes], lanes)
        kept[design.keys // lanes - 1 :: design.keys // lanes, -1] = 1
        return kept

    return Contract(
        name="row_topk",
        inputs=Stream(
            (
                Port("score", Whole(design.score_bits), "scores of the next keys of the row", lanes),
                Port("count", design.counted, "how many of them are valid"),
                Port("last", FLAG, "1: the row ends with this beat"),
            )
        ),
        outputs=Stream(
            (
                Port("index", design.index, "keys chosen, the largest score first", lanes),
                Port("count", design.counted, "how many they are"),
            )
        ),
        latency=1,
        interval=interval,
        capacity=1,
        function=function,
        legal=legal,
    )


UNIT = Unit(
    name="row_topk",
    summary="the largest scores of a row by a sorter, ties to the lowest index (DOTA)",
    design_type=RowTopk,
    contract=contract,
    sizes=(RowTopk(keys=4, keep=2, score_bits=2), RowTopk(), RowTopk(keys=64, keep=7, lanes=4, score_bits=6)),
)
