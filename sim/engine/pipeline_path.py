"""What a pipeline's time was spent on: the chain of services that ends with the last item.

:mod:`siloom.sim.engine.pipeline` says when every item leaves every stage. Going back from the last departure, each
moment is some stage's work on some item: that work began when the item came from the stage before, or when the item
before it left, or the item was done and waited for room, which is to say for the stage behind. So one chain of
services fills all the time from the first item's start to the last one's end, without a gap and without overlap.
Its links say which stage the run waited for, item by item, and their sum is the makespan.

Where two reasons hold at once, the item's own way is followed rather than the one before it, and waiting for room only
where the stage was done strictly earlier.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from siloom.sim.engine.cycles import Ints
from siloom.sim.jit import kernel

OnPath = npt.NDArray[np.bool_]


@kernel
def _walk(service: Ints, slots: Ints, departures: Ints, on_path: OnPath) -> None:
    """Set ``on_path`` [items, stages] where a service is a link of the chain."""
    items, stages = service.shape
    i, s = items - 1, stages - 1
    while i >= 0:
        arrived = departures[i, s - 1] if s > 0 else 0
        before = departures[i - 1, s] if i > 0 else 0
        if departures[i, s] > max(arrived, before) + service[i, s]:
            i -= slots[s] + 1
            s += 1
            continue
        on_path[i, s] = True
        if s > 0 and (arrived >= before or i == 0):
            s -= 1
        else:
            i -= 1


def longest_path(service: Ints, slots: Ints, departures: Ints) -> OnPath:
    """Which services, [items, stages], make up the makespan of a run of ``run_pipeline``, all items there at 0.

    ``service`` [items, stages] and ``slots`` [stages - 1] are what it was given, ``departures`` what it gave.
    """
    on_path = np.zeros(service.shape, np.bool_)
    _walk(service, slots, departures, on_path)
    return on_path
