"""Rows that no key passes for: they keep their best one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from siloom.sim.approximation import Mask


def keep_best_where_none(
    kept: Mask, allowed: Mask, scores_of: Callable[[npt.NDArray[np.intp]], npt.NDArray[Any]]
) -> int:
    """Let rows of ``kept`` [rows, keys] without a key keep their best allowed one, in place; how many there were.

    ``scores_of`` gives the scores [those, keys] of such rows, whose numbers it is given; of equal ones the first wins.
    """
    without = np.flatnonzero(~kept.any(axis=1))
    if len(without):
        scores, may = scores_of(without), allowed[without]
        best = scores.max(axis=1, keepdims=True, where=may, initial=_least(scores.dtype))
        kept[without, np.argmax((scores == best) & may, axis=1)] = True
    return len(without)


def _least(kind: np.dtype[Any]) -> Any:
    return -np.inf if kind.kind == "f" else np.iinfo(kind).min
