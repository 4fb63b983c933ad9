"""Is A3 in hardware its model, bit for bit and cycle for cycle, and do the trials find machines that are wrong?"""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from amaranth.hdl import Module, Signal

from siloom.rtl.cosim import cosimulate, score
from siloom.rtl.machines import a3 as machine
from siloom.rtl.machines._a3_exponent import Exponent
from siloom.rtl.machines._a3_output import Output
from siloom.rtl.machines._a3_products import Products
from siloom.rtl.machines._a3_scan import Scan
from siloom.rtl.machines._a3_scores import Scores
from siloom.rtl.registry import MachineBlock
from siloom.rtl.trials.a3 import HARDWARE
from siloom.sim.errors import InfeasibleError

SMALLEST = HARDWARE.sizes[0]
BASE = replace(SMALLEST, keys=9, lanes=3, iterations_share=0.0, post_threshold_percent=0.0)


def judge(design, simulator="amaranth", names=(), make=None):
    trials = [t for t in HARDWARE.trials(design, 3) if not names or t.plan.name in names]
    assert len(trials) >= max(len(names), 1)
    sightings = cosimulate(make or MachineBlock(HARDWARE, design).make, [t.plan for t in trials], simulator)
    return score(trials, sightings, HARDWARE.bound)


def passes(verdict):
    assert verdict.passed, verdict.fault
    assert verdict.mismatched_bits == verdict.mismatched_cycles == 0
    assert verdict.model_cycles == verdict.rtl_cycles > 0


@pytest.mark.parametrize("design", [SMALLEST, BASE], ids=["approximate", "base"])
def test_the_smallest_passes_in_the_amaranth_simulator(design):
    passes(judge(design, names=("independent", "no candidates", "two heads, causal", "stalled")))


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["verilator", "cxxrtl"])
@pytest.mark.parametrize("design", HARDWARE.sizes, ids=lambda d: MachineBlock(HARDWARE, d).size)
def test_every_size_passes(design, simulator):
    passes(judge(design, simulator))


@pytest.mark.slow
def test_the_chips_size_passes_where_it_is_compiled_in_minutes():
    passes(judge(replace(HARDWARE.base, keys=320, iterations_share=0.125, post_threshold_percent=10.0), "verilator"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"post_threshold_percent": 0.0},
        {"iterations_share": 0.0},
        {"iterations_share": 3.0, "refinement": "off"},
        {"iterations_share": 0.1, "refinement": "drop"},
        {"buffered_queries": 1},
        {"buffered_queries": 3, "post_threshold_percent": 0.0},
        {"scan_width": 1},
        {"scan_width": 16},
        {"module_depth_cycles": 4, "search_fill_cycles": 1},
        {"module_depth_cycles": 11, "search_fill_cycles": 9},
        {"keys": 2, "lanes": 2},
        {"keys": 17, "lanes": 5},
    ],
    ids=str,
)
def test_odd_sizes_pass_too(change):
    passes(judge(replace(SMALLEST, **change), "cxxrtl"))


def altered(monkeypatch, part, change):
    """``part`` elaborates as before, then ``change`` adds to its module; what is assigned later wins."""
    right = part.elaborate

    def wrong(self, platform):
        m: Module = right(self, platform)
        change(self, m)
        return m

    monkeypatch.setattr(part, "elaborate", wrong)


def test_a_lost_score_is_seen(monkeypatch):
    def change(self, m):
        with m.If(self.found.ordinal == 1):
            m.d.comb += self.found.valid.eq(0)

    altered(monkeypatch, Products, change)
    found = judge(SMALLEST, names=("alike",))
    assert found.mismatched_bits > 0
    assert found.fault.startswith("alike: stream o: result")


def test_scores_in_the_wrong_bank_are_seen(monkeypatch):
    right = Scores.elaborate

    def wrong(self, platform):
        outside = self.found
        self.found = Signal(outside.shape())
        m: Module = right(self, platform)
        m.d.comb += [self.found.eq(outside), self.found.ordinal[0].eq(~outside.ordinal[0])]
        return m

    monkeypatch.setattr(Scores, "elaborate", wrong)
    assert judge(SMALLEST, names=("independent",)).mismatched_bits > 0


