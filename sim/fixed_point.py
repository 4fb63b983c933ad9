"""Operands in fixed point: codes of real numbers, and their exact products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from siloom.sim.drawn_attention import Reals32
from siloom.sim.errors import InputError

Codes32 = npt.NDArray[np.int32]


def to_codes(x: Reals32, bits: int, fraction: int) -> tuple[Codes32, int]:
    """Signed fixed-point codes of ``x``, to nearest even, symmetric about zero; and how many were cut off."""
    top = (1 << (bits - 1)) - 1
    scaled = np.rint(x.astype(np.float64) * (1 << fraction))
    beyond = int(np.count_nonzero(np.abs(scaled) > top))
    return np.clip(scaled, -top, top).astype(np.int32), beyond


def exact_products(a: Codes32, b: Codes32, bits: int) -> npt.NDArray[np.int64]:
    """The exact a b^T [rows of a, rows of b] of ``bits``-wide codes, through a BLAS whose sums hold them.

    Raises:
        InputError: sums that double precision does not hold.
    """
    most = 2 * (bits - 1) + math.ceil(math.log2(a.shape[1])) if a.shape[1] > 1 else 2 * (bits - 1)
    if most > 53:
        raise InputError(f"products of {bits}-bit operands of length {a.shape[1]} need {most} bits, more than 53")
    kind: type[np.floating[Any]] = np.float32 if most <= 24 else np.float64
    products: npt.NDArray[np.int64] = np.matmul(a.astype(kind), b.astype(kind).T).astype(np.int64)
    return products
