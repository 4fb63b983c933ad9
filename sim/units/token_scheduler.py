"""Which keys a group of queries works on together, in which order: DOTA's token-parallel scheduling.

Each key has an owner bitmap: bit t is set where row t of the group keeps the key. A round brings up to ``per_round``
keys; each row works on at most one of them, and every owner of a key works on it in the round that brings it.

- Out of order: keys lie in ``2^tokens - 1`` buffers by their bitmap. A round takes, again and again, from the fullest
  bitmap (most owners; of equal ones the smallest as a number) that needs no row already taken, its lowest key. Each key
  is brought once. Keys whose owners overlap cannot share a round, so rows may idle.
- In order, the null version: each row goes through its own keys in rising order. A round takes the rows' next
  keys, the lowest first. The fullest row's count is the number of rounds, but rows that come to a key in different
  rounds have it brought again.

With ``per_round`` 1 both bring every key once, in falling number of owners or in rising order of keys.

The stream takes ``lanes`` bitmaps a beat, key 0 first; after ``last`` it gives a round a cycle. Lanes of a round that
bring nothing have no owners.

Source: Qu et al., DOTA, ASPLOS 2022 (recalled): 4 rows, 15 buffers, fullest overlap first. The order among
equals and what may share a round are choices of this model.
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
MAX_TOKENS = 8


@dataclass(frozen=True, kw_only=True)
class TokenScheduler(Design):
    """The size of one scheduler, for up to ``keys`` keys.

    Raises (when made):
        InputError: rounds of more keys than rows, or beats of more keys than there are.
    """

    tokens: int = parameter(4, unit="rows", source=_DOTA, status="recalled", low=1, high=MAX_TOKENS)
    keys: int = parameter(512, unit="keys", source=_CHOICE, status="assumed", low=1, high=16384)
    lanes: int = parameter(1, unit="keys/cycle", source=_CHOICE, status="assumed", low=1, high=64)
    per_round: int = parameter(4, unit="keys", source=_CHOICE, status="assumed", low=1, high=MAX_TOKENS)
    in_order: bool = parameter(False, unit="", source="true is the null version", status="assumed")

    def __post_init__(self) -> None:
        """Refuse what no round and no beat can be."""
        super().__post_init__()
        if self.per_round > self.tokens:
            raise InputError(f"token_scheduler: per_round must be at most tokens, {self.tokens}, got {self.per_round}")
        if self.lanes > self.keys:
            raise InputError(f"token_scheduler: lanes must be at most keys, {self.keys}, got {self.lanes}")

    @property
    def index(self) -> Whole:
        """Format of a key's index."""
        return Whole(max(1, (self.keys - 1).bit_length()), signed=False)

    @property
    def owners(self) -> Whole:
        """Format of an owner bitmap."""
        return Whole(self.tokens, signed=False)


def buffer_order(tokens: int) -> npt.NDArray[np.int64]:
    """Bitmaps of ``tokens`` rows, none aside, the most owners first, of equal ones the smallest first."""
    return np.array(sorted(range(1, 1 << tokens), key=lambda m: (-m.bit_count(), m)), np.int64)


@kernel
def out_of_order(
    owners: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    per_round: int,
    keys: npt.NDArray[np.int64],
    who: npt.NDArray[np.int64],
    rounds: npt.NDArray[np.int64],
) -> int:
    """Fill key, owners and round of every fetch; the number of fetches. Arrays have a place for each owner bit."""
    maps = len(order) + 1
    following = np.empty(len(owners), np.int64)
    head = np.full(maps, -1, np.int64)
    left = 0
    for key in range(len(owners) - 1, -1, -1):
        if owners[key]:
            following[key] = head[owners[key]]
            head[owners[key]] = key
            left += 1
    fetched = 0
    now = 0
    first = 0  # buffers before it are empty for good
    while fetched < left:
        free = maps - 1
        taken = 0
        at = first
        while free and taken < per_round and at < len(order):
            bitmap = order[at]
            key = head[bitmap]
            if key < 0:
                if at == first:
                    first += 1
                at += 1
            elif bitmap & ~free:
                at += 1
            else:
                head[bitmap] = following[key]
                keys[fetched], who[fetched], rounds[fetched] = key, bitmap, now
                fetched += 1
                taken += 1
                free &= ~bitmap
        now += 1
    return fetched


@kernel
def in_order(
    owners: npt.NDArray[np.int64],
    tokens: int,
    per_round: int,
    keys: npt.NDArray[np.int64],
    who: npt.NDArray[np.int64],
    rounds: npt.NDArray[np.int64],
) -> int:
    """As :func:`out_of_order`, each row in the order of its keys."""
    none = len(owners)
    ahead = np.empty(tokens, np.int64)  # each row's next key
    for t in range(tokens):
        ahead[t] = -1
    fetched = 0
    now = 0
    moved = (1 << tokens) - 1
    while True:
        for t in range(tokens):
            if (moved >> t) & 1:
                ahead[t] += 1
                while ahead[t] < none and not (owners[ahead[t]] >> t) & 1:
                    ahead[t] += 1
        moved = 0
        for _ in range(per_round):
            lowest = none
            for t in range(tokens):
                if not (moved >> t) & 1:
                    lowest = min(lowest, ahead[t])
            if lowest == none:
                break
            bitmap = 0
            for t in range(tokens):
                if not (moved >> t) & 1 and ahead[t] == lowest:
                    bitmap |= 1 << t
            moved |= bitmap
            keys[fetched], who[fetched], rounds[fetched] = lowest, bitmap, now
            fetched += 1
        if moved == 0:
            break
        now += 1
    return fetched


