"""Does a Contract say the same to everybody, and is its schedule that of real valid/ready hardware?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.contract import (
    BF16,
    FLAG,
    FP8_E4M3,
    FP8_E5M2,
    FP16,
    FP32,
    FP64,
    Answer,
    Contract,
    Port,
    Stream,
    Whole,
    as_code,
    fixed,
)

FORMATS = [FLAG, Whole(1), Whole(8), Whole(64), Whole(64, signed=False), Whole(16, fraction=8), FP8_E4M3, FP16, FP64]


def keep_marked(latency: int) -> Contract:
    """A pipeline that passes on the beats whose flag is set and swallows the others."""

    def function(beats: np.ndarray) -> Answer:
        cause = np.flatnonzero(beats[:, 1])
        return Answer(beats[cause, :1], cause)

    word = Port("word", Whole(8), "passed on")
    flag = Port("keep", FLAG, "1: pass the word on")
    return Contract(
        name="keep_marked",
        inputs=Stream((word, flag)),
        outputs=Stream((word,)),
        latency=latency,
        interval=1,
        capacity=latency,
        function=function,
    )


def elastic_pipeline(keep, idle, ready, stages):
    """The same pipeline register by register, cycle by cycle: (taken, shown, left)."""
    held: list[int | None] = [None] * stages  # the beat in each stage; the last is the output register
    taken, shown, left = [], [], []
    wait, cycle = idle[0], 0
    while len(taken) < len(keep) or any(b is not None for b in held):
        takes = ready[cycle] if cycle < len(ready) else True
        room = [False] * stages
        for s in reversed(range(stages)):
            room[s] = held[s] is None or (takes if s == stages - 1 else room[s + 1])
        if held[-1] is not None:
            if len(shown) == len(left):
                shown.append(cycle)
            if takes:
                left.append(cycle)
        offer = len(taken) if len(taken) < len(keep) and wait == 0 else None
        for s in reversed(range(stages)):
            if room[s]:
                beat = offer if s == 0 else held[s - 1]
                held[s] = beat if s < stages - 1 or (beat is not None and keep[beat]) else None
        if offer is None:
            wait = max(wait - 1, 0)
        elif room[0]:
            taken.append(cycle)
            wait = idle[len(taken)] if len(taken) < len(keep) else 0
        cycle += 1
    return taken, shown, left


waits = st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=40)


@settings(max_examples=300, deadline=None)
@given(beats=waits, ready=st.lists(st.booleans(), max_size=120), stages=st.integers(1, 5))
def test_schedule_is_that_of_an_elastic_pipeline(beats, ready, stages):
    keep, idle = [b[0] for b in beats], [b[1] for b in beats]
    rows = np.array([[i % 100, k] for i, k in enumerate(keep)], np.int64)
    got = keep_marked(stages).schedule(rows, np.array(idle), np.array(ready, bool))
    expected = elastic_pipeline(keep, idle, ready, stages)
    assert (got.taken.tolist(), got.shown.tolist(), got.left.tolist()) == expected


def test_undisturbed_beats_follow_at_the_interval_and_show_after_the_latency():
    rows = np.array([[i, 1] for i in range(20)], np.int64)
    contract = replace(keep_marked(4), interval=3)
    got = contract.schedule(rows, np.zeros(20, np.int64), np.ones(0, bool))
    assert got.taken.tolist() == [3 * i for i in range(20)]
    assert got.shown.tolist() == got.left.tolist() == [3 * i + 4 for i in range(20)]
    assert got.cycles == 19 * 3 + 4 + 1


def test_a_stuck_result_lets_in_as_many_beats_as_there_is_capacity():
    rows = np.array([[i, 1] for i in range(9)], np.int64)
    stuck = np.zeros(50, bool)
    for turnaround in (0, 1):
        got = replace(keep_marked(3), turnaround=turnaround).schedule(rows, np.zeros(9, np.int64), stuck)
        assert got.taken[:4].tolist() == [0, 1, 2, 50 + turnaround]


def test_operands_may_decide_latency_spacing_and_interval():
    # Each beat gives as many results as its word says, the first after 1 + word cycles.
    def function(beats: np.ndarray) -> Answer:
        cause = np.repeat(np.arange(len(beats)), beats[:, 0])
        return Answer(beats[cause], cause)

    side = Stream((Port("n", Whole(4, signed=False), "results"),))
    contract = Contract(
        name="burst",
        inputs=side,
        outputs=side,
        latency=lambda beats: 1 + beats[:, 0],
        interval=lambda beats: 2 + beats[:, 0],
        spacing=lambda beats: np.full(int(beats.sum()), 2),
        capacity=1,
        turnaround=1,
        function=function,
    )
    got = contract.schedule(np.array([[2], [0], [1]]), np.zeros(3, np.int64), np.ones(0, bool))
    # Beat 0 shows at 3 and 3+2; beat 1, taken a cycle later, vanishes after one; beat 2 follows.
    assert got.shown.tolist() == [3, 5, 8 + 2]
    assert got.taken.tolist() == [0, 6, 8]
    with pytest.raises(TypeError, match="depend on the operands"):
        fixed(contract.latency)
    with pytest.raises(ValueError, match="burst: latency must give 1 cycles"):
        replace(contract, latency=lambda beats: np.zeros(1, np.int64)).schedule(
            np.array([[2]]), np.zeros(1, np.int64), np.ones(0, bool)
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latency": 0}, "latency must be at least 1, got 0"),
        ({"interval": 0}, "interval must be at least 1, got 0"),
        ({"capacity": 0}, "capacity must be at least 1, got 0"),
        ({"turnaround": -1}, "turnaround must be at least 0, got -1"),
    ],
)
def test_promises_that_no_clocked_unit_keeps_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(keep_marked(2), **change)


def test_codes_that_do_not_fit_are_refused_by_column_format_and_value():
    with pytest.raises(ValueError, match="keep_marked input: column 0 holds s8 codes, -128 to 127, got 128"):
        keep_marked(1).answer(np.array([[128, 0]]))
    with pytest.raises(ValueError, match="beats have 2 columns"):
        keep_marked(1).answer(np.zeros((3, 3), np.int64))
    backwards = replace(keep_marked(1), function=lambda b: Answer(b[:, :1], np.arange(len(b))[::-1]))
    with pytest.raises(ValueError, match="causes must be in order"):
        backwards.answer(np.zeros((3, 2), np.int64))


@given(st.data())
def test_pack_and_unpack_are_inverse_on_any_formats(data):
    forms = data.draw(st.lists(st.tuples(st.sampled_from(FORMATS), st.integers(1, 3)), min_size=1, max_size=4))
    side = Stream(tuple(Port(f"p{i}", form, "", lanes) for i, (form, lanes) in enumerate(forms)))
    payloads = data.draw(st.lists(st.integers(0, 2**side.bits - 1), max_size=5))
    beats = side.unpack(payloads)
    side.check("side", beats)
    assert side.pack(beats) == payloads


def test_the_first_port_and_lane_lie_in_the_lowest_bits():
    side = Stream((Port("a", Whole(4), "", lanes=2), Port("b", FLAG, "")))
    assert side.bits == 9
    assert side.pack(np.array([[-1, 2, 1]])) == [0b1_0010_1111]


def test_a_64_bit_code_is_the_number_with_the_same_bits():
    assert as_code(2**63, Whole(64, signed=False)) == -(2**63)
    assert as_code(0xFF, Whole(8)) == -1
    assert as_code(0xFF, Whole(8, signed=False)) == 255


def test_corners_hold_the_values_arithmetic_breaks_at():
    assert Whole(8).corners() == (-128, -127, -1, 0, 1, 126, 127)
    assert FLAG.corners() == (0, 1)
    half = {np.uint16(c).view(np.float16).item() for c in FP16.corners()}
    finite = np.finfo(np.float16)
    assert {0.0, 1.0, -1.0, float(finite.max), float(finite.tiny), float(finite.smallest_subnormal)} <= half
    assert {float("inf"), float("-inf")} <= half
    assert any(np.isnan(list(half)))
    double = {np.int64(c).view(np.float64).item() for c in FP64.corners()}
    assert {1.0, -1.0, float(np.finfo(np.float64).max)} <= double


def test_formats_have_the_widths_and_names_of_the_standards():
    named = {"e4m3": FP8_E4M3, "e5m2": FP8_E5M2, "e8m7": BF16, "e5m10": FP16, "e8m23": FP32, "e11m52": FP64}
    assert [f.bits for f in named.values()] == [8, 8, 16, 16, 32, 64]
    assert [str(f) for f in named.values()] == list(named)
    assert [str(f) for f in (Whole(8), FLAG, Whole(16, fraction=8))] == ["s8", "u1", "s16.8"]
    with pytest.raises(ValueError, match="1 to 64 bits, got 65"):
        Whole(65)
