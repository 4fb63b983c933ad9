"""The design of an array on an FPGA: the part as rows of ``sim/cost/fpga.csv``, the array as choices.

:class:`FpgaDesign` names the fields once; :func:`of_part` gives a subclass the part's own rows and an
array that fits it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from siloom.sim.cost import from_table
from siloom.sim.design import Design, parameter
from siloom.sim.memory import PARTS

FAMILIES = ("ice40", "ecp5", "xcup")
OPERANDS = ("int4", "int8")
SUMS = ("int16", "int32")
EXTERNAL = ("sram", *PARTS)
"""What a part may have outside: static memory at its full rate, or a DRAM whose share of the peak is its engine's."""

_COUNT = {"whole": True, "low": 0, "high": 10**8}
_RANGES: Mapping[str, dict[str, Any]] = {
    "luts": _COUNT,
    "ffs": _COUNT,
    "dsps": _COUNT,
    "brams": _COUNT,
    "urams": _COUNT,
    "bram_bits": {"whole": True, "low": 1, "high": 10**8},
    "bram_width_bits": {"whole": True, "low": 1, "high": 10**6},
    "clock_hz": {"low": 1e5, "high": 2e9},
    "memory_bytes_per_s": {"low": 1e3, "high": 1e14},
    "static_w": {"low": 0.0, "high": 1000.0},
    "node_nm": {"low": 7.0, "high": 130.0},
}
"""The fields that describe a part, and what exploration may make of them."""


def _of(part: str, field: str) -> Any:
    return from_table("fpga", part, field, **_RANGES[field])


def _choice(value: str, choices: tuple[str, ...], source: str) -> Any:
    return parameter(value, unit="", source=source, status="assumed", choices=choices)


def _size(value: int, unit: str, source: str, high: float) -> Any:
    return parameter(value, unit=unit, source=source, status="assumed", low=1, high=high)


@dataclass(frozen=True)
class FpgaDesign(Design):
    """A part and the array on it; the defaults are those of the iCE40 HX8K.

    ``dsps`` are multiplier blocks, ``brams`` and ``urams`` memory blocks.
    """

    luts: int = _of("ice40-hx8k", "luts")
    ffs: int = _of("ice40-hx8k", "ffs")
    dsps: int = _of("ice40-hx8k", "dsps")
    brams: int = _of("ice40-hx8k", "brams")
    bram_bits: int = _of("ice40-hx8k", "bram_bits")
    bram_width_bits: int = _of("ice40-hx8k", "bram_width_bits")
    urams: int = _of("ice40-hx8k", "urams")
    clock_hz: float = _of("ice40-hx8k", "clock_hz")
    memory_bytes_per_s: float = _of("ice40-hx8k", "memory_bytes_per_s")
    static_w: float = _of("ice40-hx8k", "static_w")
    node_nm: float = _of("ice40-hx8k", "node_nm")
    family: str = _choice("ice40", FAMILIES, "whose synthesis results hold")
    memory: str = _choice("sram", EXTERNAL, "what is outside: its share of the peak, latency and energy")
    rows: int = _size(4, "cells", "free choice of the design, so that the default fits its part", 4096)
    cols: int = _size(4, "cells", "free choice of the design, so that the default fits its part", 4096)
    precision: str = _choice("int8", OPERANDS, "what the cells are built for")
    accumulator: str = _choice("int32", SUMS, "what the cells are built for")
    multiplier: str = _choice(
        "auto", ("auto", "dsp", "lut"), "auto: in multiplier blocks as far as there are any, the rest in LUTs"
    )
    dataflow: str = _choice("ws", ("os", "ws", "is"), "synthesised for ws; taken for all")
    double_buffer: bool = parameter(
        True, unit="", source="a second weight register a cell, loaded while the first works", status="assumed"
    )
    ifmap_bytes: int = _size(4096, "B", "free choice of the design", 2**33)
    filter_bytes: int = _size(4096, "B", "free choice of the design", 2**33)
    ofmap_bytes: int = _size(4096, "B", "free choice of the design", 2**33)


F = TypeVar("F", bound=FpgaDesign)


def of_part(part: str, **choices: Any) -> Callable[[type[F]], type[F]]:
    """Decorate a subclass of :class:`FpgaDesign`: its defaults are ``part``'s rows and ``choices``."""

    def decorate(cls: type[F]) -> type[F]:
        about = cls.parameters()
        # A dataclass takes as its own the fields that its class annotates, so each is named again.
        annotations = {f.name: f.type for f in fields(cls) if f.name in _RANGES or f.name in choices}
        for name in annotations:
            setattr(cls, name, _again(about[name], choices[name]) if name in choices else _of(part, name))
        cls.__annotations__ = annotations
        return dataclass(frozen=True)(cls)

    return decorate


def _again(about: Any, value: Any) -> Any:
    """The same field with another default."""
    return parameter(
        value,
        unit=about.unit,
        source=about.source,
        status=about.status,
        low=about.low,
        high=about.high,
        choices=about.choices,
    )