@kernel
def token_scheduler_stream(
    owners: Codes, last: Codes, order: npt.NDArray[np.int64], tokens: int, per_round: int, ordered: bool
) -> tuple[Codes, Codes]:
    """Rounds [results, 2 per_round], their keys and then their owners, and the beat that ended each group."""
    beats, lanes = owners.shape
    most = 0
    for i in range(beats):
        for lane in range(lanes):
            for t in range(tokens):
                most += (owners[i, lane] >> t) & 1
    out = np.zeros((most, 2 * per_round), np.int64)
    cause = np.empty(most, np.int64)
    keys = np.empty(most, np.int64)
    who = np.empty(most, np.int64)
    rounds = np.empty(most, np.int64)
    k = 0
    begin = 0
    for i in range(beats):
        if not last[i]:
            continue
        group = owners[begin : i + 1].copy().reshape(-1)
        begin = i + 1
        if ordered:
            fetched = in_order(group, tokens, per_round, keys, who, rounds)
        else:
            fetched = out_of_order(group, order, per_round, keys, who, rounds)
        place = 0
        for f in range(fetched):
            if f > 0 and rounds[f] != rounds[f - 1]:
                k += 1
                place = 0
            out[k, place] = keys[f]
            out[k, per_round + place] = who[f]
            cause[k] = i
            place += 1
        if fetched:
            k += 1
    return out[:k], cause[:k]


def token_scheduler_reference(
    owners: Sequence[int], tokens: int, per_round: int, ordered: bool
) -> list[list[tuple[int, int]]]:
    """Rounds, each its keys and their owners."""
    out = []
    rows = [[key for key, bitmap in enumerate(owners) if bitmap >> t & 1] for t in range(tokens)]
    waiting = {key: bitmap for key, bitmap in enumerate(owners) if bitmap}
    while any(rows):
        taken: list[tuple[int, int]] = []
        busy = 0
        if ordered:
            heads = sorted({row[0] for row in rows if row})[:per_round]
            for key in heads:
                having = [t for t, row in enumerate(rows) if row and row[0] == key]
                taken.append((key, sum(1 << t for t in having)))
        else:
            for key, bitmap in sorted(waiting.items(), key=lambda item: (-item[1].bit_count(), item[1], item[0])):
                if len(taken) < per_round and not bitmap & busy:
                    busy |= bitmap
                    taken.append((key, bitmap))
        for key, bitmap in taken:
            waiting.pop(key, None)
            for t in range(tokens):
                if bitmap >> t & 1:
                    rows[t].remove(key)
        out.append(taken)
    return out


def contract(design: TokenScheduler) -> Contract:
    """What a unit of this size promises: a beat a cycle; behind a group, its rounds before the next is taken."""
    order = buffer_order(design.tokens)

    def function(beats: Codes) -> Answer:
        owners, last = np.ascontiguousarray(beats[:, :-1]), np.ascontiguousarray(beats[:, -1])
        rounds, cause = token_scheduler_stream(owners, last, order, design.tokens, design.per_round, design.in_order)
        return Answer(rounds, cause)

    def interval(beats: Codes) -> Codes:
        cycles: Codes = np.maximum(1, np.bincount(function(beats).cause, minlength=len(beats))).astype(np.int64)
        return cycles

    def legal(beats: Codes) -> Codes:
        """No group of more keys than indices tell apart."""
        kept = beats.copy()
        kept[design.keys // design.lanes - 1 :: design.keys // design.lanes, -1] = 1
        return kept

    return Contract(
        name="token_scheduler",
        inputs=Stream(
            (
                Port("owners", design.owners, "bit t: row t keeps the key", design.lanes),
                Port("last", FLAG, "1: the group ends with this beat"),
            )
        ),
        outputs=Stream(
            (
                Port("key", design.index, "keys of the round", design.per_round),
                Port("owners", design.owners, "rows that work on each", design.per_round),
            )
        ),
        latency=1,
        interval=interval,
        capacity=1,
        function=function,
        legal=legal,
    )


UNIT = Unit(
    name="token_scheduler",
    summary="rounds of keys for a group of queries, the most shared first, each brought once (DOTA)",
    design_type=TokenScheduler,
    contract=contract,
    sizes=(
        TokenScheduler(tokens=2, keys=4, per_round=2),
        TokenScheduler(),
        TokenScheduler(tokens=3, keys=32, lanes=4, per_round=1),
        TokenScheduler(keys=64, in_order=True),
    ),
)
