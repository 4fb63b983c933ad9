"""Matrix products as an array of ``fp_mac`` units gives them, bit by bit, at the speed of the host.

``C[i, j]`` is one unit's sum of ``A[i, k] * B[k, j]`` in the order k = 0, 1, 2, ..., from +0, with the
unit's one rounding a step. With ``chunk`` the unit is cleared every so many products; the chunks' sums
are added in their order, from +0, in a second format ``outer``, again with one rounding each and the
same rule for overflow. (Hopper-like "promotion to FP32 every 128" is ``chunk=128, outer=FP32``.)

:func:`gemm_codes` is the definition, in integers. :func:`fp_gemm` gives the same bits by one of three
loops in the host's floating point; ``host_floats`` says why they agree:

- FP32 that overflows to infinity: float32 fused multiply-adds;
- an accumulator whose sums may pass through binary64: add, then round;
- any other: add with rounding to odd, then round.

One thread, which lets go of the GIL. No transposed operands, no scale factors.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import FP32, Codes, Float
from siloom.sim.jit import kernel
from siloom.sim.units.floats import Layout, add, convert, layout, pack, unpack
from siloom.sim.units.fp_mac import FpMac, fp_mac_step
from siloom.sim.units.host_floats import (
    Rounding,
    all_in_format,
    fused_multiply_add,
    keeps_subnormals,
    odd_sum,
    plain_sum_is_safe,
    rounded,
    rounding,
)

Singles = npt.NDArray[np.float32]
"""Numbers of a small format, each held as a float32 without loss."""

_TILE = 512  # sums that are carried at a time: they stay in the first-level cache
_SMALLEST = np.array([1], np.int32).view(np.float32)


@kernel
def gemm_codes(
    a: Codes,
    b: Codes,
    a_form: Layout,
    b_form: Layout,
    form: Layout,
    outer: Layout,
    chunk: int,
    saturate: bool,
) -> Codes:
    """Codes (s, m, k) times codes (s, k, n) -> codes (s, m, n), in integers; ``chunk`` 0: one chunk, in ``form``."""
    stack, rows, inner = a.shape
    columns = b.shape[2]
    c = np.empty((stack, rows, columns), np.int64)
    step = chunk if chunk else max(inner, 1)
    for s in range(stack):
        for i in range(rows):
            for j in range(columns):
                result = 0
                for start in range(0, inner, step):
                    total = 0
                    for k in range(start, min(start + step, inner)):
                        total = fp_mac_step(total, a[s, i, k], b[s, k, j], a_form, b_form, form, saturate)
                    if chunk:
                        total = pack(add(unpack(result, outer), unpack(total, form)), outer, saturate)
                    result = total
                c[s, i, j] = result
    return c


@kernel
def _gemm_fused(a: Singles, b: Singles, to: Rounding, outer: Rounding, chunk: int, plain: bool, c: Singles) -> None:
    """Onto FP32 by fused multiply-adds; ``to`` and ``plain`` stand for what the other loop needs."""
    stack, rows, inner = a.shape
    columns = b.shape[2]
    step = chunk if chunk else max(inner, 1)
    totals = np.empty(_TILE, np.float32)
    for s in range(stack):
        for i in range(rows):
            for left in range(0, columns, _TILE):
                width = min(_TILE, columns - left)
                result = c[s, i, left : left + width]
                result[:] = 0
                for start in range(0, inner, step):
                    totals[:width] = 0
                    for k in range(start, min(start + step, inner)):
                        x = a[s, i, k]
                        row = b[s, k, left : left + width]
                        for j in range(width):
                            totals[j] = fused_multiply_add(x, row[j], totals[j])
                    for j in range(width):
                        if chunk:
                            result[j] = rounded(odd_sum(np.float64(result[j]), np.float64(totals[j])), outer)
                        else:
                            result[j] = totals[j]


@kernel
def _gemm_rounded(a: Singles, b: Singles, to: Rounding, outer: Rounding, chunk: int, plain: bool, c: Singles) -> None:
    """Onto any accumulator: a binary64 sum, ``plain`` or to odd, then rounded ``to`` its format."""
    stack, rows, inner = a.shape
    columns = b.shape[2]
    step = chunk if chunk else max(inner, 1)
    totals = np.empty(_TILE, np.float64)
    for s in range(stack):
        for i in range(rows):
            for left in range(0, columns, _TILE):
                width = min(_TILE, columns - left)
                result = c[s, i, left : left + width]
                result[:] = 0
                for start in range(0, inner, step):
                    totals[:width] = 0
                    for k in range(start, min(start + step, inner)):
                        x = np.float64(a[s, i, k])
                        row = b[s, k, left : left + width]
                        if plain:
                            for j in range(width):
                                totals[j] = rounded(x * np.float64(row[j]) + totals[j], to)
                        else:
                            for j in range(width):
                                totals[j] = rounded(odd_sum(x * np.float64(row[j]), totals[j]), to)
                    for j in range(width):
                        if chunk:
                            result[j] = rounded(odd_sum(np.float64(result[j]), totals[j]), outer)
                        else:
                            result[j] = totals[j]


@lru_cache(maxsize=16)
def decoded(form: Float) -> Singles:
    """The number of every code of a format of at most 16 bits; index it with codes. Not to be written to."""
    every = np.arange(1 << form.bits, dtype=np.int64)
    values = convert(every, layout(form), layout(FP32), False).astype(np.uint32).view(np.float32)
    values.flags.writeable = False
    return values


def encoded(values: Singles, form: Float, saturate: bool = False) -> Codes:
    """The code of the nearest number of a format to each of some float32, in the same shape."""
    patterns = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.int64)
    return convert(patterns.ravel(), layout(FP32), layout(form), saturate).reshape(patterns.shape)


def fp_gemm(a: npt.ArrayLike, b: npt.ArrayLike, design: FpMac, *, chunk: int = 0, outer: Float = FP32) -> Codes:
    """The product of two matrices of codes, or of two stacks of them.

    Args:
        a: codes of ``design.a``, (m, k) or (s, m, k), of any integer type.
        b: codes of ``design.b``, (k, n) or (s, k, n).
        design: the unit; its cycles do not matter here.
        chunk: products between clears of the accumulator; 0: none, the sum is one chunk.
        outer: format in which chunks are added; without ``chunk`` it does nothing.

    Returns:
        Codes (m, n) or (s, m, n), of ``outer`` where there are chunks, else of the accumulator.

    Raises:
        ValueError: shapes that do not fit, codes that are none of their format, an unknown ``outer``.
        RuntimeError: see :func:`fp_gemm_values`.
    """
    c = _product(_decode("a", a, design.a), _decode("b", b, design.b), design, chunk, outer)
    return encoded(c, outer if chunk else design.accumulator)


def fp_dot(a: npt.ArrayLike, b: npt.ArrayLike, design: FpMac, *, chunk: int = 0, outer: Float = FP32) -> int:
    """The code of the dot product of two vectors of codes; see :func:`fp_gemm`."""
    x, y = np.asarray(a), np.asarray(b)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"fp_dot: operands must be two vectors of one length, got {x.shape} and {y.shape}")
    return int(fp_gemm(x[None, :], y[:, None], design, chunk=chunk, outer=outer)[0, 0])


def fp_gemm_values(a: Singles, b: Singles, design: FpMac, *, chunk: int = 0, outer: Float = FP32) -> Singles:
    """:func:`fp_gemm` on the numbers themselves, as float32, for callers who hold them so.

    Raises:
        ValueError: as :func:`fp_gemm`, and a number that its format does not have.
        RuntimeError: this thread's processor replaces subnormals by zero, which no format here allows.
    """
    for name, values, form in (("a", a, design.a), ("b", b, design.b)):
        flat = np.ascontiguousarray(values, np.float32).ravel()
        if not all_in_format(flat, rounding(form, False), not form.finite):
            raise ValueError(f"fp_gemm: {name} must hold numbers of {form} only, round them first")
    return _product(np.asarray(a, np.float32), np.asarray(b, np.float32), design, chunk, outer)


def _product(a: Singles, b: Singles, design: FpMac, chunk: int, outer: Float) -> Singles:
    if a.ndim not in (2, 3) or a.ndim != b.ndim or a.shape[-1] != b.shape[-2] or a.shape[:-2] != b.shape[:-2]:
        raise ValueError(f"fp_gemm: shapes must be (m, k) and (k, n), or stacks of them, got {a.shape} and {b.shape}")
    if chunk < 0:
        raise ValueError(f"fp_gemm: chunk must be at least 0, got {chunk}")
    if chunk and (outer.finite or outer.exponent_bits > 8 or not 1 <= outer.mantissa_bits <= 23):
        raise ValueError(f"fp_gemm: outer must have infinities and fit FP32, got {outer}")
    if not keeps_subnormals(_SMALLEST):
        raise RuntimeError("fp_gemm: this thread's processor flushes subnormals to zero, which changes results")
    form = design.accumulator
    loop = _gemm_fused if form == FP32 and not design.saturate else _gemm_rounded
    plain = plain_sum_is_safe(design.a, design.b, form)
    x, y = (np.ascontiguousarray(v if v.ndim == 3 else v[None]) for v in (a, b))
    c = np.empty((*x.shape[:2], y.shape[2]), np.float32)
    loop(x, y, rounding(form, design.saturate), rounding(outer, design.saturate), chunk, plain, c)
    return c if a.ndim == 3 else c[0]


def _decode(name: str, codes: npt.ArrayLike, form: Float) -> Singles:
    """The numbers of an array of codes, once it is checked."""
    found = np.asarray(codes)
    if not np.issubdtype(found.dtype, np.integer):
        raise ValueError(f"fp_gemm: {name} must hold codes, whole numbers, got {found.dtype}")
    if found.size and (int(found.min()) < 0 or int(found.max()) >= 1 << form.bits):
        raise ValueError(f"fp_gemm: {name} holds {form} codes, 0 to {(1 << form.bits) - 1}")
    values: Singles = decoded(form)[found]
    return values
