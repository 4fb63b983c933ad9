"""What closed forms over many designs share; see :meth:`siloom.sim.machine.Machine.bound`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def ceil_div(amount: Any, by: Any) -> Any:
    """Whole times that ``by`` fits into ``amount``, rounded up; of numbers and arrays of them."""
    return -(-amount // by)


def largest(*terms: Any) -> Any:
    """The largest of several terms, elementwise."""
    return np.maximum.reduce(np.broadcast_arrays(*terms))


def each(function: Callable[[Any], float], values: Any) -> Any:
    """``function`` of a number, or of each number of an array, called once for each distinct one."""
    if np.ndim(values) == 0:
        return function(values)
    distinct, inverse = np.unique(values, return_inverse=True)
    return np.array([function(value.item()) for value in distinct])[inverse]
