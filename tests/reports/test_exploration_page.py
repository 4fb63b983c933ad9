"""The page of an exploration, opened in a real browser without a network: drawn, filtered, clicked."""

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import replace

import pytest

from siloom.explore.front import Step
from siloom.explore.importance import importance
from siloom.explore.row import Row
from siloom.reports.exploration_figure import reached, write_front_figure, write_hypervolume_figure
from siloom.reports.exploration_page import write_exploration_page
from siloom.sim.errors import UsageError

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
EVIL = "<img src=x onerror=document.title='ran'></script><script>document.title='ran'</script>"


def point(number, **about):
    tiles, size = 1 << number % 4, 1024 << number % 3
    work = {
        "name": "rmat:scale=4", "weight": 1, "seconds": 1.0, "cycles": 100, "notes": ["a note"],
        "phases": [{"name": "multiply", "cycles": 100, "seconds": 1.0, "stalls": {"compute": 70, "imbalance": 30}}],
        "stalls": {"compute": 70, "imbalance": 30}, "energy_parts": {"dram": 2.0, "cores": 1.0},
        "area_parts": {"cores": 4.0}, "traffic_bytes": {"a": 800}, "operations": {}, "quality": {},
    }  # fmt: skip
    how = {
        "key": number.to_bytes(16, "big"), "machine": "outerspace", "settings": {"tiles": tiles, "l0_bytes": size},
        "workload": "rmat:scale=4", "fidelity": "cycles", "status": "ok", "bottleneck": "load imbalance",
        "metrics": {"seconds": 8.0 / tiles + number * 1e-3, "area_mm2": 3.0 * tiles + size / 1024, "cycles": 100.0},
        "details": json.dumps({"workloads": [work]}),
    }  # fmt: skip
    return Row(**{**how, **about})


@pytest.fixture
def rows():
    """Sixty points, some of which break a constraint, one of which cannot be built."""
    made = [point(n) for n in range(60)]
    made[7] = replace(made[7], status="infeasible", reason="constraint: area_mm2 < 5", message="area_mm2 = 9")
    made[8] = replace(made[8], status="infeasible", reason="design", message="no", metrics={}, details="")
    return made


STEPS = [Step(s, seed, n, min(1.0, n / (40 if s == "nsga2" else 80) + seed / 50)) for s in ("nsga2", "random")
         for seed in range(3) for n in range(1, 100, 7)]  # fmt: skip


