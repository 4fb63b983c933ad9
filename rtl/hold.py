"""Registers for whatever a stage hands on: a value, a view, or a dataclass of such things."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from amaranth.hdl import Module, Signal, Value, ValueCastable


def hold(m: Module, given: Any, name: str, when: Any = 1, *, reset: bool = False) -> Any:
    """The same as it was at the last clock edge at which ``when`` was high; zero before that, if it is reset.

    Of a dataclass every Amaranth value is held; what else is in it is known when the twin is built, and stays.
    """
    if is_dataclass(given) and not isinstance(given, type):
        parts = {field.name: getattr(given, field.name) for field in fields(given)}
        return replace(
            given, **{part: hold(m, value, f"{name}_{part}", when, reset=reset) for part, value in parts.items()}
        )
    if not isinstance(given, Value | ValueCastable):
        return given
    shape = given.shape() if isinstance(given, ValueCastable) else Value.cast(given).shape()
    register: Any = Signal(shape, name=name, reset_less=not reset)
    with m.If(when):
        m.d.sync += register.eq(given)
    return register
