"""Does the terminal show results as they are, whatever names they carry?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from siloom.api import compare_results
from siloom.cli import _run
from siloom.show import show_comparison, show_result, show_rows
from siloom.sim.ops import SpGEMM, Workload
from siloom.sim.result import Result
from siloom.sim.testing import random_csr

BRACKETS = "[/b] [red] a[0]"


def result(**fields: object) -> Result:
    values = {"machine": BRACKETS, "workload": BRACKETS, "seconds": 4.79e-3, "notes": (BRACKETS,), **fields}
    return Result(**values)  # type: ignore[arg-type]


def test_square_brackets_are_shown_letter_by_letter(capsys: pytest.CaptureFixture[str]) -> None:
    show_result(result(unsupported=({"name": BRACKETS, "kind": "gemm", "flops_share": 0.5},)))
    show_rows(BRACKETS, [{"install": "pip install 'siloom[rtl]'"}])
    a = random_csr(5, 5, 0.5, 1)
    show_comparison(compare_results(Workload.of(BRACKETS, SpGEMM(a=a, b=a)), ["outerspace"]))
    shown = capsys.readouterr().out
    # Machine and workload in a title, what was not run, a note; the titles of the rows and the comparison.
    assert shown.count(BRACKETS) == 6
    assert "siloom[rtl]" in shown


def test_quantities_have_three_digits_and_absent_ones_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    show_result(result(cycles=1, clock_hz=1.5e9, area_mm2=86.74))
    lines = [[word.strip() for word in line.split("│")[1:3]] for line in capsys.readouterr().out.splitlines()]
    shown = {line[0]: line[1] for line in lines if len(line) == 2}
    assert (shown["time"], shown["cycles"], shown["area"]) == ("4.79 ms", "1 at 1.50 GHz", "86.7 mm²")
    assert shown["energy"] == shown["power"] == "-"


def test_out_keeps_the_product_or_the_result_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matrix, product, kept = tmp_path / "A.npz", tmp_path / "C.npz", tmp_path / "result.json"
    a = random_csr(20, 20, 0.2, 1).to_scipy()
    sp.save_npz(matrix, a)
    assert _run(["run", "outerspace", str(matrix), "--out", str(product), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert np.allclose(sp.load_npz(product).toarray(), (a @ a).toarray())
    assert _run(["run", "outerspace", str(matrix), "--out", str(kept), "--json"]) == 0
    assert json.loads(kept.read_text()) == printed
    assert sorted(p.name for p in tmp_path.iterdir()) == ["A.npz", "C.npz", "result.json"]
