"""A3's greedy search: which keys may matter for a query, from its largest and smallest component products alone.

Beforehand the columns of the key matrix are sorted. For a query q, every product of an element of q with
an element of its column is then in order along the column, so that a pointer at each end of every column knows the
largest and the smallest product that are left. An iteration does two things:

1. The largest of the ``columns`` products at the one set of pointers is taken. If it is above zero it is added to the
   greedy score of its row. Its pointer moves on.
2. The smallest at the other set is taken; if it is below zero it is added likewise. Its pointer moves on.

After ``iterations`` of them, rows whose greedy score is above zero are candidates. So at most as many rows are
candidates as there are iterations, and 2 * iterations products stand for rows * columns.

Where most products are negative no score would stay above zero. Hence ``refinement``: while the sum of all that was
added is negative, step 2 is left out and its pointer stays (``skip``, the paper's, recalled), or the pointer moves but
nothing is added (``drop``), or there is no such rule (``off``).

Ties, which the paper leaves open: the lowest column, and in it the lowest row. So equal values of a column are met in
the order of their rows from both ends: its two ends are sorted each for itself, and each needs no
more than ``iterations`` places. All sums are exact.

The unit: ``depth`` places of both ends lie in its memories, written by beats of a place of all columns at once. A query
is one beat of all its elements. ``fill_cycles`` later the first products stand in the buffers of the tree of
comparators, then it does an iteration a cycle: refilling a buffer is overlapped. Every place is
written before the first query.

Source: Ham et al., A3, HPCA 2020; details recalled. An open re-implementation adds both products
unconditionally and weighs values by greedy scores; that is not this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import FLAG, Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.engine.tournament import NEVER, bits_for, replace
from siloom.sim.jit import inline_kernel, kernel

Ends = npt.NDArray[np.int32]
"""Values or rows [columns, places] of one end of sorted columns, the outermost first."""

REFINEMENTS = ("skip", "drop", "off")
LOW, HIGH = 0, 1
_A3 = "Ham et al., A3, HPCA 2020"
_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class GreedySearch(Design):
    """The size of one search unit."""

    rows: int = parameter(320, unit="keys", source="n = 320, A3's test chip", low=1, high=2**16)
    columns: int = parameter(64, unit="", source="d = 64, A3's test chip", low=1, high=2**10)
    value_bits: int = parameter(9, unit="bit", source=_A3, status="recalled", low=2, high=16)
    iterations: int = parameter(
        160, unit="", source="n / 2, A3's conservative setting", status="recalled", low=1, high=2**16
    )
    refinement: str = parameter("skip", unit="", source=_A3, status="recalled", choices=REFINEMENTS)
    fill_cycles: int = parameter(4, unit="cycle", source=_CHOICE, status="assumed", low=0, high=64)

    @property
    def depth(self) -> int:
        """Places of each end that a search can reach."""
        return min(self.rows, self.iterations)

    @property
    def row(self) -> Whole:
        """Format of a row's number."""
        return Whole(max(1, (self.rows - 1).bit_length()), signed=False)

    @property
    def place(self) -> Whole:
        """Format of a place's number."""
        return Whole(max(1, (self.depth - 1).bit_length()), signed=False)

    @property
    def query_cycles(self) -> int:
        """Cycles from a query to its candidates."""
        return self.fill_cycles + self.iterations + 1


def sorted_ends(keys: npt.NDArray[np.int32], depth: int) -> tuple[Ends, Ends, Ends, Ends]:
    """Both ends of the sorted columns of ``keys`` [rows, columns]: low values and rows, high values and rows."""
    columns = np.ascontiguousarray(keys.T).astype(np.int64)
    low, low_row = _first(columns, depth)
    high, high_row = _first(-columns, depth)
    return low, low_row, -high, high_row


def _first(columns: npt.NDArray[np.int64], depth: int) -> tuple[Ends, Ends]:
    """The smallest values of each column and their rows.

    Value and row are sorted as one number: so numbers alone move, which is several times as fast as sorting places.
    """
    bits = max(1, (columns.shape[1] - 1).bit_length())
    both = np.sort((columns << bits) | np.arange(columns.shape[1]), axis=1)[:, :depth]
    return (both >> bits).astype(np.int32), (both & ((1 << bits) - 1)).astype(np.int32)


