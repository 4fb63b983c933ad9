"""Does OuterSPACE's tile give the model's product in the model's cycles, and do its trials see when it does not?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from siloom.rtl.cosim import Trial, Verdict, cosimulate, score
from siloom.rtl.hardware import Hardware
from siloom.rtl.registry import find_hardware
from siloom.rtl.trials._outerspace_memory import memory_words, place
from siloom.rtl.trials.outerspace import product_trial, random_matrix
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.ops import SpGEMM
from siloom.sim.sparse import Csr
from siloom.workloads.registry import load

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from amaranth.hdl import Cat, Module, Signal

from siloom.rtl.machines._outerspace_cache import Cache
from siloom.rtl.machines._outerspace_links import Links
from siloom.rtl.machines._outerspace_pack import Pack
from siloom.rtl.machines._outerspace_size import TileSize
from siloom.rtl.machines.outerspace import TWIN
from siloom.rtl.turns import Turns

HARDWARE: Hardware = find_hardware("outerspace")
SMALLEST = HARDWARE.sizes[0]


def judge(trials: list[Trial], design=SMALLEST, simulator="amaranth") -> Verdict:
    seen = cosimulate(lambda: TWIN(design), [trial.plan for trial in trials], simulator)
    return score(trials, seen, HARDWARE.bound)


def some(*names: str) -> list[Trial]:
    return [trial for trial in HARDWARE.trials(SMALLEST, 3) if trial.plan.name in names]


def tiny() -> list[Trial]:
    """A product of a few hundred cycles; a machine that hangs is let run some thousand."""
    a = random_matrix(10, 10, 2.5, np.random.default_rng(1))
    return [product_trial(SMALLEST, "tiny", [(a, a)], 0)]


# The machine is right.


@pytest.mark.parametrize(
    "trials", [tiny, pytest.param(lambda: some("uniform"), marks=pytest.mark.slow)], ids=["tiny", "uniform"]
)
def test_the_smallest_gives_the_models_product_in_its_cycles(trials):
    found = judge(trials())
    assert found.passed, found.fault
    assert found.mismatched_bits == 0


@pytest.mark.slow
def test_the_smallest_passes_all_trials_in_amaranths_simulator():
    found = judge(list(HARDWARE.trials(SMALLEST, 0)))
    assert found.passed, found.fault


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["verilator", "cxxrtl"])
@pytest.mark.parametrize("number", range(len(HARDWARE.sizes)))
def test_every_size_passes_all_trials(number, simulator):
    design = HARDWARE.sizes[number]
    found = judge(list(HARDWARE.trials(design, number)), design, simulator)
    assert found.passed, found.fault
    assert found.mismatched_bits == 0


def test_machines_of_four_pes_and_more_are_given_ten_thousand_multiplies():
    rng = np.random.default_rng(0)
    for design in HARDWARE.sizes[1:]:
        a = random_matrix(100 * design.pes_per_tile, 100 * design.pes_per_tile, 5, rng)
        assert design.pes_per_tile >= 4
        assert a.row_lengths[a.indices].sum() >= 9000 * design.pes_per_tile / 4


@pytest.mark.slow
def test_the_cycle_error_does_not_grow_with_the_product():
    rng = np.random.default_rng(4)
    squares = [random_matrix(n, n, 5, rng) for n in (25, 100, 400, 1600)]
    trials = [product_trial(HARDWARE.base, f"{a.shape[0]}", [(a, a)], 0) for a in squares]
    seen = cosimulate(lambda: TWIN(HARDWARE.base), [trial.plan for trial in trials], "cxxrtl")
    errors = [score([trial], [run], HARDWARE.bound).cycle_error for trial, run in zip(trials, seen, strict=True)]
    assert max(errors[1:]) <= max(errors[0], 0.005)
    assert errors[-1] < 0.005


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gre_1107.mtx", "pyamg-airfoil.mtx"])
def test_real_matrices(shared_data: Path, name: str):
    path = shared_data / "matrices" / name
    if not path.is_file():
        pytest.skip(f"{name} is absent from the shared data")
    operation = load(path).items[0].op
    assert isinstance(operation, SpGEMM)
    found = judge([product_trial(HARDWARE.base, name, [(operation.a, operation.b)], 0)], HARDWARE.base, "cxxrtl")
    assert found.passed, found.fault
    assert found.model_cycles > 50_000


@pytest.mark.slow
def test_values_that_are_not_ordinary_come_out_as_the_model_has_them():
    # Subnormals, the largest numbers and zeros of either sign; sums that cancel stay entries.
    values = np.array([5e-324, -5e-324, 1.5e-308, -1.0, 1.0, 0.0, -0.0, 2.0**500, -(2.0**500)])
    rng = np.random.default_rng(0)
    a, b = (random_matrix(9, 9, 4, rng) for _ in range(2))
    pairs = [tuple(replace(m, data=rng.choice(values, m.nnz)) for m in (a, b))]
    assert judge([product_trial(SMALLEST, "values", pairs, 0)]).passed


def test_nothing_to_multiply_is_answered():
    empty = Csr((5, 4), np.zeros(6, np.int64), np.zeros(0, np.int64), np.zeros(0))
    other = Csr((4, 3), np.array([0, 1, 1, 1, 1]), np.array([2]), np.array([1.5]))
    trial = replace(product_trial(SMALLEST, "empty", [(empty, other)], 0), model_cycles=None)
    found = judge([trial])
    assert found.passed, found.fault


# The trials see when it is not.


def _change(monkeypatch, part, change):
    """``part`` is made as before, then ``change`` adds to its module."""
    right = part.elaborate

    def wrong(self, platform):
        m: Module = right(self, platform)
        change(self, m)
        return m

    monkeypatch.setattr(part, "elaborate", wrong)


@pytest.mark.slow
def test_a_burst_that_is_lost_on_its_way_to_memory_is_seen(monkeypatch):
    def change(self, m):
        count = Signal(5)
        with m.If(Cat(side.valid for side in self.asks).any() & self.chosen.ready):
            m.d.sync += count.eq(count + 1)
        with m.If(count == 31):
            m.d.comb += self.chosen.valid.eq(0)

    _change(monkeypatch, Turns, change)
    assert judge(tiny()).mismatched_bits > 0


def test_words_of_a_neighbour_that_are_overwritten_are_seen(monkeypatch):
    _change(monkeypatch, Pack, lambda self, m: m.d.comb.__iadd__(self.bursts.p.mask.eq(~0)))
    assert judge(tiny()).mismatched_bits > 0


@pytest.mark.slow
def test_a_pe_that_waits_for_the_wrong_block_is_seen(monkeypatch):
    _change(monkeypatch, Cache, lambda self, m: m.d.comb.__iadd__(self.number.eq(0)))
    assert judge(tiny()).mismatched_bits > 0


@pytest.mark.slow
def test_links_that_go_to_the_wrong_pe_are_seen(monkeypatch):
    def change(self, m):
        with m.If(self.came):
            m.d.comb += self.link.eq(1)

    _change(monkeypatch, Links, change)
    assert judge(tiny()).mismatched_bits > 0


@pytest.mark.slow
def test_the_wrong_bank_s_block_is_seen(monkeypatch):
    right = Cache.elaborate

    def wrong(self, platform):
        self.found = [self.found[1], self.found[0]]
        return right(self, platform)

    monkeypatch.setattr(Cache, "elaborate", wrong)
    base = HARDWARE.base
    a = random_matrix(60, 60, 4, np.random.default_rng(1))
    assert judge([product_trial(base, "banks", [(a, a)], 0)], base, "cxxrtl").mismatched_bits > 0


@pytest.mark.slow
def test_a_machine_with_other_cycles_is_seen():
    found = judge(some("uniform"), replace(SMALLEST, merge_element_cycles=SMALLEST.merge_element_cycles + 1))
    assert (found.mismatched_bits, found.passed) == (0, False)
    assert "cycles, not" in found.fault


# What cannot be built, and what does not fit.


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tiles": 2}, "hardware needs tiles = 1, got 2"),
        ({"l1_bytes": 4096}, "hardware needs l1_bytes = 0, got 4096"),
        ({"l0_ports": 0}, "hardware needs l0_ports = 1, got 0"),
        ({"refresh_s": 260e-9}, "hardware needs refresh_s = 0, got 2.6e-07"),
        ({"clock_hz": 1.5e9}, r"hardware needs channel_bytes_per_s = burst_bytes x clock_hz \(4.8e\+10\), got 8e\+09"),
        ({"dispatch_cycles": 1}, "hardware needs dispatch_cycles of at least 4, got 1"),
        ({"outstanding_requests": 9}, r"at most scratchpad_bytes / block_bytes \(8\), got 9"),
    ],
)
def test_a_design_that_cannot_be_built_is_refused_by_field_and_limit(fields, message):
    with pytest.raises(InfeasibleError, match=message):
        HARDWARE.buildable(replace(HARDWARE.base, **fields))


def test_a_product_that_does_not_fit_the_memory_is_refused():
    a = random_matrix(4000, 4000, 12, np.random.default_rng(0))
    with pytest.raises(InputError, match=r"product: must lie in 2\^24 bytes"):
        place(TileSize(HARDWARE.base), a, a, a)
    with pytest.raises(InputError, match=r"product: A must have at most 2\^12 rows"):
        product_trial(SMALLEST, "tall", [(random_matrix(5000, 4, 1, np.random.default_rng(0)),) * 2], 0)


def test_words_become_bursts_with_the_first_word_lowest():
    assert memory_words(np.arange(1, 6, dtype=np.uint32), 4) == [0x4_00000003_00000002_00000001, 5]
