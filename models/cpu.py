"""CPUs as models: sparse products after MKL, dense work as rooflines; the parts are rows of a table.

Sparse products are fitted on MKL measured on a host, see ``_cpu_sparse``; dense work is a roofline of
the part's published rates with register tiles, cores and caches in it, see ``_cpu_dense``, and is
fitted on nothing.

What it does not model: hyper-threads, frequency changes (all parts run at their base clock), several
sockets, and differences between core generations other than those of the table's rows.
"""

from __future__ import annotations

from siloom.models._cpu_design import CpuDesign, of_part
from siloom.models._cpu_machine import Cpu

__all__ = [
    "CpuDesign",
    "Epyc7763",
    "Epyc7763Design",
    "HaswellE52699v3",
    "HaswellE52699v3Design",
    "Xeon8480",
    "Xeon8480Design",
    "XeonE51650v4",
]


class XeonE51650v4(Cpu):
    """Intel Xeon E5-1650 v4 with MKL: OuterSPACE's CPU baseline."""

    name = "xeon-e5-1650v4"
    summary = "Intel Xeon E5-1650 v4 (6 cores, 3.6 GHz, 76.8 GB/s) running MKL; fitted on MKL measured on a host"
    design_type = CpuDesign


@of_part("haswell-e5-2699v3", memory="ddr3")
class HaswellE52699v3Design(CpuDesign):
    """The Xeon E5-2699 v3 as TPU v1 was compared with it."""


class HaswellE52699v3(Cpu):
    """The CPU of the TPU v1 paper."""

    name = "haswell-e5-2699v3"
    summary = "Intel Xeon E5-2699 v3 (Haswell, 18 cores, 2.3 GHz, 51 GB/s): the CPU that TPU v1 was compared with"
    design_type = HaswellE52699v3Design


@of_part("epyc-7763", memory="ddr4")
class Epyc7763Design(CpuDesign):
    """The EPYC 7763."""


class Epyc7763(Cpu):
    """The EPYC 7763."""

    name = "epyc-7763"
    summary = "AMD EPYC 7763 (Milan, 64 cores, 2.45 GHz, 204.8 GB/s), specification recalled"
    design_type = Epyc7763Design


@of_part("xeon-8480", memory="ddr5")
class Xeon8480Design(CpuDesign):
    """The Xeon Platinum 8480+."""


class Xeon8480(Cpu):
    """The Xeon Platinum 8480+."""

    name = "xeon-8480"
    summary = "Intel Xeon Platinum 8480+ (Sapphire Rapids, 56 cores, 2.0 GHz, AMX, 307.2 GB/s), specification recalled"
    design_type = Xeon8480Design
