"""Do transfers to a machine and back add up, cross when they should, and cost what the link says?"""

from __future__ import annotations

import math

import pytest

from siloom import run
from siloom.sim.crossing import crossing
from siloom.sim.errors import InputError, UsageError
from siloom.sim.link import link, link_names
from siloom.sim.ops import Attention, Conv, Elementwise, Item, MatMul, Reduce, SpMM, Workload
from siloom.sim.sparse import Csr

HEADS = Attention(name="attend", seq=16, heads=2, dim=8, format="fp32")
PROJECT = MatMul(name="project", m=16, n=48, k=16, format="fp32")
WORK = Workload("step", (Item(PROJECT), Item(HEADS, 3), Item(PROJECT)))


def test_operands_and_results_are_the_tensors_bytes() -> None:
    assert crossing(PROJECT) == (4 * (16 * 16 + 16 * 48), 4 * 16 * 48)
    assert crossing(MatMul(m=2, n=3, k=5, batch=7, shared=True, format="int8")) == (2 * 5 * 7 + 15, 2 * 3 * 7)
    assert crossing(HEADS) == (3 * 4 * 2 * 16 * 8, 4 * 2 * 16 * 8)
    # Backward reads O and dO too, and leaves the gradients of q, k and v.
    assert crossing(Attention(seq=16, heads=2, dim=8, direction="bwd", format="fp32")) == (5 * 1024, 3 * 1024)
    assert crossing(Conv(h=4, w=4, c=2, r=3, s=3, k=5, format="int8")) == (32 + 90, 20)
    assert crossing(Elementwise(elements=8, reads=2, format="fp32")) == (64, 32)
    assert crossing(Reduce(rows=4, length=8, format="fp32")) == (128, 16)
    import scipy.sparse as sp

    # Two entries of index and value, four row pointers; the dense side and the result in doubles.
    matrix = Csr.from_scipy(sp.csr_array(([1.0, 2.0], ([0, 2], [1, 4])), shape=(3, 5)))
    assert crossing(SpMM(a=matrix, n=2)) == (2 * 12 + 4 * 4 + 8 * 10, 8 * 6)


def test_seconds_energy_and_traffic_of_the_link_add_up() -> None:
    chosen = link("pcie4:bytes_per_s=1e9,latency_s=2e-6,energy_per_bit_j=1e-12")
    with_link, without = (run("elsa", WORK, rest="h100", link=by) for by in (chosen, "ideal"))
    operands, results = crossing(HEADS)
    moved = 3 * (operands + results)
    assert math.isclose(with_link.seconds - without.seconds, 3 * 2 * 2e-6 + moved / 1e9, rel_tol=1e-6)
    assert math.isclose(with_link.energy_j - without.energy_j, 8e-12 * moved, rel_tol=1e-6)
    assert with_link.energy_parts["link"] == pytest.approx(8e-12 * moved)
    assert with_link.traffic_bytes["link_operands"] == 3 * operands
    assert with_link.traffic_bytes["link_results"] == 3 * results
    assert math.isclose(sum(row["seconds"] for row in with_link.rows), with_link.seconds)
    assert math.isclose(sum(phase.seconds for phase in with_link.phases), with_link.seconds)
    assert [row["machine"] for row in with_link.rows] == ["h100", "elsa", chosen.label, "h100"]
    assert with_link.cycles is None
    assert with_link.coverage == {"operations": 1.0, "flops": 1.0}
    assert with_link.provenance["link"]["latency_s"] == 2e-6


def test_the_speed_up_is_that_of_the_part_and_that_of_the_whole() -> None:
    made = run("elsa", WORK, rest="h100", link="pcie3")
    alone = run("h100", WORK)
    before = [row["seconds"] for row in alone.rows]
    own, transfers = made.rows[1]["seconds"], made.rows[2]["seconds"]
    assert made.over_rest["baseline"] == "h100"
    assert made.over_rest["supported"] == pytest.approx(before[1] / own)
    assert made.over_rest["with_transfers"] == pytest.approx(before[1] / (own + transfers))
    assert made.over_rest["whole"] == pytest.approx(alone.seconds / made.seconds)
    assert made.over_rest["whole"] < made.over_rest["with_transfers"] < made.over_rest["supported"]
    assert type(made).from_dict(made.to_dict()).over_rest == made.over_rest


def test_nothing_crosses_where_one_machine_runs_all() -> None:
    alone, helped = run("h100", WORK), run("h100", WORK, rest="systolic")
    assert helped.seconds == alone.seconds
    assert "link" not in helped.provenance
    assert not [row for row in helped.rows if row["kind"] == "transfer"]


def test_data_at_home_on_the_machine_cross_for_the_rest() -> None:
    made = run("elsa", WORK, rest="h100", link="pcie4:home=machine")
    operands, results = crossing(PROJECT)
    assert (made.traffic_bytes["link_operands"], made.traffic_bytes["link_results"]) == (2 * operands, 2 * results)


def test_every_named_link_has_its_three_figures() -> None:
    for name in link_names():
        made = link(name).transfer(PROJECT)
        assert made.seconds > 0 and (made.energy_j > 0 or name == "ideal")
    assert link("ideal").transfer(PROJECT).seconds < 1e-12


@pytest.mark.parametrize(
    ("text", "error", "rule"),
    [
        ("pcie9", UsageError, "no link 'pcie9' - did you mean 'pcie"),
        ("pcie4:speed=1", UsageError, "pcie4: no field 'speed'"),
        ("pcie4:bytes_per_s=0", InputError, "bytes_per_s must be at least 1 B/s, got 0"),
        ("pcie4:home=there", InputError, "home must be one of rest, machine, got 'there'"),
    ],
)
def test_a_wrong_link_is_told_in_one_line(text: str, error: type[Exception], rule: str) -> None:
    with pytest.raises(error, match=rule):
        link(text)
