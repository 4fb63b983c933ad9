"""Rows of a mask cut into sub-rows of equal room: Sanger's packing and splitting.

A row of a partition of ``columns`` keys, as a word of bits, becomes as many sub-rows of up to ``places`` kept keys as
it needs, in rising order of the keys, the last one perhaps not full. A row without a key is dropped (packing), one with
more than ``places`` is split.

Each sub-row comes with the keys' columns; places behind its ``count`` repeat the last column.

Source: Lu et al., Sanger, MICRO 2021; its software's rule (_eval_load_balance). Its Chisel module goes through a mask
by columns, for many rows at once, and cuts all of them when one is full; here a row is cut only for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.engine.bits import lowest_bit, popcount
from siloom.sim.jit import kernel

_SANGER = "hatsu3/Sanger, bench_sanger_v2.py"
_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class PackSplit(Design):
    """The size of one packer."""

    columns: int = parameter(64, unit="keys", source=_SANGER, low=2, high=64)
    places: int = parameter(16, unit="PEs", source=_SANGER, low=1, high=64)

    @property
    def column(self) -> Whole:
        """Format of a key's place in its partition."""
        return Whole(max(1, (self.columns - 1).bit_length()), signed=False)

    @property
    def counted(self) -> Whole:
        """Format of a sub-row's length."""
        return Whole(self.places.bit_length(), signed=False)


@kernel
def sub_row_counts(mask: npt.NDArray[np.bool_], columns: int, places: int) -> npt.NDArray[np.int64]:
    """Sub-rows of every row and partition, [rows, partitions], of a mask [rows, keys]."""
    rows, keys = mask.shape
    partitions = (keys + columns - 1) // columns
    out = np.zeros((rows, partitions), np.int64)
    for i in range(rows):
        for part in range(partitions):
            kept = 0
            for j in range(part * columns, min(keys, (part + 1) * columns)):
                kept += mask[i, j]
            out[i, part] = (kept + places - 1) // places
    return out


@kernel
def pack_split_stream(words: npt.NDArray[np.uint64], places: int) -> tuple[Codes, npt.NDArray[np.int64]]:
    """Sub-rows [results, places + 1], their columns and their count, and the row that each comes from."""
    results = 0
    for i in range(len(words)):
        results += (popcount(words[i]) + places - 1) // places
    out = np.empty((results, places + 1), np.int64)
    cause = np.empty(results, np.int64)
    k = 0
    for i in range(len(words)):
        left = np.int64(words[i])
        while left != 0:
            count = 0
            column = 0
            while left != 0 and count < places:
                column = lowest_bit(left)
                left &= left - 1
                out[k, count] = column
                count += 1
            for at in range(count, places):
                out[k, at] = column
            out[k, places] = count
            cause[k] = i
            k += 1
    return out, cause


def pack_split_reference(row: Sequence[bool], places: int) -> list[list[int]]:
    """The columns of each sub-row of one row of a partition."""
    kept = [column for column, needed in enumerate(row) if needed]
    return [kept[at : at + places] for at in range(0, len(kept), places)]


def occupancy(mask: npt.NDArray[np.bool_], columns: int, places: int) -> float:
    """Keys kept over the places of all sub-rows, the last ones' empty places included; 1 of an empty mask."""
    sub_rows = int(sub_row_counts(mask, columns, places).sum())
    return int(np.count_nonzero(mask)) / (sub_rows * places) if sub_rows else 1.0


def contract(design: PackSplit) -> Contract:
    """What a unit of this size promises: a row's first sub-row a cycle after it, one more each cycle."""

    def sub_rows(beats: Codes) -> Codes:
        words = np.ascontiguousarray(beats[:, 0]).view(np.uint64)
        counts = np.array([int(word).bit_count() for word in words], np.int64)
        cycles: Codes = np.maximum(1, -(-counts // design.places))
        return cycles

    def function(beats: Codes) -> Answer:
        packed, cause = pack_split_stream(np.ascontiguousarray(beats[:, 0]).view(np.uint64), design.places)
        return Answer(packed, cause)

    return Contract(
        name="pack_split",
        inputs=Stream((Port("row", Whole(design.columns, signed=False), "bit c: the key in column c is kept"),)),
        outputs=Stream(
            (
                Port("column", design.column, "keys of the sub-row, rising", design.places),
                Port("count", design.counted, "how many they are"),
            )
        ),
        latency=1,
        interval=sub_rows,
        capacity=1,
        function=function,
    )


UNIT = Unit(
    name="pack_split",
    summary="rows of a mask cut into sub-rows that a row of PEs has room for (Sanger)",
    design_type=PackSplit,
    contract=contract,
    sizes=(
        PackSplit(columns=8, places=2),
        PackSplit(),
        PackSplit(columns=64, places=1),
        PackSplit(columns=13, places=5),
    ),
)
