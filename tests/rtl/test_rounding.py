"""Do the rounding and the ends that several twins share agree with Python's own, for every number of few bits?"""

from __future__ import annotations

from fractions import Fraction

import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from siloom.rtl.rounding import clamp, half_even

BITS = 7
NUMBERS = range(-(1 << (BITS - 1)), 1 << (BITS - 1))


def of_every_number(make):
    """What ``make`` turns each number into, as combinational logic."""
    m = Module()
    number = Signal(signed(BITS))
    value = make(number)
    result = Signal(value.shape())
    m.d.comb += result.eq(value)
    found = []

    async def bench(context):
        for each in NUMBERS:
            context.set(number, each)
            await context.delay(1e-9)
            found.append(context.get(result))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    return found


@pytest.mark.parametrize("places", [0, 1, 2, 5, BITS - 1, BITS, BITS + 1, 3 * BITS])
def test_ties_go_to_even_whatever_the_number_of_places(places):
    assert of_every_number(lambda number: half_even(number, places)) == [round(Fraction(n, 2**places)) for n in NUMBERS]


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (-7, 7), (-8, 7), (-63, 63), (-64, 63), (-64, 40), (-127, 127)])
def test_numbers_beyond_an_end_become_that_end(low, high):
    assert of_every_number(lambda number: clamp(number, low, high)) == [min(max(n, low), high) for n in NUMBERS]
