"""Chunk merger: sorted chunks of one result row become the row, columns in order, equal ones added.

The unit holds one *head* per chunk, in a list sorted by column. A row goes through it like this:

1. Loading: one beat per chunk brings the chunk's first element. Each is put into the list, which is
   walked from its front over all smaller columns. The row's last head carries ``go``.
2. Merging: the front of the list is popped and added to the sum of its column. Every pop is one
   result. If the popped element was not its chunk's last (``end``), the result says ``refill`` and
   names the ``chunk``; the next beat must bring that chunk's next element, which is put into the
   list as above. Otherwise the next pop follows at once.
3. With the list empty the row is done (``last``), and the next beat is the next row's first head.

So beats come in the order in which the unit asks for them, and chunks are numbered in the order of
loading. The merged row is the results with ``entry``. **The order of additions** is that of the pops:
a new head goes *before* heads of its column, so the chunk that came last is added first. A sum starts
from +0 (a lone -0 leaves as +0) and every step is rounded to nearest even; subnormals are kept, and
every NaN is :data:`~siloom.sim.units.outer_multiplier.QUIET_NAN`.

In cycles: ``element`` for a pop, ``add`` more where it is added to an element before it, ``step`` for
each head walked over; a beat that costs nothing by that rule (loaded at the front) takes one.

Columns must rise within a chunk, and no row has more chunks than there are heads: longer rows are
merged in rounds by whoever feeds the unit. It fetches nothing itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from siloom.sim.contract import FLAG, FP64, Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.jit import inline_kernel, kernel
from siloom.sim.units.outer_multiplier import codes_of, exact_value, nearest_code

_CHOICE = "free choice of the design"

STREAM_BITS = 24
"""Bits of a packed head that number its chunk."""


@dataclass(frozen=True, kw_only=True)
class ChunkMerger(Design):
    """The size of one chunk merger, and what its steps cost."""

    column_bits: int = parameter(32, unit="bit", source=_CHOICE, status="assumed", low=1, high=63 - STREAM_BITS)
    heads: int = parameter(128, unit="", source=_CHOICE, status="assumed", low=1, high=1 << STREAM_BITS)
    element_cycles: int = parameter(1, unit="cycles", source=_CHOICE, status="assumed", low=1, high=1000)
    step_cycles: int = parameter(1, unit="cycles", source=_CHOICE, status="assumed", low=0, high=100)
    add_cycles: int = parameter(2, unit="cycles", source=_CHOICE, status="assumed", low=0, high=64)


class Merged(NamedTuple):
    """What :func:`merge_stream` gives.

    ``pops`` [pops, 6] are the results as beats, ``cause`` [pops] the beat after which each was popped,
    ``added`` [pops] 1 where it was added to one before it; ``walked`` [beats] the heads that each beat
    was walked over. ``illegal`` is the first beat that breaks a rule, -1 where none does.
    """

    pops: Codes
    cause: Codes
    added: Codes
    walked: Codes
    illegal: int


@inline_kernel
def insert_head(heads: Codes, size: int, key: int, stream: int) -> int:
    """Insert into a sorted list of ``size`` whose front slot is free; return the steps walked.

    A head is its column and its stream in one integer; a new head goes before equal columns.
    """
    # Indices are unsigned where the loop is hot: numba would look at the sign of each.
    new = key << STREAM_BITS
    i = 0
    while i < size and heads[np.uint64(i + 1)] < new:
        heads[np.uint64(i)] = heads[np.uint64(i + 1)]
        i += 1
    heads[np.uint64(i)] = new | stream
    return i


@kernel
def merge_stream(column: Codes, value: Codes, end: Codes, go: Codes, heads: int) -> Merged:
    """All beats from reset -> the pops, up to the first beat that is not legal.

    Every array is contiguous, with one entry per beat: ``value`` holds fp64 codes, ``end`` and ``go``
    0 or 1.
    """
    beats = len(column)
    values = value.view(np.float64)
    pops = np.empty((beats, 6), np.int64)
    sums = np.empty(beats, np.float64)
    cause = np.empty(beats, np.int64)
    added = np.empty(beats, np.int64)
    walked = np.zeros(beats, np.int64)
    # The list lies at the end of its array, so that there is a free slot before its front.
    room = min(heads, beats)
    head_list = np.empty(room, np.int64)
    held = np.empty(room, np.int64)  # the beat that brought each chunk's head
    front = room
    loaded = 0
    merging = False
    chunk = 0
    popped = 0
    total = 0.0
    k = 0
    illegal = -1
    for i in range(beats):
        if merging:
            if column[i] <= popped:
                illegal = i
                break
        else:
            if loaded == heads:
                illegal = i
                break
            chunk = loaded
            loaded += 1
            merging = go[i] == 1
        front -= 1
        held[chunk] = i
        walked[i] = insert_head(head_list[front:], room - 1 - front, column[i], chunk)
        while merging:
            popped = head_list[front] >> STREAM_BITS
            chunk = head_list[front] & ((1 << STREAM_BITS) - 1)
            front += 1
            source = held[chunk]
            added[k] = k > 0 and pops[k - 1, 2] == 0
            total = (total if added[k] else 0.0) + values[source]
            sums[k] = total
            cause[k] = i
            refill = 1 - end[source]
            # The refill's column is higher than this one, so what is in the list decides.
            entry = front == room or head_list[front] >> STREAM_BITS != popped
            pops[k, 0] = popped
            pops[k, 2] = entry
            pops[k, 3] = front == room and refill == 0
            pops[k, 4] = refill
            pops[k, 5] = chunk
            k += 1
            if refill:
                break
            if front == room:
                merging = False
                loaded = 0
    pops[:k, 1] = codes_of(sums[:k])
    return Merged(pops[:k], cause[:k], added[:k], walked, illegal)


@dataclass
class MergeReference:
    """One row, merged in plain Python: the beats that its chunks become, and what comes of them.

    ``beats`` and ``pops`` hold rows of codes as the ports of :func:`contract` name them; ``walked``
    the heads that each beat is walked over.
    """

    beats: list[tuple[int, int, int, int]] = field(default_factory=list)
    pops: list[tuple[int, int, int, int, int, int]] = field(default_factory=list)
    walked: list[int] = field(default_factory=list)

    @property
    def row(self) -> list[tuple[int, int]]:
        """The merged row: column and code of each entry."""
        return [(column, total) for column, total, entry, *_ in self.pops if entry]


def merge_reference(chunks: Sequence[Sequence[tuple[int, int]]]) -> MergeReference:
    """Merge chunks, each its (column, fp64 code) in rising columns; sums by exact rational arithmetic."""
    out = MergeReference()
    rest = [list(chunk) for chunk in chunks]
    heads: list[tuple[int, int, int]] = []  # column, code, chunk

    def take(chunk: int, go: bool = False) -> None:
        column, code = rest[chunk].pop(0)
        out.beats.append((column, code, int(not rest[chunk]), int(go)))
        out.walked.append(sum(other < column for other, *_ in heads))
        heads.insert(out.walked[-1], (column, code, chunk))

    for chunk in range(len(rest)):
        take(chunk, go=chunk == len(rest) - 1)
    total = 0
    while heads:
        column, code, chunk = heads.pop(0)
        total = sum_reference(total, code)
        entry = not heads or heads[0][0] != column
        refill = bool(rest[chunk])
        out.pops.append((column, total, int(entry), int(not heads and not refill), int(refill), chunk))
        if entry:
            total = 0
        if refill:
            take(chunk)
    return out


def sum_reference(total: int, code: int) -> int:
    """The code of a sum that started from +0 and one more fp64 code, rounded once."""
    exact = exact_value(total) + exact_value(code)
    return nearest_code(exact, exact < 0)


def _legal(beats: Codes, design: ChunkMerger) -> Codes:
    """Let columns rise within each chunk, end chunks at the highest, and start merging when the list is full."""
    highest = Whole(design.column_bits, signed=False).high
    out = beats.copy()
    heads: list[tuple[int, int]] = []  # column and end, sorted by column
    merging = False
    popped = 0
    for beat in out:
        if merging:
            beat[0] = max(beat[0], popped + 1)
        elif len(heads) == design.heads - 1:
            beat[3] = 1
        merging = merging or beat[3] == 1
        if beat[0] == highest:
            beat[2] = 1
        heads.insert(bisect_left(heads, beat[0], key=lambda head: head[0]), (int(beat[0]), int(beat[2])))
        while merging:
            popped, end = heads.pop(0)
            if not end:
                break
            merging = bool(heads)
    return out


def contract(design: ChunkMerger) -> Contract:
    """What a unit of this size promises: a beat at a time, and all its pops before the next."""

    def merge(beats: Codes) -> Merged:
        column, value, end, go = (np.ascontiguousarray(c) for c in beats.T)
        merged = merge_stream(column, value, end, go, design.heads)
        if merged.illegal >= 0:
            raise ValueError(
                f"chunk_merger: beat {merged.illegal} is not legal: it brings more chunks than the {design.heads} "
                "heads, or a column that is not above the one before it in its chunk"
            )
        return merged

    def function(beats: Codes) -> Answer:
        merged = merge(beats)
        return Answer(merged.pops, merged.cause)

    def pop_cycles(merged: Merged) -> Codes:
        return design.element_cycles + design.add_cycles * merged.added

    def latency(beats: Codes) -> Codes:
        merged = merge(beats)
        cycles = design.step_cycles * merged.walked
        causes, firsts = np.unique(merged.cause, return_index=True)
        cycles[causes] += pop_cycles(merged)[firsts]
        return np.maximum(cycles, 1)

    def interval(beats: Codes) -> Codes:
        merged = merge(beats)
        cycles = design.step_cycles * merged.walked
        np.add.at(cycles, merged.cause, pop_cycles(merged))
        return np.maximum(cycles, 1)

    column = Whole(design.column_bits, signed=False)
    number = Whole(max((design.heads - 1).bit_length(), 1), signed=False)
    return Contract(
        name="chunk_merger",
        inputs=Stream(
            (
                Port("column", column, "column of the element; rises within a chunk"),
                Port("value", FP64, "value of the element"),
                Port("end", FLAG, "1: the chunk's last element"),
                Port("go", FLAG, "1: the row's last head, merging starts; looked at while loading only"),
            )
        ),
        outputs=Stream(
            (
                Port("column", column, "column of the element popped"),
                Port("sum", FP64, "sum of this column so far; one pattern for every NaN"),
                Port("entry", FLAG, "1: the sum is complete, an entry of the row"),
                Port("last", FLAG, "1: the row is complete"),
                Port("refill", FLAG, "1: the next beat must be the next element of this chunk"),
                Port("chunk", number, "the chunk that the element was of"),
            )
        ),
        latency=latency,
        spacing=lambda beats: pop_cycles(merge(beats)),
        interval=interval,
        capacity=1,
        function=function,
        legal=lambda beats: _legal(beats, design),
    )


UNIT = Unit(
    name="chunk_merger",
    summary="sorted chunks of a row merged by a list of heads; fp64 sums in the order of pops",
    design_type=ChunkMerger,
    contract=contract,
    sizes=(
        ChunkMerger(column_bits=3, heads=3, step_cycles=0, add_cycles=0),
        ChunkMerger(heads=16),
        ChunkMerger(column_bits=6, heads=8, element_cycles=3, step_cycles=2, add_cycles=4),
        ChunkMerger(column_bits=39, heads=1),
    ),
)
