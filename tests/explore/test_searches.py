"""Do searches depend on their seed and on what they are told alone, and do those that learn find more than chance?"""

from pathlib import Path

import pytest

from siloom.explore.load import space_of_file
from siloom.explore.search import searches
from siloom.explore.store import Store
from siloom.exploring import run
from siloom.reports.exploration_table import csv_bytes


def exported(path):
    with Store.open(Path(path), read_only=True) as store:
        return csv_bytes(store.rows())


@pytest.mark.parametrize("method", sorted(searches()))
def test_searches_resume_to_the_same_and_do_not_know_workers(small, tmp_path, method):
    points = 75 if method == "grid" else 40
    small.write_text(small.read_text() + f'[search]\nmethod = "{method}"\nbatch = 8\n[budget]\npoints = {points}\n')
    one = run(small, store=tmp_path / "one.db", workers=0)
    two = run(small, store=tmp_path / "two.db", workers=2)
    assert one.explored.runs == two.explored.runs
    assert exported(tmp_path / "one.db") == exported(tmp_path / "two.db")
    # Stopped at a random moment and gone on with.
    calls = iter(range(10**6))
    run(small, store=tmp_path / "three.db", workers=0, stopped=lambda: next(calls) > 9)
    with Store.open(tmp_path / "three.db") as store:
        assert len(list(store.rows())) < len(one.rows)
    again = run(small, store=tmp_path / "three.db", workers=0)
    assert again.explored.runs == one.explored.runs
    assert exported(tmp_path / "three.db") == exported(tmp_path / "one.db")
    for made in one.explored.runs:
        assert len(set(made.asked)) == len(made.asked) <= 75
    if searches()[method].adaptive:
        assert [made.name for made in one.explored.runs] == [method, "random"]


@pytest.mark.parametrize("method", sorted(searches()))
def test_a_search_depends_on_its_seed_alone(small, method):
    space = space_of_file(small)
    asked = [[searches()[method](space, seed=seed, batch=16, points=32).ask() for _ in range(2)] for seed in (0, 0, 1)]
    assert asked[0] == asked[1]
    assert method == "grid" or asked[0] != asked[2]
    assert all(0 <= index < space.size for index in asked[0][0])


BOWL = """
from dataclasses import dataclass

from siloom.sim.design import Design, parameter
from siloom.sim.machine import Machine
from siloom.sim.ops import MatMul
from siloom.sim.result import Result


@dataclass(frozen=True)
class BowlDesign(Design):
    x: int = parameter(0, unit="", source="test", low=0, high=999)
    y: int = parameter(0, unit="", source="test", low=0, high=999)
    rim: float = parameter(1.0, unit="", source="test", low=1.0, high=2.0)


class Bowl(Machine):
    name = "bowl"
    kind = "accelerator"
    summary = "fastest at one place"
    operations = (MatMul,)
    design_type = BowlDesign

    def run(self, op, *, values=False):
        d = self.design
        far = ((d.x - 137) / 100) ** 2 + ((d.y - 802) / 100) ** 2
        return Result(machine=self.label, workload=op.name or "mm", seconds=d.rim + far)
"""


@pytest.mark.parametrize("method", sorted(name for name, search in searches().items() if search.adaptive))
def test_an_adaptive_search_comes_nearer_to_a_known_best_than_random_does(tmp_path, method):
    (tmp_path / "bowl.py").write_text(BOWL)
    range_ = {"low": 0, "high": 999}
    found = run(
        {
            "designs": [
                {"machine": str(tmp_path / f"bowl.py{rim}"), "fields": {"x": range_, "y": range_}}
                for rim in (":rim=1.5", "")
            ],
            "workloads": ["gemm:m=1,n=1,k=1"],
            "objectives": ["time"],
            "constraints": ["x + y < 1500"],
            "search": {"method": method, "seeds": 3},
            "budget": {"points": 320},
        },
        workers=0,
    )
    best = {}
    for one in found.explored.runs:
        valid = [row for index in one.asked if (row := found.explored.rows[index]).status == "ok"]
        best.setdefault(one.name, []).append(min(row.metrics["seconds"] for row in valid) - 1.0)
    # Of n random points the nearest is within r with 1 - exp(-n pi r^2 / 2e6), so that the median of far is
    # (2e6 ln 2 / (pi n)) / 100^2 = 0.14.
    assert 0.01 < sorted(best["random"])[1] < 1.0
    assert sorted(best[method])[1] < sorted(best["random"])[1]
    assert found.front[0].machine == str(tmp_path / "bowl.py")


def test_random_search_of_a_space_beyond_any_counter():
    from siloom.explore.load import space_of

    space = space_of(
        {
            "machine": "outerspace",
            "fields": {n: {"low": 1, "high": 1000} for n in ("phase_cycles", "dispatch_cycles", "merge_element_cycles")}
            | {n: {"low": 1, "high": 2**31} for n in ("column_piece",)}
            | {n: {"low": 1, "high": 1024} for n in ("l0_mshrs", "l1_mshrs", "outstanding_requests")},
            "workloads": ["uniform:n=9,density=0.1,seed=0"],
            "objectives": ["time"],
        }
    )
    assert space.size > 10**18
    asked = searches()["random"](space, seed=3, batch=50, points=50).ask()
    assert len(set(asked)) == 50
    levels = [space.settings(index)["column_piece"] for index in asked]
    assert len(set(levels)) > 40
