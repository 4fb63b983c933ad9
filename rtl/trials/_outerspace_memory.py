"""Products in the memory of an OuterSPACE tile: what it finds there, and what it must have left behind.

The layout is the cycle model's, byte for byte; only the slices for results and spilled runs are as small as they may
be. All that the tile must not look at is junk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.rtl.machines._outerspace_size import (
    ADDRESS_BITS,
    ELEMENT_WORDS,
    END_BIT,
    HEAD_WORDS,
    JOB,
    WORD_BITS,
    WORD_BYTES,
    TileSize,
)
from siloom.sim.engine.outer_multiply import ELEMENT_BYTES
from siloom.sim.engine.outer_product import PAGE, Layout, lay_out
from siloom.sim.errors import InputError
from siloom.sim.sparse import Csr

Words = npt.NDArray[np.uint32]

ENTRY_BITS = 128
"""Of an entry of the product: its value, its column, its row, from the lowest bit."""


@dataclass(frozen=True, eq=False)
class Placed:
    """A product C = A B at a place in memory; ``first`` is its first word, ``slice_words`` a PE's share of the end."""

    size: TileSize
    a: Csr
    b: Csr
    c: Csr
    first: int
    layout: Layout
    slice_words: int

    @property
    def end(self) -> int:
        """The first word behind it."""
        return self._results + 2 * self.size.mergers * self.slice_words

    @property
    def known(self) -> range:
        """The bursts of operands, lists and chunks, whose words all follow from the operands."""
        words = -(-self.layout.partial_bytes // WORD_BYTES) + self._chunks // WORD_BYTES
        return range(self.first // self.size.burst_words, -(-(self.first + words) // self.size.burst_words))

    @property
    def _chunks(self) -> int:
        return self.layout.multiply.lists + _pages(HEAD_WORDS * WORD_BYTES * self.a.shape[0])

    @property
    def _results(self) -> int:
        return self.first + self.layout.merge.result // WORD_BYTES

    def job(self) -> int:
        """The beat that asks for it."""
        op, merge = self.layout.multiply, self.layout.merge
        spills = self._results + self.size.mergers * self.slice_words
        at = {
            "a": op.a_base, "a_pointers": op.a_pointers, "b": op.b_base, "b_pointers": op.b_pointers,
            "lists": op.lists, "chunks": self._chunks, "pointers": merge.pointers, "results": merge.result,
        }  # fmt: skip
        values = {name: self.first + byte // WORD_BYTES for name, byte in at.items()}
        values |= {"columns": self.a.shape[1], "rows": self.a.shape[0], "elements": self.a.nnz}
        values |= {"spills": spills, "slice": self.slice_words}
        beat = shift = 0
        for name, bits in JOB:
            beat |= values[name] << shift
            shift += bits
        return beat

    def write(self, words: Words, *, multiplied: bool) -> None:
        """Put the operands into memory, and what becomes of lists and chunks where it is ``multiplied``."""
        op, a, b = self.layout.multiply, self.a.transposed, self.b
        self._put(words, op.a_base, _elements(a.indices, a.data))
        self._put(words, op.a_pointers, op.a_ptr.astype(np.uint32))
        self._put(words, op.b_base, _elements(b.indices, b.data))
        self._put(words, op.b_pointers, op.b_ptr.astype(np.uint32))
        heads = np.zeros((self.a.shape[0], HEAD_WORDS), np.uint32)
        if not multiplied:
            self._put(words, op.lists, heads.ravel())
            return
        for k in range(a.shape[0]):
            row = slice(b.indptr[k], b.indptr[k + 1])
            if row.start == row.stop:
                continue
            for e in range(a.indptr[k], a.indptr[k + 1]):
                m, at = a.indices[e], int(op.chunk_at[e])
                chunk = _elements(b.indices[row], a.data[e] * b.data[row])
                chunk[-ELEMENT_WORDS] |= 1 << END_BIT
                self._put(words, at, np.concatenate([heads[m, :1], chunk]))
                heads[m, 0] = self.first * WORD_BYTES + at
        # The second word of a head is nobody's; it stays what it was.
        self._put(words, op.lists, heads.ravel())

    def _put(self, words: Words, byte: int, values: Words) -> None:
        at = self.first + byte // WORD_BYTES
        words[at : at + len(values)] = values

    def find(self, memory: Sequence[int]) -> list[int]:
        """The entries that the rows' pointers lead to, row by row; what leads nowhere is left out."""
        words = _split(memory, self.size.burst_words)
        at = self.first + self.layout.merge.pointers // WORD_BYTES
        out: list[int] = []
        for m, pointer in enumerate(words[at : at + self.a.shape[0]].tolist()):
            place, more = pointer // WORD_BYTES, pointer != 0
            while more and place + ELEMENT_WORDS <= len(words) and len(out) <= self.c.nnz:
                column, low, high = words[place : place + ELEMENT_WORDS].tolist()
                more = not column >> END_BIT
                out.append(_entry(m, column & ~(1 << END_BIT), high << WORD_BITS | low))
                place += ELEMENT_WORDS
        return out

    def entries(self) -> list[int]:
        """The entries of the product."""
        rows = np.repeat(np.arange(self.c.shape[0]), self.c.row_lengths)
        codes = self.c.data.view(np.uint64)
        return [_entry(*e) for e in zip(rows.tolist(), self.c.indices.tolist(), codes.tolist(), strict=True)]


def place(size: TileSize, a: Csr, b: Csr, c: Csr, first: int = 0) -> Placed:
    """Lay a product out from the word ``first`` on, which begins a page.

    Raises:
        InputError: it does not fit the tile's addresses.
    """
    layout = lay_out(a, b)
    # Any PE could make all rows, and spill every partial product but the rows' alignment.
    most = max(c.nnz, int(layout.merge.length.sum())) + (size.block_words * a.shape[0]) // ELEMENT_WORDS
    placed = Placed(size, a, b, c, first, layout, _pages(ELEMENT_BYTES * most + 1) // WORD_BYTES)
    if placed.end * WORD_BYTES > 1 << ADDRESS_BITS:
        raise InputError(f"product: must lie in 2^{ADDRESS_BITS} bytes, needs {placed.end * WORD_BYTES}")
    return placed


def memory_words(words: Words, burst_words: int) -> list[int]:
    """Words as those of a memory that moves bursts; a part of a burst at the end is filled up."""
    rest = -len(words) % burst_words
    data = np.concatenate([words, np.zeros(rest, np.uint32)]).astype("<u4").tobytes()
    step = burst_words * WORD_BYTES
    return [int.from_bytes(data[k : k + step], "little") for k in range(0, len(data), step)]


def _split(memory: Sequence[int], burst_words: int) -> Words:
    data = b"".join(word.to_bytes(burst_words * WORD_BYTES, "little") for word in memory)
    return np.frombuffer(data, "<u4")


def _elements(columns: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> Words:
    out = np.empty((len(columns), ELEMENT_WORDS), np.uint32)
    out[:, 0] = columns
    out[:, 1:] = np.ascontiguousarray(values, "<f8").view("<u4").reshape(-1, 2)
    return out.ravel()


def _entry(row: int, column: int, code: int) -> int:
    return row << (ENTRY_BITS - WORD_BITS) | column << (ENTRY_BITS - 2 * WORD_BITS) | code


def _pages(size: int) -> int:
    return -(-size // PAGE) * PAGE
