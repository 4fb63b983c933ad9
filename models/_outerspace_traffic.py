"""What OuterSPACE must move: payload by tensor, in its own formats; and what really crosses the pins.

Indices have 4 bytes and values 8; the indices of a column or row, and each list of pointers, are
padded to 8 bytes. Real bursts carry more than the payload: parts of bursts, and what is read again.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from siloom.sim.engine import dram
from siloom.sim.engine.outer_multiply import ELEMENT_BYTES, LINK_BYTES
from siloom.sim.engine.outer_product import PhaseRun
from siloom.sim.sparse import Csr, Index


def product_payload(a: Csr, b: Csr, multiplies: int, counts: Index, chunks: Index, spilled: int) -> dict[str, int]:
    """Bytes of C = A B.

    ``counts`` [rows] are the entries of each row of C and ``chunks`` [rows] its lists' lengths;
    ``spilled`` are the elements of merge rounds. Of an empty A nothing is read, not even pointers.

    Rows of B that no column of A meets are not read. Partial products and their pointers are
    written once and read once, and so is what spills.
    """
    if a.nnz == 0:
        return dict.fromkeys(("a", "b", "partial", "c", "spill"), 0)
    columns = np.bincount(a.indices, minlength=a.shape[1])
    met = b.row_lengths[columns > 0]
    lists = chunks[chunks > 0]
    return {
        "a": ELEMENT_BYTES * a.nnz + _pad(LINK_BYTES * a.shape[1]) + _pads(columns),
        "b": ELEMENT_BYTES * int(met.sum()) + _pad(LINK_BYTES * b.shape[0]) + _pads(met),
        "partial": 2 * (ELEMENT_BYTES * multiplies + int((((lists + 2) // 2) * 8).sum())),
        "c": ELEMENT_BYTES * int(counts.sum()) + _pad(LINK_BYTES * int((counts > 0).sum())) + _pads(counts),
        "spill": 2 * ELEMENT_BYTES * spilled,
    }


def sampled_payload(mask: Csr, k: int) -> dict[str, int]:
    """Bytes of C = X Y at the mask's positions, ``k`` elements deep.

    ``a`` is the mask: indices and pointers, no values. Of ``x`` and ``y`` each row or column that
    the mask needs counts once, in the machine's elements of 12 bytes, dense as they are; ``c`` is
    one element for each position, at the mask's own places, so it has no pointers.
    """
    columns = np.bincount(mask.indices, minlength=mask.shape[1])
    return {
        "a": LINK_BYTES * mask.nnz + _pad(LINK_BYTES * mask.shape[1]) + _pads(columns),
        "x": ELEMENT_BYTES * k * int(np.count_nonzero(mask.row_lengths)),
        "y": ELEMENT_BYTES * k * int(np.count_nonzero(columns)),
        "c": ELEMENT_BYTES * mask.nnz,
    }


def with_bursts(payload: dict[str, int], burst_bytes: int, runs: Iterable[PhaseRun]) -> dict[str, int]:
    """``payload``, the bytes that the phases' bursts carry, and by how much they exceed it.

    Never negative: pointers behind the last entry are payload, but are not read.
    """
    runs = tuple(runs)
    read = burst_bytes * sum(int(run.dram[dram.READ_BURSTS]) for run in runs)
    write = burst_bytes * sum(int(run.dram[dram.WRITE_BURSTS]) for run in runs)
    return {**payload, "dram_read": read, "dram_write": write, "padding": max(0, read + write - sum(payload.values()))}


def _pad(size: int) -> int:
    return (size + 7) // 8 * 8


def _pads(lengths: Index) -> int:
    """Bytes that pad lists of 4-byte indices of these lengths to 8."""
    return LINK_BYTES * int((lengths % 2).sum())
