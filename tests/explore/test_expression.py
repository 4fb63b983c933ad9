"""Are constraints read as arithmetic, and is nothing else let in?"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siloom.explore.expression import condition
from siloom.sim.errors import InputError

POINT = {"area_mm2": 40.0, "tiles": 8, "dataflow": "ws", "power_w": 2.5, "double_buffer": True}


@pytest.mark.parametrize(
    "text",
    [
        "area_mm2 < 50",
        "10 <= area_mm2 <= 40",
        "tiles * 2 + 1 == 17",
        "area_mm2 / tiles <= 5 and power_w < 3",
        "max(tiles, 9) == 9",
        "-tiles < 0",
        "dataflow == 'ws'",
        "tiles ** 2 == 64",
        "double_buffer == 1",
    ],
)
def test_a_met_constraint_is_missed_by_nothing(text):
    assert condition("c", text).violation(POINT) == 0


@pytest.mark.parametrize(
    ("text", "missed"),
    [("area_mm2 < 32", 0.25), ("area_mm2 >= 50", 0.2), ("tiles == 4", 1.0), ("area_mm2 < 32 and tiles == 4", 1.0)],
)
def test_a_broken_one_says_by_what_share_of_its_limit(text, missed):
    assert condition("c", text).violation(POINT) == pytest.approx(missed)


@pytest.mark.parametrize(
    "text",
    [
        "area_mm2 < 40",
        "missing < 3",
        "dataflow == 'os'",
        "area_mm2 / (tiles - 8) < 1",
        "dataflow < 3",
        "9 ** 9 ** 9 > tiles",
    ],
)
def test_what_cannot_be_told_or_is_just_missed_is_broken(text):
    assert condition("c", text).violation(POINT) > 0


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true') < 1",
        "tiles.__class__ == 1",
        "[tiles][0] < 3",
        "(lambda: 1)() < tiles",
        "tiles if tiles else 3 < 2",
        "tiles < 3 or tiles > 4",
        "not tiles < 3",
        "tiles",
        "1 < 2",
        "tiles in [1]",
        "tiles < 1e999",
        "tiles < 1j",
        "exec('x') < tiles",
        "tiles := 3",
        "tiles <",
        "",
        "(" * 300 + "tiles" + ")" * 300 + " < 1",
        "-" * 60 + "tiles < 1",
        "tiles < " + "9" * 600,
        "tiles < " + "9" * 30,
        "f'{tiles}' == 'x'",
        "max(tiles, key=abs) < 1",
        "max() < tiles",
        "tiles @ 2 < 1",
        "tiles < 1\nimport os",
        "tiles\0 < 1",
    ],
)
def test_anything_else_is_refused_in_one_line(text):
    with pytest.raises(InputError) as told:
        condition("space.toml: line 3", text)
    assert str(told.value).startswith("space.toml: line 3")


@given(st.text(max_size=60))
def test_no_text_does_more_than_be_refused(text):
    try:
        found = condition("c", text)
    except InputError:
        return
    assert found.violation({}) == math.inf or found.violation({}) >= 0
