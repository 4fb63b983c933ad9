"""Every machine of models/ keeps every promise of the machine interface."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from siloom.models.registry import Known, machines
from siloom.sim.testing import MachineConformance, conformance_checks

KNOWN = {known.name: known for known in machines()}


@pytest.fixture(scope="module")
def suites() -> dict[str, MachineConformance]:
    return {}


def suite_of(suites: dict[str, MachineConformance], known: Known) -> MachineConformance:
    if known.name not in suites:
        suites[known.name] = MachineConformance(known.make())
    return suites[known.name]


@pytest.mark.parametrize("name", sorted(KNOWN))
@pytest.mark.parametrize(("rule", "check"), [pytest.param(n, c, id=n) for n, c in conformance_checks()])
def test_machine_keeps(
    suites: dict[str, MachineConformance], name: str, rule: str, check: Callable[[MachineConformance], str | None]
) -> None:
    check(suite_of(suites, KNOWN[name]))


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_modelled_result_says_what_calls_and_hosts_take_of_it(
    suites: dict[str, MachineConformance], name: str
) -> None:
    for result in suite_of(suites, KNOWN[name]).results:
        assert (result.overhead_s is None) == (result.kind == "measured")


def test_folder_holds_the_machines_of_this_release() -> None:
    assert {"outerspace", "host", "xeon-e5-1650v4", "k40", "k40-cusparse", "k40-cusp", "h100"} <= set(KNOWN)
