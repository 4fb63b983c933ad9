"""Engines: plain-array kernels that turn work items into cycles."""
