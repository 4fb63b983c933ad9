"""Does the harness catch units that are deliberately wrong, and pass ones that are only unusual?"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from amaranth.hdl import Module, Mux, Signal, signed

from siloom.rtl.testing import conform, make_cases
from siloom.rtl.twin import Twin
from siloom.rtl.units.mac import Mac as MacTwin
from siloom.sim.contract import FLAG, Answer, Contract, Port, Stream, Whole
from siloom.sim.units import mac

DESIGN = mac.Mac(a_bits=8, b_bits=8, acc_bits=20, overflow="saturate", stages=3)


class Twisted(Twin):
    """The right twin with something done to its wires; ``stages`` is what it is built with inside."""

    stages = DESIGN.stages

    def __init__(self):
        super().__init__(mac.contract(DESIGN))

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = inner = MacTwin(mac.Mac(**{**DESIGN.as_dict(), "stages": self.stages}))
        m.d.comb += [
            inner.i.payload.eq(self.i.payload),
            inner.i.valid.eq(self.i.valid),
            self.i.ready.eq(inner.i.ready),
            self.o.payload.eq(inner.o.payload),
            self.o.valid.eq(inner.o.valid),
            inner.o.ready.eq(self.o.ready),
        ]
        self.twist(m, inner)
        return m

    def twist(self, m, inner):
        """Later assignments win over those above."""


class WrongBit(Twisted):
    def twist(self, m, inner):
        m.d.comb += self.o.payload.eq(inner.o.payload.as_value() ^ 8)


class WrongCorner(Twisted):
    """Only the product of the two lowest operands is wrong."""

    def twist(self, m, inner):
        with m.If((self.i.p.a == -128) & (self.i.p.b == -128)):
            m.d.comb += inner.i.p.a.eq(127)


class OneCycleEarly(Twisted):
    stages = DESIGN.stages - 1


class OneCycleLate(Twisted):
    stages = DESIGN.stages + 1


class DroppedBeat(Twisted):
    def twist(self, m, inner):
        count = Signal(range(40))
        drop = count == 39
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += count.eq(Mux(drop, 0, count + 1))
        m.d.comb += inner.i.valid.eq(self.i.valid & ~drop)


class LostBackPressure(Twisted):
    def twist(self, m, inner):
        m.d.comb += inner.o.ready.eq(1)


class HeldInputs(Twisted):
    """Of the right latency, but it looks at its operands a cycle after they were taken."""

    stages = DESIGN.stages - 1

    def twist(self, m, inner):
        late = Signal()
        with m.If(inner.i.ready):
            m.d.sync += late.eq(self.i.valid)
        m.d.comb += inner.i.valid.eq(late)


class HalfSpeed(Twisted):
    def twist(self, m, inner):
        turn = Signal()
        m.d.sync += turn.eq(~turn)
        m.d.comb += [inner.i.valid.eq(self.i.valid & turn), self.i.ready.eq(inner.i.ready & turn)]


class ValidWaitsForReady(Twisted):
    def twist(self, m, inner):
        m.d.comb += self.o.valid.eq(inner.o.valid & self.o.ready)


class ChangesWhileWaiting(Twisted):
    def twist(self, m, inner):
        with m.If(~self.o.ready):
            m.d.comb += self.o.payload.eq(~inner.o.payload.as_value())


class GivesResultsTwice(Twisted):
    def twist(self, m, inner):
        again = Signal()
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += again.eq(~again)
        m.d.comb += inner.o.ready.eq(self.o.ready & again)


class RemembersBeyondReset(Twisted):
    def twist(self, m, inner):
        fresh, memory = Signal(init=1), Signal(signed(8), reset_less=True)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [fresh.eq(0), memory.eq(self.i.p.a | 1)]
        with m.If(fresh):
            m.d.comb += inner.i.p.a.eq(self.i.p.a + memory)


WRONG = Twisted.__subclasses__()
TIMING_ONLY = {OneCycleEarly, OneCycleLate, HalfSpeed, ValidWaitsForReady}
IN_VERILATOR = [WrongCorner, HeldInputs, LostBackPressure, OneCycleLate]


def judge(twin, simulator="amaranth"):
    return conform(mac.contract(DESIGN), twin, vectors=1000, seed=5, simulator=simulator)


@pytest.mark.parametrize("twin", WRONG)
def test_wrong_twin_is_caught(twin):
    verdict = judge(twin)
    assert not verdict.passed
    assert verdict.fault
    if twin in TIMING_ONLY:
        assert (verdict.mismatched_bits, verdict.mismatched_cycles > 0) == (0, True)
    else:
        assert verdict.mismatched_bits > 0


@pytest.mark.parametrize("twin", IN_VERILATOR)
def test_wrong_twin_is_caught_with_the_same_verdict_in_every_simulator(twin):
    assert judge(twin, "verilator") == judge(twin)


def test_the_same_wires_untwisted_pass():
    assert judge(Twisted).passed


def test_the_fault_names_the_case_and_the_first_difference():
    assert judge(WrongBit).fault.startswith("back-to-back: result 0 is 0x")
    assert "back-to-back: result 0 was shown in cycle" in judge(OneCycleLate).fault


# A unit unlike mac: several results for a beat, cycles that depend on operands, lanes, rules for operands.


def burst_contract() -> Contract:
    """Beat -> ``count`` results ``x[0] - x[1] + k``; x[0] >= x[1] is promised."""

    def function(beats: np.ndarray) -> Answer:
        cause = np.repeat(np.arange(len(beats)), beats[:, 0])
        first = np.searchsorted(cause, cause)
        difference = beats[cause, 1] - beats[cause, 2] + np.arange(len(cause)) - first
        return Answer(difference.reshape(-1, 1), cause)

    def spacing(beats: np.ndarray) -> np.ndarray:
        cause = function(beats).cause
        return 1 + (np.arange(len(cause)) - np.searchsorted(cause, cause)) % 2

    def legal(beats: np.ndarray) -> np.ndarray:
        return np.concatenate([beats[:, :1], np.sort(beats[:, 1:], axis=1)[:, ::-1]], axis=1)

    return Contract(
        name="burst",
        inputs=Stream((Port("count", Whole(3, signed=False), "results"), Port("x", Whole(4), "pair", lanes=2))),
        outputs=Stream((Port("y", Whole(5, signed=False), "results in a row"),)),
        latency=lambda beats: 1 + (beats[:, 1] & 3),
        interval=1,
        spacing=spacing,
        capacity=1,
        turnaround=1,
        function=function,
        legal=legal,
    )


class Burst(Twin):
    def __init__(self):
        super().__init__(burst_contract())

    def elaborate(self, platform):
        m = Module()
        count, timer, k = Signal(3), Signal(2), Signal(3)
        base = Signal(5)
        with m.FSM():
            with m.State("take"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    delay = self.i.p.x[0].as_unsigned()[:2]
                    m.d.sync += [count.eq(self.i.p.count), base.eq(self.i.p.x[0] - self.i.p.x[1])]
                    m.d.sync += [timer.eq(delay), k.eq(0)]
                    with m.If(delay == 0):
                        m.next = "give"
                    with m.Else():
                        m.next = "wait"
            with m.State("wait"):
                m.d.sync += timer.eq(timer - 1)
                with m.If(timer == 1):
                    m.next = "give"
            with m.State("give"):
                m.d.comb += [self.o.valid.eq(k != count), self.o.p.y.eq(base + k)]
                with m.If(k == count):
                    m.next = "take"
                with m.Elif(self.o.ready):
                    m.d.sync += k.eq(k + 1)
                    with m.If(k + 1 == count):
                        m.next = "take"
                    with m.Elif(~k[0]):
                        m.next = "gap"
            with m.State("gap"):
                m.next = "give"
        return m


@pytest.mark.parametrize("simulator", ["amaranth", "verilator"])
def test_cycles_that_depend_on_operands_and_several_results_for_a_beat(simulator):
    contract = burst_contract()
    assert conform(contract, Burst, vectors=800, seed=1, simulator=simulator).passed
    for case in make_cases(contract, 200, 1):
        beats = contract.inputs.unpack(case.plan.feeds["i"].payloads)
        assert (beats[:, 1] >= beats[:, 2]).all()


def test_a_stream_of_single_bits():
    side = Stream((Port("bit", FLAG, "passed on"),))
    contract = Contract(
        name="bit",
        inputs=side,
        outputs=side,
        latency=1,
        interval=1,
        capacity=1,
        function=lambda beats: Answer(beats, np.arange(len(beats))),
    )

    class Register(Twin):
        def elaborate(self, platform):
            m = Module()
            m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
            with m.If(self.i.ready):
                m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
            return m

    assert conform(contract, lambda: Register(contract), vectors=400, seed=1, simulator="verilator").passed
