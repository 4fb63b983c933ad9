"""Does a result hold its sums, and come back from JSON as it was?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.result import Phase, Result, Timeline, apportion


def full(**changes: Any) -> Result:
    fields: dict[str, Any] = {
        "machine": "m",
        "workload": "w",
        "seconds": 2.0,
        "cycles": 10,
        "clock_hz": 5.0,
        "stalls": {"compute": 7, "dram": 3},
        "energy_j": 3.0,
        "energy_parts": {"alu": 1.0, "dram": 2.0},
        "area_mm2": 1.5,
        "area_parts": {"alu": 1.5},
        "operations": {"multiplies": 4},
        "phases": (Phase("multiply", 10, 2.0, {"compute": 7, "dram": 3}),),
        "rows": ({"name": "a"},),
        "notes": ("one", "two"),
        "timeline": Timeline(0.5, {"tile": {"tile 0": (0.5, 1.0)}}),
    }
    return Result(**(fields | changes))


@pytest.mark.parametrize("result", [full(), Result(machine="m", workload="w", seconds=0.0)])
def test_json_comes_back_equal_and_byte_for_byte(result: Result) -> None:
    again = Result.from_dict(json.loads(result.to_json()))
    assert again == result
    assert again.to_json() == result.to_json()


def test_numpy_numbers_become_plain_ones() -> None:
    made = Result(machine="m", workload="w", seconds=1.0, operations={"adds": np.int64(3)})  # type: ignore[dict-item]
    assert json.loads(made.to_json())["operations"] == {"adds": 3}


def test_equal_values_give_equal_bytes_whatever_their_order() -> None:
    assert full(stalls={"dram": 3, "compute": 7}).to_json() == full().to_json()


def test_power_is_energy_over_time_and_null_without_either() -> None:
    assert full().power_w == 1.5
    assert full(seconds=0.0).power_w is None
    assert full(energy_j=None, energy_parts={}).power_w is None
    assert json.loads(full().to_json())["power_w"] == 1.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stalls": {"compute": 9}}, "m: stall causes add up to 9, not to 10 cycles"),
        ({"energy_j": 4.0}, "m: parts of the energy add up to 3.0, not to 4.0"),
        ({"area_parts": {"alu": 1.0}}, "m: parts of the area add up to 1.0, not to 1.5"),
    ],
)
def test_parts_that_do_not_add_up_are_a_defect(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        full(**changes)


def test_no_number_that_json_lacks_is_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        full(peaks={"bytes_per_s": float("nan")}).to_json()


def test_an_object_that_is_no_plain_value_is_a_defect() -> None:
    with pytest.raises(TypeError, match="object does not belong in a result"):
        full(checks={"x": object()}).to_dict()


def without(name: str) -> dict[str, Any]:
    return {k: v for k, v in full().to_dict().items() if k != name}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1], "f: not a siloom result of schema 1"),
        (full().to_dict() | {"schema": 2}, "f: not a siloom result of schema 1"),
        (full().to_dict() | {"colour": 1}, "f: unknown field 'colour'"),
        (without("machine"), "f: not a complete siloom result: "),
        (without("phases"), "f: not a complete siloom result: "),
        (full().to_dict() | {"phases": [{"name": "x"}]}, "f: not a complete siloom result: "),
        (full().to_dict() | {"timeline": 5}, "f: not a complete siloom result: "),
        (full().to_dict() | {"stalls": {"a": "x"}}, "f: not a complete siloom result: "),
        (full().to_dict() | {"cycles": 11}, "f: not a complete siloom result: m: stall causes add up to 10"),
    ],
)
def test_what_is_no_result_is_refused(data: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Result.from_dict(data, "f")
    assert str(caught.value).startswith(message)


def test_a_file_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(full().to_json())
    assert Result.load(tmp_path / "r.json") == full()


@pytest.mark.parametrize("content", [b"", b"[", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"r\.json: is not a JSON document$"):
        Result.load(path)


def test_a_folder_and_an_absent_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        Result.load(tmp_path)
    with pytest.raises(InputError, match="cannot be read: No such file or directory"):
        Result.load(tmp_path / "absent")


@settings(derandomize=True)
@given(st.integers(0, 10**15), st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 10**15)))
def test_apportioned_cycles_add_up_and_are_within_one_of_their_share(cycles: int, shares: dict[str, int]) -> None:
    parts = apportion(cycles, shares)
    total = sum(shares.values())
    assert parts.keys() == shares.keys()
    assert sum(parts.values()) == (cycles if total else 0)
    for name, share in shares.items():
        assert parts[name] * total <= cycles * share + total
        assert (parts[name] + 1) * total > cycles * share or total == 0


def test_equal_shares_give_the_rest_to_the_first_names() -> None:
    assert apportion(10, {"c": 1, "a": 1, "b": 1}) == {"c": 3, "a": 4, "b": 3}
