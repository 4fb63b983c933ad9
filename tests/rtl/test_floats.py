"""Do the shared parts of floating-point hardware give the model's bits, in formats that no unit has?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from siloom.rtl import icarus
from siloom.rtl.barrel import barrel_left, barrel_right, leading_zeros, named
from siloom.rtl.elastic import elastic
from siloom.rtl.registry import UnitBlock
from siloom.rtl.testing import conform, make_cases
from siloom.rtl.twin import Twin
from siloom.rtl.units.fp_mac import fp_mac_step
from siloom.sim.contract import BF16, FP8_E4M3FN, FP8_E5M2, FP16, FP32, Answer, Contract, Float, Port, Stream
from siloom.sim.units import outer_multiplier
from siloom.sim.units.floats import layout
from siloom.sim.units.fp_mac import UNIT, FpMac, fp_mac_steps
from siloom.sim.units.fp_mac_reference import mac_reference


def step_contract(a_form, b_form, form, saturate, near=False) -> Contract:
    """Beat (total, a, b) -> total + a * b, a cycle later; ``near`` makes product and total cancel, or almost."""

    def function(beats: np.ndarray) -> Answer:
        columns = (np.ascontiguousarray(column) for column in beats.T)
        sums = fp_mac_steps(*columns, layout(a_form), layout(b_form), layout(form), saturate)
        return Answer(sums.reshape(-1, 1), np.arange(len(beats)))

    def legal(beats: np.ndarray) -> np.ndarray:
        """The total is the product with the other sign, or a few last places beside it."""
        nothing = np.zeros(len(beats), np.int64)
        columns = (np.ascontiguousarray(column) for column in beats[:, 1:].T)
        products = fp_mac_steps(nothing, *columns, layout(a_form), layout(b_form), layout(form), saturate)
        off = beats[:, 0] % 9 - 4
        totals = ((products ^ 1 << (form.bits - 1)) + off) % (1 << form.bits)
        return np.column_stack([totals, beats[:, 1:]])

    return Contract(
        name="step",
        inputs=Stream((Port("total", form, "so far"), Port("a", a_form, "factor"), Port("b", b_form, "factor"))),
        outputs=Stream((Port("sum", form, "total + a * b"),)),
        latency=1,
        interval=1,
        capacity=1,
        function=function,
        legal=legal if near else None,
    )


class Step(Twin):
    def __init__(self, a_form, b_form, form, saturate, near=False):
        super().__init__(step_contract(a_form, b_form, form, saturate, near))
        self.forms, self.saturate = (a_form, b_form, form), saturate

    def elaborate(self, platform):
        def step(m, given, moves):
            return {"sum": fp_mac_step(m, given["total"], given["a"], given["b"], *self.forms, self.saturate)}

        m = Module()
        elastic(m, self, [step])
        return m


SMALL = [
    (Float(2, 1), Float(2, 1), Float(2, 1), False),
    (Float(2, 1, finite=True), Float(1, 2, finite=True), Float(2, 1, finite=True), False),
    (Float(2, 1), Float(3, 1), Float(1, 1), False),  # a product far beyond the sum, on both sides
    (Float(1, 1), Float(1, 1), Float(4, 1), False),  # a sum with a wider range than products
]
LARGE = [
    (FP8_E4M3FN, FP8_E5M2, Float(3, 2), False),
    (FP8_E5M2, FP8_E5M2, FP8_E4M3FN, False),
    (FP8_E4M3FN, FP8_E4M3FN, Float(2, 8), True),
    (BF16, FP16, FP32, False),
    (FP16, FP16, Float(8, 4), False),
]


def spell(case):
    a_form, b_form, form, saturate = case
    return f"{a_form}*{b_form}+{form}" + ("-saturate" if saturate else "")


@pytest.mark.parametrize("case", SMALL, ids=spell)
def test_a_step_is_the_models_for_every_operand(case):
    contract = step_contract(*case)
    assert make_cases(contract, 64, 1)[-1].plan.name == "exhaustive"
    assert conform(contract, lambda: Step(*case), vectors=64, seed=1, simulator="cxxrtl").passed


@pytest.mark.slow
@pytest.mark.parametrize("near", [False, True], ids=["anywhere", "near"])
@pytest.mark.parametrize("case", LARGE, ids=spell)
def test_a_step_is_the_models(case, near):
    verdict = conform(step_contract(*case, near), lambda: Step(*case, near), vectors=6000, seed=2, simulator="cxxrtl")
    assert verdict.passed, verdict


@pytest.mark.parametrize("case", LARGE, ids=spell)
def test_the_model_of_a_step_is_the_reference_where_sums_cancel(case):
    beats = make_cases(step_contract(*case, near=True), 400, 3)[0]
    contract = step_contract(*case)
    for payload, code in zip(beats.plan.feeds["i"].payloads, beats.answer.beats[:, 0].tolist(), strict=True):
        total, a, b = contract.inputs.unpack([payload])[0].tolist()
        assert code == mac_reference(total, a, b, *case)


@pytest.mark.skipif(not icarus.is_installed(), reason="Icarus is not installed")
def test_icarus_shows_no_register_an_input_of_the_next_cycle():
    """Bits that go through logic and bits that do not are registered together, without an enable."""
    size = FpMac(a_format="bf16", b_format="bf16", add_cycles=2, latency_cycles=5)
    assert UnitBlock(UNIT, size).check(200, 7, "icarus").passed


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8, 13])
def test_shifts_and_leading_zeros_of_every_value(bits):
    m = Module()
    value, amount = Signal(bits), Signal(bits.bit_length() + 1)
    zeros = named(m, leading_zeros(m, value), "zeros")
    left = named(m, barrel_left(m, value, amount), "left")
    right, lost = (named(m, part, "right") for part in barrel_right(m, value, amount))
    values = range(1 << bits) if bits < 10 else [0, *(1 << k for k in range(bits)), *range(5, 1 << bits, 257)]

    async def bench(ctx):
        for number in values:
            ctx.set(value, number)
            for by in range(1 << len(amount)):
                ctx.set(amount, by)
                await ctx.delay(1e-9)
                assert ctx.get(zeros) == bits - number.bit_length()
                assert (ctx.get(right), ctx.get(lost)) == (number >> by, int(number & ((1 << by) - 1) != 0))
                if by <= bits:
                    assert ctx.get(left) == number << by & ((1 << bits) - 1)

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.slow
@pytest.mark.parametrize("latency_cycles", [2, 6])
def test_products_about_the_subnormals_are_the_models(latency_cycles):
    """Exponents that meet at the smallest numbers; significands with few ones, so that ties are common."""
    unit = outer_multiplier.UNIT
    size = outer_multiplier.OuterMultiplier(index_bits=1, latency_cycles=latency_cycles)

    def legal(beats: np.ndarray) -> np.ndarray:
        out = beats.copy()
        first, factor, _, value = out.T
        first[:] = 1
        field = factor >> 52 & 0x7FF
        few_ones = 0x0008_0000_0020_0003
        factor[:] = factor & (few_ones | -1 << 52)
        other = np.clip(1023 - field + value % 61 - 57, 0, 2046)
        value[:] = (value & (few_ones << 7 | -1 << 63) & ~(0x7FF << 52)) | other << 52
        return out

    contract = replace(unit.contract(size), legal=legal)
    sizes = [code & 2**63 - 1 for case in make_cases(contract, 8000, 4) for code in case.answer.beats[:, 1].tolist()]
    assert sum(0 < size < 1 << 52 for size in sizes) > 2000
    assert conform(contract, UnitBlock(unit, size).make, vectors=8000, seed=4, simulator="cxxrtl").passed
