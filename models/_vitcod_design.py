"""The choices that define one ViTCoD, and what follows from them alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.memory import PARTS, stream_bytes_per_s

_PAPER = "You et al., ViTCoD, HPCA 2023 (from a summary of the full text)"
_CODE = "GATECH-EIC/ViTCoD, Hardware/Simulator"
_SILENT = "the paper gives none"


@dataclass(frozen=True)
class ViTCoDDesign(Design):
    """The choices that define one ViTCoD.

    Raises (when made):
        InputError: a field out of its range, or a decoder that leaves fewer than two lines.
    """

    clock_hz: float = parameter(5.0e8, unit="Hz", source=_PAPER, low=1e6, high=1e10)
    pe_width: int = parameter(64, unit="lines", source=f"{_CODE}, ViTCoD.py: default of --PE_width", low=2, high=4096)
    pe_height: int = parameter(
        8,
        unit="MACs/line",
        source=f"{_PAPER}: 512 MACs, here over 64 lines; {_CODE}, ViTCoD.py has 8 as --PE_height but never reads it: "
        "its array is 64 x 64",
        status="assumed",
        low=1,
        high=1024,
    )
    decoder_lines: int = parameter(
        0,
        unit="lines",
        source="of pe_width, where Q and K are encoded; 0: in proportion to the work; the paper gives none",
        status="assumed",
        low=0,
        high=4096,
    )
    ratio: float = parameter(
        0.5, unit="", source=f"{_PAPER}: heads kept of Q and K, 12 to 6; 1: not encoded", low=1e-3, high=1.0
    )
    codec_heads: int = parameter(
        12, unit="heads", source="heads that are encoded together, for products that name none", status="assumed",
        low=1, high=64,
    )  # fmt: skip
    theta_p: float = parameter(
        0.186,
        unit="",
        source="GATECH-EIC/ViTCoD, Algorithm/deit/gen_mask.py: default of --info_cut, a row's share kept",
        low=0.0,
        high=1.0,
    )
    theta_d: int = parameter(
        50,
        unit="non-zeros",
        source="GATECH-EIC/ViTCoD, reorder.py: a global token's column has more",
        low=0,
        high=2**20,
    )
    kept_tokens: int = parameter(
        1,
        unit="tokens",
        source="GATECH-EIC/ViTCoD, Algorithm/deit/gen_mask.py: [CLS] is never pruned",
        low=0,
        high=2**20,
    )
    calibration_maps: int = parameter(
        1,
        unit="sequences",
        source="drawn with other seeds and averaged for a mask, where operands are drawn",
        status="assumed",
        low=1,
        high=64,
    )
    operand_bits: int = parameter(8, unit="bit", source=_CODE, low=4, high=12)
    fraction_bits: int = parameter(4, unit="bit", source=_SILENT, status="assumed", low=0, high=11)
    weight_bits: int = parameter(8, unit="bit", source=_SILENT, status="assumed", low=2, high=16)
    mantissa_bits: int = parameter(
        10, unit="bit", source="of an exponential; the paper gives none", status="assumed", low=1, high=11
    )
    softmax_cycles: int = parameter(
        16, unit="cycles", source="from a head's last score to its first product with V", status="assumed",
        low=0, high=10_000,
    )  # fmt: skip
    sram_bytes: int = parameter(320 * 1024, unit="B", source=_PAPER, low=1024, high=2**33)
    operand_sram_bytes: int = parameter(
        53 * 1024, unit="B", source=f"{_CODE}, SRAM.py: for Q, for K and for V", low=64, high=2**33
    )
    output_sram_bytes: int = parameter(
        108 * 1024, unit="B", source=f"{_CODE}, SRAM.py; taken to hold the scores", low=64, high=2**33
    )
    memory: str = parameter("ddr4-2400", unit="", source=_PAPER, choices=("ideal", *PARTS))
    memory_channels: int = parameter(
        4, unit="channels", source=f"{_PAPER}: 76.8 GB/s is four of 19.2 GB/s", low=1, high=1024
    )
    port_tokens: int = parameter(
        0,
        unit="tokens/cycle",
        source="that an operand memory takes; 0: as many as come; the paper gives none",
        status="assumed",
        low=0,
        high=4096,
    )
    node_nm: float = parameter(28.0, unit="nm", source=_PAPER, low=7.0, high=130.0)
    convention: str = parameter(
        "physical", unit="", source="physical, or the authors' simulator", status="assumed",
        choices=("physical", "authors"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Check what fields must hold together."""
        super().__post_init__()
        if self.convention == "physical" and self.pe_width - self.decoder_lines < 2:
            raise InputError(
                f"vitcod: decoder_lines must leave two of pe_width, {self.pe_width}, to the engines, "
                f"got {self.decoder_lines}"
            )
        if self.convention == "physical" and self.pe_width < 3:
            raise InputError(f"vitcod: pe_width must be at least 3 for two engines and a decoder, got {self.pe_width}")
        if self.fraction_bits >= self.operand_bits:
            raise InputError(f"vitcod: fraction_bits must be below operand_bits, got {self.fraction_bits}")

    @property
    def macs(self) -> int:
        """Multiply-accumulators, 512 as published: the peak, as any of them is an engine's where none has to decode."""
        return self.pe_width * self.pe_height

    def encoded_heads(self, heads: int) -> int:
        """Heads of Q and K that are stored instead of ``heads``."""
        return min(heads, max(1, int(self.ratio * heads + 0.5)))

    def decoder_lines_for(self, decode_macs: int, engine_macs: int) -> int:
        """Lines of the decoder where so much is to be done in all; none where there is nothing to decode."""
        if not decode_macs or self.decoder_lines:
            return self.decoder_lines if decode_macs else 0
        share = self.pe_width * decode_macs / (decode_macs + engine_macs)
        return min(max(1, round(share)), self.pe_width - 2)

    def element_bytes(self, elements: float) -> float:
        """Bytes of so many codes, packed."""
        return elements * self.operand_bits / 8

    @property
    def bytes_per_s(self) -> float:
        """Sustained rate of the memory."""
        return math.inf if self.memory == "ideal" else stream_bytes_per_s(self.memory, channels=self.memory_channels)

    def port_cycles(self, moved: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Cycles of the port for each of ``moved`` bytes, one after another: those of their sums, rounded up."""
        return whole_steps(moved / self.bytes_per_s * self.clock_hz)

    def token_cycles(self, moved: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Cycles of the port for each of some tokens of ``moved`` bytes, which a memory on the chip must take, too."""
        taken = 1 / self.port_tokens if self.port_tokens else 0.0
        return whole_steps(np.maximum(moved / self.bytes_per_s * self.clock_hz, taken))


def whole_steps(amounts: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Cycles for each amount, one after another: those of their sums, rounded up."""
    sums = np.ceil(np.round(np.cumsum(amounts), 9)).astype(np.int64)
    return np.diff(sums, prepend=0)