@inline_kernel
def _start(
    tree: npt.NDArray[np.int64], bits: int, query: npt.NDArray[np.int32], low: Ends, high: Ends, sign: int
) -> None:
    """Every column's first product, times ``sign``, in a tournament whose root is the smallest."""
    columns, depth = low.shape
    size = 1 << bits
    for c in range(size):
        product = NEVER
        if c < columns and depth > 0:
            value = low[c, 0] if sign * query[c] > 0 else high[c, 0]
            product = np.int64(sign) * query[c] * value
        tree[size + c] = (product << bits) | c
    for node in range(size - 1, 0, -1):
        tree[node] = min(tree[2 * node], tree[2 * node + 1])


@inline_kernel
def _advance(
    tree: npt.NDArray[np.int64],
    bits: int,
    column: int,
    at: npt.NDArray[np.int32],
    query: npt.NDArray[np.int32],
    low: Ends,
    high: Ends,
    sign: int,
) -> None:
    """Move the pointer of ``column`` on; behind the last place there is no product any more."""
    at[column] += 1
    product = NEVER
    if at[column] < low.shape[1]:
        value = low[column, at[column]] if sign * query[column] > 0 else high[column, at[column]]
        product = np.int64(sign) * query[column] * value
    replace(tree, bits, column, product)


@inline_kernel
def search(
    query: npt.NDArray[np.int32],
    low: Ends,
    low_row: Ends,
    high: Ends,
    high_row: Ends,
    iterations: int,
    refinement: int,
    scores: npt.NDArray[np.int64],
    large: npt.NDArray[np.int64],
    small: npt.NDArray[np.int64],
    large_at: npt.NDArray[np.int32],
    small_at: npt.NDArray[np.int32],
) -> None:
    """Greedy scores [rows] of one query [columns] into ``scores``; the last four are room for its pointers."""
    columns = len(query)
    bits = bits_for(columns)
    mask = (1 << bits) - 1
    scores[:] = 0
    large_at[:] = 0
    small_at[:] = 0
    # Products enter the tournament of the largest with their sign turned: its root is its smallest entry.
    _start(large, bits, query, low, high, -1)
    _start(small, bits, query, low, high, 1)
    total = np.int64(0)
    for _ in range(iterations):
        most = -(large[1] >> bits)
        column = large[1] & mask
        if most > 0:
            row = high_row[column, large_at[column]] if query[column] > 0 else low_row[column, large_at[column]]
            scores[row] += most
            total += most
        _advance(large, bits, column, large_at, query, low, high, -1)
        held_back = refinement != 2 and total < 0
        if held_back and refinement == 0:
            continue
        least = small[1] >> bits
        column = small[1] & mask
        if least < 0 and not held_back:
            row = low_row[column, small_at[column]] if query[column] > 0 else high_row[column, small_at[column]]
            scores[row] += least
            total += least
        _advance(small, bits, column, small_at, query, low, high, 1)


@kernel
def greedy_scores(
    queries: npt.NDArray[np.int32],
    low: Ends,
    low_row: Ends,
    high: Ends,
    high_row: Ends,
    rows: int,
    iterations: int,
    refinement: int,
) -> Codes:
    """Greedy scores [queries, rows] of ``queries`` [queries, columns]; ends as :func:`sorted_ends` gives them.

    ``refinement`` is the place in ``REFINEMENTS``.
    """
    count, columns = queries.shape
    out = np.empty((count, rows), np.int64)
    size = 2 << bits_for(columns)
    large, small = np.zeros(size, np.int64), np.zeros(size, np.int64)
    large_at, small_at = np.empty(columns, np.int32), np.empty(columns, np.int32)
    for i in range(count):
        search(
            queries[i], low, low_row, high, high_row, iterations, refinement,
            out[i], large, small, large_at, small_at,
        )  # fmt: skip
    return out


