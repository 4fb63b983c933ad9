"""Does the chunk merger's twin keep its Contract where lists are long and sums cancel, as random beats rarely do?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from siloom.rtl.registry import UnitBlock
from siloom.rtl.testing import conform, make_cases
from siloom.sim.units.chunk_merger import UNIT, ChunkMerger


def long_rows(size: ChunkMerger):
    """The Contract, given rows of many chunks and values of a few binades and few significant bits."""
    contract = UNIT.contract(size)

    def legal(beats: np.ndarray) -> np.ndarray:
        out = beats.copy()
        column, value, end, go = out.T
        column %= 2 * size.heads
        end[:] = value & 7 == 0
        go[:] = np.arange(len(out)) % 211 == 0
        value[:] = (value & (-1 << 63 | 0x0008_0000_0000_0001)) | 1022 + (value >> 16 & 1) << 52
        assert contract.legal is not None
        return contract.legal(out)

    return replace(contract, legal=legal)


@pytest.mark.slow
@pytest.mark.parametrize(
    "size",
    [
        ChunkMerger(column_bits=12),
        ChunkMerger(column_bits=8, heads=33, step_cycles=2, add_cycles=0),
        ChunkMerger(column_bits=8, heads=9, step_cycles=0, add_cycles=5),
    ],
)
def test_long_rows_of_small_sums_are_the_models(size):
    contract = long_rows(size)
    back_to_back = make_cases(contract, 8000, 3)[0]
    results = back_to_back.answer.beats
    added = results[:-1, 2] == 0
    assert added.sum() > 300
    assert (results[1:, 1][added] == 0).sum() > 3  # two numbers cancelled
    assert len(set(results[:, 5].tolist())) == size.heads
    assert conform(contract, UnitBlock(UNIT, size).make, vectors=8000, seed=3, simulator="cxxrtl").passed
