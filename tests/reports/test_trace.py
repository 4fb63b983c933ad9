"""A trace is valid JSON whose slices nest, whose times rise and whose numbers are the result's."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from itertools import pairwise

import pytest

from siloom.reports import trace
from siloom.reports.trace import write_trace
from siloom.sim.errors import InputError
from siloom.sim.result import Timeline


def read(path):
    content = path.read_bytes()
    return json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)


def slices(document):
    return [e for e in document["traceEvents"] if e["ph"] == "X"]


@pytest.mark.parametrize("name", ["t.json", "t.json.gz"])
def test_times_rise_and_slices_nest(tmp_path, comparison, name):
    for result in comparison:
        document = read(write_trace(result, tmp_path / name))
        timed = [e for e in document["traceEvents"] if e["ph"] != "M"]
        assert [e["ts"] for e in timed] == sorted(e["ts"] for e in timed)
        stack = []
        for e in slices(document):
            while stack and stack[-1] <= e["ts"] + 1e-9:
                stack.pop()
            assert not stack or e["ts"] + e["dur"] <= stack[-1] + 1e-6
            stack.append(e["ts"] + e["dur"])


def test_a_microsecond_is_a_cycle_where_cycles_are_known(tmp_path, outerspace):
    document = read(write_trace(outerspace, tmp_path / "t.json"))
    run, *phases = slices(document)
    assert run["dur"] == outerspace.cycles == sum(p["dur"] for p in phases)
    assert [p["name"] for p in phases] == ["multiply", "merge"]
    assert phases[1]["ts"] == phases[0]["dur"] == outerspace.phases[0].cycles
    assert phases[1]["args"]["stalls"] == outerspace.phases[1].stalls
    assert "1 cycle" in document["otherData"]["time"]


def test_a_microsecond_is_itself_where_time_was_measured(tmp_path, comparison):
    document = read(write_trace(comparison[-1], tmp_path / "t.json"))
    assert slices(document)[0]["dur"] == pytest.approx(35_200)
    assert "1 us of the run" in document["otherData"]["time"]
    assert document["otherData"]["kind"] == "measured"


def test_every_tile_and_channel_has_a_counter_that_ends_at_zero(tmp_path, outerspace):
    document = read(write_trace(outerspace, tmp_path / "t.json"))
    last = {e["name"]: e for e in document["traceEvents"] if e["ph"] == "C"}
    assert set(last) == {f"tile {i}" for i in range(16)} | {f"channel {i}" for i in range(16)}
    assert {e["args"]["fraction"] for e in last.values()} == {0.0}
    first = next(e for e in document["traceEvents"] if e["ph"] == "C" and e["name"] == "tile 3")
    assert first["args"]["fraction"] == outerspace.timeline.lanes["tile"]["tile 3"][0]


def test_counters_keep_their_mean_when_averaged(tmp_path, outerspace, monkeypatch):
    monkeypatch.setattr(trace, "MAX_COUNTER_VALUES", 500)
    document = read(write_trace(outerspace, tmp_path / "t.json"))
    counters = [e for e in document["traceEvents"] if e["ph"] == "C"]
    assert len(counters) <= 500 + 32
    mine = [e for e in counters if e["name"] == "channel 5"]
    area = sum(a["args"]["fraction"] * (b["ts"] - a["ts"]) for a, b in pairwise(mine))
    values = outerspace.timeline.lanes["channel"]["channel 5"]
    assert area / outerspace.cycles == pytest.approx(sum(values) / len(values), rel=1e-2)


def test_a_trace_at_its_limit_stays_under_200_megabytes(tmp_path, outerspace, monkeypatch):
    """Bytes of one event, at its longest, times the limit on their number."""
    lanes = {"channel": {f"channel {i:04}": (1 / 3, 2 / 3) * 50 for i in range(16)}}
    big = replace(outerspace, timeline=Timeline(outerspace.seconds / 100, lanes))
    size = write_trace(big, tmp_path / "t.json").stat().st_size
    assert size / (16 * 101) * trace.MAX_COUNTER_VALUES < 200e6


def test_equal_results_give_equal_bytes(tmp_path, outerspace):
    one = write_trace(outerspace, tmp_path / "one.json.gz").read_bytes()
    assert write_trace(outerspace, tmp_path / "two.json.gz").read_bytes() == one


def test_hostile_names_stay_texts(tmp_path, outerspace):
    hostile = replace(outerspace, machine='"},{"ph":"X\ud800', workload="</script>\x00")
    document = read(write_trace(hostile, tmp_path / "t.json"))
    assert document["otherData"]["workload"] == "</script>\ufffd"


def test_no_folder_no_trace(tmp_path, outerspace):
    with pytest.raises(InputError, match="cannot be written"):
        write_trace(outerspace, tmp_path / "absent" / "t.json")
