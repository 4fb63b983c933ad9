"""Does ViTCoD's hardware give the model's bits in the model's cycles, and do its trials see when it does not?"""

from __future__ import annotations

import dataclasses

import pytest

from siloom.rtl.cosim import cosimulate, score
from siloom.rtl.hardware import Hardware
from siloom.rtl.registry import find_hardware
from siloom.sim.errors import InfeasibleError

amaranth = pytest.importorskip("amaranth")

from amaranth.hdl import Cat, Module  # noqa: E402

from siloom.rtl.machines._vitcod_decode import Decoder  # noqa: E402
from siloom.rtl.machines._vitcod_denser import Denser  # noqa: E402
from siloom.rtl.machines._vitcod_items import Columns, Rows  # noqa: E402
from siloom.rtl.machines._vitcod_lanes import SumLane  # noqa: E402
from siloom.rtl.machines.vitcod import TWIN  # noqa: E402

HARDWARE: Hardware = find_hardware("vitcod")
SMALLEST, DECODES = HARDWARE.sizes[:2]


def verdict(design, simulator, names):
    trials = [trial for trial in HARDWARE.trials(design, 3) if trial.plan.name in names]
    seen = cosimulate(lambda: TWIN(design), [trial.plan for trial in trials], simulator)
    return score(trials, seen, HARDWARE.bound)


@pytest.mark.parametrize(
    "names", [{"random mask"}, pytest.param({"random mask", "stalled"}, marks=pytest.mark.slow)], ids=["some", "more"]
)
def test_the_smallest_gives_the_models_bits_in_its_cycles(names):
    found = verdict(SMALLEST, "amaranth", names)
    assert found.passed, found.fault


@pytest.mark.slow
def test_encoded_heads_are_decoded_to_the_models_bits():
    found = verdict(DECODES, "amaranth", {"random mask"})
    assert found.passed, found.fault


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "simulator"),
    [
        *((number, "verilator") for number in range(len(HARDWARE.sizes))),
        # The larger ones take minutes to compile there.
        *((number, "cxxrtl") for number in range(3)),
    ],
)
def test_every_size_passes_all_trials(number, simulator):
    design = HARDWARE.sizes[number]
    trials = HARDWARE.trials(design, 1)
    found = score(trials, cosimulate(lambda: TWIN(design), [t.plan for t in trials], simulator), HARDWARE.bound)
    assert found.passed, found.fault


def _swapped(monkeypatch, part, change):
    """``part`` elaborates as before, then ``change`` adds to its module."""
    right = part.elaborate

    def wrong(self, platform):
        m: Module = right(self, platform)
        change(self, m)
        return m

    monkeypatch.setattr(part, "elaborate", wrong)


def _stays(self, m):
    m.d.comb += self.first.eq(0)


def _unkept(self, m):
    for line in self.lines:
        m.d.comb += line.command.kept.eq(1)


def _anew(self, m):
    m.d.comb += self.first.eq(1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "change"),
    [
        pytest.param(Columns, _stays, id="a key that stays for all columns"),
        pytest.param(
            Denser, _unkept, id="scores that are not kept and are summed all the same", marks=pytest.mark.slow
        ),
        pytest.param(Rows, _anew, id="sums that begin anew with every key", marks=pytest.mark.slow),
    ],
)
def test_a_wrong_machine_is_seen(monkeypatch, part, change):
    _swapped(monkeypatch, part, change)
    found = verdict(SMALLEST, "amaranth", {"random mask"})
    assert found.mismatched_bits > 0
    assert found.fault.startswith("random mask: stream o")


@pytest.mark.slow
def test_sums_of_one_engine_that_are_lost_are_seen(monkeypatch):
    right = SumLane.elaborate

    def wrong(self, platform):
        self.parts = [self.parts[0], self.parts[0]]
        return right(self, platform)

    monkeypatch.setattr(SumLane, "elaborate", wrong)
    assert verdict(SMALLEST, "amaranth", {"random mask"}).mismatched_bits > 0


@pytest.mark.slow
def test_rows_that_are_not_fetched_ahead_are_seen_in_the_cycles(monkeypatch):
    right = Rows.elaborate

    def wrong(self, platform):
        m: Module = right(self, platform)
        m.d.comb += self.asks.eq(self.idle & self.left.any())
        return m

    monkeypatch.setattr(Rows, "elaborate", wrong)
    found = verdict(SMALLEST, "amaranth", {"sparser engine alone"})
    assert found.mismatched_bits == 0
    assert "cycles, not" in found.fault


@pytest.mark.slow
def test_a_decoder_that_gives_queries_the_weights_of_keys_is_seen(monkeypatch):
    right = Decoder.elaborate

    def wrong(self, platform):
        m: Module = right(self, platform)
        m.d.comb += self.weights.eq(Cat(*self.head.key_weights))
        return m

    monkeypatch.setattr(Decoder, "elaborate", wrong)
    assert verdict(DECODES, "amaranth", {"random mask"}).mismatched_bits > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"convention": "authors"}, "vitcod: convention must be physical in hardware, got authors"),
        ({"memory": "ddr4-2400"}, "vitcod: memory must be ideal in hardware, got ddr4-2400"),
        ({"port_tokens": 2}, "vitcod: port_tokens must be 1 in hardware, got 2"),
        ({"ratio": 0.5}, "vitcod: decoder_lines must be a divisor of the 6 encoded heads in hardware, got 0"),
        ({"pe_width": 40}, "vitcod: pe_width must be at most 16 lines of the engines in hardware, got 40"),
        ({"pe_height": 1}, "vitcod: pe_height must be at least 2, the length of a head, in hardware, got 1"),
        ({"softmax_cycles": 5}, "vitcod: softmax_cycles must be at least 8 in hardware, got 5"),
    ],
)
def test_what_cannot_be_built_is_refused_by_field_and_limit(change, message):
    with pytest.raises(InfeasibleError) as error:
        HARDWARE.buildable(dataclasses.replace(SMALLEST, **change))
    assert message in str(error.value)
