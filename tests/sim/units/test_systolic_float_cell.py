"""Does a floating-point cell round once as exact fractions do, and rest when nothing is live?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.units.fp_gemm import fp_dot
from siloom.sim.units.fp_mac import OPERANDS, FpMac
from siloom.sim.units.systolic_float_cell import UNIT, SystolicFloatCell, contract, float_cell_reference

FORMATS = list(OPERANDS)
NAN, INFINITY, MINUS_ZERO = 0x7FC0, 0x7F80, 0x80000000


def run(design, beats):
    return contract(design).answer(np.array(beats, np.int64).reshape(-1, 7)).beats.tolist()


@st.composite
def streams(draw):
    design = SystolicFloatCell(
        dataflow=draw(st.sampled_from(["os", "ws", "is"])),
        a_format=draw(st.sampled_from(FORMATS)),
        b_format=draw(st.sampled_from(FORMATS)),
        acc_exponent_bits=draw(st.integers(2, 8)),
        acc_mantissa_bits=draw(st.integers(1, 23)),
        overflow=draw(st.sampled_from(["infinity", "saturate"])),
        double=draw(st.booleans()),
    )
    codes = [
        st.one_of(st.integers(0, (1 << form.bits) - 1), st.sampled_from(form.corners()))
        for form in (design.a, design.b, design.accumulator)
    ]
    flag = st.integers(0, 2).map(lambda x: int(x == 0))
    return design, draw(st.lists(st.tuples(*codes, flag, flag, flag, flag), min_size=1, max_size=20))


@settings(max_examples=300, deadline=None)
@given(streams())
def test_kernel_equals_exact_fractions_in_any_format(case):
    design, beats = case
    assert run(design, beats) == float_cell_reference(beats, design)


@settings(deadline=None)
@given(streams(), st.integers(1, 5))
def test_beats_that_are_not_live_change_no_sum_whatever_stands_beside_them(case, idle):
    design, beats = case
    rest = [[*beat[:3], 0, 0, 0, 0] for beat in beats[:idle]]
    shown = run(design, [*beats, *rest, [0, 0, 0, 0, 1, 0, 0]])
    before = run(design, [*beats, [0, 0, 0, 0, 1, 0, 0]])
    if design.dataflow == "os":
        assert shown[-1][2] == before[-1][2]
    else:
        assert [beat[2] for beat in shown[len(beats) : -1]] == [beat[2] for beat in rest]


@pytest.mark.parametrize("double", [False, True])
def test_an_output_stationary_cell_gives_the_dot_product_of_fp_mac(double):
    rng = np.random.default_rng(1)
    design = SystolicFloatCell(dataflow="os", acc_mantissa_bits=7, double=double)
    a, b = rng.integers(0x3E00, 0x4100, (2, 50))
    beats = [[x, y, 0, i == 0, i == 49, 0, 1] for i, (x, y) in enumerate(zip(a, b, strict=True))]
    unit = FpMac(a_format="bf16", b_format="bf16", acc_mantissa_bits=7)
    assert run(design, beats)[-1][2] == fp_dot(a, b, unit)


def test_what_stays_may_be_no_number_while_nothing_is_live():
    load = [[0, code, 0, 1, 0, 1, 0] for code in (NAN, INFINITY)]
    for beat in load:
        shown = run(SystolicFloatCell(), [beat, [0, 0, MINUS_ZERO, 0, 0, 0, 0], [0, 0, MINUS_ZERO, 0, 0, 0, 1]])
        assert shown[1][2] == MINUS_ZERO
        assert shown[2][2] == 0x7FC00000  # nothing times it is no number either


def test_the_contract_takes_its_formats_from_the_design():
    promise = contract(
        SystolicFloatCell(a_format="fp8_e4m3", b_format="fp16", acc_exponent_bits=6, acc_mantissa_bits=9)
    )
    assert [p.format.bits for p in promise.inputs.ports] == [8, 16, 16, 1, 1, 1, 1]
    assert (promise.latency, promise.interval, promise.capacity) == (1, 1, 1)
    for size in UNIT.sizes:
        assert len(UNIT.contract(size).answer(np.zeros((5, 7), np.int64)).beats) == 5
