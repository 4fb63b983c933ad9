"""What the hardware of a 2:4 sparse array reads of its Design; no Amaranth here."""

from __future__ import annotations

from siloom.models._systolic_array import ACCUMULATORS
from siloom.models.sparse24 import Sparse24Design
from siloom.rtl.machines._systolic_size import LENGTH_BITS, ArraySize
from siloom.sim.ops import FORMAT_BITS
from siloom.sim.units.sparse24_cell import Sparse24Cell

JOB_BITS = 3 * LENGTH_BITS + 1
"""Three sizes, and whether B is dense."""


def array_size(design: Sparse24Design) -> ArraySize:
    """The array of a design that can be built."""
    sum_bits = ACCUMULATORS[design.accumulator]
    cell = Sparse24Cell(bits=FORMAT_BITS[design.precision], acc_bits=sum_bits)
    # Half of the SRAM is for the block at work, as in the model; the other is the memory port's, outside of this.
    return ArraySize(design.rows, design.cols, cell, design.ofmap_sram_bytes * 4 // (sum_bits * design.cols))
