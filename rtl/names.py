"""Verilog names of streams, after AXI-Stream: what a component calls ``i`` and ``o``, or by any other name."""

from __future__ import annotations


def sink_prefix(name: str) -> str:
    """Of a stream in: ``s_axis`` for ``i``, else ``s_axis_<name>``."""
    return "s_axis" if name == "i" else f"s_axis_{name}"


def source_prefix(name: str) -> str:
    """Of a stream out: ``m_axis`` for ``o``, else ``m_axis_<name>``."""
    return "m_axis" if name == "o" else f"m_axis_{name}"
