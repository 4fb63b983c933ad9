"""Banks that look for candidates and work on them, each with a queue between the two: how long queries take.

Keys are dealt over ``banks``. For one query after another, every bank looks at ``width`` of its keys a cycle, which
takes ``look_depth`` cycles, and puts the candidates among them into its queue of ``slots`` places; when they do not all
fit, they wait, and all behind them. Its worker takes one candidate a cycle out of the queue into a pipeline of
``work_depth`` stages, at whose end it is summed. When all banks are done with a query, its sums are merged and divided,
``finish`` cycles in all, by one unit for all banks.

- The next query's hash takes ``hash_cycles``. It is begun when all banks have come to this query, and when fewer than
  ``held`` queries lie between there and the end of their merging: so many rows and notes are kept. A bank begins to
  look through its keys as soon as it has ended with the query before and the hash is there.
- A candidate found in one cycle can be worked on in the next, a place given up in a cycle be filled in it. But the
  last candidate of a query ends its sums, so a candidate waits until another of the same bank and query has been found,
  or the bank has looked at all of its keys.
- Sums are kept twice: once where they are added up, once where they wait to be merged. Candidates of the next query
  are held back at the end of the worker's pipeline where both are taken.
- Where a bank has found nothing its worker passes the query by, in one cycle, when it is known that this is not the
  query's last hope: when any bank has found a candidate, or all have ended. If no bank has found any, the best key of
  all is worked on, two cycles after the last bank has ended.
- The merging of a query begins when all banks have looked at all their keys and all sums of the query are there.

Each query's share of the time, from the end of the one before to its own, is laid to causes; they add up to the
whole:

- ``compute``: what the query's candidates take where they are spread evenly over the banks;
- ``imbalance``: what the fullest bank takes beyond that;
- ``selection``: looking through keys where that takes longer; and ``hash``, ``output``: waiting for those;
- ``fill``: the rest, the first query's way through the stages above all.

Every rule is one of hardware that is built in ``rtl/machines`` and takes these very cycles. Source: the stages are
ELSA's (ISCA 2021, figure of the pipeline, recalled); the queues' length is not published, nor is any of the rules.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from siloom.sim.jit import inline_kernel, kernel

CAUSES = ("compute", "imbalance", "selection", "hash", "output", "fill")
Flags = npt.NDArray[np.bool_]
Cycles = npt.NDArray[np.int64]

_FREE, _LEFT, _HOLD, _WORKED, _TAKEN, _PUT, _STEPS, _LOOKED, _PUSHED = range(9)
"""What is noted of every bank. Of its worker: the first cycle in which it is free; when its last candidate left the
pipeline, and until when its second sums are taken; how many candidates it had, and how many of them out of the
queue. How many were put there; how many steps of looking were begun, and in which cycle the last one was, and its
candidates were put into the queue."""


@inline_kernel
def _work(bank: Cycles, leaves: Cycles, there: int, last: bool) -> int:
    """Work on a bank's next candidate, ``there`` from that cycle on; returns when it is taken.

    ``leaves``: when the last candidates left the worker's pipeline, in a ring as long as the pipeline.
    """
    depth = len(leaves)
    place = bank[_WORKED] % depth
    # There is room in the very cycle in which the one ``depth`` before it leaves.
    now = max(bank[_FREE], there, leaves[place])
    left = max(now + depth, bank[_LEFT] + 1)
    if last:
        left = max(left, bank[_HOLD])
    leaves[place] = left
    bank[_LEFT] = left
    bank[_FREE] = now + 1
    bank[_WORKED] += 1
    return int(now)


@inline_kernel
def _fetch(bank: Cycles, leaves: Cycles, places: Cycles, there: int, last: bool) -> None:
    """Take the next candidate out of the queue; ``places``: when the last ones left it, in a ring as long as it."""
    places[bank[_TAKEN] % len(places)] = _work(bank, leaves, there, last)
    bank[_TAKEN] += 1


@kernel
def scan_and_work(
    candidates: Flags,
    rescued: Flags,
    sizes: tuple[int, int, int, int],
    cycles: tuple[int, int],
    depths: tuple[int, int],
    ends: Cycles,
    counts: Cycles,
) -> None:
    """Fill ``ends`` [queries], when each query has been merged, and ``counts`` [queries, banks], work of each bank.

    Key j of ``candidates`` [queries, keys] lies in bank j % banks and is looked at in step j // (banks * width).
    Of a query that is ``rescued`` [queries] no key passed, and the one in ``candidates`` is its best.
    The first query's hash is there at cycle 0.

    Args:
        candidates: what is worked on; at least one key of every query.
        rescued: see above.
        sizes: ``banks``, ``width``, ``slots``, ``held``.
        cycles: ``hash_cycles``, ``finish``.
        depths: ``look_depth``, ``work_depth``.
        ends: filled.
        counts: filled.
    """
    queries, keys = candidates.shape
    banks, width, slots, held = sizes
    hash_cycles, finish = cycles
    look_depth, work_depth = depths
    steps = (keys + banks * width - 1) // (banks * width)
    notes = np.zeros((banks, 9), np.int64)
    for b in range(banks):
        notes[b, _LEFT] = notes[b, _LOOKED] = notes[b, _PUSHED] = -1
    places = np.zeros((banks, slots), np.int64)
    leaves = np.zeros((banks, work_depth), np.int64)
    looks = np.zeros((banks, look_depth), np.int64)  # when the last steps left the stages of looking, in a ring
    began = 0
    decided = -1  # the cycle in which it was seen that all banks had looked at all keys for the query before
    merged = -1  # the last cycle of merging the query before
    for query in range(queries):
        hashed = 0
        if query:
            hashed = began + hash_cycles
            if query >= held:
                hashed = max(hashed, ends[query - held] + hash_cycles)
        began = 0
        first = -1  # the cycle in which the first candidate was put into a queue
        summed = -1
        for b in range(banks):
            bank = notes[b]
            found = 0
            waits = False  # a candidate that may be the query's last
            for step in range(steps):
                place = bank[_STEPS] % look_depth
                now = max(bank[_LOOKED] + 1, looks[b, place])
                if step == 0:
                    now = max(now, hashed)
                    began = max(began, now)
                bank[_LOOKED] = now
                now = max(now + look_depth, bank[_PUSHED] + 1)
                hits = 0
                if not rescued[query]:
                    low = step * banks * width + b
                    for at in range(width):
                        key = low + at * banks
                        if key < keys and candidates[query, key]:
                            hits += 1
                if hits:
                    if waits:
                        _fetch(bank, leaves[b], places[b], now, False)
                    # The place that the last of these takes was left by the one ``slots`` before it.
                    bank[_PUT] += hits
                    if bank[_PUT] > slots:
                        now = max(now, places[b, (bank[_PUT] - 1) % slots])
                    for _ in range(hits - 1):
                        _fetch(bank, leaves[b], places[b], now + 1, False)
                    waits = True
                    found += hits
                    first = now if first < 0 else min(first, now)
                bank[_PUSHED] = now
                looks[b, place] = now
                bank[_STEPS] += 1
            if waits:
                _fetch(bank, leaves[b], places[b], bank[_PUSHED] + 1, True)
                summed = max(summed, bank[_LEFT])
            counts[query, b] = found
            decided = max(decided, bank[_PUSHED])
        decided += 1
        known = decided + 1 if first < 0 else min(decided, first) + 1
        for b in range(banks):
            if counts[query, b]:
                continue
            bank = notes[b]
            if rescued[query]:
                for key in range(b, keys, banks):
                    counts[query, b] += candidates[query, key]
            if counts[query, b]:
                _work(bank, leaves[b], decided + 1, True)
                summed = max(summed, bank[_LEFT])
            else:
                bank[_FREE] = max(bank[_FREE], bank[_PUSHED] + 1, known) + 1
        merged = max(merged, decided, summed) + finish
        for b in range(banks):
            if counts[query, b]:
                notes[b, _HOLD] = merged
        ends[query] = merged + 1


@kernel
def causes(
    ends: Cycles,
    counts: Cycles,
    keys: int,
    width: int,
    hash_cycles: int,
    finish: int,
    spent: Cycles,
) -> None:
    """Add every query's share of the time to ``spent``, in the order of CAUSES."""
    queries, banks = counts.shape
    steps = (keys + banks * width - 1) // (banks * width)
    before = 0
    for query in range(queries):
        share = ends[query] - before
        before = ends[query]
        total = 0
        fullest = 0
        for bank in range(banks):
            total += counts[query, bank]
            fullest = max(fullest, counts[query, bank])
        even = (total + banks - 1) // banks
        bounds = (even, fullest, max(fullest, steps), 0, 0)
        used = 0
        for cause in range(3):
            more = min(share, bounds[cause]) - used
            spent[cause] += more
            used += more
        slowest = max(fullest, steps)
        if hash_cycles > slowest and hash_cycles >= finish:
            more = min(share, hash_cycles) - used
            spent[3] += more
            used += more
        elif finish > slowest:
            more = min(share, finish) - used
            spent[4] += more
            used += more
        spent[5] += share - used
