"""All tiles of a product of floating-point units, with chunks and scale factors: the loops around ``float_tile``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from siloom.sim.jit import kernel
from siloom.sim.units.chance import word
from siloom.sim.units.float_tile import CHANCE, MARKED, float_tile
from siloom.sim.units.host_floats import Rounding, odd_sum, rounded
from siloom.sim.units.panels import Operand, pack
from siloom.sim.units.register_tile import ROWS, columns_of

Singles = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Scales = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int32] | npt.NDArray[np.int64]


@kernel
def _float_steps(
    kind: int, a: Reals, a_at: int, b: Reals, b_at: int, count: int, sums: Reals, marks: Wholes,
    constants: tuple[float, ...],
) -> None:  # fmt: skip
    float_tile(kind, a, a_at, b, b_at, count, sums, sums, marks, 0, columns_of(sums.itemsize), constants)


@kernel
def float_tiles(
    kind: int,
    x: Operand,
    y: Operand,
    chunk: int,
    constants: tuple[float, ...],
    outer: Rounding,
    outer_is_single: bool,
    chunked: bool,
    key: np.uint64,
    a_scales: Singles,
    b_scales: Singles,
    sums: Reals,
    marks: Wholes,
    out: Singles,
) -> int:
    """The product (s, m, n), put into the flat ``out``; how many sums, of products or of chunks, left their range.

    ``chunk`` is at least 1; each chunk's sum starts from +0. With one scale factor a line, (s or 1, lines or 1, 1), the
    chunks' sums are added and the whole is scaled; with one a chunk they are scaled first. ``sums`` and ``marks`` are
    room for one tile, of the type in which the steps are taken.
    """
    stack, rows, columns = x.shape[0], x.shape[1], y.shape[1]
    inner, lanes = x.shape[2], columns_of(sums.itemsize)
    tiles = (rows + ROWS - 1) // ROWS
    a_panels, b_panel = np.empty(tiles * ROWS * inner, sums.dtype), np.empty(lanes * inner, sums.dtype)
    whole, left_range = np.empty(ROWS * lanes, np.float32), np.empty(ROWS * lanes, np.bool_)
    a_scale, b_scale = np.ones(ROWS), np.ones(lanes)
    a_end, b_end = (np.ones(ROWS), np.ones(lanes)) if a_scales.shape[2] > 1 else (a_scale, b_scale)
    by_block = a_scales.shape[2] > 1
    by_chance = kind >= CHANCE and sums.itemsize == 8
    marked = kind in MARKED
    marks[:] = 0
    # Half-way from the largest number to the next power of two; the tie is rounded to the even one of both, beyond.
    outer_end = (outer[2] + outer[3]) / 2
    beyond = 0
    for s in range(stack):
        t = 0 if y.shape[0] == 1 else s
        _scales_of(a_scales, s, 0, min(ROWS, rows), 0, a_scale)
        for tile in range(tiles):
            at = s * x.steps[0] + tile * ROWS * x.steps[1]
            height = min(ROWS, rows - tile * ROWS)
            pack(x.flat, at, x.steps[1], x.steps[2], height, ROWS, inner, a_panels, tile * ROWS * inner)
        for left in range(0, columns, lanes):
            width = min(lanes, columns - left)
            at = t * y.steps[0] + left * y.steps[1]
            pack(y.flat, at, y.steps[1], y.steps[2], width, lanes, inner, b_panel, 0)
            _scales_of(b_scales, s, left, width, 0, b_scale)
            for tile in range(tiles):
                top = tile * ROWS
                height = min(ROWS, rows - top)
                if marked:
                    marks[:] = 0
                if by_chance:
                    for i in range(ROWS):
                        for j in range(lanes):
                            place = (s * rows + top + i) * columns + left + j
                            marks[i * lanes + j] = np.int64(word(key, np.uint64(place)))
                if a_scales.shape[1] > 1 and not by_block:
                    _scales_of(a_scales, s, top, height, 0, a_scale)
                if not chunked:
                    sums[:] = 0
                    _float_steps(kind, a_panels, top * inner, b_panel, 0, inner, sums, marks, constants)
                    beyond += _out_of_range(sums, marks, marked)
                    for n in range(ROWS * lanes):
                        whole[n] = np.float32(sums[n])
                    _put(whole, a_end, b_end, out, (s * rows + top) * columns + left, columns, height, width)
                    continue
                whole[:] = -0.0 if by_block else 0.0  # the first of scaled sums is where they start
                left_range[:] = False
                for start in range(0, inner, chunk):
                    count, a_at = min(chunk, inner - start), top * inner + start * ROWS
                    sums[:] = 0
                    _float_steps(kind, a_panels, a_at, b_panel, start * lanes, count, sums, marks, constants)
                    for n in range(ROWS * lanes):
                        left_range[n] |= not abs(sums[n]) < np.inf
                    if by_block:
                        _scales_of(a_scales, s, top, height, start // chunk, a_scale)
                        _scales_of(b_scales, s, left, width, start // chunk, b_scale)
                        for i in range(ROWS):
                            for j in range(lanes):
                                n = i * lanes + j
                                whole[n] += np.float32(sums[n] * (a_scale[i] * b_scale[j]))
                    elif outer_is_single:
                        for n in range(ROWS * lanes):
                            whole[n] += np.float32(sums[n])
                    else:
                        for n in range(ROWS * lanes):
                            total = odd_sum(np.float64(whole[n]), np.float64(sums[n]))
                            left_range[n] |= abs(total) >= outer_end
                            whole[n] = np.float32(rounded(total, outer))
                for n in range(ROWS * lanes):
                    beyond += left_range[n] or (marks[n] != 0 and marked) or not abs(whole[n]) < np.inf
                _put(whole, a_end, b_end, out, (s * rows + top) * columns + left, columns, height, width)
    return beyond


@kernel
def _out_of_range(sums: Reals, marks: Wholes, marked: bool) -> int:
    """How many sums of a tile are not finite or, where marks say so, were ever too large."""
    found = 0
    for n in range(len(sums)):
        found += 0 if abs(sums[n]) < np.inf else 1
    if marked:
        for n in range(len(sums)):
            # An infinite sum may be marked as well.
            found += 1 if marks[n] != 0 and abs(sums[n]) < np.inf else 0
    return found


@kernel
def _put(
    sums: Singles, a_scale: Scales, b_scale: Scales, onto: Singles, at: int, row: int, height: int, width: int
) -> None:
    """A tile's sums times their factors, rounded to float32, as far as there are rows and columns."""
    lanes = len(b_scale)
    for i in range(height):
        for j in range(width):
            onto[at + i * row + j] = np.float32(sums[i * lanes + j] * (a_scale[i] * b_scale[j]))


@kernel
def _scales_of(scales: Singles, s: int, first: int, count: int, block: int, found: Scales) -> None:
    """The factors of some lines of an operand."""
    of = scales[min(s, len(scales) - 1)]
    for n in range(count):
        found[n] = np.float64(of[min(first + n, len(of) - 1), block])
