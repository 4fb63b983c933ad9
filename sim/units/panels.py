"""Operands of matrix products as the register tiles want them, read where they lie.

A product's operand is seen as (s, lines, k): A as it is, B with its last two axes exchanged, so that a line is a row of
A or a column of B. Whichever way it lies in memory, kernels get it as one flat array and three steps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from siloom.sim.jit import kernel

Array = npt.NDArray[Any]

_BLOCK = 16
"""So many k of a line are read at a time: one line of the cache."""


class Operand(NamedTuple):
    """Numbers (s, lines, k) in one flat array; steps are in elements."""

    flat: Array
    shape: tuple[int, int, int]
    steps: tuple[int, int, int]


def flat_view(x: Array) -> tuple[Array, tuple[int, ...]]:
    """All of an array's memory as one axis, and the order of its axes there; a copy only where there are gaps."""
    order = tuple(sorted(range(x.ndim), key=lambda axis: (-abs(x.strides[axis]), -x.shape[axis])))
    return x.transpose(order).reshape(-1), order


def shaped(flat: Array, shape: tuple[int, ...], order: tuple[int, ...]) -> Array:
    """Numbers that lie as :func:`flat_view` found an array, in that array's shape."""
    back = np.argsort(order)
    return flat.reshape([shape[axis] for axis in order]).transpose(back)


def operand(x: Array) -> Operand:
    """An array (s, lines, k) as kernels take it."""
    flat, order = flat_view(x)
    steps, step = [0, 0, 0], 1
    for axis in reversed(order):
        steps[axis] = step
        step *= x.shape[axis]
    return Operand(flat, (x.shape[0], x.shape[1], x.shape[2]), (steps[0], steps[1], steps[2]))


@kernel
def pack(
    flat: Array, start: int, line_step: int, k_step: int, lines: int, width: int, count: int, panel: Array, at: int
) -> None:
    """Some lines as (k, width) from ``panel[at]`` on; zeros where there are fewer lines than ``width``."""
    if line_step == 1 and lines == width:
        for k in range(count):
            source = start + k * k_step
            for line in range(width):
                panel[at + k * width + line] = flat[source + line]
        return
    for left in range(0, count, _BLOCK):
        right = min(left + _BLOCK, count)
        for line in range(lines):
            source = start + line * line_step
            for k in range(left, right):
                panel[at + k * width + line] = flat[source + k * k_step]
        for line in range(lines, width):
            for k in range(left, right):
                panel[at + k * width + line] = 0