@kernel
def greedy_search_stream(
    kind: Codes,
    place: Codes,
    value: npt.NDArray[np.int32],
    row: npt.NDArray[np.int32],
    rows: int,
    depth: int,
    iterations: int,
    refinement: int,
) -> tuple[Codes, Codes]:
    """All beats from reset -> candidates as flags [queries, rows], and the beat of each query."""
    columns = value.shape[1]
    count = 0
    for i in range(len(kind)):
        count += kind[i] > HIGH
    out = np.empty((count, rows), np.int64)
    cause = np.empty(count, np.int64)
    low, low_row = np.zeros((columns, depth), np.int32), np.zeros((columns, depth), np.int32)
    high, high_row = np.zeros((columns, depth), np.int32), np.zeros((columns, depth), np.int32)
    size = 2 << bits_for(columns)
    large, small = np.zeros(size, np.int64), np.zeros(size, np.int64)
    large_at, small_at = np.empty(columns, np.int32), np.empty(columns, np.int32)
    k = 0
    for i in range(len(kind)):
        if kind[i] == LOW:
            low[:, place[i]] = value[i]
            low_row[:, place[i]] = row[i]
        elif kind[i] == HIGH:
            high[:, place[i]] = value[i]
            high_row[:, place[i]] = row[i]
        else:
            search(
                value[i], low, low_row, high, high_row, iterations, refinement,
                out[k], large, small, large_at, small_at,
            )  # fmt: skip
            for j in range(rows):
                out[k, j] = out[k, j] > 0
            cause[k] = i
            k += 1
    return out, cause


def greedy_search_reference(
    query: Sequence[int], keys: Sequence[Sequence[int]], iterations: int, refinement: str
) -> list[int]:
    """Greedy scores of one query, without sorting: of all products that are left, the largest, then the smallest."""
    products = [(c, r, q * keys[r][c]) for c, q in enumerate(query) for r in range(len(keys))]
    largest = sorted(products, key=lambda p: (-p[2], p[0], p[1]))
    smallest = sorted(products, key=lambda p: (p[2], p[0], p[1]))
    scores = [0] * len(keys)
    for _ in range(iterations):
        if largest:
            _, row, product = largest.pop(0)
            if product > 0:
                scores[row] += product
        held_back = refinement != "off" and sum(scores) < 0
        if smallest and not (held_back and refinement == "skip"):
            _, row, product = smallest.pop(0)
            if product < 0 and not held_back:
                scores[row] += product
    return scores


def contract(design: GreedySearch) -> Contract:
    """What a unit of this size promises: a place written each cycle; a query's candidates after its iterations."""
    columns = design.columns

    def function(beats: Codes) -> Answer:
        flags, cause = greedy_search_stream(
            np.ascontiguousarray(beats[:, 0]),
            np.ascontiguousarray(beats[:, 1]),
            beats[:, 2 : 2 + columns].astype(np.int32),
            beats[:, 2 + columns :].astype(np.int32),
            design.rows,
            design.depth,
            design.iterations,
            REFINEMENTS.index(design.refinement),
        )
        return Answer(flags, cause)

    def cycles(beats: Codes) -> Codes:
        spent: Codes = np.where(beats[:, 0] > HIGH, design.query_cycles, 1).astype(np.int64)
        return spent

    return Contract(
        name="greedy_search",
        inputs=Stream(
            (
                Port("kind", Whole(2, signed=False), "0, 1: a place of the low, the high end is written; else a query"),
                Port("place", design.place, "which place, 0 outermost; of no meaning in a query"),
                Port("value", Whole(design.value_bits), "of the place or the query, by column", columns),
                Port("row", design.row, "where the value came from, by column; of no meaning in a query", columns),
            )
        ),
        outputs=Stream((Port("candidate", FLAG, "1: the row may matter", design.rows),)),
        latency=cycles,
        interval=cycles,
        capacity=1,
        function=function,
        legal=lambda beats: _legal(beats, design),
    )


def _legal(beats: Codes, design: GreedySearch) -> Codes:
    """Only places and rows that there are, and all places written, by the first beats, before there is a query."""
    filling = np.resize(beats, (2 * design.depth, beats.shape[1]))
    filling[:, 0] = np.repeat((LOW, HIGH), design.depth)
    filling[:, 1] = np.tile(np.arange(design.depth), 2)
    legal = np.concatenate([filling, beats])
    legal[:, 1] %= design.depth
    legal[:, 2 + design.columns :] %= design.rows
    return legal


UNIT = Unit(
    name="greedy_search",
    summary="candidates among keys from a query's largest and smallest component products (A3)",
    design_type=GreedySearch,
    contract=contract,
    sizes=(
        GreedySearch(rows=2, columns=1, value_bits=2, iterations=2, fill_cycles=0),
        GreedySearch(rows=20, columns=8, iterations=6),
        GreedySearch(rows=5, columns=3, value_bits=4, iterations=9, refinement="off", fill_cycles=1),
        GreedySearch(rows=6, columns=4, value_bits=5, iterations=4, refinement="drop"),
    ),
)
