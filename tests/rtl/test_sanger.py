"""Does Sanger's hardware give the model's bits in the model's cycles, and do its trials see when it does not?"""

from __future__ import annotations

import dataclasses

import pytest

from siloom.rtl.cosim import cosimulate, score
from siloom.rtl.hardware import Hardware
from siloom.rtl.registry import find_hardware
from siloom.sim.errors import InfeasibleError

amaranth = pytest.importorskip("amaranth")

from amaranth.hdl import Module  # noqa: E402

from siloom.rtl.machines._sanger_attend import Attend  # noqa: E402
from siloom.rtl.machines._sanger_row import Row  # noqa: E402
from siloom.rtl.machines._sanger_sums import Sums  # noqa: E402
from siloom.rtl.machines.sanger import TWIN  # noqa: E402

HARDWARE: Hardware = find_hardware("sanger")
SMALLEST = HARDWARE.sizes[0]


def verdict(design, simulator, names):
    trials = [trial for trial in HARDWARE.trials(design, 3) if trial.plan.name in names]
    seen = cosimulate(lambda: TWIN(design), [trial.plan for trial in trials], simulator)
    return score(trials, seen, HARDWARE.bound)


def test_the_smallest_gives_the_models_bits_in_exactly_its_cycles():
    found = verdict(SMALLEST, "amaranth", {"heads", "both"})
    assert found.passed, found.fault
    assert found.cycle_error == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(HARDWARE.sizes)))
def test_every_size_passes_all_trials_in_verilator(number):
    design = HARDWARE.sizes[number]
    trials = HARDWARE.trials(design, 1)
    found = score(trials, cosimulate(lambda: TWIN(design), [t.plan for t in trials], "verilator"), HARDWARE.bound)
    assert found.passed, found.fault
    assert found.cycle_error == 0.0


def _swapped(monkeypatch, part, change):
    """``part`` elaborates as before, then ``change`` adds to its module."""
    right = part.elaborate

    def wrong(self, platform):
        m: Module = right(self, platform)
        change(self, m)
        return m

    monkeypatch.setattr(part, "elaborate", wrong)


def test_a_rotation_that_is_a_place_off_is_seen(monkeypatch):
    right = Sums.elaborate

    def wrong(self, platform):
        self.partials = [*self.partials[1:], self.partials[0]]
        return right(self, platform)

    monkeypatch.setattr(Sums, "elaborate", wrong)
    found = verdict(SMALLEST, "amaranth", {"one head"})
    assert found.mismatched_bits > 0
    assert found.fault.startswith("one head: stream o")


def test_sub_rows_of_a_query_that_overwrite_one_another_are_seen(monkeypatch):
    def change(self, m):
        m.d.comb += self.task.first.eq(1)

    _swapped(monkeypatch, Attend, change)
    assert verdict(SMALLEST, "amaranth", {"one head"}).mismatched_bits > 0


def test_a_row_that_loses_its_last_element_is_seen(monkeypatch):
    def change(self, m):
        with m.If(self.step.last):
            m.d.sync += self.partial.valid.eq(0)

    _swapped(monkeypatch, Row, change)
    assert verdict(SMALLEST, "amaranth", {"one head"}).mismatched_bits > 0


def test_values_that_do_not_wait_for_powers_are_seen(monkeypatch):
    monkeypatch.setattr("siloom.rtl.machines._sanger_attend.SETTLE", 3)
    assert not verdict(SMALLEST, "amaranth", {"short"}).passed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exponent": "exact"}, "sanger: exponent must be table to be built, got exact"),
        ({"packing": "split"}, "sanger: packing must be pack_split to be built, got split"),
        ({"convention": "authors-v1"}, "sanger: convention must be physical to be built, got authors-v1"),
        ({"tile_rows": 6}, "sanger: tile_rows must be a power of two, at least 2 to be built, got 6"),
        ({"kv_sram_bytes": 512}, "sanger: kv_sram_bytes must be at least 768, for a tile of three heads, to be built"),
    ],
)
def test_what_cannot_be_built_is_refused_by_field_and_limit(change, message):
    with pytest.raises(InfeasibleError) as error:
        HARDWARE.buildable(dataclasses.replace(SMALLEST, **change))
    assert message in str(error.value)
