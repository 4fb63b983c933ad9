"""The choices that define an A3, with their sources."""

from __future__ import annotations

from dataclasses import dataclass

from siloom.sim.design import Design, parameter, same_parameter
from siloom.sim.errors import InputError
from siloom.sim.memory import PARTS
from siloom.sim.selection.greedy_keys import GreedyKeys
from siloom.sim.units.exp_split import ExpSplit

_PAPER = "Ham et al., A3, HPCA 2020"
_CHIP = "A3's test chip (from a critique of the paper)"
_SILENT = "the paper gives none"


@dataclass(frozen=True)
class A3Design(Design):
    """The choices that define one A3.

    Raises (when made):
        InputError: a field out of its range, or a point outside the operands.
    """

    copies: int = parameter(1, unit="pipelines", source=_CHIP, low=1, high=4096)
    clock_hz: float = parameter(1.0e9, unit="Hz", source=_PAPER, status="recalled", low=1e6, high=1e10)
    keys: int = parameter(320, unit="keys", source=_CHIP, low=1, high=2**20)
    lanes: int = parameter(64, unit="multipliers a module", source=_CHIP, low=1, high=4096)
    iterations_share: float = same_parameter(GreedyKeys, "iterations_share")
    post_threshold_percent: float = same_parameter(GreedyKeys, "post_threshold_percent")
    refinement: str = same_parameter(GreedyKeys, "refinement")
    search_fill_cycles: int = parameter(
        4, unit="cycles", source="to fill a search's product buffers; " + _SILENT, status="assumed", low=0, high=1000
    )
    scan_width: int = parameter(
        16,
        unit="keys/cycle",
        source="of greedy scores, and of scores, looked at; " + _SILENT,
        status="assumed",
        low=1,
        high=4096,
    )
    module_depth_cycles: int = parameter(
        9, unit="cycles", source=_PAPER + ": 3 n + 27 a query", status="recalled", low=0, high=1000
    )
    buffered_queries: int = parameter(
        0, unit="queries", source="between two modules; " + _SILENT, status="assumed", low=0, high=1024
    )
    sorters: int = parameter(
        0,
        unit="comparators",
        source=_PAPER + ": sorting is off the critical path; 0: amortised",
        status="recalled",
        low=0,
        high=2**20,
    )
    operand_bits: int = same_parameter(GreedyKeys, "operand_bits")
    fraction_bits: int = same_parameter(GreedyKeys, "fraction_bits")
    exponent_integer_bits: int = parameter(4, unit="bit", source=_PAPER, status="recalled", low=2, high=5)
    weight_fraction_bits: int = parameter(
        12, unit="bit", source="of exponentials and shares; " + _SILENT, status="assumed", low=1, high=20
    )
    memory: str = parameter("hbm2-2.0", unit="", source=_SILENT, status="assumed", choices=("ideal", *PARTS))
    memory_channels: int = parameter(1, unit="", source=_SILENT, status="assumed", low=1, high=64)
    node_nm: float = parameter(40.0, unit="nm", source=_CHIP, low=7.0, high=130.0)

    def __post_init__(self) -> None:
        """Check what fields must hold together."""
        super().__post_init__()
        if self.fraction_bits >= self.operand_bits:
            raise InputError(f"a3: fraction_bits must be below operand_bits, got {self.fraction_bits}")

    @property
    def selection(self) -> GreedyKeys:
        """How keys are chosen."""
        return GreedyKeys(
            iterations_share=self.iterations_share,
            post_threshold_percent=self.post_threshold_percent,
            refinement=self.refinement,
            operand_bits=self.operand_bits,
            fraction_bits=self.fraction_bits,
        )

    def iterations(self, seq: int) -> int:
        """Iterations of a search among ``seq`` keys; 0 where there is no search."""
        return self.selection.iterations(seq)

    def sorted_places(self, seq: int) -> int:
        """Places of a sorted column that a search can reach, those of both ends: of each as many as iterations."""
        return 2 * min(seq, self.iterations(seq))

    @property
    def exponential(self) -> ExpSplit:
        """The exponential unit: as many bits behind the point as a product has, cut in the middle."""
        fraction = 2 * self.fraction_bits
        bits = self.exponent_integer_bits + fraction
        return ExpSplit(
            integer_bits=self.exponent_integer_bits,
            x_fraction=fraction,
            low_bits=bits // 2,
            power_fraction=self.weight_fraction_bits,
        )


def row_bits(seq: int) -> int:
    """Bits of a key's number."""
    return max(1, (seq - 1).bit_length())
