"""The page: one file, closed in itself, whose figures hold the results' numbers."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import time
from dataclasses import replace
from html.parser import HTMLParser

import plotly.graph_objects
import pytest

from siloom.reports.bars import MAX_BARS
from siloom.reports.load import load_results
from siloom.reports.page import write_page
from siloom.sim.errors import InputError, UsageError
from siloom.sim.result import Phase, Result, Timeline

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)><a href='javascript:alert(3)'>"


class Reader(HTMLParser):
    """Collects what tests look at: elements with their attributes, scripts, and visible text."""

    def __init__(self):
        super().__init__()
        self.elements, self.scripts, self.text, self._script = [], [], [], None

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self._script = dict(attrs)
            self.scripts.append("")

    def handle_endtag(self, tag):
        if tag == "script":
            self._script = None

    def handle_data(self, data):
        if self._script is None:
            self.text.append(data)
        else:
            self.scripts[-1] += data

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())

    @property
    def figures(self):
        return json.loads(self.scripts[0])

    def csv(self, name):
        (link,) = [a["href"] for t, a in self.elements if t == "a" and a.get("download") == f"{name}.csv"]
        head, data = link.split(",", 1)
        assert head == "data:text/csv;charset=utf-8;base64"
        return list(csv.DictReader(io.StringIO(base64.b64decode(data).decode())))


@pytest.fixture
def read(tmp_path):
    """Writes a page of the results given and reads it."""

    def write_and_read(results, **options):
        reader = Reader()
        reader.feed(write_page(results, tmp_path / "page.html", **options).read_text(encoding="utf-8"))
        return reader

    return write_and_read


def stack_lengths(figure):
    lengths = {}
    for trace in figure["data"]:
        for x, y in zip(trace["x"], trace["y"], strict=True):
            lengths[y] = lengths.get(y, 0) + x
    labels = figure["layout"]["yaxis"]["ticktext"]
    return {labels[y].split(" · ")[0]: length for y, length in lengths.items()}


def test_the_page_asks_for_nothing_outside_itself(read, comparison, speedups):
    page = read(comparison, speedups=speedups)
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "img", "object", "base")
        assert "src" not in attributes
        assert attributes.get("href", "data:").startswith("data:")
    (policy,) = [a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    for script in page.scripts[1:]:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy


def test_equal_results_give_equal_bytes_also_by_way_of_a_file(tmp_path, comparison, speedups):
    one = write_page(comparison, tmp_path / "one.html", speedups=speedups).read_bytes()
    assert write_page(comparison, tmp_path / "two.html", speedups=speedups).read_bytes() == one
    for r in comparison:
        (tmp_path / f"{r.machine}.json").write_text(r.to_json())
    again = load_results([tmp_path / f"{r.machine}.json" for r in comparison])
    assert write_page(again, tmp_path / "three.html", speedups=speedups).read_bytes() == one


def test_the_headline_names_machine_workload_time_and_every_baseline(read, comparison, speedups):
    words = read(comparison, speedups=speedups).words
    assert (
        "outerspace is modelled to take 1.20 ms for wiki-Vote.mtx (1,800,009 cycles at 1.50 GHz): "
        "14.2 times the speed of k40-cusparse (modelled), 18.7 times the speed of k40-cusp (modelled) "
        "and 7.83 times the speed of xeon-e5-1650v4 (modelled)." in words
    )
    assert "Measured: host." in words


def test_what_is_not_known_says_why(read, comparison, speedups):
    words = read(comparison, speedups=speedups).words
    for reason in ("Area is not part of this model.", "Energy was not measured.", "Area was not measured."):
        assert reason in words
    assert "No roof, because the peaks are not known: host." in words
    assert "Under the roof of k40-cusparse, too: k40-cusp." in words


def test_the_table_downloads_in_si_units(read, comparison, speedups):
    rows = read(comparison, speedups=speedups).csv("comparison")
    assert [float(r["seconds"]) for r in rows] == [r.seconds for r in comparison]
    assert float(rows[0]["speedup over k40-cusp"]) == speedups["outerspace"]["k40-cusp"]
    assert rows[4]["energy_j"] == "" and rows[4]["kind"] == "measured"


def test_how_good_an_approximation_is_stands_on_the_page_if_there_is_one(read, comparison):
    plain = read(comparison)
    quality = {"recall": 0.905, "output_error": 0.1234}
    approximate = read([replace(comparison[0], quality=quality), *comparison[1:]])
    words = " ".join(approximate.text)
    assert "How good the approximation is" not in " ".join(plain.text)
    assert "How good the approximation is" in words
    assert "90.5%" in words
    assert "12.3%" in words


def test_stall_causes_add_up_to_each_phase(read, comparison):
    page = read(comparison)
    lengths = stack_lengths(page.figures["stalls"])
    assert lengths == {f"outerspace: {p.name}": p.cycles for p in comparison[0].phases}
    assert sum(int(r["cycles"]) for r in page.csv("stalls")) == comparison[0].cycles


def test_phases_energy_and_area_add_up(read, comparison):
    page = read(comparison)
    for chart, field, unit in (("phases", "seconds", 1e-3), ("energy", "energy_j", 1.0), ("area", "area_mm2", 1.0)):
        lengths = stack_lengths(page.figures[chart])
        expected = {r.machine: getattr(r, field) / unit for r in comparison if getattr(r, field) is not None}
        assert lengths == pytest.approx(expected)


def test_payload_and_padding_are_as_long_as_the_bursts(read, outerspace):
    lengths = stack_lengths(read([outerspace]).figures["traffic"])
    assert lengths["outerspace: payload"] == pytest.approx(lengths["outerspace: DRAM bursts"]) == pytest.approx(154.0)


def test_on_chip_traffic_has_a_bar_of_its_own(read, outerspace):
    array = replace(outerspace, traffic_bytes={"sram_ifmap_read": 5, "sram_ofmap_write": 7})
    assert stack_lengths(read([array]).figures["traffic"]) == {"outerspace: on chip": 12}


def test_every_machine_is_on_the_roofline(read, comparison):
    figure = read(comparison).figures["roofline"]
    marks = {t["name"]: (t["x"][0], t["y"][0]) for t in figure["data"] if t["mode"] == "markers"}
    assert set(marks) == {f"{r.machine} ({r.kind})" for r in comparison}
    intensity, rate = marks["outerspace (modelled)"]
    work = 4_542_805 + 2_711_693
    assert intensity == pytest.approx(work / 154e6)
    assert rate == pytest.approx(work / comparison[0].seconds)
    roofs = [t for t in figure["data"] if t["mode"] == "lines"]
    assert len(roofs) == 3  # the two libraries of one GPU share theirs
    for roof in roofs:
        (x0, x1, _), (y0, y1, y2) = roof["x"], roof["y"]
        assert y1 == y2 and y0 / x0 == pytest.approx(y1 / x1)
    measured = next(t for t in figure["data"] if t["name"] == "host (measured)")
    assert measured["marker"]["symbol"] != figure["data"][-2]["marker"]["symbol"]


def test_the_heat_maps_hold_the_timeline(read, outerspace):
    page = read([outerspace])
    tiles, channels = page.figures["activity-1-1"], page.figures["activity-1-2"]
    assert tiles["layout"]["yaxis"]["ticktext"] == [f"tile {i}" for i in range(16)]
    assert channels["data"][0]["z"][10] == [round(v, 3) for v in outerspace.timeline.lanes["channel"]["channel 10"]]
    assert len(page.csv("activity-1-1")) == 110
    assert float(page.csv("activity-1-1")[7]["tile 9"]) == outerspace.timeline.lanes["tile"]["tile 9"][7]


def test_a_timeline_without_end_is_averaged(read, outerspace):
    lanes = {"tile": {f"tile {i}": (0.25, 0.75) * 4000 for i in range(64)}}
    big = replace(outerspace, timeline=Timeline(outerspace.seconds / 8000, lanes))
    z = read([big]).figures["activity-1-1"]["data"][0]["z"]
    assert len(z) == 64 and len(z[0]) <= 1000
    assert {v for row in z for v in row} == {0.5}


def test_plotly_accepts_every_figure(read, comparison, speedups, variant):
    page = read([*comparison, variant("b"), variant("c", workload="w")], speedups=speedups)
    assert len(page.figures) == 7 + 6
    for figure in page.figures.values():
        plotly.graph_objects.Figure(data=figure["data"], layout=figure["layout"])


def test_every_figure_has_its_place_caption_and_data(read, comparison):
    page = read(comparison)
    ids = [a.get("id") for _, a in page.elements]
    for key in page.figures:
        assert ids.count(key) == 1
        assert page.csv(key)
    assert sum(t == "figcaption" for t, _ in page.elements) == len(page.figures)


def test_hostile_texts_stay_texts(read, outerspace, comparison):
    hostile = replace(
        outerspace,
        machine=EVIL,
        workload=EVIL + "\x00\ud800",
        phases=tuple(replace(p, name=EVIL + p.name) for p in outerspace.phases),
        traffic_bytes={EVIL: 1},
        energy_parts={EVIL: outerspace.energy_j},
        operations={EVIL: 1},
        counters={EVIL: 1},
        checks={EVIL: EVIL},
        notes=(EVIL,),
        design={EVIL: {EVIL: [EVIL]}},
        provenance={EVIL: EVIL},
        unsupported=({EVIL: EVIL},),
        timeline=Timeline(1e-4, {EVIL: {EVIL: (0.5, 0.5)}}),
    )
    page = read([hostile, comparison[-1]], title=EVIL, speedups={EVIL: {EVIL: 1.0}})
    tags = [t for t, _ in page.elements]
    assert tags.count("script") == 3 and "img" not in tags
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert all(a["href"].startswith("data:text/csv") for t, a in page.elements if t == "a")
    assert "<" not in page.scripts[0] and EVIL in page.words
    shown = [text for f in page.figures.values() for text in f["layout"]["yaxis"].get("ticktext", [])]
    assert shown and not any("<" in text for text in shown)


def test_a_bare_result_makes_a_page(read):
    page = read([Result(machine="m", workload="w", seconds=0.0)])
    assert "m is modelled to take 0 s for w." in page.words
    assert page.words.count("No machine on this page tells") == 7
    assert list(page.figures) == ["time"]


def test_part_of_the_work_other_work_and_failed_checks_are_flagged(read, outerspace):
    part = replace(outerspace, machine="part", coverage={"operations": 0.5, "flops": 0.9})
    other = replace(
        outerspace,
        machine="other",
        operations={"multiplies": 1, "adds": 0},
        checks={"checksum": False},
        provenance={"workload_hash": "0"},
        design={"precision": "fp16"},
    )
    plain = replace(outerspace, design={"precision": "fp64"})
    words = read([plain, part, other]).words
    for caution in (
        "part ran only part of the workload: 50 % of its operations with 90 % of its FLOP",
        "other: a check did not hold: checksum.",
        "unequal work, counted in multiplies: outerspace 4,542,805, part 4,542,805, other 1.",
        "different operands (their hashes differ)",
        "unequal precision: fp16, fp64.",
    ):
        assert caution in words
    assert "Before comparing" not in read([outerspace]).words


def test_several_workloads_get_a_column_and_labels_of_their_own(read, variant):
    page = read([variant(workload="one"), variant(workload="two")])
    assert "outerspace on one" in page.words and "outerspace on two" in page.words
    assert "workload" in page.words


def test_many_names_and_many_bars_are_drawn_in_part_and_downloaded_in_full(read):
    phases = tuple(Phase(f"layer {i}", None, 0.001 * (i + 1), {}) for i in range(40))
    many = [Result(machine=f"m{i}", workload="w", seconds=0.82 + i, phases=phases) for i in range(300)]
    page = read(many)
    assert len(page.figures["phases"]["data"]) == 12
    assert "other parts (29)" in {t["name"] for t in page.figures["phases"]["data"]}
    assert len(page.figures["phases"]["layout"]["yaxis"]["ticktext"]) == MAX_BARS
    assert len(page.csv("phases")) == 300 * 40
    assert f"The {MAX_BARS} longest of 300 bars are drawn" in page.words


def test_a_hundred_results_take_seconds(read, variant):
    many = [variant(f"outerspace:l0_bytes={i}", scale=1 + i % 7) for i in range(100)]
    begin = time.perf_counter()
    page = read(many)
    assert time.perf_counter() - begin < 20
    assert sum("open" in a for t, a in page.elements if t == "details") == 6


def test_titles_may_be_given(read, outerspace):
    assert "Siloom report My title outerspace is modelled" in read([outerspace], title="My title").words


def test_no_results_or_no_folder_is_told(tmp_path, outerspace):
    with pytest.raises(UsageError, match="at least one result"):
        write_page([], tmp_path / "p.html")
    with pytest.raises(InputError, match="cannot be written"):
        write_page([outerspace], tmp_path / "absent" / "p.html")
