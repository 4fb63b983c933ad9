"""Attention block by block on one array whose rows are queries: the beats of its cells, and what they wait for.

Queries stay in the rows of the array, ``rows`` of them at a time (a tile). A beat of the array enters its first row
and column in one cycle, its row i and column j in the i + j-th after. For a tile, in this order:

- a beat for each of its queries, which takes it in (``load``);
- for each block of keys, a beat a key: its score with every query leaves on the right (``score``);
- for each block a beat that brings what is summed to the new maximum (``rescale``), and one for each of its values
  (``weigh``), whose weights come back on the left;
- a beat for each column, which moves the sums out on the right (``drain``).

Scores of the next block go before the values of this one, so that its weights have time to come; where that is not
time enough, the array waits (``wait``): from the last score of a block to the beat that rescales, ``behind`` cycles
go by. Where queries attend to no later ones (``causal``), a tile meets only the keys up to its last query. Tiles follow
one another without a gap; what the last one needs to come out behind its last beat is ``fill``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from siloom.sim.jit import kernel

CAUSES = ("load", "score", "rescale", "weigh", "wait", "drain", "fill")


class Steps(NamedTuple):
    """Sizes that time depends on: ``rows`` and ``cols`` of the array, keys in a ``block``, and two latencies.

    ``weights``: cycles from a score that leaves the array to its weight at the array's left edge. ``divide``: from a
    sum that leaves the array to its mean.
    """

    rows: int
    cols: int
    block: int
    weights: int
    divide: int

    @property
    def behind(self) -> int:
        """Cycles from a block's last score to the beat that rescales."""
        return self.cols + self.weights


@kernel
def _head_causes(seq: int, causal: bool, rows: int, cols: int, block: int, behind: int) -> NDArray[np.int64]:
    out = np.zeros(6, np.int64)
    for first in range(0, seq, rows):
        queries = min(rows, seq - first)
        keys = first + queries if causal else seq
        blocks = -(-keys // block)
        out[0] += queries
        now = 0  # beats since the tile's first score
        scored = 0  # when the last score of the block that is weighed next went in
        for number in range(blocks):
            size = min(block, keys - number * block)
            if number == 0:
                now += size
                scored = now - 1
            following = scored
            if number + 1 < blocks:
                now += min(block, keys - (number + 1) * block)
                following = now - 1
            waits = max(0, scored + behind - now)
            now += waits + 1 + size
            scored = following
            out[1] += size
            out[2] += 1
            out[3] += size
            out[4] += waits
        out[5] += cols
    return out


def head_causes(steps: Steps, seq: int, causal: bool) -> dict[str, int]:
    """Cycles of one head by cause, without ``fill``: the next head may follow at once."""
    found = _head_causes(seq, causal, steps.rows, steps.cols, steps.block, steps.behind)
    return dict(zip(CAUSES[:-1], found.tolist(), strict=True))


def fill_cycles(steps: Steps, seq: int) -> int:
    """Cycles from the last beat of a last head until its last mean is out."""
    return (seq - 1) % steps.rows + steps.cols + steps.divide


def scored_pairs(rows: int, seq: int, causal: bool) -> int:
    """Pairs of a query and a key that go through the array."""
    if not causal:
        return seq * seq
    whole, rest = divmod(seq, rows)
    return rows * rows * whole * (whole + 1) // 2 + rest * seq
