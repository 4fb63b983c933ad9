"""Does a 2:4 cell compute what exact integers say?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.sparse24_cell import (
    UNIT,
    Sparse24Cell,
    contract,
    pack_operands,
    pack_weights,
    sparse24_cell_reference,
    sparse24_cell_stream,
)

LOAD, TAKE, BOTH = (0, 1), (1, 0), (1, 1)
"""Flags first and shift."""


def run(design, beats):
    return sparse24_cell_stream(np.array(beats, np.int64).reshape(-1, 6), design.bits, design.acc_bits).tolist()


@st.composite
def streams(draw):
    design = Sparse24Cell(bits=draw(st.integers(2, 15)), acc_bits=draw(st.integers(2, 64)))
    flag = st.integers(0, 2).map(lambda x: int(x == 0))
    half = 2 ** (design.acc_bits - 1)
    beat = st.tuples(
        st.integers(0, 2**design.a_bits - 1), st.integers(0, 2**design.b_bits - 1), st.integers(-half, half - 1),
        flag, flag, flag,
    )  # fmt: skip
    return design, draw(st.lists(beat, min_size=1, max_size=40))


@settings(max_examples=300, deadline=None)
@given(streams())
def test_kernel_equals_the_plain_reference_at_any_width(case):
    design, beats = case
    assert run(design, beats) == sparse24_cell_reference(beats, design.bits, design.acc_bits)
    assert contract(design).answer(np.array(beats, np.int64)).beats.tolist() == run(design, beats)


def beat(a=(0, 0, 0, 0), weights=(0, 0), places=(0, 0), psum=0, flags=(0, 0)):
    word = int(pack_weights(np.array(weights), np.array(places), 8))
    return [int(pack_operands(np.array(a), 8)[0]), word, psum, flags[0], 0, flags[1]]


def test_two_kept_weights_meet_the_operands_at_their_places_a_beat_later():
    shown = run(
        Sparse24Cell(),
        [beat(weights=(10, -3), places=(1, 3), flags=BOTH), beat(a=(5, 6, 7, -8)), beat(psum=100), beat()],
    )
    assert [row[2] for row in shown] == [0, 0, 100 + 10 * 6 + 3 * 8, 0]


def test_new_weights_choose_from_the_beat_after_first_and_the_old_ones_finish_theirs():
    shown = run(
        Sparse24Cell(),
        [
            beat(weights=(1, 0), places=(0, 1), flags=LOAD),
            beat(flags=TAKE),
            beat(a=(5, 6, 7, 8), weights=(100, 0), places=(2, 3), flags=LOAD),
            beat(a=(9, 6, 7, 8), flags=TAKE),
            beat(a=(1, 2, 3, 4)),
            beat(),
        ],
    )
    assert [row[2] for row in shown] == [0, 0, 0, 5, 9, 300]


def test_words_hold_what_the_selector_reads():
    assert pack_operands(np.array([1, -1, 2, -2, 5, 0, 0, 0]), 4).tolist() == [0xE2F1, 5]
    assert pack_weights(np.array([-1, 2]), np.array([1, 3]), 4) == 0xD2F


def test_every_size_answers_and_bad_settings_are_named():
    for design in UNIT.sizes:
        promise = contract(design)
        assert [p.format.bits for p in promise.inputs.ports] == [design.a_bits, design.b_bits, design.acc_bits, 1, 1, 1]
        assert (promise.latency, promise.interval, promise.capacity) == (1, 1, 1)
        assert len(promise.answer(np.zeros((0, 6), np.int64)).beats) == 0
    with pytest.raises(InputError, match="bits"):
        Sparse24Cell(bits=17)
