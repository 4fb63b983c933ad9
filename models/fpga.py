"""FPGA parts as targets: a systolic array of multiply-accumulate cells on the part, its buffers and its memory.

A design that does not fit is infeasible, with every resource that is short. Resources are those of cells that were
synthesised and placed, where the array's cell was, and otherwise an estimate (``_fpga_resources``); a result's notes
and provenance say which. Timing is that of ``systolic`` (physical), clocks and static powers are assumed.
Energy: products and sums of standard cells at the part's node times what programmable logic costs over them
(Kuon and Rose), buffers as SRAM, memory by the bit, and static power for the time.
"""

from __future__ import annotations

from siloom.models._fpga_design import FpgaDesign, of_part
from siloom.models._fpga_machine import Fpga

__all__ = ["U280", "Ecp5", "Ecp5Design", "FpgaDesign", "Ice40", "U280Design", "Zcu104", "Zcu104Design"]


class Ice40(Fpga):
    """Lattice iCE40 HX8K."""

    name = "ice40-hx8k"
    summary = "Lattice iCE40 HX8K (7680 LUT, no multipliers): a 4 x 4 int8 array by default"
    design_type = FpgaDesign


@of_part(
    "ecp5-85k",
    family="ecp5",
    memory="ddr3-1866",
    rows=12,
    cols=12,
    ifmap_bytes=2**16,
    filter_bytes=2**16,
    ofmap_bytes=2**16,
)
class Ecp5Design(FpgaDesign):
    """An array on the ECP5-85k; its DDR3's share of the peak and latency are those of ddr3-1866."""


class Ecp5(Fpga):
    """Lattice ECP5-85k."""

    name = "ecp5-85k"
    summary = "Lattice ECP5-85k (84 k LUT, 156 multipliers): a 12 x 12 int8 array by default"
    design_type = Ecp5Design


@of_part(
    "zcu104",
    family="xcup",
    memory="ddr4-2400",
    rows=32,
    cols=32,
    ifmap_bytes=2**18,
    filter_bytes=2**18,
    ofmap_bytes=2**18,
)
class Zcu104Design(FpgaDesign):
    """An array on the programmable logic of the ZCU104."""


class Zcu104(Fpga):
    """AMD ZCU104 (Zynq UltraScale+ XCZU7EV)."""

    name = "zcu104"
    summary = "AMD ZCU104, XCZU7EV (230 k LUT, 1728 DSP, DDR4-2400): a 32 x 32 int8 array by default"
    design_type = Zcu104Design


@of_part(
    "u280",
    family="xcup",
    memory="hbm2-2.0",
    rows=64,
    cols=128,
    ifmap_bytes=2**21,
    filter_bytes=2**21,
    ofmap_bytes=2**21,
)
class U280Design(FpgaDesign):
    """An array on the U280 at its HBM2; its share of the peak and latency are those of hbm2-2.0."""


class U280(Fpga):
    """AMD Alveo U280."""

    name = "u280"
    summary = "AMD Alveo U280 (1.3 M LUT, 9024 DSP, HBM2 at 460 GB/s): a 64 x 128 int8 array by default"
    design_type = U280Design
