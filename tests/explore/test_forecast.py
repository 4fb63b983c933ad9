"""Does a plan foresee what the run then takes?"""

import pytest

from siloom.explore.forecast import forecast
from siloom.explore.load import space_of, space_of_file
from siloom.exploring import run

SLOW_START = """
    started = False

    def run(self, op, *, values=False):
        if not type(self).started:
            type(self).started = True
            time.sleep(1.0)  # as a kernel that is compiled
"""


def test_points_of_unequal_length_count_as_they_are(wild):
    foreseen = forecast(space_of_file(wild("wait_s = [0.0, 0.2]\n")), 2)
    assert foreseen["sampled"] == 2
    assert foreseen["seconds_per_point"] == pytest.approx(0.1, rel=0.3)
    assert foreseen["seconds"] == pytest.approx(0.1, rel=0.3)


def test_what_only_the_first_run_takes_is_not_every_points(wild):
    path = wild("number = { low = 0, high = 99 }\n")
    machine = path.with_name("wild.py")
    machine.write_text(
        machine.read_text().replace("\n    def run(self, op, *, values=False):\n", SLOW_START.rstrip(" "), 1)
    )
    foreseen = forecast(space_of_file(path), 1)
    assert foreseen["sampled"] > 10
    assert foreseen["seconds"] < 1.0


SPACE = {
    "machine": "systolic",
    "workloads": ["gemm:m=512,n=512,k=512"],
    "objectives": ["time", "area"],
    "fields": {"rows": [4, 8, 16, 32], "cols": [4, 8, 16, 32], "dataflow": "default"},
}


def test_a_plan_of_bounds_is_of_the_closed_form_here():
    bound = forecast(space_of({**SPACE, "fidelity": "bound"}), 2)
    cycles = forecast(space_of(SPACE), 2)
    assert bound["seconds_per_point"] < cycles["seconds_per_point"] / 3
    assert (bound["workers"], cycles["workers"]) == (0, 2)


def test_a_plan_of_a_screen_has_the_points_that_come_through():
    screened = {**SPACE, "screen": {"points": 40, "keep": 7}}
    foreseen = forecast(space_of(screened), 1)
    assert foreseen["searches"] == [{"name": "screened", "seed": 0, "points": 7}]
    assert foreseen["points"] == len(run(screened, workers=0).rows) == 7
