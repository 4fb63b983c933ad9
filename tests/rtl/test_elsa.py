"""Is ELSA in hardware its model, bit for bit and cycle for cycle, and do the trials find machines that are wrong?"""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from amaranth.hdl import Module, Signal

from siloom.rtl.beside import after
from siloom.rtl.cosim import cosimulate, score
from siloom.rtl.machines import _elsa_load
from siloom.rtl.machines import elsa as machine
from siloom.rtl.machines._elsa_queue import CandidateQueue
from siloom.rtl.machines._elsa_scan import Scan
from siloom.rtl.machines._elsa_window import Window
from siloom.rtl.registry import MachineBlock
from siloom.rtl.trials.elsa import HARDWARE
from siloom.sim.errors import InfeasibleError

SMALLEST = HARDWARE.sizes[0]


def judge(design, simulator="amaranth", names=(), make=None):
    trials = [t for t in HARDWARE.trials(design, 3) if not names or t.plan.name in names]
    assert len(trials) >= max(len(names), 1)
    sightings = cosimulate(make or MachineBlock(HARDWARE, design).make, [t.plan for t in trials], simulator)
    return score(trials, sightings, HARDWARE.bound)


def passes(verdict):
    assert verdict.passed, verdict.fault
    assert verdict.mismatched_bits == verdict.mismatched_cycles == 0
    assert verdict.model_cycles == verdict.rtl_cycles > 0


@pytest.mark.parametrize(
    "names",
    [
        ("independent", "stalled"),
        pytest.param(("independent", "no candidates", "two heads, causal", "stalled"), marks=pytest.mark.slow),
    ],
    ids=["some", "more"],
)
def test_the_smallest_passes_in_the_amaranth_simulator(names):
    passes(judge(SMALLEST, names=names))


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["verilator", "cxxrtl"])
@pytest.mark.parametrize("design", HARDWARE.sizes, ids=lambda d: MachineBlock(HARDWARE, d).size)
def test_every_size_passes(design, simulator):
    passes(judge(design, simulator))


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"attention_units": 1, "selectors": 4, "queue_entries": 4},
        {"attention_units": 5, "selectors": 1, "queue_entries": 1},
        {"queries_held": 1},
        {"output_multipliers": 8, "hash_multipliers": 1024},
        {"output_multipliers": 1, "hash_multipliers": 1},
        {"max_seq": 7, "dim": 6},
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


@pytest.mark.slow
def test_values_in_the_wrong_bank_are_seen(monkeypatch):
    class Misdealt(_elsa_load.Deal):
        def __init__(self, m, name, shapes, deals, clear):
            super().__init__(m, name, shapes, deals, clear)
            if name == "values":
                right, self.bank = self.bank, Signal(shapes.bank)
                m.d.comb += self.bank.eq(after(right, shapes.banks))

    monkeypatch.setattr(machine, "Deal", Misdealt)
    found = judge(SMALLEST, names=("independent",))
    assert found.mismatched_bits > 0
    assert found.fault.startswith("independent: stream o: result")


def test_a_lost_candidate_is_seen(monkeypatch):
    def change(self, m):
        with m.If(self.found.p.base == 2):
            m.d.comb += self.found.p.hits[0].eq(0)

    altered(monkeypatch, Scan, change)
    assert judge(SMALLEST, names=("all keys",)).mismatched_bits > 0


def test_the_best_key_of_the_first_bank_alone_is_seen(monkeypatch):
    right = Window._best

    def wrong(self, m):
        first = Signal(right(self, m).shape())
        m.d.comb += [first.best.eq(self.records[0].best), first.bank.eq(0)]
        return first

    monkeypatch.setattr(Window, "_best", wrong)
    assert judge(SMALLEST, names=("no candidates",)).mismatched_bits > 0


@pytest.mark.slow
def test_a_candidate_that_is_taken_before_it_is_known_to_be_the_last_is_seen(monkeypatch):
    def change(self, m):
        m.d.comb += self.known.eq(1)

    altered(monkeypatch, CandidateQueue, change)
    assert not judge(SMALLEST, names=("independent",)).passed


@pytest.mark.slow
def test_outputs_that_do_not_wait_are_seen_where_neighbours_stall():
    class Deaf(machine.Elsa):
        def _end(self, m):
            super()._end(m)
            m.d.comb += self.output.o.ready.eq(1)

    def make():
        return Deaf(SMALLEST)

    assert judge(SMALLEST, names=("independent",), make=make).passed
    assert judge(SMALLEST, names=("stalled",), make=make).mismatched_bits > 0


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"queries_held": 3}, {"hash_multipliers": 16}], ids=str)
def test_a_machine_of_another_size_takes_other_cycles(change):
    other = replace(SMALLEST, **change)
    found = judge(SMALLEST, names=("independent", "all keys", "few candidates"), make=lambda: machine.Elsa(other))
    assert found.mismatched_bits == 0
    assert found.mismatched_cycles > 0
    assert "cycles, not" in found.fault


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"copies": 12}, "elsa: copies must be 1 in hardware, got 12"),
        ({"memory": "hbm2-2.0"}, "elsa: memory must be ideal in hardware, got hbm2-2.0"),
        ({"projection": "gaussian"}, "elsa: projection must be kronecker in hardware, got gaussian"),
        ({"max_seq": 0}, "elsa: max_seq must be at least 2 in hardware, got 0"),
        ({"max_seq": 16384}, "elsa: max_seq must be at most 4096 in hardware, got 16384"),
        ({"dim": 0}, "elsa: dim must be at least 2 in hardware, got 0"),
        ({"dim": 1024}, "elsa: dim must be at most 512 in hardware, got 1024"),
        ({"dim": 67}, "elsa: dim: srp_hash: dim must be a product of three factors of at most 16, which 67 is not"),
        ({"dim": 96}, "elsa: dim: hamming: bits above 64 must be a multiple of it, got 96"),
    ],
)
def test_what_cannot_be_built_is_refused_by_field_and_limit(change, message):
    with pytest.raises(InfeasibleError) as error:
        HARDWARE.buildable(replace(HARDWARE.base, **change))
    assert message in str(error.value)
