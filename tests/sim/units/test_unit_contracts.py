"""Does every unit's Contract keep to its own formats, at every size, on random and corner operands?"""

from __future__ import annotations

from importlib import import_module
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest

import siloom.sim.units
from siloom.sim.contract import Codes, Contract, Stream, Unit, as_code


def units() -> list[Unit]:
    folder = Path(siloom.sim.units.__file__).parent
    modules = (import_module(f"siloom.sim.units.{path.stem}") for path in sorted(folder.glob("[!_]*.py")))
    return [module.UNIT for module in modules if hasattr(module, "UNIT")]


SIZES = [pytest.param(unit, size, id=f"{unit.name}-{at}") for unit in units() for at, size in enumerate(unit.sizes)]


def random_beats(stream: Stream, beats: int, seed: int) -> Codes:
    rng = np.random.default_rng(seed)
    columns = []
    for form in stream.formats:
        words = rng.integers(0, 2**62, beats).astype(object) * 4 + rng.integers(0, 4, beats)
        columns.append([as_code(int(word), form) for word in words])
    return np.array(columns, np.int64).T.reshape(beats, stream.columns)


def corner_beats(stream: Stream, most: int = 300) -> Codes:
    ports = [port.format.corners() for port in stream.ports]
    rows = [
        [code for port, code in zip(stream.ports, codes, strict=True) for _ in range(port.lanes)]
        for codes in islice(product(*ports), most)
    ]
    return np.array(rows, np.int64)


def legal(contract: Contract, beats: Codes) -> Codes:
    return beats if contract.legal is None else contract.legal(beats)


@pytest.mark.parametrize(("unit", "size"), SIZES)
def test_answers_and_cycles_fit_what_is_promised(unit, size):
    contract = unit.contract(size)
    for beats in (random_beats(contract.inputs, 200, 1), corner_beats(contract.inputs)):
        offered = legal(contract, beats)
        contract.inputs.check(unit.name, offered)
        answer = contract.answer(offered)  # checks shapes, formats and the order of causes
        schedule = contract.schedule(offered, np.zeros(len(offered), np.int64), np.ones(0, np.bool_))
        assert len(schedule.left) == len(answer.beats)
        # Neither a result before its beat, nor two beats in one cycle.
        assert (schedule.shown > schedule.taken[answer.cause]).all()
        assert (np.diff(schedule.taken) >= 1).all()


@pytest.mark.parametrize(("unit", "size"), SIZES)
def test_equal_beats_give_equal_answers_and_are_not_written_to(unit, size):
    contract = unit.contract(size)
    offered = legal(contract, random_beats(contract.inputs, 64, 2))
    before = offered.copy()
    first, second = contract.answer(offered), contract.answer(offered)
    assert np.array_equal(offered, before)
    assert np.array_equal(first.beats, second.beats)
    assert np.array_equal(first.cause, second.cause)


@pytest.mark.parametrize(("unit", "size"), SIZES)
def test_the_future_does_not_change_the_past(unit, size):
    contract = unit.contract(size)
    offered = legal(contract, random_beats(contract.inputs, 80, 3))
    whole, part = contract.answer(offered), contract.answer(offered[:40])
    past = int(np.count_nonzero(whole.cause < 40))
    assert np.array_equal(whole.beats[:past], part.beats)
