"""Which of many points in three coordinates no other is at or below: the kernel of Pareto queries over whole stores.

It lies with the engines because compiled kernels live where the hash of their cache looks; see
:mod:`siloom.sim.jit`. The rest of fronts is :mod:`siloom.explore.pareto`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from siloom.sim.jit import kernel


@kernel
def sweep(second: NDArray[np.int64], third: NDArray[np.int64], keep: NDArray[np.bool_]) -> None:
    """Keep each point [points] that has no earlier one at or below it in both ranks.

    ``least`` is a binary indexed tree (Fenwick, 1994) of the least third rank up to each second rank.
    """
    count = len(second)
    least = np.full(count + 1, count, dtype=np.int64)
    for point in range(count):
        best = count
        at = second[point] + 1
        while at > 0:
            best = min(best, least[at])
            at &= at - 1
        if best <= third[point]:
            continue
        keep[point] = True
        at = second[point] + 1
        while at <= count:
            least[at] = min(least[at], third[point])
            at += at & -at
