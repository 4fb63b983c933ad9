"""Energy and area of additions and multiplications by number format and node.

Two tables anchor the energy: Horowitz (ISSCC 2014) at 45 nm and the TPUv4i paper's at 7 nm. At those
nodes their values are returned as they stand. Between them the energy moves from one to the other
along Stillmaker and Baas's curve (its logarithm is the axis of the interpolation), above 45 nm it
scales with that curve. The 45 nm table holds at 0.9 V, a tenth under nominal; it is carried by the
ratio of nominal supplies, so every node is taken as far under its own. Scaled to 7 nm by the curve
alone the 45 nm figures are 4 to 9 times below the 7 nm table; :func:`scaled_energy_j` gives them.

Formats that the tables lack are read between those that they have, log-log in the bits of an integer
or of a significand (bf16 8 with the hidden one, fp16 and tf32 11, fp32 24, fp64 53, fp8 as E4M3 4):
assumed. From fp16 and fp32 alone that rule gives the 7 nm table's own bf16 rows within 5 %.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from siloom.sim.cost import table
from siloom.sim.cost._curve import log_log, within
from siloom.sim.cost.scaling import NODES_NM, area_factor, energy_factor
from siloom.sim.errors import InputError

__all__ = ["mac_area_mm2", "mac_energy_j", "operation_area_mm2", "operation_energy_j", "scaled_energy_j"]

_SIGNIFICAND_BITS = {"fp8": 4, "bf16": 8, "fp16": 11, "tf32": 11, "fp32": 24, "fp64": 53}
_INTEGER = re.compile(r"u?int([1-9][0-9]?)")
_OPERATIONS = ("add", "mul")
_OLD, _NEW = 45.0, 7.0


def operation_energy_j(op: str, format: str, node_nm: float) -> float:
    """Joules of one ``op`` (``add`` or ``mul``) on operands of ``format``.

    Formats are ``int2`` to ``int64``, ``fp8``, ``bf16``, ``fp16``, ``tf32``, ``fp32`` and ``fp64``.

    Raises:
        InputError: an unknown operation or format, or a node outside the scaling table.
    """
    old = _at_table("45nm", op, format)
    if node_nm >= _OLD:
        return old * energy_factor(_OLD, node_nm)
    within("arithmetic", "node_nm", node_nm, NODES_NM[-1], NODES_NM[0], "nm")
    share = math.log(energy_factor(_OLD, node_nm)) / math.log(energy_factor(_OLD, _NEW))
    return old * math.pow(_at_table("7nm", op, format) / old, share)


def scaled_energy_j(op: str, format: str, node_nm: float) -> float:
    """As :func:`operation_energy_j`, from the 45 nm table and the scaling curve alone."""
    return _at_table("45nm", op, format) * energy_factor(_OLD, node_nm)


def mac_energy_j(format: str, accumulator_format: str, node_nm: float) -> float:
    """Joules of one multiply-accumulate: a multiplication in ``format``, an addition in the accumulator's.

    Registers, operand movement and control are not in it.
    """
    return operation_energy_j("mul", format, node_nm) + operation_energy_j("add", accumulator_format, node_nm)


def operation_area_mm2(op: str, format: str, node_nm: float) -> float:
    """Area of one adder or multiplier; recalled figures at 45 nm, scaled."""
    return _at_table("45nm-area", op, format) * area_factor(_OLD, node_nm)


def mac_area_mm2(format: str, accumulator_format: str, node_nm: float) -> float:
    """Area of a multiplier and the accumulator's adder, without registers and control."""
    return operation_area_mm2("mul", format, node_nm) + operation_area_mm2("add", accumulator_format, node_nm)


@lru_cache(maxsize=256)
def _at_table(owner: str, op: str, format: str) -> float:
    if op not in _OPERATIONS:
        raise InputError(f"arithmetic: op must be one of {', '.join(_OPERATIONS)}, got {op!r}")
    rows = table("horowitz")
    entry = rows.get((owner, f"{op}_{format}"))
    if entry is not None:
        return entry.value
    integer, bits = _bits(format)
    points = {}
    for (of, name), row in rows.items():
        if of == owner and name.startswith(f"{op}_"):
            kind, size = _bits(name.removeprefix(f"{op}_"))
            if kind == integer:
                points[float(size)] = row.value
    return log_log(points, float(bits), extend=True)


def _bits(format: str) -> tuple[bool, int]:
    """Whether a format is an integer, and the bits that its arithmetic grows with."""
    match = _INTEGER.fullmatch(format)
    if match and 2 <= int(match[1]) <= 64:
        return True, int(match[1])
    if format in _SIGNIFICAND_BITS:
        return False, _SIGNIFICAND_BITS[format]
    known = ", ".join(_SIGNIFICAND_BITS)
    raise InputError(f"arithmetic: format must be int2 to int64 or one of {known}, got {format!r}")
