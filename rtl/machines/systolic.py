"""The systolic array as hardware: any size, three dataflows, operands as streams at its edges.

A job says how large a product is; the fold controller cuts it into folds of the array and draws their operands from
two streams, ``left`` and ``top``, a beat for all rows or columns; skew registers put them in step; finished sums
leave below, every column's on a stream of its own, in the cycle in which they stand at the lower edge. Sums of
a cut k are added up below the array, in a memory for each column.

=========  =================================  ===================================  ==============================
dataflow   beats of ``left``, for each fold   beats of ``top``, for each fold      sums of column j, for each fold
=========  =================================  ===================================  ==============================
os         k columns of A's tile              k rows of B's tile                   C's tile, lowest row first
ws         m rows of A's tile                 B's tile, lowest row first           m rows of C, with the last of k
is         n columns of B's tile              A's tile turned, lowest row first    n columns of C, with the last of k
=========  =================================  ===================================  ==============================

Operand memories and the memory port are outside, and with them all stalls of memory: the array takes operands as
early as its registers allow, waits for those that are late, and stops as a whole while a finished sum finds
no room. A job whose k is cut must stream no more than the memory below a column holds; nothing checks it.
"""

from __future__ import annotations

from siloom.models.systolic import SystolicDesign
from siloom.rtl.machines._systolic_array import Array
from siloom.rtl.machines._systolic_size import array_size


class Systolic(Array):
    """A systolic array of the size that ``design`` says."""

    def __init__(self, design: SystolicDesign) -> None:
        """Make the ports."""
        super().__init__(array_size(design))


TWIN = Systolic
