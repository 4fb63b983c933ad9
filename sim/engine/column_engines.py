"""Columns through a load port and a decoder to two engines: how long products of sparse and dense columns take.

Products follow one another. Each is a list of items in order (a token's query, a column of keys, a row of scores ...):
every item is loaded by one port and then decoded by one unit; what it asks of the engines waits until both are done.
There are two engines. All lines of the *denser* one work on one item together; the *sparser* one's lines take
an item each, the next in order to the line that is free first. Rows that items sum are fetched one in a cycle, up to
two for a line before it is done with them. Between products stands a barrier: no line begins with
a product before all lines have ended with the one before and ``between`` cycles more (a softmax, say) have passed.

Operands of ``held`` products are on the chip at a time: the port fetches for a product as soon as the one so many
places before it has been worked on. Results are written by the same port, after the operands of the next product have
been read; a product that has none to write does not hold the port. The last result of a product is there ``drain``
cycles after its end, when most have left already and the next one is worked on: of the last product this shows, and
where it is said which item sums which row, also how long rows that are done together wait for one another, as one
leaves in a cycle.

Each product's share of the time, from the end of the one before to its own, is laid to causes that add up:

- ``compute``: its work spread evenly over all lines of both engines;
- ``split``: what more it takes since one engine has more to do than the other, lines of each evenly at work;
- ``imbalance``: what more since the lines of an engine do not end together;
- ``between``: the wait after the product before;
- ``decode``: what would be saved if decoding took no time; ``memory``: the rest, and the last results' way out.

Source: the stages are ViTCoD's (You et al., HPCA 2023); its simulator spreads all work evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siloom.sim.engine.cycles import MAX_COUNT, CyclesLike, Ints, as_cycles, exact_sum, require_below
from siloom.sim.engine.pipeline import departure
from siloom.sim.errors import InputError
from siloom.sim.jit import kernel

CAUSES = ("compute", "split", "imbalance", "between", "decode", "memory")
NONE, DENSER, SPARSER = 0, 1, 2
MAX_LINES = 4096
FETCH = 2
"""Cycles from the fetch of a row until it may be summed."""

AHEAD = 1 << 20
"""Rows are fetched before a product begins, as many as there is room for; longer before than that takes."""


@dataclass(frozen=True, eq=False)
class Product:
    """One product's items, [items] each: cycles to load, to decode and of work, and the engine that does it.

    ``denser`` and ``sparser`` are the lines of each engine; the work of an item in the denser one is in cycles of all
    its lines together. ``store``: cycles of the port for the results; ``between``: to wait before this product;
    ``drain``: from its end to its last result. ``row`` [items], where ``rows`` leave: which one an item sums, in the
    denser engine the first of as many as it has lines; -1 for none.
    """

    load: Ints
    decode: Ints
    work: Ints
    engine: Ints
    denser: int
    sparser: int
    store: int = 0
    between: int = 0
    drain: int = 0
    rows: int = 0
    row: Ints | None = None


@dataclass(frozen=True, eq=False)
class Columns:
    """``ends`` [products]; ``causes`` [products, CAUSES]; ``makespan`` with the last results written.

    ``lines``: of each item in the sparser engine which of its lines works on it, [items] of all products; else -1.
    """

    ends: Ints
    causes: Ints
    makespan: int
    lines: Ints


@kernel
def _run(
    pointers: Ints, load: Ints, decode: Ints, work: Ints, engine: Ints, sparser: Ints, store: Ints, between: Ints,
    drain: Ints, row: Ints, held: int, ends: Ints, lines: Ints, done: Ints,
) -> int:  # fmt: skip
    """Fill ``ends`` [products], ``lines`` and ``done`` [items]; return when the last results are written."""
    port = 0
    decoder = 0
    waiting = 0  # results of the product before, in cycles of the port
    last = 0
    for p in range(len(pointers) - 1):
        room = ends[p - held] if p >= held else 0
        before = ends[p - 1] if p > 0 else 0
        begin = before + between[p]
        together = begin
        free = np.full(max(sparser[p], 1), begin, np.int64)
        places = np.full((max(sparser[p], 1), 2), begin - AHEAD, np.int64)  # when a line's places for rows are free
        fetched = begin - AHEAD
        head = begin
        end = begin
        for i in range(pointers[p], pointers[p + 1]):
            port = departure(room, port, load[i], 0)
            decoder = departure(port, decoder, decode[i], 0)
            end = max(end, decoder)
            if engine[i] == DENSER:
                together = max(together, decoder) + work[i]
                end = max(end, together)
                done[i] = together
            elif engine[i] == SPARSER:
                line = 0
                for other in range(1, sparser[p]):
                    if free[other] < free[line]:
                        line = other
                head = max(head, max(free[line], decoder))
                if row[i] >= 0 and (i == 0 or row[i] != row[i - 1]):
                    fetched = max(fetched + 1, places[line, 0])
                    head = max(head, fetched + FETCH)
                    places[line, 0] = places[line, 1]
                    places[line, 1] = head + work[i] - 1
                free[line] = head + work[i]
                lines[i] = line
                end = max(end, free[line])
                done[i] = free[line]
        ends[p] = end
        if waiting > 0:
            port = max(port, before) + waiting
        waiting = store[p]
        last = end + drain[p]
    return max(port, last) + waiting


def run_columns(products: Sequence[Product], held: int = 2) -> Columns:
    """Run products in order, the operands of ``held`` of them on the chip at a time.

    Raises:
        InputError: arrays of other lengths or no whole cycles, work for an engine without lines, or too many of
            them; no room.
    """
    if held < 1:
        raise InputError(f"column engines: held must be at least 1 product, got {held}")
    for at, product in enumerate(products):
        _check(at, product)
    sizes = np.cumsum([0, *(len(product.load) for product in products)], dtype=np.int64)
    joined = [
        np.concatenate([np.zeros(0, np.int64), *(getattr(product, name) for product in products)]).astype(np.int64)
        for name in ("load", "decode", "work", "engine")
    ]
    load, decode, work, engine = joined
    own = {
        name: np.array([getattr(product, name) for product in products], np.int64)
        for name in ("denser", "sparser", "store", "between", "drain")
    }
    waits = [own[name] for name in ("store", "between", "drain")]
    bound = sum(exact_sum(part) for part in (load, decode, work, *waits))
    require_below("column engines", bound, MAX_COUNT)

    lines, done = np.full(len(work), -1, np.int64), np.zeros(len(work), np.int64)

    def ends_with(loads: Ints, decodes: Ints, stores: Ints) -> tuple[Ints, int]:
        ends = np.zeros(len(products), np.int64)
        last = _run(
            sizes, loads, decodes, work, engine, own["sparser"], stores, own["between"], own["drain"], row, held,
            ends, lines, done,
        )  # fmt: skip
        return ends, last

    without = (np.full(len(p.load), -1, np.int64) if p.row is None else p.row for p in products)
    row = np.concatenate([np.zeros(0, np.int64), *without])
    nothing = np.zeros_like(load)
    undecoded, _ = ends_with(load, nothing, own["store"])
    alone, _ = ends_with(nothing, nothing, np.zeros_like(own["store"]))
    ends, makespan = ends_with(load, decode, own["store"])
    if products and products[-1].row is not None:
        begin = (int(ends[-2]) if len(ends) > 1 else 0) + products[-1].between
        own["drain"][-1] += _waiting_rows(products[-1], products[-1].row, done[sizes[-2] :], begin, int(ends[-1]))
        ends, makespan = ends_with(load, decode, own["store"])
    causes = np.zeros((len(products), len(CAUSES)), np.int64)
    shares, free, own_time = (np.diff(found, prepend=0) for found in (ends, undecoded, alone))
    for at, product in enumerate(products):
        even, split = even_cycles(product)
        working = int(own_time[at]) - product.between
        late = int(shares[at] - own_time[at])
        decoding = min(late, max(0, int(shares[at] - max(free[at], own_time[at]))))
        causes[at] = (even, split - even, working - split, product.between, decoding, late - decoding)
    if len(products):
        causes[-1, CAUSES.index("memory")] += makespan - int(ends[-1])
    return Columns(ends, causes, makespan, lines)


def _waiting_rows(product: Product, row: Ints, done: Ints, begin: int, end: int) -> int:
    """How long after a product's end its last row is let go, when one goes in a cycle as they are done."""
    when = np.full(product.rows, begin, np.int64)
    for item in np.flatnonzero((product.engine == DENSER) & (row >= 0)):
        together = when[row[item] : row[item] + product.denser]
        np.maximum(together, done[item], out=together)
    alone = (product.engine == SPARSER) & (row >= 0)
    np.maximum.at(when, row[alone], done[alone])
    when.sort()
    last = int((when + np.arange(product.rows)[::-1]).max(initial=end))
    return last - end


