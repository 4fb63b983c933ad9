"""Banks that look for candidates and work on them, each with a queue between the two: how long queries take.

Keys are dealt over ``banks``. For one query after another, every bank looks at ``width`` of its keys a cycle
and puts the candidates among them into its queue of ``slots`` places; when they do not all fit, it waits. Its worker
takes one candidate a cycle out of the queue. When all banks are done with a query, its sums are merged and
divided, ``finish`` cycles in all, by one unit for all banks.

- A bank begins to look through its keys for the next query as soon as it has ended with this one and the next
  query's hash is there: it takes ``hash_cycles`` and is begun when all banks have come to this query.
- A worker begins with the next query's candidates at once; sums are kept twice, so that it is held back only where
  the sums of the query before last have not yet left.
- A candidate found in one cycle can be worked on in the next, a place given up in a cycle be filled in it.

Each query's share of the time, from the end of the one before to its own, is laid to causes; they add up to the
whole:

- ``compute``: what the query's candidates take where they are spread evenly over the banks;
- ``imbalance``: what the fullest bank takes beyond that;
- ``selection``: looking through keys where that takes longer; and ``hash``, ``output``: waiting for those;
- ``fill``: the rest, the first query's way through the stages above all.

Source: the stages are ELSA's (ISCA 2021, figure of the pipeline, recalled); the queues' length is not published.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from siloom.sim.jit import kernel

CAUSES = ("compute", "imbalance", "selection", "hash", "output", "fill")
Flags = npt.NDArray[np.bool_]


@kernel
def scan_and_work(
    candidates: Flags,
    banks: int,
    width: int,
    slots: int,
    hash_cycles: int,
    finish: int,
    ends: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
) -> None:
    """Fill ``ends`` [queries], when each query has left, and ``counts`` [queries, banks], candidates of each bank.

    Key j of ``candidates`` [queries, keys] lies in bank j % banks and is looked at in step j // (banks * width).
    The first query's hash is there at cycle 0.
    """
    queries, keys = candidates.shape
    steps = (keys + banks * width - 1) // (banks * width)
    scanned = np.zeros(banks, np.int64)  # cycle in which the bank is free to look on
    worked = np.zeros(banks, np.int64)  # cycle in which its worker is free
    room = np.zeros((banks, slots), np.int64)  # when the last candidates of each bank left its queue, in a ring
    put = np.zeros(banks, np.int64)
    hashed = 0
    before = 0  # when the sums of the query before last left
    last = 0
    for query in range(queries):
        done = 0
        began = 0
        for bank in range(banks):
            now = max(int(scanned[bank]), hashed)
            began = max(began, now)
            found = 0
            for step in range(steps):
                low = step * banks * width + bank
                hits = 0
                for at in range(width):
                    key = low + at * banks
                    if key < keys and candidates[query, key]:
                        hits += 1
                if hits:
                    # The place that the last of these takes was left by the one ``slots`` before it.
                    position = put[bank] + hits
                    if position > slots:
                        now = max(now, int(room[bank, (position - 1) % slots]))
                    for _ in range(hits):
                        leaves = max(worked[bank], max(now + 1, before))
                        worked[bank] = leaves + 1
                        room[bank, put[bank] % slots] = leaves
                        put[bank] += 1
                    found += hits
                now += 1
            scanned[bank] = now
            counts[query, bank] = found
            if found:
                now = max(now, int(worked[bank]))
            done = max(done, now)
        end = max(done, last) + finish
        ends[query] = end
        # Two hashes are held: this one goes on being read by banks that lag, the next is made meanwhile.
        hashed = max(hashed, began) + hash_cycles
        before = last
        last = end


@kernel
def causes(
    ends: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    keys: int,
    width: int,
    hash_cycles: int,
    finish: int,
    spent: npt.NDArray[np.int64],
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
