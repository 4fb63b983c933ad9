"""The array of ``flash_blocks`` in plain Python, one cycle after another: what each of its rows sees and when.

Nothing is counted in closed form: a head offers a beat in every cycle in which it may, every row has a queue of scores
and one of weights, and the clock stops with the last mean.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from siloom.sim.engine.flash_blocks import Steps


@dataclass
class _Row:
    """Right of a row: scores of blocks that are not complete, powers to be made, and weights on the way, with times."""

    waiting: int = 0
    to_make: deque[int] = field(default_factory=deque)  # powers of each complete block, its factor included
    weights: deque[int] = field(default_factory=deque)  # when each can be taken


def _beats(steps: Steps, seq: int, causal: bool) -> Iterator[tuple[str, bool, int]]:
    """All beats of a head in order: what it does, whether it ends its block, and the tile's queries."""
    for first in range(0, seq, steps.rows):
        queries = min(steps.rows, seq - first)
        keys = first + queries if causal else seq
        sizes = [min(steps.block, keys - at) for at in range(0, keys, steps.block)]
        yield from (("load", False, queries) for _ in range(queries))
        scored = 0
        for number, size in enumerate(sizes):
            while scored < min(number + 2, len(sizes)):
                yield from (("score", k == sizes[scored] - 1, queries) for k in range(sizes[scored]))
                scored += 1
            yield "rescale", False, queries
            yield from (("weigh", False, queries) for _ in range(size))
        yield from (("drain", False, queries) for _ in range(steps.cols))


def run_reference(steps: Steps, heads: int, seq: int, causal: bool) -> int:
    """Cycles of ``heads`` equal heads, one behind the other, up to and with the last mean.

    Raises:
        AssertionError: a row whose weight has not come when its beat does.
    """
    rows = [_Row() for _ in range(steps.rows)]
    pending = deque(beat for _ in range(heads) for beat in _beats(steps, seq, causal))
    line: deque[tuple[str, bool, int] | None] = deque([None] * (steps.rows + steps.cols + 1))
    now = last = 0
    while pending or any(line):
        what = pending[0][0] if pending else ""
        ready = what not in ("rescale", "weigh") or (rows[0].weights and rows[0].weights[0] <= now)
        line.appendleft(pending.popleft() if pending and ready else None)
        line.pop()
        for i, row in enumerate(rows):
            # What is made of a block's scores begins in the cycle after its last one, a power in each.
            if row.to_make:
                row.weights.append(now - 1 + steps.weights)
                row.to_make[0] -= 1
                if not row.to_make[0]:
                    row.to_make.popleft()
            enters = line[i]
            if enters is not None and enters[0] in ("rescale", "weigh"):
                assert row.weights.popleft() <= now
            leaves = line[i + steps.cols]
            if leaves is None:
                continue
            what, ends, queries = leaves
            if what == "score":
                row.waiting += 1
                if ends:
                    row.to_make.append(row.waiting + 1)
                    row.waiting = 0
            elif what == "drain" and i < queries:
                last = now + steps.divide
        now += 1
    return last + 1