def even_cycles(product: Product) -> tuple[int, int]:
    """Cycles of a product's work spread over all lines, and over each engine's own."""
    dense = exact_sum(product.work[product.engine == DENSER])
    sparse = exact_sum(product.work[product.engine == SPARSER])
    own = max(dense, -(-sparse // product.sparser) if product.sparser else 0)
    lines = product.denser + product.sparser
    return (min(own, -(-(dense * product.denser + sparse) // lines)) if lines else 0), own


def _check(at: int, product: Product) -> None:
    where = f"column engines: product {at}"
    items = len(product.load)
    arrays: dict[str, CyclesLike] = {"decode": product.decode, "work": product.work, "engine": product.engine}
    as_cycles(f"{where}: load", product.load, (None,))
    for name, array in arrays.items():
        as_cycles(f"{where}: {name}", array, (items,))
    for name, lines, engine in (("denser", product.denser, DENSER), ("sparser", product.sparser, SPARSER)):
        least = int((product.engine == engine).any())
        if not least <= lines <= MAX_LINES:
            raise InputError(f"{where}: {name} must be {least} to {MAX_LINES} lines, got {lines}")
    for name in ("store", "between", "drain"):
        if (cycles := getattr(product, name)) < 0:
            raise InputError(f"{where}: {name} must be at least 0, got {cycles}")
