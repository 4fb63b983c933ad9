"""A real browser, cut off from any network, draws every figure of the page without an error."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from siloom.reports.page import write_page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")


@pytest.fixture
def dom(tmp_path):
    """Opens a page and gives back the document as the browser holds it once the scripts have run."""

    def open_page(path):
        command = [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=15000", "--window-size=1280,3000", "--dump-dom", path.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, timeout=120, check=True)
        document = done.stdout.decode()
        return re.sub(r"<script.*?</script>", "", document, flags=re.DOTALL)

    return open_page


def drawn(document):
    """Ids of the figures that hold a drawing."""
    pieces = re.split(r'<div class="plot[^>]*? id="([^"]+)"', document)
    return {key for key, piece in zip(pieces[1::2], pieces[2::2], strict=True) if 'class="main-svg"' in piece}


def test_every_figure_is_drawn_without_an_error(tmp_path, dom, comparison, speedups):
    document = dom(write_page(comparison, tmp_path / "page.html", speedups=speedups))
    assert re.search(r'<p class="trouble" id="trouble" hidden="">', document), "the page told of an error"
    assert drawn(document) == {
        "time", "phases", "stalls", "traffic", "roofline", "energy", "area", "activity-1-1", "activity-1-2",
    }  # fmt: skip
    assert "outerspace: multiply · 700,003 cycles" in document


def test_figures_of_closed_parts_wait(tmp_path, dom, variant):
    many = [variant(f"outerspace:l0_bytes={i}") for i in range(5)]
    keys = drawn(dom(write_page(many, tmp_path / "page.html")))
    assert {"activity-3-1", "activity-3-2"} <= keys
    assert not {"activity-4-1", "activity-5-1"} & keys


def test_hostile_names_neither_run_nor_fetch(tmp_path, dom, outerspace):
    evil = "<img src=x onerror=document.title='ran'></script><script>document.title='ran'</script>"
    hostile = replace(outerspace, machine=evil, workload=evil, energy_parts={evil: outerspace.energy_j})
    document = dom(write_page([hostile], tmp_path / "page.html", title="quiet"))
    assert "<title>quiet</title>" in document
    assert "<img src=" not in document
    assert 'id="trouble" hidden=""' in document
    assert "activity-1-2" in drawn(document)


def test_an_error_would_be_told(tmp_path, dom, outerspace):
    """The check above can fail: a page whose script breaks shows the trouble."""
    page = write_page([outerspace], tmp_path / "page.html")
    text = page.read_text().replace('id="figures">{', 'id="figures">{"area":', 1)
    page.write_text(text)
    assert 'id="trouble" hidden=""' not in dom(page)
