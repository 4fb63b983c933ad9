"""Matrix products as an array of ``fp_mac`` units gives them, bit by bit, at the speed of the host.

``C[i, j]`` is one unit's sum of ``A[i, k] * B[k, j]`` in the order k = 0, 1, 2, ..., from +0, with the
unit's one rounding a step. With ``chunk`` the unit is cleared every so many products; the chunks' sums
are added in their order, from +0, in a second format ``outer``, again with one rounding each and the
same rule for overflow. (Hopper-like "promotion to FP32 every 128" is ``chunk=128, outer=FP32``.)

:func:`gemm_codes` is the definition, in integers. :func:`fp_gemm` gives the same bits by ``float_gemm``, in the host's
floating point.

One thread, which lets go of the GIL. Scale factors, and sums rounded by chance, are ``float_gemm``'s alone.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import FP32, Codes, Float
from siloom.sim.jit import kernel
from siloom.sim.units.float_gemm import float_gemm
from siloom.sim.units.floats import Layout, add, convert, layout, pack, unpack
from siloom.sim.units.fp_mac import FpMac, fp_mac_step
from siloom.sim.units.host_floats import all_in_format, rounding

Singles = npt.NDArray[np.float32]
"""Numbers of a small format, each held as a float32 without loss."""


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
    x, y = (v if v.ndim == 3 else v[None] for v in (a, b))
    c, _ = float_gemm(x, y, design, chunk=chunk, outer=outer)
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
