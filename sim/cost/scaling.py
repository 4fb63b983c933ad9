"""How energy, area and delay of logic change from node to node (Stillmaker and Baas, Integration 2017).

Energy is a polynomial of the supply voltage at each node, delay likewise, area a factor. Between
two tabled nodes the figures are interpolated log-log in the node; outside of them nothing is
extrapolated. All factors are ratios of one curve, so they compose: a to b to c is a to c.

Two processes are tabled from 45 nm down: ``hp`` (high performance, the default) and ``lp``. Scripts
in circulation mix the two, LP at 45 and 32 nm with HP below; here they are never mixed.

What it does not cover: wires, SRAM cells and analogue parts, which have shrunk less than logic.
"""

from __future__ import annotations

from functools import lru_cache

from siloom.sim.cost import table
from siloom.sim.cost._curve import log_log, within
from siloom.sim.errors import InputError

__all__ = ["NODES_NM", "area_factor", "delay_factor", "energy_factor", "nominal_vdd"]

_TABLE = "node_scaling"
_LOWEST, _HIGHEST = 0.6, 1.3
"""Share of a node's nominal supply between which its energy polynomial is used."""


def _tabled_nodes() -> tuple[float, ...]:
    return tuple(sorted({e.node_nm for e in table(_TABLE).values() if e.node_nm is not None}, reverse=True))


NODES_NM = _tabled_nodes()
"""The tabled nodes, oldest first."""


def energy_factor(
    from_nm: float,
    to_nm: float,
    vdd: float | None = None,
    *,
    from_vdd: float | None = None,
    process: str = "hp",
) -> float:
    """Energy of an operation at ``to_nm`` over its energy at ``from_nm``.

    ``vdd`` is the supply at ``to_nm`` and ``from_vdd`` that at ``from_nm``, in volts; each node's
    nominal one where left out (:func:`nominal_vdd`).

    Raises:
        InputError: a node outside the table, a supply outside 0.6 to 1.3 of the nominal one, or an
            unknown process.
    """
    return _energy(to_nm, vdd, process) / _energy(from_nm, from_vdd, process)


def area_factor(from_nm: float, to_nm: float) -> float:
    """Area at ``to_nm`` over area at ``from_nm``.

    Raises:
        InputError: a node outside the table.
    """
    return _area(to_nm) / _area(from_nm)


def delay_factor(from_nm: float, to_nm: float, *, process: str = "hp") -> float:
    """Delay of a gate at ``to_nm`` over its delay at ``from_nm``, both at nominal supply.

    The table's 20 nm is slower than its 32 nm in ``hp``: its transistor models change from planar to
    FinFET between the two.

    Raises:
        InputError: a node outside the table, or an unknown process.
    """
    return _delay(to_nm, process) / _delay(from_nm, process)


def nominal_vdd(node_nm: float, process: str = "hp") -> float:
    """Nominal supply of a node, in volts.

    Raises:
        InputError: a node outside the table, or an unknown process.
    """
    return _read(node_nm, {n: _row(n, process)["vdd_v"] for n in NODES_NM})


@lru_cache(maxsize=1024)
def _energy(node_nm: float, vdd: float | None, process: str) -> float:
    nominal = nominal_vdd(node_nm, process)
    if vdd is not None:
        within("node scaling", f"vdd at {node_nm:g} nm", vdd, _LOWEST * nominal, _HIGHEST * nominal, "V")
    share = 1.0 if vdd is None else vdd / nominal
    points = {}
    for node in NODES_NM:
        row = _row(node, process)
        volts = share * row["vdd_v"]
        points[node] = row["energy_v2"] * volts**2 + row["energy_v1"] * volts + row["energy_v0"]
    return _read(node_nm, points)


@lru_cache(maxsize=1024)
def _delay(node_nm: float, process: str) -> float:
    points = {}
    for node in NODES_NM:
        row = _row(node, process)
        volts = row["vdd_v"]
        points[node] = sum(row[f"delay_v{power}"] * volts**power for power in range(4))
    return _read(node_nm, points)


@lru_cache(maxsize=256)
def _area(node_nm: float) -> float:
    """Area relative to 45 nm."""
    points = {}
    for (_, name), entry in table(_TABLE).items():
        if entry.node_nm is not None and name.startswith("area_"):
            points[entry.node_nm] = entry.value if name == "area_from_45" else 1.0 / entry.value
    return _read(node_nm, points)


@lru_cache(maxsize=64)
def _row(node_nm: float, process: str) -> dict[str, float]:
    """Everything tabled of one node and process; nodes from 65 nm up have one process only."""
    if process not in ("hp", "lp"):
        raise InputError(f"node scaling: process must be hp or lp, got {process!r}")
    rows = table(_TABLE)
    owners = (f"{node_nm:g}-{process}", f"{node_nm:g}")
    owner = next(o for o in owners if (o, "vdd_v") in rows)
    return {name: entry.value for (of, name), entry in rows.items() if of == owner}


def _read(node_nm: float, points: dict[float, float]) -> float:
    if not NODES_NM[-1] <= node_nm <= NODES_NM[0]:
        known = ", ".join(f"{n:g}" for n in NODES_NM)
        raise InputError(
            f"node scaling: node_nm must be {NODES_NM[-1]:g} to {NODES_NM[0]:g} nm, got {node_nm:g}; tabled: {known}"
        )
    return log_log(points, float(node_nm), extend=False)
