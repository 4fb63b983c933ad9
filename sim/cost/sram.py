"""Energy, leakage and area of SRAM by bytes, width and node, from a CACTI 7 sweep at 22, 32 and 45 nm.

Between the table's sizes and nodes figures are read log-log; the last segments are prolonged to
smaller and larger memories, and where a node's sizes end before another's its own last slope goes
on. Above 45 and below 22 nm logic's scaling curve is applied to energy and area, which flatters
SRAM at small nodes: the 7 nm figures of the TPUv4i paper are 4 (1 MiB) to 25 times (8 KiB)
higher. An access of another width than 8 bytes costs a power of the ratio, fitted on the sweep (mean
error in sample 9 %, held out 11 %); one wider than 32 bytes is spread over banks of 32, a narrower
one than 4 bytes reads 4.
"""

from __future__ import annotations

import math
from functools import lru_cache

from siloom.sim.cost import table
from siloom.sim.cost._curve import log_log, within
from siloom.sim.cost.scaling import NODES_NM, area_factor, energy_factor

__all__ = ["area_mm2", "leakage_w", "read_energy_j", "write_energy_j"]

_TABLE = "cacti_sram"
_WORD_BYTES = 8
_FIT_BYTES = 65_536
_LARGEST = 2**33


def read_energy_j(size_bytes: float, access_bytes: float, node_nm: float) -> float:
    """Joules of reading ``access_bytes`` at once from a memory of ``size_bytes``, one port.

    Raises:
        InputError: a size outside 1 byte to 8 GiB, an access of no bytes or of more than the memory
            has, or a node outside the scaling table.
    """
    return _access_energy("read", size_bytes, access_bytes, node_nm)


def write_energy_j(size_bytes: float, access_bytes: float, node_nm: float) -> float:
    """Joules of writing ``access_bytes`` at once; rules and errors as :func:`read_energy_j`."""
    return _access_energy("write", size_bytes, access_bytes, node_nm)


def area_mm2(size_bytes: float, node_nm: float) -> float:
    """Area of a memory with one port.

    Raises:
        InputError: a size or a node outside its range.
    """
    _check_size(size_bytes)
    return _figure("area_mm2", size_bytes, node_nm)


def leakage_w(size_bytes: float, node_nm: float) -> float:
    """Standing power in ``itrs-hp`` cells, the fastest and leakiest: an upper limit.

    Accelerators use low-standby-power cells, which leak hundreds of times less; machines that charge
    this figure say so. Outside 22 to 45 nm the nearest node's figure stands: leakage does not follow
    the scaling curve.

    Raises:
        InputError: a size or a node outside its range.
    """
    _check_size(size_bytes)
    return _figure("leakage_w", size_bytes, node_nm)


def _access_energy(kind: str, size_bytes: float, access_bytes: float, node_nm: float) -> float:
    _check_size(size_bytes)
    within("sram", "access_bytes", access_bytes, 1, size_bytes, "B")
    narrowest, widest = _width("narrowest_bytes"), _width("widest_bytes")
    banks = max(1.0, access_bytes / widest)
    width = min(max(access_bytes, narrowest), widest)
    bank_bytes = size_bytes / banks
    word = _figure(f"{kind}_energy_j", bank_bytes, node_nm)
    return banks * word * math.pow(width / _WORD_BYTES, _exponent(kind, bank_bytes))


def _exponent(kind: str, size_bytes: float) -> float:
    """Power of the width that an access costs, held between 0 and 1 beyond the sizes of the fit."""
    if kind == "write":
        return _width("write_exponent")
    doublings = math.log2(size_bytes / _FIT_BYTES)
    return min(max(_width("read_exponent") + _width("read_exponent_per_doubling") * doublings, 0.0), 1.0)


def _width(name: str) -> float:
    return table(_TABLE)["width", name].value


def _figure(name: str, size_bytes: float, node_nm: float) -> float:
    """One column of the table at any size and node."""
    curves = _curves(name)
    oldest, newest = max(curves), min(curves)
    nearest = min(max(node_nm, newest), oldest)
    value = log_log(
        {node: log_log(dict(points), size_bytes, extend=True) for node, points in curves.items()}, nearest, extend=False
    )
    if name == "leakage_w":
        within("sram", "node_nm", node_nm, NODES_NM[-1], NODES_NM[0], "nm")
        return value
    return value * (area_factor if name == "area_mm2" else energy_factor)(nearest, node_nm)


@lru_cache(maxsize=8)
def _curves(name: str) -> dict[float, dict[float, float]]:
    """Node -> bytes -> value of a column."""
    out: dict[float, dict[float, float]] = {}
    for (owner, field), entry in table(_TABLE).items():
        if field == name and entry.node_nm is not None:
            out.setdefault(entry.node_nm, {})[float(owner.partition("-")[2])] = entry.value
    return out


def _check_size(size_bytes: float) -> None:
    within("sram", "size_bytes", size_bytes, 1, _LARGEST, "B")
