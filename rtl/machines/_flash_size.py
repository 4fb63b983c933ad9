"""What the parts of an attention array and its trials agree on; no Amaranth here."""

from __future__ import annotations

from enum import IntEnum

LENGTH_BITS = 15
"""Bits of the length of a sequence."""


class Op(IntEnum):
    """What a beat does in a cell."""

    IDLE = 0
    LOAD = 1
    SCORE = 2
    SCALE = 3
    WEIGH = 4
    DRAIN = 5