class Browser:
    """A browser with one page, driven over pipes by its own protocol."""

    def __init__(self, folder):
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()
        line = (
            f"exec {BROWSER} --headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
            "--disable-background-networking --disable-component-update --disable-sync "
            f"'--host-resolver-rules=MAP * ~NOTFOUND' '--user-data-dir={folder}' --window-size=1280,1000 "
            f"--remote-debugging-pipe about:blank 3<&{to_read} 4>&{from_write}"
        )
        self._process = subprocess.Popen(
            ["bash", "-c", line], pass_fds=(to_read, from_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(from_write)
        self._out, self._in = os.fdopen(to_write, "wb"), os.fdopen(from_read, "rb")
        self._number, self._session, self._rest = 0, None, b""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while True:
            while b"\0" not in self._rest:
                read = os.read(self._in.fileno(), 1 << 16)
                assert read, "the browser ended"
                self._rest += read
            text, _, self._rest = self._rest.partition(b"\0")
            answer = json.loads(text)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def eval(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def open(self, path):
        self.call("Page.navigate", url=path.as_uri())
        self.until("document.readyState === 'complete' && document.querySelector('#table tbody tr') !== null")

    def until(self, expression):
        for _ in range(150):
            if self.eval(expression):
                return
            time.sleep(0.1)
        raise AssertionError(f"never true: {expression}")

    def close(self):
        self._out.close()
        self._process.kill()
        self._process.wait()
        self._in.close()


@pytest.fixture
def browser(tmp_path):
    """An open browser."""
    opened = Browser(tmp_path / "profile")
    yield opened
    opened.close()


@needs_browser
def test_it_is_drawn_filtered_and_clicked_without_a_network(rows, tmp_path, browser):
    page = write_exploration_page(
        rows, tmp_path / "p.html", title="web", objectives=["seconds", "area_mm2"], history=STEPS
    )
    browser.open(page)
    for plot in ("front", "importance", "bottlenecks", "history"):
        browser.until(f"document.querySelector('#{plot} .main-svg') !== null")
    assert browser.eval("document.getElementById('trouble').hidden")
    shown = "document.getElementById('shown').textContent"
    assert browser.eval(shown) == "60 of 60 points"
    write = (
        "((text) => {{ const box = document.getElementById('filter');"
        " box.value = text; box.dispatchEvent(new Event('input')); }})('{}')"
    )
    browser.eval(write.format("tiles=8 status=ok"))
    expected = sum(row.settings["tiles"] == 8 and row.status == "ok" for row in rows)
    assert browser.eval(shown) == f"{expected} of 60 points"
    assert browser.eval("document.querySelectorAll('#table tbody tr').length") == expected
    browser.eval(write.format("area_mm2<8 seconds>=2"))
    within = sum(r.metrics.get("area_mm2", 9) < 8 and r.metrics.get("seconds", 0) >= 2 for r in rows)
    assert browser.eval(shown) == f"{within} of 60 points"
    browser.eval(write.format("aera<8"))
    assert browser.eval(shown) == "no column 'aera'"
    browser.eval(write.format(""))
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
    assert "tiles = 8" in said
    assert "multiply" in said
    assert "siloom run outerspace:tiles=8" in said
    browser.eval("document.querySelector('#point a').click()")
    browser.until("document.getElementById('point').hidden && !document.getElementById('all').hidden")
    # So does a click on a point of the front.
    browser.eval(
        "((plot) => { const trace = plot.data.find((t) => t.name === 'front');"
        " plot.emit('plotly_click', { points: [{ customdata: trace.customdata[0] }] }); })"
        "(document.getElementById('front'))"
    )
    browser.until("!document.getElementById('point').hidden")
    assert browser.eval("document.getElementById('trouble').hidden")


@needs_browser
def test_hostile_names_neither_run_nor_fetch(rows, tmp_path, browser):
    hostile = [
        replace(row, machine=EVIL, workload=EVIL, bottleneck=EVIL, message=EVIL, settings={EVIL: EVIL, "n": n})
        for n, row in enumerate(rows)
    ]
    hostile[7] = replace(hostile[7], reason=EVIL)
    page = write_exploration_page(hostile, tmp_path / "p.html", title="quiet", objectives=["seconds", "area_mm2"])
    browser.open(page)
    browser.until("document.querySelector('#front .main-svg') !== null")
    browser.eval("document.querySelector('#table tbody tr').click()")
    browser.until("!document.getElementById('point').hidden")
    assert browser.eval("document.title") == "quiet"
    assert browser.eval("document.querySelectorAll('img').length") == 0
    assert browser.eval("document.getElementById('trouble').hidden")


def test_equal_rows_give_equal_pages(rows, tmp_path):
    how = {"title": "t", "objectives": ["time", "area"], "history": STEPS}
    one = write_exploration_page(rows, tmp_path / "one.html", **how).read_bytes()
    assert write_exploration_page(rows, tmp_path / "two.html", **how).read_bytes() == one
    assert b"http://" not in re.sub(rb"<script.*?</script>", b"", one, flags=re.DOTALL)


def test_a_page_needs_points(tmp_path):
    with pytest.raises(UsageError, match="at least one point"):
        write_exploration_page([], tmp_path / "p.html", title="t", objectives=["time"])


def test_importance_is_the_share_of_variance_between_values():
    def made(y):
        rows = []
        for n in range(400):
            a, b, c = n % 4, n // 4 % 5, n // 20 % 2
            rows.append(replace(point(n), settings={"a": a, "b": b, "c": c}, metrics={"seconds": y(a, b, c)}))
        return importance(rows, "seconds")

    # y = -(a + 10 b): negative, so that no logarithm is taken; variances 1.25 and 200.
    shares = made(lambda a, b, c: -(a + 10.0 * b))
    assert shares["b"] == pytest.approx(200 / 201.25, abs=1e-3)
    assert shares["a"] == pytest.approx(1.25 / 201.25, abs=1e-2)
    assert shares["c"] == pytest.approx(0, abs=1e-2)
    assert made(lambda a, b, c: 2.0**b)["b"] == pytest.approx(1)
    assert made(lambda a, b, c: -1.0) == {"a": 0, "b": 0, "c": 0}


def test_figures_come_with_their_data(rows, tmp_path):
    for suffix in ("png", "svg", "pdf"):
        out = write_front_figure(rows, tmp_path / f"front.{suffix}", ["time", "area"])
        again = out.read_bytes()
        assert write_front_figure(rows, out, ["time", "area"]).read_bytes() == again
    lines = (tmp_path / "front.csv").read_text().splitlines()
    assert lines[0] == "key,design,status,front,seconds,area_mm2"
    assert len(lines) == 60
    write_hypervolume_figure(STEPS, tmp_path / "hv.png")
    assert len((tmp_path / "hv.csv").read_text().splitlines()) == len(STEPS) + 1
    with pytest.raises(UsageError, match="two objectives"):
        write_front_figure(rows, tmp_path / "front.png", ["time"])


def test_the_evaluations_to_95_percent_are_the_median_seeds():
    steps = [Step("s", seed, n, 1.0 if n >= 10 * (seed + 1) else 0.5) for seed in range(3) for n in range(0, 50, 5)]
    assert reached(steps) == 20
    assert reached([replace(step, hypervolume=0.9) for step in steps]) is None
