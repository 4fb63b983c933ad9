"""The link between a machine and the one that runs the rest of its workload.

One of the two is home: its memory holds the workload's data. Each operation that the other runs has its operands
brought over the link before it and its results taken back after it, and waits for both: a transfer does not overlap
with computing, nor with another. Of operations that the other machine runs one after another none is taken to feed
the next, since a workload does not say which do; where some do, the cost is an upper bound. Nothing crosses where one
machine runs all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from siloom.sim.cost import table
from siloom.sim.crossing import crossing
from siloom.sim.design import Design, parameter
from siloom.sim.errors import UsageError, did_you_mean
from siloom.sim.ops import Operation
from siloom.sim.result import Phase, Result
from siloom.sim.settings import parse_named

DEFAULT = "pcie4"
NO_LINK = "ideal"
"""Moves anything in next to no time, at no energy: what transfers cost is the difference to it."""


@dataclass(frozen=True)
class LinkDesign(Design):
    """A link's figures; those of named links stand in ``sim/cost/links.csv``, with their sources."""

    bytes_per_s: float = parameter(1e18, unit="B/s", low=1.0, high=1e18, source="each direction", status="assumed")
    latency_s: float = parameter(0.0, unit="s", low=0.0, high=1e3, source="of each transfer", status="assumed")
    energy_per_bit_j: float = parameter(0.0, unit="J/bit", low=0.0, high=1.0, source="both ends", status="assumed")
    home: str = parameter(
        "rest",
        unit="",
        choices=("rest", "machine"),
        source="whose memory holds the workload's data: an accelerator's board stands beside its host",
        status="assumed",
    )


@dataclass(frozen=True)
class Link:
    """A link and the text that names it."""

    label: str
    design: LinkDesign

    def transfer(self, op: Operation) -> Result:
        """What it takes to bring the operands of one repetition of ``op`` and to take back its results."""
        moved = crossing(op)
        ways = [("operands in", moved.operands), ("results out", moved.results)]
        phases = tuple(Phase(name, None, self._seconds(count)) for name, count in ways if count)
        seconds = sum(phase.seconds for phase in phases)
        energy_j = 8 * (moved.operands + moved.results) * self.design.energy_per_bit_j
        return Result(
            machine=self.label,
            workload=op.name or op.kind,
            seconds=seconds,
            overhead_s=seconds,
            energy_j=energy_j,
            energy_parts={"link": energy_j},
            traffic_bytes={"link_operands": moved.operands, "link_results": moved.results},
            phases=phases,
            utilization=0.0,
        )

    def _seconds(self, count: int) -> float:
        return self.design.latency_s + count / self.design.bytes_per_s


def link_names() -> tuple[str, ...]:
    """Named links, in order."""
    return (*dict.fromkeys(owner for owner, _ in table("links")), NO_LINK)


def link(text: str) -> Link:
    """The link that a text names: ``pcie4``, ``nvlink4:latency_s=2e-6,home=machine``.

    Raises:
        UsageError: an unknown name or field.
        InputError: a value out of range.
    """
    named = parse_named(text)
    if named.name not in link_names():
        raise UsageError(f"no link '{named.name[:60]}'{did_you_mean(named.name[:60], link_names())}")
    figures: dict[str, Any] = {
        field: entry.value for (owner, field), entry in table("links").items() if owner == named.name
    }
    return Link(str(named), LinkDesign(**figures).with_settings(named.name, named.settings))
