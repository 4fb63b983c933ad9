"""Do twins keep their Contracts for operands of every size, where random codes are nearly all large?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from siloom.rtl.registry import UnitBlock, find_unit
from siloom.rtl.testing import conform
from siloom.sim.units.norm import Norm
from siloom.sim.units.pack_split import PackSplit


def check(name, design, rare, vectors=400):
    """The answers to operands that ``rare`` makes of random ones; the twin has kept its Contract for them."""
    unit = find_unit(name)
    contract = unit.contract(design)
    answers = []

    def legal(beats):
        made = rare(beats)
        answers.append(contract.answer(made).beats)
        return made

    verdict = conform(
        replace(contract, legal=legal), UnitBlock(unit, design).make, vectors=vectors, seed=11, simulator="amaranth"
    )
    assert verdict.passed, verdict
    return np.concatenate(answers)


@pytest.mark.parametrize("design", [Norm(), Norm(dim=32, norm_bits=9, multipliers=16, root_cycles=5)])
def test_roots_of_small_and_large_sums(design):
    def smaller(beats):
        return (beats / 2.0 ** (np.arange(len(beats)) % design.x_bits)[:, None]).astype(np.int64)

    lengths = check("norm", design, smaller)[:, 0]
    top = 2**design.norm_bits - 1
    assert lengths.min() == 0
    assert lengths.max() == top
    assert len(set(lengths.tolist())) > 60
    assert np.count_nonzero(lengths < top) > len(lengths) // 2


def test_rows_with_any_number_of_keys():
    design, rng = PackSplit(columns=32, places=8), np.random.default_rng(5)

    def thinner(beats):
        kept = rng.random((len(beats), 32)) < rng.random((len(beats), 1)) ** 2
        return (kept << np.arange(32)).sum(axis=1).reshape(-1, 1)

    counts = check("pack_split", design, thinner)[:, -1]
    assert set(counts.tolist()) == set(range(1, 9))
