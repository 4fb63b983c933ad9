"""Is what the README and CONTRIBUTING show what happens today?"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from siloom.api import compare_results, run
from siloom.models.registry import machines_of_file
from siloom.sim.testing import check_conformance


def test_modelled_lines_of_the_first_example_are_today_s(repository: Path) -> None:
    block = (repository / "README.md").read_text(encoding="utf-8").split("It ends with\n\n```\n")[1].split("```")[0]
    workload = block.partition("\n")[0]
    lines = re.findall(r"^(\S+) +modelled +([\d.]+) ms +(.*)$", block, re.MULTILINE)
    shown = {name: (ms, dict(re.findall(r"(\S+) ([\d.]+)x", ratios))) for name, ms, ratios in lines}
    assert "outerspace" in shown
    today = compare_results(workload, list(shown), list(shown["outerspace"][1]))
    assert shown == {
        r.machine: (f"{r.seconds * 1e3:.3f}", {base: f"{x:.2f}" for base, x in today.speedups[r.machine].items()})
        for r in today.results
    }


def test_second_example_is_today_s(repository: Path) -> None:
    text = (repository / "README.md").read_text(encoding="utf-8").split("## A second example")[1].split("\n## ")[0]
    shown = re.findall(r"^(\S+) +(\S+) +([\d.]+) ms$", text, re.MULTILINE)
    assert len(shown) > 3
    today = compare_results("bert-large:seq=384", [name for name, *_ in shown])
    assert shown == [(r.machine, "+".join(r.precision), f"{r.seconds * 1e3:.3g}") for r in today.results]
    gemm, array = "gemm:m=128,n=768,k=768", "systolic:rows=32,cols=32,dataflow=ws"
    cycles = [run(array + how, gemm).cycles for how in (",convention=scalesim", "")]
    assert cycles == [int(c.replace(",", "")) for c in re.findall(r"\b\d+,\d{3}\b", text)]


def test_machine_of_the_recipe_is_a_machine(repository: Path, tmp_path: Path) -> None:
    recipe = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Add a machine")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", recipe, re.DOTALL)
    file = tmp_path / "sketch.py"
    file.write_text("\n\n".join(map(textwrap.dedent, blocks)), encoding="utf-8")
    (known,) = machines_of_file(file)
    assert [row for row in check_conformance(known.machine()) if not row["passed"]] == []
    assert run(f"{file}:lanes=32", "gemm:m=384").cycles == 384 * 768 * 768 // 32