def test_greedy_scores_of_another_query_are_seen(monkeypatch):
    design = replace(SMALLEST, iterations_share=2.0, refinement="off")  # nearly all rows are below zero
    right = machine.A3._search

    def wrong(self, m, *given):
        right(self, m, *given)
        m.d.comb += m.submodules.search.part.eq(0)

    assert judge(design, names=("no candidates",)).passed
    monkeypatch.setattr(machine.A3, "_search", wrong)
    assert judge(design, names=("no candidates",)).mismatched_bits > 0


def test_the_last_among_equals_is_seen(monkeypatch):
    right = Scan._better
    monkeypatch.setattr(Scan, "_better", lambda self, m, name, one, other: right(self, m, name, other, one))
    assert judge(SMALLEST, names=("no candidates",)).mismatched_bits > 0


@pytest.mark.slow
def test_exponents_that_do_not_wait_for_the_last_comparison_are_seen(monkeypatch):
    right = Exponent._choose

    def wrong(self, m, begins, query, ends):
        early = Signal()
        m.d.sync += early.eq(self.i.valid & self.i.ready)
        right(self, m, early, query, ends)

    monkeypatch.setattr(Exponent, "_choose", wrong)
    assert not judge(SMALLEST, names=("independent", "alike")).passed


@pytest.mark.slow
def test_scores_of_several_queries_in_one_slot_are_seen():
    def make():
        wrong = machine.A3(SMALLEST)
        wrong.size.slots = 1
        return wrong

    assert judge(SMALLEST, names=("drawn", "alike"), make=make).mismatched_bits > 0


@pytest.mark.slow
def test_rows_that_do_not_wait_are_seen_where_neighbours_stall(monkeypatch):
    right = Output.elaborate

    def wrong(self, platform):
        outside = self.o
        self.o = self.signature.members["o"].signature.flip().create()
        m: Module = right(self, platform)
        m.d.comb += [
            outside.valid.eq(self.o.valid),
            outside.payload.eq(self.o.payload),
            self.o.ready.eq(1),
        ]
        return m

    monkeypatch.setattr(Output, "elaborate", wrong)
    assert judge(SMALLEST, names=("independent",)).passed
    assert judge(SMALLEST, names=("stalled",)).mismatched_bits > 0


@pytest.mark.parametrize("change", [{"buffered_queries": 1}, {"search_fill_cycles": 3}, {"scan_width": 1}], ids=str)
def test_a_machine_of_another_size_takes_other_cycles(change):
    other = replace(SMALLEST, **change)
    found = judge(SMALLEST, names=("independent", "two heads, causal"), make=lambda: machine.A3(other))
    assert found.mismatched_bits == 0
    assert found.mismatched_cycles > 0
    assert "cycles, not" in found.fault


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"copies": 12}, "a3: copies must be 1 in hardware, got 12"),
        ({"memory": "hbm2-2.0"}, "a3: memory must be ideal in hardware, got hbm2-2.0"),
        ({"sorters": 4}, "a3: sorters must be 0 in hardware, got 4"),
        ({"keys": 1}, "a3: keys must be at least 2 in hardware, got 1"),
        ({"keys": 16384}, "a3: keys must be at most 1024 in hardware, got 16384"),
        ({"lanes": 1024}, "a3: lanes must be at most 256 in hardware, got 1024"),
        ({"scan_width": 12}, "a3: scan_width must be a power of two in hardware, got 12"),
        ({"search_fill_cycles": 0}, "a3: search_fill_cycles must be at least 1 in hardware, got 0"),
        ({"search_fill_cycles": 100}, "a3: GreedySearch: fill_cycles must be at most 64 cycle, got 99"),
        ({"module_depth_cycles": 3}, "a3: module_depth_cycles must be at least 4 in hardware, got 3"),
        ({"module_depth_cycles": 12}, "a3: module_depth_cycles must be at most 11 in hardware, got 12"),
    ],
)
def test_what_cannot_be_built_is_refused_by_field_and_limit(change, message):
    with pytest.raises(InfeasibleError) as error:
        HARDWARE.buildable(replace(HARDWARE.base, **change))
    assert message in str(error.value)
