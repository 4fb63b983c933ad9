"""Do files of spaces say what they mean, and is every fault one line with its place?"""

import json

import pytest

from siloom.explore.document import schema
from siloom.explore.load import space_of, space_of_file
from siloom.sim.errors import InputError

GOOD = {
    "machine": "systolic",
    "workloads": ["gemm:m=8,n=8,k=8"],
    "objectives": ["time"],
    "fields": {"rows": [4, 8]},
}


def values(field, said, machine="systolic"):
    return list(space_of({**GOOD, "machine": machine, "fields": {field: said}}).alternatives[0].axes[0].values)


def test_points_are_numbered_with_the_last_field_fastest(small):
    space = space_of_file(small)
    assert space.size == 5 * 3 * 5
    assert space.settings(0) == {"tiles": 1, "pes_per_tile": 4, "l0_bytes": 4096}
    assert space.settings(1) == {"tiles": 1, "pes_per_tile": 4, "l0_bytes": 8192}
    assert space.settings(74) == {"tiles": 16, "pes_per_tile": 16, "l0_bytes": 65536}
    for index in range(space.size):
        number, inner = space.place(index)
        assert space.index(number, space.alternatives[number].levels(inner)) == index


def test_several_designs_are_one_space():
    space = space_of(
        {
            "designs": [
                {"machine": "elsa", "fields": {"selectors": [4, 8]}},
                {"machine": "sanger", "fields": {"pes_per_row": [8, 16, 32]}},
            ],
            "workloads": ["attention:seq=64"],
            "objectives": ["time", "energy"],
        }
    )
    assert space.size == 5
    assert [space.place(index) for index in range(5)] == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]


@pytest.mark.parametrize(
    ("field", "said", "expected"),
    [
        ("rows", {"low": 3, "high": 6}, [3, 4, 5, 6]),
        ("rows", {"low": 4, "high": 20, "step": 8}, [4, 12, 20]),
        ("rows", {"low": 3, "high": 33, "scale": "log2"}, [4, 8, 16, 32]),
        ("rows", {"low": 1, "high": 100, "scale": "log", "count": 3}, [1, 10, 100]),
        ("clock_hz", {"low": 1e8, "high": 3e8, "count": 3}, [1e8, 2e8, 3e8]),
        ("clock_hz", {"low": 1e8, "high": 3e8, "step": 1e8}, [1e8, 2e8, 3e8]),
        ("dataflow", "default", ["os", "ws", "is"]),
        ("double_buffer", "default", [False, True]),
        ("rows", "default", [1 << n for n in range(17)]),
        ("dataflow", ["ws", "os"], ["ws", "os"]),
    ],
)
def test_values_of_a_field(field, said, expected):
    assert values(field, said) == pytest.approx(expected)


