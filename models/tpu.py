"""Google's TPUs, v1 as the ISCA 2017 paper describes it and the later ones as systolic cores.

TPU v1 is a mechanism, not a fit: weight tiles come in order from DDR3 through a FIFO of four, shift into
a 256 x 256 array behind the tile at work, and rows of 8-bit activations stream over them into two halves
of accumulators, which the activation unit drains. See :mod:`siloom.models._tpu_v1`.

From v2 on a chip has one or two cores with several weight-stationary arrays, a vector unit and HBM. See
:mod:`siloom.models._tpu_cores`.
"""

from __future__ import annotations

from collections.abc import Sequence

from siloom.models._tpu_design import TpuDesign, of_chip
from siloom.models._tpu_machine import TpuChip
from siloom.models._tpu_v1 import TpuV1Design, run_items
from siloom.sim.machine import Machine
from siloom.sim.ops import Attention, Conv, Elementwise, Item, MatMul, Operation, Reduce
from siloom.sim.result import Result

__all__ = [
    "TpuDesign", "TpuV1", "TpuV1Design", "TpuV2", "TpuV2Design", "TpuV3", "TpuV3Design", "TpuV4", "TpuV5e",
    "TpuV5eDesign", "TpuV5p", "TpuV5pDesign", "TpuV6e", "TpuV6eDesign",
]  # fmt: skip


class TpuV1(Machine):
    """TPU v1, the inference chip of 2015."""

    name = "tpu-v1"
    kind = "accelerator"
    summary = "TPU v1: 256 x 256 8-bit weight-stationary array, DDR3 weights (Jouppi et al., ISCA 2017)"
    operations = (MatMul, Conv, Attention, Elementwise, Reduce)
    ends_apart = ("first", "last")  # inputs come from the host, results go there
    design_type = TpuV1Design
    design: TpuV1Design

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Run one operation, its inputs coming from the host; values are not computed.

        Raises:
            InputError: more work than can be counted.
        """
        return self.run_in_order([Item(op)])[0]

    def run_in_order(self, items: Sequence[Item], *, values: bool = False) -> Sequence[Result]:
        """Run operations one after the other, weights fetched ahead across them."""
        return run_items(self.label, self.design, items)


@of_chip("tpu-v2", memory="hbm2-2.0")
class TpuV2Design(TpuDesign):
    """TPU v2."""


class TpuV2(TpuChip):
    """TPU v2."""

    name = "tpu-v2"
    summary = "TPU v2, the training chip of 2017: 2 cores, one 128 x 128 array each"
    design_type = TpuV2Design


@of_chip("tpu-v3", memory="hbm2-2.0")
class TpuV3Design(TpuDesign):
    """TPU v3."""


class TpuV3(TpuChip):
    """TPU v3."""

    name = "tpu-v3"
    summary = "TPU v3, 2018: 2 cores, two 128 x 128 arrays each"
    design_type = TpuV3Design


class TpuV4(TpuChip):
    """TPU v4."""

    name = "tpu-v4"
    summary = "TPU v4, 2020: 2 cores, four 128 x 128 arrays each, 128 MiB of CMEM"
    design_type = TpuDesign


@of_chip("tpu-v5e", memory="hbm2e")
class TpuV5eDesign(TpuDesign):
    """TPU v5e."""


class TpuV5e(TpuChip):
    """TPU v5e."""

    name = "tpu-v5e"
    summary = "TPU v5e, 2023: one core, four 128 x 128 arrays"
    design_type = TpuV5eDesign


@of_chip("tpu-v5p", memory="hbm2e")
class TpuV5pDesign(TpuDesign):
    """TPU v5p."""


class TpuV5p(TpuChip):
    """TPU v5p."""

    name = "tpu-v5p"
    summary = "TPU v5p, 2023: 2 cores, four 128 x 128 arrays each"
    design_type = TpuV5pDesign


@of_chip("tpu-v6e", memory="hbm3-6.4")
class TpuV6eDesign(TpuDesign):
    """TPU v6e."""


class TpuV6e(TpuChip):
    """TPU v6e."""

    name = "tpu-v6e"
    summary = "TPU v6e, 2024 (Trillium): one core, 256 x 256 arrays"
    design_type = TpuV6eDesign
