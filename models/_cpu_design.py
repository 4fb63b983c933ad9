"""The design of a CPU: one class of fields, and a part as rows of ``sim/cost/devices.csv``.

:class:`CpuDesign` names the fields once; :func:`of_part` gives a subclass the defaults of another
part, with that part's sources. What is fitted on MKL (sparse products) is the same for every part and
is carried by clock, cores and caches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from siloom.models._cpu_spgemm import FITTED
from siloom.sim.cost import from_table
from siloom.sim.cost.dram_energy import KINDS
from siloom.sim.design import Design, parameter
from siloom.sim.ops import FORMAT_BITS
from siloom.sim.sparse import Reals

_XEON = "xeon-e5-1650v4"
_RATE = {"whole": True, "low": 0, "high": 65536}
_RANGES: Mapping[str, dict[str, Any]] = {
    "clock_hz": {"low": 1e8, "high": 1e10},
    "cores": {"whole": True, "low": 1, "high": 1024},
    "fp64_per_core": {"whole": True, "low": 1, "high": 65536},
    "fp32_per_core": {"whole": True, "low": 1, "high": 65536},
    "int8_per_core": _RATE,
    "bf16_per_core": _RATE,
    "bandwidth_bytes_per_s": {"low": 1e8, "high": 1e13},
    "stream_efficiency": {"low": 0.01, "high": 1.0},
    "l1_bytes": {"whole": True, "low": 1024, "high": 2**24},
    "l2_bytes": {"whole": True, "low": 1024, "high": 2**28},
    "l3_bytes": {"whole": True, "low": 1024, "high": 2**34},
    "tdp_w": {"low": 1.0, "high": 2000.0},
    "idle_w": {"low": 0.0, "high": 2000.0},
    "node_nm": {"low": 1.0, "high": 250.0},
}
"""The fields that describe a part, and what exploration may make of them."""


def _of(part: str, field: str) -> Any:
    return from_table("devices", part, field, **_RANGES[field])


def _memory(kind: str) -> Any:
    return parameter(kind, unit="", source="what the part's memory channels take", status="recalled", choices=KINDS)


def _fitted(field: str, high: float = 1e4) -> Any:
    return from_table("spgemm_fit", "mkl", field, low=0.0, high=high)


@dataclass(frozen=True)
class CpuDesign(Design):
    """One CPU and the library on it; the defaults are the Xeon E5-1650 v4 with MKL.

    Rates ``*_per_core`` are multiply-adds a clock of one core; 0 says that it has no such unit.
    """

    clock_hz: float = _of(_XEON, "clock_hz")
    cores: int = _of(_XEON, "cores")
    fp64_per_core: int = _of(_XEON, "fp64_per_core")
    fp32_per_core: int = _of(_XEON, "fp32_per_core")
    int8_per_core: int = _of(_XEON, "int8_per_core")
    bf16_per_core: int = _of(_XEON, "bf16_per_core")
    bandwidth_bytes_per_s: float = _of(_XEON, "bandwidth_bytes_per_s")
    stream_efficiency: float = _of(_XEON, "stream_efficiency")
    l1_bytes: int = _of(_XEON, "l1_bytes")
    l2_bytes: int = _of(_XEON, "l2_bytes")
    l3_bytes: int = _of(_XEON, "l3_bytes")
    tdp_w: float = _of(_XEON, "tdp_w")
    idle_w: float = _of(_XEON, "idle_w")
    node_nm: float = _of(_XEON, "node_nm")
    memory: str = _memory("ddr4")
    precision: str = parameter(
        "auto",
        unit="",
        source="auto: the operation's own format; the user's choice otherwise",
        status="assumed",
        choices=("auto", *FORMAT_BITS),
    )
    gemm_efficiency: float = from_table("devices", "cpu", "gemm_efficiency", low=0.01, high=1.0)
    direct_efficiency: float = from_table("devices", "cpu", "direct_efficiency", low=0.01, high=1.0)
    exp_operations: float = from_table("devices", "cpu", "exp_operations", low=1.0, high=1000.0)
    library: str = parameter(
        "mkl",
        unit="",
        source="OuterSPACE's CPU baseline was MKL; measured: fitted by siloom measure",
        status="published",
        choices=("mkl", "measured"),
    )
    overhead_s: float = _fitted("overhead_s", 1.0)
    cycles_per_product: float = _fitted("cycles_per_product")
    cycles_per_result: float = _fitted("cycles_per_result")
    cycles_per_scattered_result: float = _fitted("cycles_per_scattered_result")
    cycles_per_near_line: float = _fitted("cycles_per_near_line")
    cycles_per_far_line: float = _fitted("cycles_per_far_line")
    serial_share: float = _fitted("serial_share", 1.0)

    @property
    def bytes_per_s(self) -> float:
        """Bandwidth that streams reach."""
        return self.bandwidth_bytes_per_s * self.stream_efficiency

    @property
    def operations_per_s(self) -> float:
        """Peak fp64 additions and multiplications a second: two per fused unit and cycle."""
        return self.peak("fp64")

    @property
    def fitted(self) -> Reals:
        """The fitted constants in the order of :data:`FITTED`."""
        return np.array([getattr(self, name) for name in FITTED])

    def peak(self, computed: str) -> float:
        """Peak operations a second of all cores in a format that :meth:`computed_in` gives."""
        return 2.0 * self.per_core(computed) * self.cores * self.clock_hz

    def per_core(self, computed: str) -> int:
        """Multiply-adds a clock of one core."""
        rates = {
            "fp64": self.fp64_per_core,
            "fp32": self.fp32_per_core,
            "int8": self.int8_per_core,
            "bf16": self.bf16_per_core,
        }
        return rates[computed]

    def computed_in(self, format: str) -> str:
        """The format that a library computes ``format`` in: the narrowest unit that holds it."""
        if format in ("int4", "int8") and self.int8_per_core:
            return "int8"
        if format == "bf16" and self.bf16_per_core:
            return "bf16"
        return "fp64" if format == "fp64" else "fp32"


C = TypeVar("C", bound=CpuDesign)


def of_part(part: str, *, memory: str) -> Callable[[type[C]], type[C]]:
    """Decorate a subclass of :class:`CpuDesign`: its defaults are those of ``part``'s rows."""

    def decorate(cls: type[C]) -> type[C]:
        # A dataclass takes as its own the fields that its class annotates, so each is named again.
        annotations = {f.name: f.type for f in fields(cls) if f.name in _RANGES or f.name == "memory"}
        for name in annotations:
            setattr(cls, name, _memory(memory) if name == "memory" else _of(part, name))
        cls.__annotations__ = annotations
        return dataclass(frozen=True)(cls)

    return decorate