def test_a_field_with_zero_keeps_it():
    assert values("max_seq", "default", machine="elsa")[:3] == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"machin": "x"}, "no key 'machin' - did you mean 'machine'?"),
        ({"machine": "sistolic"}, "machine: no machine 'sistolic' - did you mean 'systolic'?"),
        ({"fields": {"row": [1]}}, "fields.row: systolic has no field 'row' - did you mean 'rows'?"),
        ({"fields": {"rows": []}}, "fields.rows: List should have at least 1 item"),
        ({"fields": {"rows": [4, 0]}}, "fields.rows: must be at least 1 cells, got 0"),
        ({"fields": {"rows": [4, 4]}}, "fields.rows: names a value twice"),
        ({"fields": {"rows": [1.5]}}, "fields.rows: must be a whole number, got 1.5"),
        ({"fields": {"rows": {"low": 9, "high": 3}}}, "the range is empty"),
        ({"fields": {"rows": {"low": 5, "high": 7, "scale": "log2"}}}, "no power of two from 5 to 7"),
        ({"fields": {"rows": {"low": 5, "hihg": 7}}}, "no key 'hihg' - did you mean 'high'?"),
        ({"fields": {"rows": {"low": 5}}}, "high: Field required"),
        ({"fields": {"rows": ["8"]}}, "fields.rows: must be a whole number, got the text '8'"),
        ({"fields": {"rows": [[8]]}}, "fields.rows.1: must be a finite number, a text, true or false, got [8]"),
        ({"fields": {"rows": {"low": 1, "high": 10**30}}}, "there are 1e+30 values; at most 1e+18"),
        ({"fields": {"clock_hz": [float("nan")]}}, "fields.clock_hz.1: must be a finite number, a text"),
        ({"fields": {"clock_hz": {"low": 1e8, "high": 1e308, "step": 1e-300}}}, "makes inf values; at most 100000"),
        ({"fields": {"clock_hz": {"low": "1", "high": 2}}}, "fields.clock_hz.low: must be a finite number, got '1'"),
        ({"name": "a\x1b[31m"}, "name: must not have control characters"),
        ({"screen": {"pionts": 3}}, "no key 'pionts' - did you mean 'points'?"),
        ({"fields": {"rows": {"low": 5, "high": 7, "stepp": 1}}}, "no key 'stepp' - did you mean 'step'?"),
        ({"fields": {"rows": {"low": 1, "high": 7, "step": 0}}}, "greater than 0"),
        ({"fields": {"clock_hz": {"low": 1e6, "high": 2e6}}}, "needs a count, a step"),
        ({"fields": {"dataflow": ["wss"]}}, "must be one of os, ws, is, got 'wss'"),
        ({"fields": {"rows": "all"}}, "fields.rows: Input should be 'default', got 'all'"),
        ({"objectives": []}, "objectives: List should have at least 1 item"),
        ({"objectives": ["speed"]}, "objectives.1: no metric 'speed'"),
        ({"objectives": ["time", "seconds"]}, "names a metric twice"),
        ({"constraints": ["aera_mm2 < 3"]}, "constraints.1: no field or metric 'aera_mm2' - did you mean 'area_mm2'?"),
        ({"constraints": [" "]}, "constraints.1: ' ' is no expression: invalid syntax"),
        ({"constraints": ["rows < 50and cols < 3"]}, "is no expression: invalid decimal literal"),
        ({"constraints": ["fits"]}, "must have the form 'fits fpga:PART'"),
        ({"constraints": ["fits fpga:zcu105"]}, "no machine 'zcu105'"),
        ({"constraints": ["fits h100"]}, "'h100' is of kind gpu, not an FPGA"),
        ({"search": {"method": "nsga"}}, "search.method: no search 'nsga' - did you mean 'nsga2'?"),
        ({"search": {"methd": "grid"}}, "search.methd: no key 'methd' - did you mean 'method'?"),
        ({"budget": {"points": 0}}, "budget.points: Input should be greater than or equal to 1, got 0"),
        ({"budget": {"points": "9"}}, "budget.points: Input should be a valid integer"),
        ({"budget": {"seconds": float("nan")}}, "budget.seconds: must be a finite number, got nan"),
        ({"workloads": []}, "name at least one of [[workloads]]"),
        ({"workloads": [{"load": "gemm:m=1,n=1,k=1", "weight": -1}]}, "weight: Input should be greater than 0"),
        ({"designs": [{"machine": "elsa"}]}, "and not both"),
        ({"training": {"recipe": "digits"}}, "none for workloads"),
    ],
)
def test_a_fault_is_one_line_with_its_place(change, told):
    with pytest.raises(InputError) as caught:
        space_of({**GOOD, **change})
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arithmetic", "values", "told"),
    [
        ("int8:acc={", [1], "is no text with fields in braces"),
        ("int8:acc={a:>999999999}", [1], "braces hold the name of a field and nothing else"),
        ("int8:acc={a.real}", [1], "braces hold the name of a field and nothing else"),
        ("int8:acc={0}", [1], "braces hold the name of a field and nothing else"),
        ("int8:acc={a}{b}", [1], "{b} stands for a field, and [fields] names none"),
        ("int8:acc={a}", [10**30], "whole numbers must be below 2**63"),
        ("int8:acc={a}", {"low": -1e308, "high": 1e308, "count": 3}, "low and high are too far apart"),
        ("int8:acc={a}", {"low": 1e-300, "high": 1e308, "count": 3, "scale": "log"}, "low and high are too far apart"),
    ],
)
def test_a_field_in_braces_has_a_name_and_values(arithmetic, values, told):
    training = {"recipe": "digits", "arithmetic": arithmetic}
    with pytest.raises(InputError) as caught:
        space_of({**GOOD, "workloads": [], "fields": {"a": values}, "training": training})
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_steps_and_counts_are_the_numbers_that_one_would_write():
    tenths = [0.1, 0.2, 0.3, 0.4, 0.5]
    assert values("p", {"low": 0.1, "high": 0.5, "step": 0.1}, machine="elsa") == tenths
    assert values("p", {"low": 0.1, "high": 0.5, "count": 5}, machine="elsa") == tenths


def test_a_fault_in_a_file_has_its_line(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(
        'machine = "systolic"\nworkloads = ["gemm"]\nobjectives = ["time"]\n\n[fields]\nrows = [4]\ncosl = [4]\n'
    )
    with pytest.raises(InputError, match=r"s\.toml: line 7: fields\.cosl: systolic has no field 'cosl'"):
        space_of_file(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a = 1\na = 2\n", "is not TOML"),
        (b"x = " + b"[" * 10_000 + b"]" * 10_000, "characters"),
        (b"x = " + b"[\n" * 10_000 + b"]\n" * 10_000, "nested too deeply"),
        (b"#" * (2 << 20), "must be at most 1048576 bytes"),
        (b"\xff\xfe", "UTF-8"),
        (b"", "is empty"),
        (b"machine = 3\nobjectives = ['time']\nworkloads=['gemm']", "line 1: machine: Input should be a valid string"),
    ],
)
def test_hostile_files(tmp_path, content, told):
    path = tmp_path / "s.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=told) as caught:
        space_of_file(path)
    assert "\n" not in str(caught.value)


def test_paths_are_seen_from_the_files_own_folder(tmp_path, monkeypatch, wild):
    wild("number = [1, 2]\n")
    monkeypatch.chdir("/")
    assert space_of_file(tmp_path / "wild.toml").size == 2


def test_the_schema_for_editors_is_that_of_the_files(repository):
    published = json.loads((repository / "explore" / "space.schema.json").read_text())
    assert published == schema(), "renew it: see the docstring of siloom.explore.document.schema"
