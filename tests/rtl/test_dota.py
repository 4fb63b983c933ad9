"""Does a lane of DOTA in hardware give the model's bits in the model's cycles, and do its trials see when not?"""

from __future__ import annotations

import dataclasses

import pytest

from siloom.rtl.cosim import cosimulate, score
from siloom.rtl.hardware import Hardware
from siloom.rtl.registry import find_hardware
from siloom.sim.errors import InfeasibleError

pytest.importorskip("amaranth")

from amaranth.hdl import Signal

from siloom.rtl.machines._dota_pe import Pe
from siloom.rtl.machines._dota_softmax import _Row
from siloom.rtl.machines._dota_visits import Visits
from siloom.rtl.machines.dota import Dota

HARDWARE: Hardware = find_hardware("dota")
SMALLEST = HARDWARE.sizes[0]


def verdict(design, simulator, names):
    trials = [trial for trial in HARDWARE.trials(design, 3) if trial.plan.name in names]
    assert len(trials) == len(names)
    seen = cosimulate(lambda: Dota(design), [trial.plan for trial in trials], simulator)
    return score(trials, seen, HARDWARE.bound)


@pytest.mark.parametrize("name", ["drawn", pytest.param("two heads, causal", marks=pytest.mark.slow)])
def test_the_smallest_gives_the_models_bits_in_exactly_its_cycles(name):
    found = verdict(SMALLEST, "amaranth", {name})
    assert found.passed, found.fault
    assert found.cycle_error == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["cxxrtl", "verilator"])
@pytest.mark.parametrize("number", range(len(HARDWARE.sizes)))
def test_every_size_passes_all_trials(number, simulator):
    design = HARDWARE.sizes[number]
    trials = HARDWARE.trials(design, 1)
    found = score(trials, cosimulate(lambda: Dota(design), [t.plan for t in trials], simulator), HARDWARE.bound)
    assert found.passed, found.fault
    assert found.cycle_error == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"scheduler": "in_order"},
        {"keys_per_round": 1},
        {"keys_per_round": 2, "scheduler": "in_order", "rounds_ahead": 3},
        {"latency_cycles": 17, "retention": 1.0},
        {"select_lanes": 2, "mfu_lanes": 4, "retention": 0.4},
        {"detector_bits": 8, "tokens": 2, "keys_per_round": 2},
        {"array_rows": 8, "array_columns": 4, "select_lanes": 8, "fraction_bits": 11},
    ],
    ids=lambda change: "-".join(map(str, change.values())),
)
def test_other_choices_are_built_as_modelled(change):
    fields = {"sram_bytes": 2048, **change}
    design = dataclasses.replace(SMALLEST, **fields)
    HARDWARE.buildable(design)
    found = verdict(design, "cxxrtl", {"two heads, causal", "three heads", "wild", "short", "stalled"})
    assert found.passed, found.fault
    assert found.cycle_error == 0.0


@pytest.mark.slow
def test_a_detector_of_2_bits_has_groups_of_eight_rows():
    # Its scheduler has 255 buffers, which is much to compile and little to interpret.
    fields = {"detector_bits": 2, "tokens": 8, "ranges": "least-error", "array_rows": 8, "port_bytes": 32}
    design = dataclasses.replace(SMALLEST, sram_bytes=2048, select_lanes=2, **fields)
    HARDWARE.buildable(design)
    found = verdict(design, "amaranth", {"two heads, causal", "short"})
    assert found.passed, found.fault
    assert found.cycle_error == 0.0


def _without(monkeypatch, part, name):
    """``part`` never hears of ``name``."""
    right = part.elaborate

    def wrong(self, platform):
        setattr(self, name, Signal())
        return right(self, platform)

    monkeypatch.setattr(part, "elaborate", wrong)


def test_a_row_that_loses_its_keys_is_seen(monkeypatch):
    right = Visits.elaborate

    def wrong(self, platform):
        m = right(self, platform)
        m.d.comb += self.step.owners[2].eq(0)
        return m

    monkeypatch.setattr(Visits, "elaborate", wrong)
    found = verdict(SMALLEST, "amaranth", {"drawn"})
    assert found.mismatched_bits > 0
    assert found.fault.startswith("drawn: stream o: result 0")


@pytest.mark.slow
def test_weights_that_are_taken_on_from_the_group_before_are_seen(monkeypatch):
    _without(monkeypatch, _Row, "restarts")
    # Where all rows keep as many keys as their lists have places it makes no difference.
    found = verdict(SMALLEST, "amaranth", {"two heads, causal"})
    assert found.fault.startswith("two heads, causal: stream o: result 1")


@pytest.mark.slow
def test_sums_that_are_not_begun_anew_are_seen(monkeypatch):
    _without(monkeypatch, Pe, "first")
    found = verdict(SMALLEST, "amaranth", {"drawn"})
    assert found.fault.startswith("drawn: stream o: result 1")


@pytest.mark.slow
def test_results_that_find_no_room_are_missed(monkeypatch):
    right = Dota._results

    def wrong(self, m, array, issued, room):
        right(self, m, array, issued, Signal())
        m.d.comb += room.eq(1)

    monkeypatch.setattr(Dota, "_results", wrong)
    found = verdict(SMALLEST, "amaranth", {"stalled"})
    assert "results expected" in found.fault


@pytest.mark.slow
def test_a_softmax_that_begins_a_cycle_late_is_seen_in_cycles_alone(monkeypatch):
    monkeypatch.setattr("siloom.rtl.machines._dota_softmax._EARLY", 4)
    found = verdict(SMALLEST, "amaranth", {"drawn"})
    assert found.mismatched_bits == 0
    assert not found.passed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lanes": 4}, "dota: lanes must be 1 to be built, got 4"),
        ({"memory": "hbm2-2.0"}, "dota: memory must be ideal to be built, got hbm2-2.0"),
        ({"selection": "threshold"}, "dota: selection must be topk to be built, got threshold"),
        ({"detector_bits": 2}, "dota: tokens must be 8 to be built, got 4"),
        ({"latency_cycles": 9}, "dota: latency_cycles must be at least 10 to be built, got 9"),
        ({"port_bytes": 48}, "dota: port_bytes must be a power of two to be built, got 48"),
        ({"array_rows": 64}, "dota: array_rows * array_columns must be from 4 to 32 to be built, got 128"),
        ({"sram_bytes": 2**30}, "dota: sram_bytes must be from 256 to 262144, for vectors of 16 bytes, to be built"),
    ],
)
def test_what_cannot_be_built_is_refused_by_field_and_limit(change, message):
    with pytest.raises(InfeasibleError) as error:
        HARDWARE.buildable(dataclasses.replace(SMALLEST, **change))
    assert message in str(error.value)
