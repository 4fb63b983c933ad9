"""Products for a 2:4 array: words at its edges, with junk wherever it must not look, and the C of all its registers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from siloom.rtl.machines._sparse24_size import JOB_BITS
from siloom.rtl.machines._systolic_size import LENGTH_BITS, ArraySize
from siloom.rtl.trials._systolic_streams import Product
from siloom.sim.contract import Codes, Whole
from siloom.sim.engine.sparse24_cells import Words, dense_words, multiply_words, sparse_words
from siloom.sim.units.sparse24_cell import PLACE_BITS, Sparse24Cell
from siloom.sim.units.sparse24_select import GROUP, KEPT, encode24


@dataclass(frozen=True)
class WordProduct(Product):
    """Words in the place of codes; ``k`` in elements."""

    k: int
    dense: bool

    @property
    def job(self) -> tuple[int, int]:
        """What the machine is told of it, and the bits of that."""
        m, n, _ = self.sizes
        return m | n << LENGTH_BITS | self.k << 2 * LENGTH_BITS | self.dense << 3 * LENGTH_BITS, JOB_BITS


def sparse_product(size: ArraySize, a: Codes, kept: Codes, places: Codes) -> WordProduct:
    """A (m, k) times 2:4 weights, (k / 4, n, 2) kept ones and places."""
    words = sparse_words(a, kept, places, _cell(size).bits)
    return WordProduct(*words, _product(size, words), a.shape[1], dense=False)


def pruned_product(size: ArraySize, a: Codes, b: Codes) -> WordProduct:
    """A times B (k, n), of which the two largest of each four along k are kept."""
    fours = b.reshape(-1, GROUP, b.shape[1]).transpose(0, 2, 1)
    kept, places = encode24(fours.reshape(-1, GROUP), Whole(_cell(size).bits))
    shape = (*fours.shape[:2], KEPT)
    return sparse_product(size, a, kept.reshape(shape), places.reshape(shape))


def dense_product(size: ArraySize, a: Codes, b: Codes, rng: np.random.Generator) -> WordProduct:
    """A times a dense B; places, the upper half of each four and what an odd k lacks of A are junk."""
    bits = _cell(size).bits
    clean = dense_words(a, b, bits)
    full = KEPT * bits
    last = np.zeros(len(clean.b), np.int64)
    last[-1] = (a.shape[1] % KEPT) * ((1 << bits) - 1) << bits  # A's element that no weight meets
    a_junk = rng.integers(0, 1 << full, clean.a.shape) << full | rng.integers(0, 1 << full, clean.a.shape) & last
    b_junk = rng.integers(0, 1 << KEPT * PLACE_BITS, clean.b.shape) << full
    weights = clean.b & ((1 << full) - 1)
    return WordProduct(clean.a | a_junk, weights | b_junk, _product(size, clean), a.shape[1], dense=True)


def random_product(size: ArraySize, m: int, n: int, rows: int, dense: bool, rng: np.random.Generator) -> WordProduct:
    """Numbers drawn evenly for ``rows`` rows of cells; any two places; an odd k where B is dense."""
    form = Whole(_cell(size).bits)

    def drawn(*shape: int) -> Codes:
        return rng.integers(form.low, form.high, shape, endpoint=True)

    if dense:
        k = KEPT * rows - 1
        return dense_product(size, drawn(m, k), drawn(k, n), rng)
    return sparse_product(size, drawn(m, GROUP * rows), drawn(rows, n, KEPT), rng.integers(0, GROUP, (rows, n, KEPT)))


def _cell(size: ArraySize) -> Sparse24Cell:
    assert isinstance(size.cell, Sparse24Cell)
    return size.cell


def _product(size: ArraySize, words: Words) -> Codes:
    return multiply_words(_cell(size), size.rows, size.cols, words).product
