"""Every register of a 2:4 sparse systolic array, cycle by cycle, on real integers.

As ``systolic_cells``, made of the ``sparse24_cell`` unit's own step: words of four operands and words of two kept
weights stand at the edges in the cycles in which a dense weight-stationary array of as many rows has its operands
there. The product is then that of the array alone: nothing outside says which operand meets which weight.

For small sizes: time grows with cells times cycles.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from siloom.sim.engine.systolic_cells import Ran, edges, fold_list
from siloom.sim.jit import kernel
from siloom.sim.units.sparse24_cell import STAGES, Sparse24Cell, pack_operands, pack_weights, sparse24_cell_step
from siloom.sim.units.sparse24_select import GROUP, KEPT

Ints = NDArray[np.int64]


class Words(NamedTuple):
    """A product as the array is given it: ``a`` (m, rows) and ``b`` (rows, n), a row of cells each; see the unit."""

    a: Ints
    b: Ints


def sparse_words(a: Ints, kept: Ints, places: Ints, bits: int) -> Words:
    """A (m, k) times 2:4 weights: the kept ones and their places, (k / 4, n, 2) both."""
    return Words(pack_operands(a, bits), pack_weights(kept, places, bits))


def dense_words(a: Ints, b: Ints, bits: int) -> Words:
    """A (m, k) times a dense B (k, n): two neighbours of k a row, with places 0 and 1; an odd k ends with a zero."""
    odd = a.shape[1] % KEPT
    pairs = np.pad(a, ((0, 0), (0, odd))).reshape(len(a), -1, KEPT)
    fours = np.pad(pairs, ((0, 0), (0, 0), (0, GROUP - KEPT))).reshape(len(a), -1)
    kept = np.pad(b, ((0, odd), (0, 0))).reshape(-1, KEPT, b.shape[1]).transpose(0, 2, 1)
    places = np.broadcast_to(np.arange(KEPT), kept.shape)
    return Words(pack_operands(fours, bits), pack_weights(kept, places, bits))


@kernel
def run_sparse_cells(left: Ints, top: Ints, bits: int, acc_bits: int) -> Ints:
    """Clock the array over all cycles: what its lower edge shows in each; (cycles, cols)."""
    length, rows, _ = left.shape
    cols = top.shape[1]
    right = np.zeros((rows, cols, 4), np.int64)  # a and the flags, as each cell shows them
    down = np.zeros((rows, cols, 2), np.int64)  # b and psum
    # Weights that multiply, those that choose, those loaded, and the operands chosen.
    state = np.zeros((rows, cols, 4), np.int64)
    shown = np.zeros((length, cols), np.int64)
    zero = np.int64(0)
    for now in range(length):
        shown[now] = down[rows - 1, :, 1]
        # From the lower right, so that a cell still sees what its neighbours showed before the clock's edge.
        for i in range(rows - 1, -1, -1):
            for j in range(cols - 1, -1, -1):
                a, first, last, shift = left[now, i] if j == 0 else right[i, j - 1]
                b = top[now, j] if i == 0 else down[i - 1, j, 0]
                psum = zero if i == 0 else down[i - 1, j, 1]
                acting, held, moving, chosen = state[i, j]
                acting, held, moving, chosen, total = sparse24_cell_step(
                    bits, acc_bits, acting, held, moving, chosen, a, b, psum, first, shift
                )
                state[i, j, 0] = acting
                state[i, j, 1] = held
                state[i, j, 2] = moving
                state[i, j, 3] = chosen
                down[i, j, 0] = moving
                down[i, j, 1] = total
                right[i, j, 0] = a
                right[i, j, 1] = first
                right[i, j, 2] = last
                right[i, j, 3] = shift
    return shown


def multiply_words(cell: Sparse24Cell, rows: int, cols: int, words: Words) -> Ran:
    """The product of these words on an array of ``rows`` x ``cols`` cells, register by register; sums wrap.

    Sums of a k cut into folds are added below the array, at the cells' width too.
    """
    folds = fold_list("ws", rows, cols, len(words.a), words.b.shape[1], len(words.b), double=True)
    edge = edges("ws", rows, cols, words.a, words.b, folds)
    shown = run_sparse_cells(edge.left, edge.top, cell.bits, cell.acc_bits)
    cycle, lane, row, col = edge.taken.T
    product = np.zeros((len(words.a), words.b.shape[1]), np.int64)
    np.add.at(product, (row, col), shown[cycle + STAGES, lane])
    if cell.acc_bits < 64:
        half = 1 << (cell.acc_bits - 1)
        product = (product + half) % (2 * half) - half
    return Ran(product, int(cycle.max()) + STAGES + 1)
