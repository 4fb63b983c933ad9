"""Does a cell compute what exact integers say, and what an array of such cells needs?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.systolic_cell import UNIT, SystolicCell, cell_reference, cell_stream, contract


def run(design, beats):
    return contract(design).answer(np.array(beats, np.int64).reshape(-1, 6)).beats.tolist()


def number(bits):
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@st.composite
def streams(draw):
    design = SystolicCell(
        dataflow=draw(st.sampled_from(["os", "ws", "is"])),
        a_bits=draw(st.integers(2, 32)),
        b_bits=draw(st.integers(2, 32)),
        acc_bits=draw(st.integers(2, 64)),
        double=draw(st.booleans()),
    )
    flag = st.integers(0, 3).map(lambda x: int(x == 0))
    beat = st.tuples(number(design.a_bits), number(design.b_bits), number(design.acc_bits), flag, flag, flag)
    return design, draw(st.lists(beat, min_size=1, max_size=50))


@settings(max_examples=300, deadline=None)
@given(streams())
def test_kernel_equals_the_plain_reference_at_any_width(case):
    design, beats = case
    assert run(design, beats) == cell_reference(beats, design.dataflow, design.double, design.acc_bits)


@settings(deadline=None)
@given(streams())
def test_a_beat_moves_on_unchanged_in_what_only_passes(case):
    design, beats = case
    shown = run(design, beats)
    for given_, seen in zip(beats, shown, strict=True):
        assert [seen[0], *seen[3:]] == [given_[0], *given_[3:]]
        if design.dataflow == "os":
            assert seen[1] == given_[1]


@pytest.mark.parametrize("double", [False, True])
def test_an_output_stationary_cell_sums_a_dot_product_and_lets_others_through(double):
    design = SystolicCell(dataflow="os", double=double)
    a, b = [3, -4, 5], [7, 2, -6]
    beats = [[x, y, 99, i == 0, i == 2, 0] for i, (x, y) in enumerate(zip(a, b, strict=True))]
    after = [[0, 11, 41, 0, 0, 1], [0, 11, 42, 0, 0, 0]]
    shown = run(design, [*beats, *after])
    # Its own sum first, then the one from above, which stays while nothing shifts.
    assert [beat[2] for beat in shown[2:]] == [np.dot(a, b), 41, 41]


def test_a_second_register_keeps_the_sum_while_the_next_one_grows():
    design = SystolicCell(dataflow="os")
    beats = [[2, 3, 0, 1, 1, 0], [5, 5, 0, 1, 0, 0], [5, 5, 0, 0, 1, 0]]
    assert [beat[2] for beat in run(design, beats)] == [6, 6, 50]


@pytest.mark.parametrize("dataflow", ["ws", "is"])
def test_a_stationary_operand_works_from_the_beat_after_the_one_that_says_first(dataflow):
    design = SystolicCell(dataflow=dataflow)
    load, take = [0, 9, 0, 0, 0, 1], [2, 4, 100, 1, 0, 0]
    shown = run(design, [load, take, [2, 4, 100, 0, 0, 1], [2, 0, 100, 1, 0, 0], [2, 0, 100, 0, 0, 0]])
    # 9 is loaded, and taken while nothing is at work yet; 4 is loaded behind it, and works only once it is taken.
    assert [beat[2] for beat in shown] == [0, 100, 118, 118, 108]
    assert [beat[1] for beat in shown] == [9, 9, 4, 4, 4]


@pytest.mark.parametrize("dataflow", ["ws", "is"])
def test_first_takes_what_is_loaded_with_the_same_beat(dataflow):
    beats = [[0, 9, 0, 0, 0, 1], [2, 4, 100, 1, 0, 1], [2, 7, 100, 0, 0, 1], [2, 7, 100, 0, 0, 0]]
    assert [beat[2] for beat in run(SystolicCell(dataflow=dataflow), beats)] == [0, 100, 108, 108]


def test_with_one_register_an_operand_works_from_the_beat_after_its_load():
    design = SystolicCell(dataflow="ws", double=False)
    shown = run(design, [[0, 9, 0, 0, 0, 1], [2, 4, 100, 0, 0, 1], [2, 0, 100, 0, 0, 0]])
    assert [beat[2] for beat in shown] == [0, 118, 108]


@settings(deadline=None)
@given(streams(), st.integers(1, 5))
def test_idle_beats_change_no_sum(case, idle):
    design, beats = case
    shown = run(design, [*beats, *([0, 0, 0, 0, 0, 0] for _ in range(idle)), [0, 0, 0, 0, 0, 0]])
    if design.dataflow == "os":
        assert all(beat[2] == shown[len(beats) - 1][2] for beat in shown[len(beats) :])
    else:
        assert all(beat[2] == 0 for beat in shown[len(beats) :])


def test_sums_wrap():
    assert run(SystolicCell(dataflow="ws", acc_bits=8), [[0, 0, 127, 0, 0, 0]])[0][2] == 127
    design = SystolicCell(dataflow="os", acc_bits=8)
    assert run(design, [[100, 1, 0, 1, 0, 0], [100, 1, 0, 0, 1, 0]])[1][2] == 200 - 256


def test_the_contract_takes_its_numbers_from_the_design():
    promise = contract(SystolicCell(a_bits=5, b_bits=7, acc_bits=13))
    assert [p.format.bits for p in promise.inputs.ports] == [5, 7, 13, 1, 1, 1]
    assert [p.format.bits for p in promise.outputs.ports] == [5, 7, 13, 1, 1, 1]
    assert (promise.latency, promise.interval, promise.capacity) == (1, 1, 1)
    assert len(promise.answer(np.zeros((0, 6), np.int64)).beats) == 0


def test_every_size_answers_and_bad_settings_are_named():
    for size in UNIT.sizes:
        beats = np.zeros((5, 6), np.int64)
        assert len(UNIT.contract(size).answer(beats).beats) == 5
    with pytest.raises(InputError, match="dataflow must be one of os, ws, is, got 'rs'"):
        SystolicCell(dataflow="rs")
    assert cell_stream(np.zeros((0, 6), np.int64), True, True, 32).shape == (0, 6)
