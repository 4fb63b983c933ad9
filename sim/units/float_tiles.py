"""All tiles of a product of floating-point units, with chunks and scale factors: the loops around ``float_tile``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from siloom.sim.jit import kernel
from siloom.sim.units.chance import word
from siloom.sim.units.float_tile import CHANCE, float_tile
from siloom.sim.units.host_floats import Rounding, odd_sum, rounded
from siloom.sim.units.panels import Operand, pack
from siloom.sim.units.register_tile import ROWS, columns_of

Singles = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float32] | npt.NDArray[np.float64]
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
    """The product (s, m, n), put into ``out``; how many of its sums left the range of their format.

    ``chunk`` is at least 1; each chunk's sum starts from +0. With one scale factor a line, (s or 1, lines or 1, 1), the
    chunks' sums are added and the whole is scaled; with one a chunk they are scaled first. ``sums`` and ``marks`` are
    room for one tile, of the type in which the steps are taken.
    """
    stack, rows, columns = out.shape
    inner, lanes = x.shape[2], columns_of(sums.itemsize)
    tiles = (rows + ROWS - 1) // ROWS
    a_panels, b_panel = np.empty(tiles * ROWS * inner, sums.dtype), np.empty(lanes * inner, sums.dtype)
    whole, left_range = np.empty(ROWS * lanes, np.float64), np.empty(ROWS * lanes, np.int64)
    a_scale, b_scale = np.ones(ROWS), np.ones(lanes)
    single_sums = outer_is_single and a_scales.shape[2] == 1
    by_chance = kind == CHANCE and sums.itemsize == 8
    beyond = 0
    for s in range(stack):
        t = 0 if y.shape[0] == 1 else s
        for tile in range(tiles):
            at = s * x.steps[0] + tile * ROWS * x.steps[1]
            height = min(ROWS, rows - tile * ROWS)
            pack(x.flat, at, x.steps[1], x.steps[2], height, ROWS, inner, a_panels, tile * ROWS * inner)
        for left in range(0, columns, lanes):
            width = min(lanes, columns - left)
            at = t * y.steps[0] + left * y.steps[1]
            pack(y.flat, at, y.steps[1], y.steps[2], width, lanes, inner, b_panel, 0)
            for tile in range(tiles):
                top = tile * ROWS
                height = min(ROWS, rows - top)
                whole[:] = 0.0 if a_scales.shape[2] == 1 else -0.0  # the first of scaled sums is where they start
                left_range[:] = 0
                marks[:] = 0
                if by_chance:
                    for i in range(ROWS):
                        for j in range(lanes):
                            place = (s * rows + top + i) * columns + left + j
                            marks[i * lanes + j] = np.int64(word(key, np.uint64(place)))
                for start in range(0, inner, chunk):
                    count = min(chunk, inner - start)
                    sums[:] = 0
                    _float_steps(
                        kind, a_panels, (top * inner) + start * ROWS, b_panel, start * lanes, count, sums, marks,
                        constants,
                    )  # fmt: skip
                    for n in range(ROWS * lanes):
                        left_range[n] |= not abs(sums[n]) < np.inf
                    if not chunked:
                        for n in range(ROWS * lanes):
                            whole[n] = sums[n]
                        continue
                    if single_sums:
                        for n in range(ROWS * lanes):
                            whole[n] = np.float32(np.float32(whole[n]) + np.float32(sums[n]))
                        continue
                    if a_scales.shape[2] > 1:
                        _scales_of(a_scales, s, top, height, start // chunk, a_scale)
                        _scales_of(b_scales, s, left, width, start // chunk, b_scale)
                        for i in range(ROWS):
                            for j in range(lanes):
                                n = i * lanes + j
                                part = np.float32(sums[n] * (a_scale[i] * b_scale[j]))
                                whole[n] = np.float32(np.float32(whole[n]) + part)
                        continue
                    for n in range(ROWS * lanes):
                        whole[n] = rounded(odd_sum(whole[n], np.float64(sums[n])), outer)
                if a_scales.shape[2] == 1:
                    _scales_of(a_scales, s, top, height, 0, a_scale)
                    _scales_of(b_scales, s, left, width, 0, b_scale)
                    for i in range(ROWS):
                        for j in range(lanes):
                            whole[i * lanes + j] *= a_scale[i] * b_scale[j]
                if not by_chance:
                    for n in range(ROWS * lanes):
                        left_range[n] |= marks[n] != 0
                for i in range(height):
                    row = out[s, top + i, left : left + width]
                    for j in range(width):
                        beyond += left_range[i * lanes + j]
                        row[j] = np.float32(whole[i * lanes + j])
    return beyond


@kernel
def _scales_of(scales: Singles, s: int, first: int, count: int, block: int, found: npt.NDArray[np.float64]) -> None:
    """The factors of some lines of an operand."""
    of = scales[min(s, len(scales) - 1)]
    for n in range(count):
        found[n] = np.float64(of[min(first + n, len(of) - 1), block])
