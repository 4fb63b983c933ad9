"""Whole numbers of 8 bits under one scale factor a tensor, summed in an accumulator of any width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from siloom.sim.arithmetic import Arithmetic, Counts, Direction, Product, Singles
from siloom.sim.design import parameter

_CHOICE = "free choice of the design"
TOP = 127
"""Largest code: the range is symmetric."""


@dataclass(frozen=True, kw_only=True)
class Int8(Arithmetic):
    """Operands of 8 bits, sums of ``acc`` bits that saturate or wrap at every step."""

    name = "int8"
    summary = "8-bit whole numbers under scale factors, in an accumulator of any width"
    format = "int8"

    acc: int = parameter(32, unit="bit", source=_CHOICE, status="assumed", low=9, high=32)
    overflow: str = parameter("saturate", unit="", source=_CHOICE, status="assumed", choices=("saturate", "wrap"))

    def product(self, a: Singles, b: Singles, direction: Direction, key: int = 0) -> Product:
        """A times B: both scaled to 127 at their largest, rounded half to even; sums in the order of k."""
        x, x_scale = _codes(a)
        y, y_scale = _codes(b)
        high = (1 << (self.acc - 1)) - 1
        total = np.zeros((*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1]), np.int64)
        beyond = np.zeros(total.shape, bool)
        for k in range(x.shape[-1]):
            total += x[..., k, None] * y[..., None, k, :]
            out = (total > high) | (total < -high - 1)
            beyond |= out
            if self.overflow == "saturate":
                np.clip(total, -high - 1, high, out=total)
            else:
                total = ((total + high + 1) & (2 * high + 1)) - high - 1
        values = total.astype(np.float32) * (x_scale * y_scale)
        return Product(values, Counts(total.size, int(beyond.sum()), a.size + b.size))


def _codes(x: Singles) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.int64]], np.float32]:
    largest = np.float32(np.abs(x).max(initial=0))
    scale = largest / np.float32(TOP) if largest else np.float32(1)
    return np.rint(x / scale).astype(np.int64), scale
