"""Cycle counts on their way into an engine: whole, never negative, and too small ever to wrap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siloom.sim.errors import InputError

MAX_COUNT = 2**62
"""Counts at or above this are refused: cycle counters are 64-bit and must never wrap. It stands here
because kernels read it, which may read nothing outside their own folders."""

Ints = NDArray[np.int64]
CyclesLike = NDArray[Any] | Sequence[Any]
"""What a caller may hand over: an integer array, or (nested) sequences of ints."""

_HALF = 32


def as_cycles(where: str, values: CyclesLike, shape: tuple[int | None, ...]) -> Ints:
    """``values`` as a contiguous int64 array of ``shape`` (None = any length), shared where possible.

    Raises:
        InputError: another shape, no integers, or a value outside 0 .. 2^62 - 1; names the place.
    """
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{where} must be an array of whole numbers: {error}") from None
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        wanted = " x ".join("any" if want is None else str(want) for want in shape)
        raise InputError(f"{where} must have shape {wanted}, got {' x '.join(map(str, array.shape)) or 'one number'}")
    if array.size and array.dtype.kind not in "iu":
        raise InputError(f"{where} must hold whole numbers below 2^62, got {array.dtype}")
    if array.size:
        for extreme, bad, rule in (
            (array.argmin(), array.min() < 0, "must not be negative"),
            (array.argmax(), array.max() >= MAX_COUNT, "must be below 2^62"),
        ):
            if bad:
                place = ", ".join(str(int(at)) for at in np.unravel_index(int(extreme), array.shape))
                raise InputError(f"{where}[{place}] {rule}, got {array.flat[int(extreme)]}")
    return np.ascontiguousarray(array, dtype=np.int64)


def exact_sum(values: Ints) -> int:
    """Sum that cannot wrap, of values in 0 .. 2^62 - 1: the two halves of each are summed apart."""
    if len(values) == 0:
        return 0
    if int(values.max()) * values.size < MAX_COUNT:
        return int(values.sum())
    return (int((values >> _HALF).sum()) << _HALF) + int((values & ((1 << _HALF) - 1)).sum())


def require_below(where: str, cycles: int, limit: int) -> None:
    """Refuse a run that may last ``limit`` cycles or more.

    Raises:
        InputError: naming the bound and the limit.
    """
    if cycles >= limit:
        raise InputError(f"{where}: the run may take {cycles} cycles, it must stay below {limit}")
