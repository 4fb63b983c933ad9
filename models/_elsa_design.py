"""The choices that define an ELSA, with their sources, and the units that one of its pipelines is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from siloom.sim.design import Design, parameter, same_parameter
from siloom.sim.errors import InputError
from siloom.sim.hash_angle import angle_bias_rad
from siloom.sim.memory import PARTS
from siloom.sim.selection.hashed_keys import COSINE_FRACTION, Degree, HashedKeys
from siloom.sim.units.bank_sum import BankSum
from siloom.sim.units.candidate_select import CandidateSelect
from siloom.sim.units.dot_product import DotProduct
from siloom.sim.units.exp_float import ExpFloat, for_scores
from siloom.sim.units.hamming import Hamming
from siloom.sim.units.norm import Norm
from siloom.sim.units.reciprocal import Reciprocal
from siloom.sim.units.scaled_code import ScaledCode
from siloom.sim.units.srp_hash import SrpHash, sides_for
from siloom.sim.units.weighted_sum import WeightedSum

_PAPER = "Ham et al., ELSA, ISCA 2021"
_SILENT = "the paper gives none"


@dataclass(frozen=True)
class ElsaDesign(Design):
    """The choices that define one ELSA.

    Raises (when made):
        InputError: a field out of its range, a threshold that is no number from -1 to 1, or queues shorter than what
            one cycle may put into them.
    """

    copies: int = parameter(12, unit="pipelines", source=_PAPER, status="recalled", low=1, high=4096)
    clock_hz: float = parameter(1.0e9, unit="Hz", source=_PAPER, status="recalled", low=1e6, high=1e10)
    attention_units: int = parameter(4, unit="banks", source=_PAPER, status="recalled", low=1, high=256)
    selectors: int = parameter(8, unit="keys/cycle and bank", source=_PAPER, status="recalled", low=1, high=1024)
    queue_entries: int = parameter(16, unit="candidates/bank", source=_SILENT, status="assumed", low=1, high=65536)
    hash_multipliers: int = parameter(256, unit="", source=_PAPER, status="recalled", low=1, high=2**20)
    output_multipliers: int = parameter(16, unit="", source=_PAPER, status="recalled", low=1, high=4096)
    heads_held: int = parameter(
        1,
        unit="heads/pipeline",
        source="the memories recalled hold one: the next is loaded when it is done; 2 loads it meanwhile",
        status="assumed",
        low=1,
        high=16,
    )
    queries_held: int = parameter(
        16,
        unit="queries/pipeline",
        source="whose rows and notes are kept, from the hash to the output; " + _SILENT,
        status="assumed",
        low=1,
        high=1024,
    )
    max_seq: int = parameter(
        0,
        unit="tokens",
        source="that the memories hold; 0: as many as the operation has",
        status="assumed",
        low=0,
        high=16384,
    )
    dim: int = parameter(
        0, unit="", source="of the heads that fit; 0: as the operation has", status="assumed", low=0, high=4096
    )
    operand_bits: int = same_parameter(HashedKeys, "operand_bits")
    fraction_bits: int = same_parameter(HashedKeys, "fraction_bits")
    norm_bits: int = same_parameter(HashedKeys, "norm_bits")
    factor_bits: int = same_parameter(HashedKeys, "factor_bits")
    mantissa_bits: int = parameter(
        10, unit="bit", source="of an exponential; the paper gives none", status="assumed", low=1, high=11
    )
    projection: str = same_parameter(HashedKeys, "projection")
    p: float = same_parameter(Degree, "p")
    threshold: str = parameter(
        "auto", unit="", source="auto: learnt for p on each head's own operands; or a number, -1 to 1", status="assumed"
    )
    seed: int = same_parameter(HashedKeys, "seed")
    memory: str = parameter("hbm2-2.0", unit="", source=_SILENT, status="assumed", choices=("ideal", *PARTS))
    memory_channels: int = parameter(1, unit="stacks", source=_SILENT, status="assumed", low=1, high=1024)
    node_nm: float = parameter(40.0, unit="nm", source=_PAPER, low=7.0, high=130.0)

    def __post_init__(self) -> None:
        """Check what fields must hold together."""
        super().__post_init__()
        if self.queue_entries < self.selectors:
            raise InputError(
                f"elsa: queue_entries must be at least selectors, {self.selectors}, got {self.queue_entries}"
            )
        if self.fraction_bits >= self.operand_bits:
            raise InputError(f"elsa: fraction_bits must be below operand_bits, got {self.fraction_bits}")
        self.given_threshold()

    def given_threshold(self) -> float | None:
        """The threshold set by hand, None where it is learnt."""
        if self.threshold == "auto":
            return None
        try:
            number = float(self.threshold)
        except ValueError:
            number = math.nan
        if not -1.0 <= number <= 1.0:
            raise InputError(f"elsa: threshold must be auto or a number from -1 to 1, got {self.threshold[:40]!r}")
        return number

    @property
    def selection(self) -> HashedKeys:
        """How keys are chosen."""
        return HashedKeys(
            operand_bits=self.operand_bits,
            fraction_bits=self.fraction_bits,
            norm_bits=self.norm_bits,
            factor_bits=self.factor_bits,
            projection=self.projection,
            seed=self.seed,
        )

    def units(self, dim: int) -> ElsaUnits:
        """The units of one pipeline for heads of this length."""
        return ElsaUnits(self, dim)


@dataclass(frozen=True)
class ElsaUnits:
    """What one pipeline is made of for heads of length ``dim``, and the cycles that follow from its units' Contracts.

    Where the design says nothing of a unit, it has the unit's own default.
    """

    design: ElsaDesign
    dim: int

    @cached_property
    def hash(self) -> SrpHash:
        """Of keys and queries.

        Raises:
            InputError: a length that no Kronecker product fits.
        """
        a, b, c = sides_for(self.dim)
        design = self.design
        return SrpHash(
            side_a=a, side_b=b, side_c=c, x_bits=design.operand_bits, factor_bits=design.factor_bits,
            multipliers=design.hash_multipliers, seed=design.seed,
        )  # fmt: skip

    @cached_property
    def norm(self) -> Norm:
        """Of keys, with as many multipliers as keep pace with the hashes."""
        design = self.design
        return Norm(
            dim=self.dim, x_bits=design.operand_bits, fraction=design.fraction_bits, norm_bits=design.norm_bits,
            multipliers=-(-self.dim // min(self.dim, self.hash_cycles)),
        )  # fmt: skip

    @cached_property
    def hamming(self) -> Hamming:
        """Of a selector.

        Raises:
            InputError: more than a word of bits that are not whole words.
        """
        bias = angle_bias_rad(self.design.projection, self.dim)
        return Hamming(bits=self.dim, cosine_fraction=COSINE_FRACTION, bias_rad=bias)

    @cached_property
    def select(self) -> CandidateSelect:
        """Of a selector."""
        design = self.design
        return CandidateSelect(
            norm_bits=design.norm_bits, norm_fraction=design.fraction_bits, cosine_fraction=COSINE_FRACTION
        )

    @cached_property
    def product(self) -> DotProduct:
        """Of a bank's worker."""
        return DotProduct(dim=self.dim, a_bits=self.design.operand_bits, b_bits=self.design.operand_bits)

    @cached_property
    def power(self) -> ExpFloat:
        """Of a bank's worker: e to a score."""
        scale = 2.0 ** (-2 * self.design.fraction_bits) / math.sqrt(self.dim)
        return for_scores(scale, self.product.total.bits, self.design.mantissa_bits)

    @cached_property
    def weighted_sum(self) -> WeightedSum:
        """Of a bank's worker."""
        design = self.design
        return WeightedSum(dim=self.dim, value_bits=design.operand_bits, mantissa_bits=design.mantissa_bits)

    @cached_property
    def bank_sum(self) -> BankSum:
        """Of the output: sums that are divided in one cycle, and the weights'."""
        return BankSum(banks=self.design.attention_units, lanes=self.output_lanes + 1)

    @cached_property
    def reciprocal(self) -> Reciprocal:
        """Of the output."""
        return Reciprocal()

    @cached_property
    def scaled_code(self) -> ScaledCode:
        """Of the output."""
        return ScaledCode(lanes=self.output_lanes, code_bits=self.design.operand_bits)

    @property
    def output_lanes(self) -> int:
        """Elements of a row that are sent out in one cycle."""
        return min(self.design.output_multipliers, self.dim)

    @property
    def hash_cycles(self) -> int:
        """Cycles for one hash; a projection that is no Kronecker product takes dim^2 multiplies."""
        if self.design.projection == "kronecker":
            return self.hash.cycles
        return max(1, -(-self.hash_multiplies // self.design.hash_multipliers))

    @property
    def hash_multiplies(self) -> int:
        """Multiplies for one hash."""
        if self.design.projection == "kronecker":
            return self.hash.multiplies
        return 0 if self.design.projection == "none" else self.dim**2

    @property
    def finish_cycles(self) -> int:
        """Cycles in which a query's sums are merged."""
        return -(-self.dim // self.output_lanes)

    def start_cycles(self, seq: int) -> int:
        """Cycles until banks can look at keys for the first query.

        After the beat that announces a head, all keys and the first query are hashed, one after another. The length
        of the last key is there later than its hash; a cycle on it is the largest that it can be, and another one on
        the bound is made of it.
        """
        hashed = 1 + (seq + 1) * self.hash_cycles
        bounded = 1 + (seq - 1) * self.hash_cycles + self.norm.interval + self.norm.root_cycles + 2
        return max(hashed, bounded)

    @property
    def look_depth(self) -> int:
        """Stages from where a bank's hashes are read to its queue."""
        return 1 + Hamming().stages + self.select.stages

    @property
    def work_depth(self) -> int:
        """Stages from a bank's queue to its sums; key and value are each read in one."""
        return 1 + self.product.stages + self.power.stages + 1 + self.weighted_sum.stages

    @property
    def output_depth(self) -> int:
        """Stages from sums that are merged to the output."""
        return self.bank_sum.stages + self.reciprocal.stages + self.scaled_code.stages
