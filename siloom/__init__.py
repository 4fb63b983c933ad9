"""Siloom: weave an algorithm and the hardware that runs it."""

__version__ = "0.1.0"
