"""Made-up explorations, and a real browser that opens their pages without a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import replace

import pytest

from siloom.explore.front import Step
from siloom.explore.row import Row

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def made_point(number, **about):
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
def point():
    """A function that makes the point of a number."""
    return made_point


@pytest.fixture
def rows():
    """Sixty points, some of which break a constraint, one of which cannot be built."""
    made = [made_point(n) for n in range(60)]
    made[7] = replace(made[7], status="infeasible", reason="constraint: area_mm2 < 5", message="area_mm2 = 9")
    made[8] = replace(made[8], status="infeasible", reason="design", message="no", metrics={}, details="")
    return made


@pytest.fixture
def steps():
    """Two searches from three seeds each; the first comes near twice as fast."""
    return [
        Step(search, seed, n, min(1.0, n / near + seed / 50))
        for search, near in (("nsga2", 40), ("random", 80))
        for seed in range(3)
        for n in range(1, 100, 7)
    ]


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

    def write(self, text):
        """Write into the filter, and give back what the page says of it."""
        return self.eval(
            "((text) => { const box = document.getElementById('filter'); box.value = text;"
            " box.dispatchEvent(new Event('input')); return document.getElementById('shown').textContent; })"
            f"({json.dumps(text)})"
        )

    def choose(self, name, value):
        """Choose a value of a list, or set a box."""
        self.eval(
            f"((one, value) => {{ one[one.type === 'checkbox' ? 'checked' : 'value'] = value;"
            " one.dispatchEvent(new Event('change')); })"
            f"(document.getElementById({json.dumps(name)}), {json.dumps(value)})"
        )

    def click(self, element):
        """Press the mouse in the middle of what a script gives."""
        x, y = self.eval(
            f"(() => {{ const one = {element}; one.scrollIntoView({{ block: 'center', behavior: 'instant' }});"
            " const box = one.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        self.press(x, y)

    def press(self, x, y):
        """Press the mouse at a place in the window."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)
            time.sleep(0.2)  # Plotly finds the point under the mouse a moment later

    def close(self):
        self._out.close()
        self._process.kill()
        self._process.wait()
        self._in.close()


@pytest.fixture
def browser(tmp_path):
    """An open browser."""
    if BROWSER is None:
        pytest.skip("no chromium on this machine")
    opened = Browser(tmp_path / "profile")
    yield opened
    opened.close()
