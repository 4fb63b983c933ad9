"""Does a design check its fields, say what is wrong in one line, and stay one value?"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
import pytest

from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError, UsageError


@dataclass(frozen=True, kw_only=True)
class Grid(Design):
    """A machine to test with."""

    rows: int = parameter(4, unit="PE", source="made up", low=1, high=2**40)
    clock_hz: float = parameter(1e9, unit="Hz", source="made up", status="recalled", low=1e6, high=5e9)
    share: float = parameter(0.5, unit="", source="made up", low=0, high=1)
    flow: str = parameter("weights", unit="", source="made up", choices=("weights", "outputs"))
    fused: bool = parameter(True, unit="", source="made up")
    note: str = parameter("", unit="", source="made up")

    @property
    def rows_per_s(self) -> float:
        """A derived value, which is no field."""
        return self.rows * self.clock_hz


@pytest.mark.parametrize("value", [7, "7", "7.0", "7e0", 7.0, np.int64(7), np.uint8(7), np.float32(7)])
def test_a_whole_number_may_be_given_in_any_exact_form(value: object) -> None:
    rows = Grid(rows=value).rows  # type: ignore[arg-type]
    assert (rows, type(rows)) == (7, int)


@pytest.mark.parametrize("value", [2e9, "2e9", 2_000_000_000, np.float32(2e9), np.int32(2_000_000_000)])
def test_a_number_becomes_a_plain_float(value: object) -> None:
    clock = Grid(clock_hz=value).clock_hz  # type: ignore[arg-type]
    assert (clock, type(clock)) == (2e9, float)


@pytest.mark.parametrize(
    ("value", "meaning"), [("1", True), ("0", False), ("on", True), ("FALSE", False), (1, True), (np.False_, False)]
)
def test_a_switch_is_read_from_the_usual_words(value: object, meaning: bool) -> None:
    assert Grid(fused=value).fused is meaning  # type: ignore[arg-type]


def test_large_whole_numbers_keep_every_digit() -> None:
    assert Grid(rows=str(2**40 - 1)).rows == 2**40 - 1  # type: ignore[arg-type]


REFUSED = [
    ("rows", 0, "Grid: rows must be at least 1 PE, got 0"),
    ("rows", 2**40 + 1, "Grid: rows must be at most 1099511627776 PE, got 1099511627777"),
    ("rows", "1e300", "Grid: rows must be at most 1099511627776 PE, got 1e+300"),
    ("rows", 3.5, "Grid: rows must be a whole number, got 3.5"),
    ("rows", "3.5", "Grid: rows must be a whole number, got '3.5'"),
    ("rows", "four", "Grid: rows must be a whole number, got 'four'"),
    ("rows", "", "Grid: rows must be a whole number, got ''"),
    ("rows", "1e999", "Grid: rows must be a whole number, got '1e999'"),
    ("rows", "nan", "Grid: rows must be a whole number, got 'nan'"),
    ("rows", float("inf"), "Grid: rows must be finite, got inf"),
    ("rows", True, "Grid: rows must be a whole number, got True"),
    ("rows", None, "Grid: rows must be a whole number, got None"),
    ("rows", 1j, "Grid: rows must be a whole number, got 1j"),
    ("rows", "9" * 5000, "Grid: rows must be a whole number of at most 40 characters, got 5000 characters"),
    ("rows", 10**400, "Grid: rows must be a whole number that a float can hold, got one of 1329 bits"),
    ("clock_hz", "1e999", "Grid: clock_hz must be finite, got '1e999'"),
    ("clock_hz", float("nan"), "Grid: clock_hz must be finite, got nan"),
    ("clock_hz", "fast", "Grid: clock_hz must be a number, got 'fast'"),
    ("clock_hz", 10**400, "Grid: clock_hz must be a number that a float can hold, got one of 1329 bits"),
    ("clock_hz", 999_999.5, "Grid: clock_hz must be at least 1000000 Hz, got 999999.5"),
    ("share", 1.0000000001, "Grid: share must be at most 1, got 1.0000000001"),
    ("flow", "output", "Grid: flow must be one of weights, outputs, got 'output' - did you mean 'outputs'?"),
    ("flow", 1, "Grid: flow must be one of weights, outputs, got 1"),
    ("fused", "maybe", "Grid: fused must be 0 or 1, got 'maybe'"),
    ("fused", 2, "Grid: fused must be 0 or 1, got 2"),
]


@pytest.mark.parametrize(("field", "value", "message"), REFUSED)
def test_refuses_with_field_rule_and_value(field: str, value: object, message: str) -> None:
    with pytest.raises(InputError) as made:
        Grid(**{field: value})  # type: ignore[arg-type]
    assert str(made.value) == message
    with pytest.raises(InputError) as changed:
        Grid().with_settings("grid", {field: value})
    assert str(changed.value) == message.replace("Grid:", "grid:")


def test_settings_apply_to_a_copy() -> None:
    first = Grid()
    second = first.with_settings("grid", {"rows": "8", "flow": "outputs"})
    assert (first.rows, second.rows, second.flow, second.clock_hz) == (4, 8, "outputs", 1e9)
    assert second.rows_per_s == 8e9
    assert dataclasses.replace(second, rows=4, flow="weights") == first


def test_an_unknown_setting_names_the_nearest_field() -> None:
    with pytest.raises(UsageError, match=r"^grid: no field 'row' - did you mean 'rows'\?$"):
        Grid().with_settings("grid", {"row": "8"})
    with pytest.raises(UsageError, match=r"^grid: no field 'xyz'; known: clock_hz, flow, fused, note, rows, share$"):
        Grid().with_settings("grid", {"xyz": "8"})


def test_a_derived_value_is_no_setting() -> None:
    with pytest.raises(UsageError, match="no field 'rows_per_s'"):
        Grid().with_settings("grid", {"rows_per_s": 1})


def test_a_design_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Grid().rows = 5  # type: ignore[misc]


def test_fields_are_described_in_the_order_of_declaration() -> None:
    about = Grid.parameters()
    assert list(about) == ["rows", "clock_hz", "share", "flow", "fused", "note"]
    assert (about["clock_hz"].unit, about["clock_hz"].status, about["clock_hz"].low) == ("Hz", "recalled", 1e6)


def test_plain_values_and_hash_follow_the_values_and_the_class() -> None:
    assert json.loads(json.dumps(Grid().as_dict())) == Grid().as_dict()
    assert Grid().content_hash() == Grid(rows="4").content_hash()  # type: ignore[arg-type]
    assert Grid().content_hash() != Grid(rows=5).content_hash()

    @dataclass(frozen=True, kw_only=True)
    class Other(Grid):
        """The same fields under another name."""

    assert Other().content_hash() != Grid().content_hash()
    assert len(Grid().content_hash()) == 16
