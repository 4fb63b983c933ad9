"""The design of a TPU from v2 on: cores with 128 x 128 (v6e: 256 x 256) arrays, a vector unit and HBM.

:class:`TpuDesign` names the fields once; :func:`of_chip` gives a subclass the defaults of another
generation from the rows of ``sim/cost/tpu.csv``, with that generation's sources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, TypeVar

from siloom.sim.cost import from_table
from siloom.sim.design import Design, parameter
from siloom.sim.memory import idle_latency_s, part, stream_bytes_per_s

LANES = 1024
"""Lanes of a core's vector unit, 8 x 128 in every generation (How to Scale Your Model, recalled)."""

_RANGES: Mapping[str, dict[str, Any]] = {
    "cores": {"whole": True, "low": 1, "high": 64},
    "mxus_per_core": {"whole": True, "low": 1, "high": 64},
    "mxu_size": {"whole": True, "low": 8, "high": 1024},
    "clock_hz": {"low": 1e6, "high": 1e10},
    "int8_rate": {"whole": True, "low": 1, "high": 4},
    "hbm_bytes_per_s": {"low": 1e9, "high": 1e14},
    "memory_bytes": {"low": 1e6, "high": 1e13},
    "vmem_bytes": {"whole": True, "low": 2**20, "high": 2**34},
    "cmem_bytes": {"whole": True, "low": 0, "high": 2**34},
    "vector_alus": {"whole": True, "low": 1, "high": 64},
    "node_nm": {"low": 7.0, "high": 130.0},
    "idle_w": {"low": 0.0, "high": 5000.0},
    "area_mm2": {"low": 0.0, "high": 10000.0},
}
"""The fields that describe a chip, and what exploration may make of them."""

MEMORIES = ("hbm2-2.0", "hbm2-2.4", "hbm2e", "hbm3-6.4", "ideal")


def _of(chip: str, field: str) -> Any:
    return from_table("tpu", chip, field, **_RANGES[field])


def _memory(part: str) -> Any:
    return parameter(
        part,
        unit="",
        source="whose share of its peak streams keep, reads and writes; the kind of HBM was not published. ideal: all",
        status="assumed",
        choices=MEMORIES,
    )


@dataclass(frozen=True)
class TpuDesign(Design):
    """A chip; the defaults are TPU v4's. ``vmem_bytes`` and ``mxus_per_core`` are a core's, the rest the chip's."""

    cores: int = _of("tpu-v4", "cores")
    mxus_per_core: int = _of("tpu-v4", "mxus_per_core")
    mxu_size: int = _of("tpu-v4", "mxu_size")
    clock_hz: float = _of("tpu-v4", "clock_hz")
    int8_rate: int = _of("tpu-v4", "int8_rate")
    hbm_bytes_per_s: float = _of("tpu-v4", "hbm_bytes_per_s")
    memory_bytes: float = _of("tpu-v4", "memory_bytes")
    vmem_bytes: int = _of("tpu-v4", "vmem_bytes")
    cmem_bytes: int = _of("tpu-v4", "cmem_bytes")
    vector_alus: int = _of("tpu-v4", "vector_alus")
    node_nm: float = _of("tpu-v4", "node_nm")
    idle_w: float = _of("tpu-v4", "idle_w")
    area_mm2: float = _of("tpu-v4", "area_mm2")
    memory: str = _memory("hbm2-2.4")
    precision: str = parameter(
        "auto",
        unit="",
        source="auto: int8 for int4 and int8 operations, else bf16 (vector work on wider numbers: fp32); or the user's",
        status="assumed",
        choices=("auto", "bf16", "int8"),
    )

    @property
    def mxus(self) -> int:
        """Arrays of the chip."""
        return self.cores * self.mxus_per_core

    def operations_per_s(self, precision: str) -> float:
        """Peak of the arrays: v4's 2 x 8 x 128 x 128 x 1.05 GHz = 2.75e14 as published."""
        rate = self.int8_rate if precision == "int8" else 1
        return 2.0 * self.mxus * self.mxu_size**2 * self.clock_hz * rate

    @property
    def vector_per_cycle(self) -> int:
        """Operations a cycle of all vector units."""
        return self.cores * LANES * self.vector_alus

    @cached_property
    def sustained_bytes_per_s(self) -> float:
        """Rate at which a long stream of reads comes from memory."""
        if self.memory == "ideal":
            return self.hbm_bytes_per_s
        return self.hbm_bytes_per_s * stream_bytes_per_s(self.memory) / part(self.memory).peak_bytes_per_s

    @cached_property
    def latency_cycles(self) -> int:
        """Until the first bytes of a stream come."""
        if self.memory == "ideal":
            return 0
        return round(idle_latency_s(self.memory) * self.clock_hz)


D = TypeVar("D", bound=TpuDesign)


def of_chip(chip: str, *, memory: str) -> Callable[[type[D]], type[D]]:
    """Decorate a subclass of :class:`TpuDesign`: its defaults are those of ``chip``'s rows."""

    def decorate(cls: type[D]) -> type[D]:
        # A dataclass takes as its own the fields that its class annotates, so each is named again.
        annotations = {f.name: f.type for f in fields(cls) if f.name in _RANGES or f.name == "memory"}
        for name in annotations:
            setattr(cls, name, _memory(memory) if name == "memory" else _of(chip, name))
        cls.__annotations__ = annotations
        return dataclass(frozen=True)(cls)

    return decorate
