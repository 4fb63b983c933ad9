"""Groups of queries that share their keys, and one array that does all their products: how long that takes.

:func:`visit_groups` schedules every group of ``tokens`` rows of a mask (see ``units/token_scheduler``) and says how
long its rounds take. A port brings keys in the schedule's order, ``port`` bytes a cycle, ``key_bytes`` each; the keys
of up to ``ahead`` rounds that have not begun find room. The array has ``side`` places for rounds at work at once and
takes ``each`` cycles over one; rounds begin in order, once their keys are there. Where a round's keys have come in the
middle of a cycle, it begins with the next.

A group's time is laid to causes: ``even``, what its kept keys take where the rows share them evenly, PEs that rounds
leave idle included; ``imbalance``, what the fullest row takes beyond; ``conflicts``, what rounds add in which rows idle
because keys with overlapping owners cannot share one; ``key_port``, waiting for keys, the first ones included.

:func:`share_array` sends groups through detection, selection, scheduling, scores, softmax and values. Detection, scores
and values are done by the one array, in the fixed order D(t), Q(t - 1), A(t - 2), D(t + 1), ...; selection, scheduling
and softmax by units of their own meanwhile. A group's rounds leave the scheduler one a cycle, and only then does it
take the next group. ``latency`` cycles pass between the array's last result of a part and the unit behind, and from the
last value to the end.

Source: the stages are DOTA's (ASPLOS 2022, recalled); their order on the array, room and latencies are assumed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from siloom.sim.jit import kernel
from siloom.sim.units.token_scheduler import in_order, out_of_order

Counts = npt.NDArray[np.int64]
VISIT_CAUSES = ("even", "imbalance", "conflicts", "key_port")
WAIT_CAUSES = ("scheduling", "softmax", "fill")


@kernel
def owner_bitmaps(mask: npt.NDArray[np.bool_], tokens: int, owners: Counts) -> None:
    """Fill ``owners`` [groups, keys] from a mask [rows, keys]: bit t where row t of the group keeps the key.

    Both have the same keys, and there are as many groups as the rows fill.
    """
    rows, keys = mask.shape
    for g in range(len(owners)):
        for key in range(keys):
            owners[g, key] = 0
        for t in range(min(tokens, rows - g * tokens)):
            for key in range(keys):
                owners[g, key] |= np.int64(mask[g * tokens + t, key]) << t


@kernel
def round_times(
    rounds: Counts, fetched: int, key_bytes: int, port: int, ahead: int, side: int, each: int, starts: Counts
) -> np.int64:
    """Cycles of one group's rounds; ``rounds`` names the round of each fetch, ``starts`` is filled by round."""
    came = np.int64(0)  # in bytes of the port's time: ``port`` of them are a cycle
    total = np.int64(0)
    f = 0
    j = 0
    while f < fetched:
        if j >= ahead:
            came = max(came, starts[j - ahead] * port)
        while f < fetched and rounds[f] == j:
            came += key_bytes
            f += 1
        begin = (came + port - 1) // port
        if j > 0:
            begin = max(begin, starts[j - 1])
        if j >= side:
            begin = max(begin, starts[j - side] + each)
        starts[j] = begin
        total = begin + each
        j += 1
    return total


@kernel
def visit_groups(
    owners: Counts,
    order: Counts,
    tokens: int,
    per_round: int,
    ordered: bool,
    key_bytes: int,
    port: int,
    ahead: int,
    side: int,
    each: int,
    spent: Counts,
    counts: Counts,
) -> None:
    """Fill ``spent`` [groups, 4], cycles by VISIT_CAUSES, and ``counts`` [groups, 4].

    Counts are pairs kept, the fullest row's keys, fetches and rounds. ``owners`` is [groups,
    keys]; ``order`` as ``buffer_order`` gives it.
    """
    groups, most = owners.shape
    room = tokens * most
    keys, who, rounds = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    starts = np.empty(room, np.int64)
    rows = np.empty(tokens, np.int64)
    for g in range(groups):
        rows[:] = 0
        for key in range(most):
            for t in range(tokens):
                rows[t] += (owners[g, key] >> t) & 1
        pairs = 0
        fullest = 0
        for t in range(tokens):
            pairs += rows[t]
            fullest = max(fullest, rows[t])
        if ordered:
            fetched = in_order(owners[g], tokens, per_round, keys, who, rounds)
        else:
            fetched = out_of_order(owners[g], order, per_round, keys, who, rounds)
        many = rounds[fetched - 1] + 1 if fetched else 0
        whole = round_times(rounds, fetched, key_bytes, port, ahead, side, each, starts)
        even = ((pairs + tokens - 1) // tokens + side - 1) // side * each
        full = (fullest + side - 1) // side * each
        busy = (many + side - 1) // side * each
        spent[g, 0], spent[g, 1], spent[g, 2], spent[g, 3] = even, full - even, busy - full, whole - busy
        counts[g, 0], counts[g, 1], counts[g, 2], counts[g, 3] = pairs, fullest, fetched, many


@kernel
def share_array(
    detect: Counts,
    select: Counts,
    schedule: Counts,
    rounds: Counts,
    visits: Counts,
    softmax: Counts,
    latency: int,
    waits: Counts,
) -> np.int64:
    """Cycles of all groups, [groups] each; scores and values take ``visits`` each. Fills ``waits`` by WAIT_CAUSES."""
    groups = len(detect)
    array = np.int64(0)
    selected = np.int64(0)
    normalised = np.int64(0)
    scheduled = np.zeros(groups, np.int64)
    weighted = np.zeros(groups, np.int64)
    done = np.int64(0)  # when the scheduler is free
    waits[:] = 0
    for t in range(groups + 2):
        if t < groups:
            array += detect[t]
            selected = max(selected, array + latency) + select[t]
            done = max(done, selected) + schedule[t]
            scheduled[t] = done
            done += rounds[t]
        if 1 <= t <= groups:
            g = t - 1
            wait = max(np.int64(0), scheduled[g] - array)
            waits[0] += wait
            array += wait + visits[g]
            normalised = max(normalised, array + latency) + softmax[g]
            weighted[g] = normalised
        if t >= 2:
            g = t - 2
            wait = max(np.int64(0), weighted[g] - array)
            waits[1] += wait
            array += wait + visits[g]
    if groups:
        waits[2] += latency
        array += latency
    return array
