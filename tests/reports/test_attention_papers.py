"""Do the tables of ``siloom reproduce`` for the attention accelerators say what was asked of them?"""

from __future__ import annotations

import pytest

from siloom.reports.experiments import sanger
from siloom.reports.headline import Headline, find
from siloom.reports.reproduce import run
from siloom.sim.errors import InputError


def table(paper, number):
    return run(paper, None, lambda _: None, number)[0][1]


def test_sangers_own_forms_are_equal_to_the_digits_they_print():
    rows = table("sanger", 1).rows
    assert len(rows) == 4
    assert all(row["equal"] for row in rows)


def test_pack_and_split_gains_and_fills_as_published_within_15_percent():
    densities = [find("sanger", "BERT", which).value for which in ("lowest", "highest")]
    for density, case in zip(densities, ("lowest density", "highest density"), strict=True):
        found = sanger.at_density(density)
        assert found.density == pytest.approx(density, rel=0.02)
        assert found.at_work["pack_split"] == pytest.approx(find("sanger", case, "PE utilisation").value, rel=0.15)
    sparse = find("sanger", "sparse model on a dense array", "throughput").value
    gains = [sanger.at_density(d).gain for d in (densities[0], sparse, 0.2, densities[1])]
    mean = sum(gains) / len(gains)
    assert mean == pytest.approx(find("sanger", "pack and split", "gain").value, rel=0.15)
    assert f"{mean:.2f}x" in " ".join(table("sanger", 2).notes)


@pytest.mark.parametrize(("paper", "number"), [("elsa", 3), ("sanger", 3), ("a3", 2), ("dota", 2), ("vitcod", 2)])
def test_every_headline_says_what_it_stands_on(paper, number):
    rows = table(paper, number).rows
    assert rows
    for row in rows:
        assert all(row[key] for key in ("published", "simulated", "distance", "stands_on", "not_published", "unequal"))


def test_a3s_approximation_gains_what_was_published_at_its_best():
    rows = table("a3", 1).rows
    assert max(row["throughput"] for row in rows) == pytest.approx(7.0, rel=0.15)
    assert max(row["latency"] for row in rows) == pytest.approx(8.0, rel=0.15)
    # 3 n + 27 cycles a query, as recalled of the base machine.
    assert {row["keys"]: row["base latency, cycles"] for row in rows} == {186: 3 * 186 + 27, 320: 3 * 320 + 27}


def test_vitcods_masks_have_the_density_that_is_asked_for():
    assert all(row["kept"].startswith(("9.", "10.")) for row in table("vitcod", 1).rows)


def test_a_far_headline_without_a_reason_is_refused():
    point = find("elsa", "geometric mean", "speed-up over V100")
    with pytest.raises(ValueError, match="is not explained"):
        Headline(point=point, simulated=1.0, stands_on="", not_published="").row()
    assert Headline(point=point, simulated=60.0, stands_on="", not_published="").row()["distance"] == "+3%"


def test_a_published_row_that_is_not_there_is_said():
    with pytest.raises(InputError, match="elsa: published rows of x, y: 0, wanted 1"):
        find("elsa", "x", "y")


def test_hash_angles_are_the_references():
    for row in table("elsa", 1).rows[:2]:
        assert float(row["p80_rad"]) == pytest.approx(0.127, abs=0.003)
