"""The page of an exploration, opened in a real browser without a network: drawn, filtered, clicked."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from siloom.explore.metrics import metric
from siloom.explore.pareto import front
from siloom.reports.exploration_front import front_keys
from siloom.reports.exploration_page import MOST_DETAILS, write_exploration_page
from siloom.sim.errors import UsageError

EVIL = "<img src=x onerror=document.title='ran'></script><script>document.title='ran'</script>"


def test_it_is_drawn_filtered_and_clicked_without_a_network(rows, steps, tmp_path, browser):
    page = write_exploration_page(
        rows, tmp_path / "p.html", title="web", objectives=["seconds", "area_mm2"], history=steps
    )
    browser.open(page)
    for plot in ("front", "importance", "bottlenecks", "history"):
        browser.until(f"document.querySelector('#{plot} .main-svg') !== null")
    assert browser.eval("document.getElementById('trouble').hidden")
    shown = "document.getElementById('shown').textContent"
    assert browser.eval(shown) == "60 of 60 points"
    expected = sum(row.settings["tiles"] == 8 and row.status == "ok" for row in rows)
    assert browser.write("tiles=8 status=ok") == f"{expected} of 60 points"
    assert browser.eval("document.querySelectorAll('#table tbody tr').length") == expected
    within = sum(r.metrics.get("area_mm2", 9) < 8 and r.metrics.get("seconds", 0) >= 2 for r in rows)
    assert browser.write("area_mm2<8 seconds>=2") == f"{within} of 60 points"
    assert browser.write("aera<8") == "no column 'aera'"
    browser.write("")
    head = "[...document.querySelectorAll('#table th button')].find((b) => b.textContent === 'area_mm2')"
    cell = "[...document.querySelectorAll('#table thead th')].findIndex((h) => h.textContent === 'area_mm2')"
    column = f"[...document.querySelectorAll('#table tbody tr')].map((r) => parseFloat(r.children[{cell}].textContent))"
    browser.eval(f"{head}.click()")
    sizes = browser.eval(column)
    assert sizes == sorted(sizes)
    browser.eval(f"{head}.click()")
    assert browser.eval(column)[0] == max(row.metrics.get("area_mm2", 0) for row in rows)
    # A click on a row opens its run, and the way back is there.
    browser.eval("document.querySelector('#table tbody tr').click()")
    browser.until("!document.getElementById('point').hidden && document.getElementById('all').hidden")
    said = browser.eval("document.getElementById('point').textContent")
    assert "tiles8" in said
    assert "multiply" in said
    assert "siloom run outerspace:tiles=8" in said
    browser.eval("document.querySelector('#point a').click()")
    browser.until("document.getElementById('point').hidden && !document.getElementById('all').hidden")
    browser.eval("history.back()")
    browser.until("!document.getElementById('point').hidden")
    browser.eval("history.forward()")
    browser.until("document.getElementById('point').hidden")
    # So does a press of the mouse on a point of the front.
    browser.click("[...document.querySelectorAll('#front .scatterlayer .trace')].at(-1).querySelector('.point')")
    browser.until("!document.getElementById('point').hidden")
    assert "On the front" in browser.eval("document.getElementById('point').textContent")
    assert browser.eval("document.getElementById('trouble').hidden")


def test_filters_take_units_short_names_words_and_texts_in_quotes(rows, tmp_path, browser):
    browser.open(write_exploration_page(rows, tmp_path / "p.html", title="web", objectives=["seconds", "area_mm2"]))
    fast = sum(r.metrics.get("seconds", 9) <= 1.05 for r in rows)
    assert 0 < fast < 60
    for text in ("seconds<=1.05", "time<=1.05", "time<=1050ms", "seconds<=1.05e6us", "time<=1.05s"):
        assert browser.write(text) == f"{fast} of 60 points", text
    assert browser.write('reason="constraint: area_mm2 < 5"') == "1 of 60 points"
    assert browser.write("CONSTRAINT:") == "1 of 60 points"
    assert browser.write("status!=ok") == "2 of 60 points"
    # A column that is the same for all is not drawn, and is searched all the same.
    assert "machine outerspace" in browser.eval("document.getElementById('same').textContent")
    assert browser.write("OuterSpace") == "60 of 60 points"
    assert browser.write("time<fast") == "time<'fast': a number is missing"
    browser.write("")
    browser.choose("only", True)
    best = front_keys(rows, [metric("seconds"), metric("area_mm2")])
    assert browser.eval("document.getElementById('shown').textContent") == f"{len(best)} of 60 points"


def test_the_joined_points_are_the_front_of_the_two_metrics_that_are_drawn(rows, tmp_path, browser):
    rng = np.random.default_rng(5)
    three = [
        replace(row, metrics=dict(zip(("seconds", "area_mm2", "accuracy"), rng.random(3).tolist(), strict=True)))
        for row in rows
        if row.status == "ok"
    ]
    page = write_exploration_page(three, tmp_path / "p.html", title="t", objectives=["time", "area", "accuracy"])
    browser.open(page)
    traces = "document.getElementById('front').data"
    for pair in (["seconds", "area_mm2"], ["seconds", "accuracy"], ["accuracy", "area_mm2"]):
        browser.choose("across", pair[0])
        browser.choose("up", pair[1])
        signs = [-1.0 if name == "accuracy" else 1.0 for name in pair]
        values = np.array([[row.metrics[name] for name in pair] for row in three])
        on = {row.key.hex() for row, kept in zip(three, front(values * signs), strict=True) if kept}
        drawn = browser.eval(f"{traces}.find((one) => one.name === 'front of these two').customdata")
        assert len(drawn) == len(on)
        assert set(drawn) == on
        whole = browser.eval(f"{traces}.find((one) => one.name === 'front of all 3').customdata")
        everything = front_keys(three, [metric("time"), metric("area"), metric("accuracy")])
        assert {*drawn, *whole} == {key.hex() for key in everything} | on


LINES = """
(() => {
  const found = {};
  for (const one of document.getElementById('parallel').data)
    one.customdata.forEach((key, i) => key && ((found[key] ||= []).push(one.y[i])));
  return found;
})()
"""


VERTEX = """
(() => {
  const plot = document.getElementById('parallel'), { xaxis, yaxis } = plot._fullLayout;
  plot.scrollIntoView({ block: 'center', behavior: 'instant' });
  const box = plot.getBoundingClientRect(), line = plot.data.find((one) => one.name === 'front');
  const last = line.y.indexOf(null) - 1;
  return [box.x + xaxis._offset + xaxis.d2p(line.x[last]), box.y + yaxis._offset + yaxis.d2p(line.y[last])];
})()
"""


def test_a_line_crosses_each_axis_where_its_point_lies(rows, tmp_path, browser):
    browser.open(write_exploration_page(rows, tmp_path / "p.html", title="t", objectives=["time", "area"]))
    browser.until("document.querySelector('#parallel .scatterlayer .trace') !== null")
    valid = {row.key.hex(): row for row in rows if row.status == "ok"}
    titles = browser.eval("document.getElementById('parallel').layout.xaxis.ticktext")
    assert titles == ["l0_bytes", "tiles", "time", "area"]
    drawn = browser.eval(LINES)
    assert drawn.keys() == valid.keys()
    columns = [
        {key: np.log(value(row)) for key, row in valid.items()}
        for value in (
            lambda row: row.settings["tiles"],
            lambda row: row.metrics["seconds"],
            lambda row: row.metrics["area_mm2"],
        )
    ]
    sizes = {key: row.settings["l0_bytes"] for key, row in valid.items()}  # they span less than five times
    for place, (column, less) in enumerate(zip([sizes, *columns], (False, False, True, True), strict=True)):
        low, high = min(column.values()), max(column.values())
        for key, line in drawn.items():
            at = (column[key] - low) / (high - low)
            assert line[place] == pytest.approx(1 - at if less else at, abs=1e-9)
    # The filter of the table draws fewer; a press of the mouse on a line opens its run.
    few = sum(row.settings["tiles"] == 8 for row in valid.values())
    browser.write("tiles=8")
    assert len(browser.eval(LINES)) == few
    assert f"{few} of {len(valid)} valid points pass" in browser.eval("document.getElementById('lines').textContent")
    browser.write("")
    browser.press(*browser.eval(VERTEX))
    browser.until("!document.getElementById('point').hidden")
    assert "On the front" in browser.eval("document.getElementById('point').textContent")
    assert browser.eval("document.getElementById('trouble').hidden")


def test_where_nothing_varies_there_are_no_lines(rows, tmp_path, browser):
    browser.open(write_exploration_page(rows[:1], tmp_path / "p.html", title="t", objectives=["time"]))
    assert browser.eval("document.getElementById('parallel').closest('section').hidden")
    assert browser.eval("document.getElementById('trouble').hidden")


def test_texts_and_missing_fields_have_places_of_their_own(point, tmp_path, browser):
    made = [point(1, settings={"dataflow": "ws", "tiles": 2}), point(2, settings={"dataflow": "is", "tiles": 4})]
    made += [point(3, settings={"dataflow": "os"}), point(4, settings={"dataflow": EVIL, "tiles": 8})]
    browser.open(write_exploration_page(made, tmp_path / "p.html", title="t", objectives=["time", "area"]))
    drawn = browser.eval(LINES)
    texts = sorted(["ws", "is", "os", EVIL])
    for row in made:
        line = drawn[row.key.hex()]
        assert line[0] == pytest.approx(texts.index(row.settings["dataflow"]) / 3)
        assert (line[1] is None) == ("tiles" not in row.settings)
    assert browser.eval("document.title") == "t"


def test_axes_keep_units_when_zoomed_and_hide_what_breaks_a_constraint_until_asked(rows, tmp_path, browser):
    rows[7] = replace(rows[7], metrics={"seconds": 900.0, "area_mm2": 9e6})
    browser.open(write_exploration_page(rows, tmp_path / "p.html", title="t", objectives=["time", "area"]))
    ticks = "document.getElementById('front').layout.xaxis.ticktext"
    assert all(text.endswith(" s") for text in browser.eval(ticks))
    edge = "document.getElementById('front').layout.xaxis.range[1]"
    near = browser.eval(edge)
    browser.choose("everything", True)
    assert browser.eval(edge) > near
    browser.eval("Plotly.relayout('front', {'xaxis.range': [1.01, 1.03].map(Math.log10)}).then(() => 1)")
    browser.until(f"{ticks}.includes('1.02 s')")
    assert len(browser.eval(ticks)) >= 3


def test_bounds_and_runs_are_judged_apart(rows, tmp_path, browser):
    lower = [
        replace(row, key=bytes([1]) + row.key[1:], fidelity="bound", metrics={n: v / 2 for n, v in row.metrics.items()})
        for row in rows
    ]
    judged = [metric("time"), metric("area")]
    assert front_keys([*rows, *lower], judged) == front_keys(rows, judged) | front_keys(lower, judged)
    page = write_exploration_page([*rows, *lower], tmp_path / "p.html", title="t", objectives=["time", "area"])
    browser.open(page)
    drawn = "document.getElementById('front').data.flatMap((one) => one.customdata)"
    for fidelity, first in (("cycles", "00"), ("bound", "01")):
        browser.choose("fidelity", fidelity)
        assert {key[:2] for key in browser.eval(drawn)} == {first}


def test_whole_numbers_stand_in_full_and_reasons_with_an_example(rows, tmp_path, browser):
    wide = [replace(row, settings={**row.settings, "l0_bytes": 2**21}) if n % 2 else row for n, row in enumerate(rows)]
    browser.open(write_exploration_page(wide, tmp_path / "p.html", title="t", objectives=["time", "area"]))
    assert browser.write("l0_bytes=2097152") == "30 of 60 points"
    assert "2,097,152" in browser.eval("document.querySelector('#table tbody').textContent")
    cells = browser.eval("[...document.querySelectorAll('.reasons td')].map((one) => one.textContent)")
    assert cells[:4] == ["infeasible", "constraint: area_mm2 < 5", "1", "area_mm2 = 9"]


def test_finalists_are_counted_apart_and_found_from_their_design(rows, tmp_path, browser):
    built = replace(rows[3], key=b"f" * 16, fidelity="synthesis", metrics={"luts": 1200.0}, details="", bottleneck="")
    page = write_exploration_page([*rows, built], tmp_path / "p.html", title="t", objectives=["time", "area"])
    text = re.sub(r"<(script|style).*?</\1>", "", page.read_text(), flags=re.DOTALL)
    assert re.findall(r"<b>([\d,]+)</b> (\w+)", text) == [
        ("58", "valid"), ("2", "infeasible"), ("0", "failed"), ("0", "crashed"),
        ("1", "valid"), ("0", "infeasible"), ("0", "failed"), ("0", "crashed"),
    ]  # fmt: skip
    browser.open(page)
    browser.choose("fidelity", "synthesis")
    assert browser.eval("document.getElementById('thinned').textContent") == "No point of this fidelity has both."
    browser.eval(f"location.hash = 'point={rows[3].key.hex()}'")
    browser.until("document.getElementById('point').textContent.includes('synthesis (luts 1,200)')")
    browser.eval(f"document.querySelector('#point a[href=\"#point={built.key.hex()}\"]').click()")
    browser.until("document.getElementById('point').textContent.includes('fidelitysynthesis')")
    assert browser.eval("document.getElementById('trouble').hidden")


def test_a_dominated_point_names_a_better_one(rows, tmp_path, browser):
    page = write_exploration_page(rows, tmp_path / "p.html", title="t", objectives=["time", "area"])
    best = front_keys(rows, [metric("time"), metric("area")])
    worse = next(row for row in rows if row.status == "ok" and row.key not in best)
    browser.open(page)
    browser.eval(f"location.hash = 'point={worse.key.hex()}'")
    browser.until("document.querySelector('#point .headline a') !== null")
    browser.eval("document.querySelector('#point .headline a').click()")
    browser.until("document.querySelector('#point .headline').textContent.startsWith('On the front')")
    browser.eval("window.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }))")
    browser.until("document.getElementById('point').hidden")


def test_20_000_points_filter_smoothly_and_the_page_says_what_it_leaves_out(point, tmp_path, browser):
    many = [replace(point(n), key=(n * 7919 % 25_000).to_bytes(16, "big")) for n in range(25_000)]
    page = write_exploration_page(many, tmp_path / "p.html", title="many", objectives=["time", "area"])
    text = re.sub(r"<script.*?</script>", "", page.read_text(), flags=re.DOTALL)
    assert "hold 20,000 of 25,000 points" in text
    best = front_keys(many, [metric("time"), metric("area")])
    assert f"The runs of {MOST_DETAILS + len(best):,} points" in text
    browser.open(page)
    assert browser.eval("document.getElementById('shown').textContent") == "20,000 of 20,000 points"
    assert browser.eval("document.querySelectorAll('#table tbody tr').length") == 25
    assert "points off the front are not drawn" in browser.eval("document.getElementById('thinned').textContent")
    began = browser.eval("performance.now()")
    browser.write("area<8 tiles>1 imbalance")
    # A stroke takes tens of milliseconds; on a busy machine a few times that.
    assert browser.eval("performance.now()") - began < 1500


def test_hostile_names_neither_run_nor_fetch(rows, tmp_path, browser):
    work = json.loads(rows[0].details)["workloads"][0]
    work |= {"name": EVIL, "energy_parts": {EVIL: 1.0, "__proto__": 2.0}, "notes": [EVIL], "quality": {EVIL: 1.0}}
    work["phases"] = [{"name": EVIL, "cycles": 100, "seconds": 1.0, "stalls": {EVIL: 100}}]
    details = json.dumps({"workloads": [work]})
    hostile = [
        replace(
            row, machine=EVIL, workload=EVIL, bottleneck=EVIL, message=EVIL, details=details,
            settings={EVIL: EVIL, "n": n, "__proto__": n, "constructor": EVIL},
        )
        for n, row in enumerate(rows)
    ]  # fmt: skip
    hostile[7] = replace(hostile[7], reason=EVIL)
    page = write_exploration_page(hostile, tmp_path / "p.html", title="quiet", objectives=["seconds", "area_mm2"])
    browser.open(page)
    browser.until("document.querySelector('#front .main-svg') !== null")
    browser.eval("document.querySelector('#table tbody tr').click()")
    browser.until("!document.getElementById('point').hidden")
    assert browser.eval("document.title") == "quiet"
    assert browser.eval("document.querySelectorAll('img').length") == 0
    assert browser.eval("document.getElementById('trouble').hidden")


def test_equal_rows_give_equal_pages(rows, steps, tmp_path):
    how = {"title": "t", "objectives": ["time", "area"], "history": steps}
    one = write_exploration_page(rows, tmp_path / "one.html", **how).read_bytes()
    assert write_exploration_page(rows, tmp_path / "two.html", **how).read_bytes() == one
    assert b"http://" not in re.sub(rb"<script.*?</script>", b"", one, flags=re.DOTALL)


def test_nothing_valid_and_one_objective_are_said_in_plain_words(rows, tmp_path, browser):
    failed = [replace(row, status="failed", reason="workload", metrics={}, details="", bottleneck="") for row in rows]
    browser.open(write_exploration_page(failed, tmp_path / "none.html", title="t", objectives=["time", "area"]))
    assert browser.eval("document.querySelector('.headline').textContent") == "None of 60 points is valid."
    shown = "[...document.querySelectorAll('section:not([hidden]) > h2')].map((one) => one.textContent)"
    assert browser.eval(shown) == ["Points"]
    browser.open(write_exploration_page(rows, tmp_path / "one.html", title="t", objectives=["time"]))
    browser.eval("document.querySelector('#table tbody a').click()")
    browser.until("!document.getElementById('point').hidden")
    said = browser.eval("document.querySelector('#point .headline').textContent")
    assert said == "On the front: no point found is better in time."
    assert browser.eval("document.getElementById('trouble').hidden")


def test_a_page_needs_points(tmp_path):
    with pytest.raises(UsageError, match="at least one point"):
        write_exploration_page([], tmp_path / "p.html", title="t", objectives=["time"])
