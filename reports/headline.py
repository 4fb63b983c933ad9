"""A paper's headline beside what is simulated, with everything that it stands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from siloom.reports.reproduce import Published, published
from siloom.sim.errors import InputError
from siloom.sim.result import Result

FAR = 0.25
"""A distance beyond which a sentence must say why."""


@dataclass(frozen=True, kw_only=True)
class Headline:
    """One published number and ours.

    ``stands_on``: workload, length, density, baseline and copies of ours. ``not_published``: what of the paper's
    own case is not known. ``why`` explains a distance of more than a quarter; ``unequal`` says where the two sides of a
    ratio did not do the same work or in the same precision.
    """

    point: Published
    simulated: float
    stands_on: str
    not_published: str
    why: str = ""
    unequal: str = ""

    @property
    def distance(self) -> float:
        """Ours over the published number, less one."""
        return self.simulated / self.point.value - 1

    def row(self) -> dict[str, Any]:
        """The row of a table.

        Raises:
            ValueError: a large distance that nobody explains.
        """
        if abs(self.distance) > FAR and not self.why:
            raise ValueError(f"{self.point.case} {self.point.quantity}: {self.distance:+.0%} is not explained")
        unit = self.point.unit if self.point.unit != "x" else "x"
        return {
            "quantity": f"{self.point.case}: {self.point.quantity}",
            "published": f"{self.point.value:g}{unit}" + (" (recalled)" if self.point.status == "recalled" else ""),
            "simulated": f"{self.simulated:.3g}{unit}",
            "distance": f"{self.distance:+.0%}",
            "stands_on": self.stands_on,
            "not_published": self.not_published,
            "unequal": self.unequal,
            "why": self.why,
        }


def find(paper: str, case: str, quantity: str) -> Published:
    """A row of ``published/<paper>.csv``.

    Raises:
        InputError: there is no such row, or more than one.
    """
    found = [p for p in published(paper) if (p.case, p.quantity) == (case, quantity)]
    if len(found) != 1:
        raise InputError(f"{paper}: published rows of {case}, {quantity}: {len(found)}, wanted 1")
    return found[0]


def chip_rows(paper: str, case: str, result: Result) -> list[dict[str, Any]]:
    """Area and power of a result beside the published ones of ``case``."""
    rows = []
    for quantity, ours in (("area", result.area_mm2 or 0.0), ("power", result.power_w or 0.0)):
        point = find(paper, case, quantity)
        rows.append(
            {
                "quantity": quantity,
                "published": f"{point.value:.3g} {point.unit}" + (" (recalled)" if point.status == "recalled" else ""),
                "simulated": f"{ours:.3g} {point.unit}",
                "distance": f"{ours / point.value - 1:+.0%}",
            }
        )
    return rows


CHIP_NOTE = "ours: arithmetic and memories from tables, DRAM in the power; no registers, wires, clock or control."
