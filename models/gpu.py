"""NVIDIA GPUs: one file of thin classes; the boards are rows of ``sim/cost/devices.csv``.

Sparse products run cuSPARSE (fitted on an H100) or CUSP, see ``_gpu_spgemm``; dense ones cuBLAS
(fitted on an A100), see ``_gpu_gemm``; attention one of four kernels, see ``_gpu_attention``; the rest
are kernels bound by bandwidth or arithmetic, see ``_gpu_kernels``. Constants that were fitted on one board are carried
to the others by multiprocessors, clock, rates and bandwidth; a result's notes say so.

A board's clock falls to ``sustained_clock_share`` while its tensor cores are busy: Hopper's to what FlashAttention's
tables ask for beside an A100, where neither ten measured products nor FlashAttention ask for less than boost.

What is not modelled: other changes of clocks, transfers to and from the host, and the
differences between library versions.
"""

from __future__ import annotations

from siloom.models._gpu_design import GpuDesign, of_board
from siloom.models._gpu_machine import Gpu

__all__ = [
    "A100", "H100", "H200", "K40", "K80", "P100", "V100", "A100Design", "GpuDesign", "H100Design", "H200Design",
    "K80Design", "P100Design", "Rtx2080Ti", "Rtx2080TiDesign", "Rtx4090", "Rtx4090Design", "TitanXp", "TitanXpDesign",
    "V100Design",
]  # fmt: skip


class K40(Gpu):
    """The Tesla K40."""

    name = "k40"
    summary = "NVIDIA Tesla K40 (Kepler, 2013): OuterSPACE's GPU baseline"
    design_type = GpuDesign
    variants = {"k40-cusparse": {"library": "cusparse"}, "k40-cusp": {"library": "cusp"}}  # noqa: RUF012


@of_board("k80", memory="gddr5")
class K80Design(GpuDesign):
    """One of the two GPUs of a Tesla K80."""


class K80(Gpu):
    """One of the two GPUs of a Tesla K80."""

    name = "k80"
    summary = "one GPU of an NVIDIA Tesla K80 (Kepler, 2014), at its base clock as TPU v1 was compared with"
    design_type = K80Design


@of_board("p100", memory="hbm2")
class P100Design(GpuDesign):
    """The Tesla P100 SXM2."""


class P100(Gpu):
    """The Tesla P100 SXM2."""

    name = "p100"
    summary = "NVIDIA Tesla P100 SXM2 (Pascal, 2016)"
    design_type = P100Design


@of_board("titan-xp", memory="gddr5")
class TitanXpDesign(GpuDesign):
    """The Titan Xp; its GDDR5X is counted as GDDR5."""


class TitanXp(Gpu):
    """The Titan Xp; its GDDR5X is counted as GDDR5."""

    name = "titan-xp"
    summary = "NVIDIA Titan Xp (Pascal, 2017)"
    design_type = TitanXpDesign


@of_board("rtx-2080ti", memory="gddr6")
class Rtx2080TiDesign(GpuDesign):
    """The GeForce RTX 2080 Ti."""


class Rtx2080Ti(Gpu):
    """The GeForce RTX 2080 Ti."""

    name = "rtx-2080ti"
    summary = "NVIDIA GeForce RTX 2080 Ti (Turing, 2018)"
    design_type = Rtx2080TiDesign


@of_board("v100", memory="hbm2")
class V100Design(GpuDesign):
    """The Tesla V100 SXM2."""


class V100(Gpu):
    """The Tesla V100 SXM2."""

    name = "v100"
    summary = "NVIDIA Tesla V100 SXM2 (Volta, 2017)"
    design_type = V100Design


@of_board("a100", memory="hbm2e")
class A100Design(GpuDesign):
    """The A100 SXM4 with 80 GB."""


class A100(Gpu):
    """The A100 SXM4 with 80 GB."""

    name = "a100"
    summary = "NVIDIA A100 SXM4 80 GB (Ampere, 2020): the board that dense products were fitted on"
    design_type = A100Design


@of_board("rtx-4090", memory="gddr6")
class Rtx4090Design(GpuDesign):
    """The GeForce RTX 4090; its GDDR6X is counted as GDDR6."""


class Rtx4090(Gpu):
    """The GeForce RTX 4090; its GDDR6X is counted as GDDR6."""

    name = "rtx-4090"
    summary = "NVIDIA GeForce RTX 4090 (Ada, 2022)"
    design_type = Rtx4090Design


@of_board("h100", memory="hbm3")
class H100Design(GpuDesign):
    """The H100 SXM5."""


class H100(Gpu):
    """The H100 SXM5."""

    name = "h100"
    summary = "NVIDIA H100 SXM5 (Hopper, 2022): the board that cuSPARSE was fitted on"
    design_type = H100Design
    variants = {"h100-cusparse": {"library": "cusparse"}, "h100-cusp": {"library": "cusp"}}  # noqa: RUF012


@of_board("h200", memory="hbm3e")
class H200Design(GpuDesign):
    """The H200 SXM."""


class H200(Gpu):
    """The H200 SXM."""

    name = "h200"
    summary = "NVIDIA H200 SXM (Hopper, 2024)"
    design_type = H200Design
