"""Are quotients nearest, with ties where they should go, however many cycles there are for their digits?"""

from __future__ import annotations

from fractions import Fraction
from math import floor

import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from siloom.rtl.divider import Dividers, division

BY_BITS = 3


def run(top, testbench):
    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


def dividends(by, digits):
    """All that a divisor goes into often enough, but for quotients that are rounded to ``2**digits``."""
    return range(-by << digits, (by << digits) - by // 2)


@pytest.mark.parametrize("digits", [1, 3])
@pytest.mark.parametrize("cycles", [0, 1, 2, 3, 5, 7])
def test_every_division_in_place_is_done_in_time_and_rounded_half_to_even(digits, cycles):
    m = Module()
    start, by = Signal(), Signal(BY_BITS)
    dividend = [Signal(signed(BY_BITS + digits + 1)) for _ in range(2)]
    quotient = [Signal(signed(digits + 1)) for _ in range(2)]
    done, found = Dividers(BY_BITS, digits, cycles).divide(m, start, dividend, by)
    m.d.comb += [wire.eq(value) for wire, value in zip(quotient, found, strict=True)]

    async def testbench(context):
        def give(*values):
            for signal, value in zip((start, by, *dividend), values, strict=True):
                context.set(signal, value)

        for divisor in range(1 << BY_BITS):
            for number in dividends(divisor, digits) if divisor else [0]:
                other = -number if -number in dividends(divisor, digits) else number
                give(1, divisor, number, other)
                for _ in range(cycles):
                    assert not context.get(done)
                    await context.tick()
                    give(0, ~divisor, 1, 2)
                assert context.get(done)
                await context.tick()
                give(0, 3, 0, 0)
                expected = [round(Fraction(n, divisor)) if divisor else 0 for n in (number, other)]
                assert [context.get(q) for q in quotient] == expected, (number, divisor)

    run(m, testbench)


@pytest.mark.parametrize("digits", [1, 2, 5])
def test_every_fraction_in_a_pipeline_is_rounded_half_up(digits):
    m = Module()
    left, by, quotient = Signal(BY_BITS + 1), Signal(BY_BITS), Signal(digits + 1)
    values = {"left": left.as_signed(), "by": by, "note": by}
    for step in division(digits):
        values = step.compute(m, values, None)
    assert set(values) == {"quotient", "note"}
    m.d.comb += quotient.eq(values["quotient"])

    async def testbench(context):
        for divisor in range(1, 1 << BY_BITS):
            for start in range(-divisor, divisor):
                nearest = floor(Fraction(start << digits, divisor) + Fraction(1, 2))
                if nearest == 1 << digits:
                    continue  # has no place
                context.set(left, start)
                context.set(by, divisor)
                await context.delay(1e-7)
                assert context.get(quotient.as_signed()) == nearest, (start, divisor)

    m.d.sync += Signal().eq(0)
    run(m, testbench)
