"""The numbers that the parts of an OuterSPACE tile are made of, and the layout of its job; no Amaranth here.

Addresses are in words of four bytes, the unit in which everything lies: an index, a link, a half of a value. A
*burst* is what the memory moves in a cycle, a *block* what the caches hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from siloom.models.outerspace import OuterSpaceDesign

ADDRESS_BITS = 24
"""Of a byte: 16 MiB."""
WORD_BYTES = 4
WORD_BITS = 8 * WORD_BYTES
PLACE_BITS = ADDRESS_BITS - 2
"""Of a word."""
ELEMENT_WORDS = 3
"""A column and the two halves of a value."""
END_BIT = WORD_BITS - 1
"""Of a column: the last element of a chunk, of a spilled run or of a row of the result."""
HEAD_WORDS = 2
"""Of a row's list in memory: a pointer, and padding."""
ROW_BITS = 12
"""Rows of A: the tile has a bit for each, that says whether anything was linked into its list."""
COLUMN_BITS = 20
"""Columns of A."""
STORES = 4
"""Bursts that wait between a PE and the memory's write buffer."""
READ_AHEAD = 8
"""Bursts that the controller holds of A, and of each list of pointers."""
PIPELINE = 2
"""Cycles of a block's way to memory and back that are the tile's own: a register for the choice of a request, and
one for the request; the memory's latency makes up the rest of the model's."""

JOB = (
    ("columns", COLUMN_BITS),
    ("rows", ROW_BITS + 1),
    ("elements", PLACE_BITS),
    ("a", PLACE_BITS),
    ("a_pointers", PLACE_BITS),
    ("b", PLACE_BITS),
    ("b_pointers", PLACE_BITS),
    ("lists", PLACE_BITS),
    ("chunks", PLACE_BITS),
    ("pointers", PLACE_BITS),
    ("results", PLACE_BITS),
    ("spills", PLACE_BITS),
    ("slice", PLACE_BITS),
)
"""Field -> bits, from the lowest: A's columns, rows and elements, where everything begins, and the words of a slice."""
DONE_BITS = 32
"""Of the answer: the entries of the product."""


@dataclass(frozen=True)
class TileSize:
    """What follows from the machine's design."""

    design: OuterSpaceDesign

    @property
    def pes(self) -> int:
        """PEs that multiply."""
        return self.design.pes_per_tile

    @property
    def mergers(self) -> int:
        """PEs that merge; as many banks has the cache."""
        return self.design.merge_pes_per_tile

    @property
    def burst_words(self) -> int:
        """Words of a burst."""
        return self.design.burst_bytes // WORD_BYTES

    @property
    def block_words(self) -> int:
        """Words of a block."""
        return self.design.block_bytes // WORD_BYTES

    @property
    def bursts(self) -> int:
        """Bursts of a block."""
        return self.block_words // self.burst_words

    @property
    def burst_bits(self) -> int:
        """Of a burst's number."""
        return PLACE_BITS - log2(self.burst_words)

    @property
    def block_bits(self) -> int:
        """Of a block's number."""
        return PLACE_BITS - log2(self.block_words)

    @property
    def ways(self) -> int:
        """Ways of the cache."""
        return self.design.l0_ways

    @cached_property
    def sets(self) -> int:
        """Sets of a bank."""
        return self.design.merge_array().sets

    @property
    def mshrs(self) -> int:
        """Blocks on their way to the cache."""
        return self.design.l0_mshrs

    @property
    def outstanding(self) -> int:
        """Blocks that a PE has asked for and not multiplied."""
        return self.design.outstanding_requests

    @property
    def links(self) -> int:
        """Chunks of a PE whose link has not come and gone; with more of them it would take no new one."""
        return self.design.links_under_way

    @property
    def heads(self) -> int:
        """Streams that a merging PE merges at a time."""
        return self.design.merge_heads

    @property
    def latency(self) -> int:
        """Cycles from a block's last burst being asked for to its being multiplied."""
        return self.design.timing().latency

    @property
    def request_bits(self) -> int:
        """Of a request to memory: a burst's number, a bit for a write, data, and a bit for each word to write."""
        return self.burst_bits + 1 + self.burst_words * (WORD_BITS + 1)


def log2(number: int) -> int:
    """Of a power of two."""
    return number.bit_length() - 1
