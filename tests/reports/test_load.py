"""What ``run --json`` and ``compare --json`` wrote is read back; anything else is refused in a line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from siloom.reports import load
from siloom.reports.load import load_comparison, load_results
from siloom.sim.errors import InputError


def write(tmp_path, document, name="r.json"):
    path = tmp_path / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_a_result_survives_the_round_trip(tmp_path, outerspace):
    (back,) = load_results([write(tmp_path, outerspace.to_json())])
    assert back.to_dict() == outerspace.to_dict()


def test_a_comparison_gives_all_rows_and_their_speedups(tmp_path, comparison, speedups):
    document = {"rows": [r.to_dict() | {"speedup": speedups[r.machine]} for r in comparison], "baselines": ["k40-cusp"]}
    results, ratios = load_comparison([write(tmp_path, document)])
    assert [r.machine for r in results] == [r.machine for r in comparison]
    assert ratios == speedups


def test_several_files_are_read_in_order(tmp_path, outerspace, comparison):
    one = write(tmp_path, outerspace.to_json(), "one.json")
    two = write(tmp_path, {"rows": [comparison[-1].to_dict()]}, "two.json")
    assert [r.machine for r in load_results([two, one])] == ["host", "outerspace"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "is not a JSON document"),
        ("[" * 100_000, "is not a JSON document"),
        ("[1]", "the document must be a siloom result"),
        ("{}", "neither a siloom result nor a comparison"),
        ('{"rows": []}', "neither a siloom result nor a comparison"),
        ('{"rows": [3]}', "the document must be a siloom result, got 3"),
        ('{"schema": 1, "seconds": NaN}', "number out of range: NaN"),
        ('{"schema": 1, "seconds": 1e999}', "number out of range: 1e999"),
        ('{"schema": 1, "cycles": ' + "9" * 5000 + "}", "number out of range: 9999"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path, document, message):
    with pytest.raises(InputError, match=message) as error:
        load_results([write(tmp_path, document)])
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("seconds", "1", "seconds must be a number of at least 0, got 1"),
        ("seconds", -1, "seconds must be a number of at least 0, got -1"),
        ("seconds", True, "seconds must be a number"),
        ("machine", 3, "machine must be a text, got 3"),
        ("workload", "", "workload must be a text"),
        ("kind", "guessed", "kind must be modelled or measured or published, got guessed"),
        ("schema", 2, "not a siloom result of schema 1"),
        ("cycles", "many", "cycles must be a number"),
        ("energy_parts", {"pe": None}, "energy_parts.pe must be a number"),
        ("traffic_bytes", [1], "traffic_bytes must be an object of numbers"),
        ("design", 1, "design must be an object, got 1"),
        ("notes", ["a", 1], "notes must be a list of texts"),
        ("rows", {}, "rows must be a list of objects"),
        ("phases", [{"name": "x", "seconds": "y"}], r"phases\[0\].seconds must be a number"),
        ("phases", [{"name": 1}], r"phases\[0\].name must be a text"),
        ("phases", [{"name": "x", "seconds": 1, "cycles": 1, "stalls": {"c": "d"}}], r"phases\[0\].stalls.c must be"),
        (
            "timeline",
            {"bin_seconds": 0, "lanes": {"tile": {"t": [1]}}},
            "timeline.bin_seconds must be a number above 0",
        ),
        ("timeline", {"bin_seconds": 1, "lanes": 3}, "not a complete siloom result"),
        ("surprise", 1, "unknown field 'surprise'"),
        ("speedup", {"k40": "fast"}, "speedup.k40 must be a ratio, got fast"),
        ("speedup", [2], "speedup must be an object of ratios"),
        ("stalls", {"compute": 1}, "stall causes add up to 1"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(tmp_path, outerspace, field, value, message):
    document = outerspace.to_dict() | {field: value}
    with pytest.raises(InputError, match=message):
        load_results([write(tmp_path, document)])


def test_the_row_of_a_comparison_is_named(tmp_path, outerspace):
    rows = [outerspace.to_dict(), replace(outerspace, machine="b").to_dict() | {"seconds": None}]
    with pytest.raises(InputError, match=r"r\.json: row 2: seconds must be"):
        load_results([write(tmp_path, {"rows": rows})])


def test_absent_folder_and_oversized_files_are_refused(tmp_path, outerspace, monkeypatch):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_results([tmp_path / "absent.json"])
    with pytest.raises(InputError, match="is not a regular file"):
        load_results([tmp_path])
    path = write(tmp_path, outerspace.to_json())
    monkeypatch.setattr(load, "MAX_BYTES", 10)
    with pytest.raises(InputError, match="must be at most 10 bytes"):
        load_results([path])


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "r.json"
    path.write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(InputError, match="is not a JSON document"):
        load_results([path])
