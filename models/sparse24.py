"""A weight-stationary systolic array for 2:4 sparse weights: half the products of a dense one, and half the folds.

Of every four neighbours along k a sparse B keeps at most two, each with its place among the four in 2 bits. A cell
holds two kept weights, takes four operands of A from the left and multiplies the two at these places
(``siloom.sim.units.sparse24_cell``); so a row of cells is four of k tall and has two multipliers a column. Against a
dense array with as many multipliers, k takes half as many folds, operands come twice as wide, and weights
take ``bits + 2`` bits each.

A dense product runs on the same array at the dense rate: a row takes two neighbours of k, with the places 0 and 1
that the array fills in itself, and only half of its bus. So k takes as many folds as on that dense array; an odd k is
filled up with a zero. Nothing else differs: folds, SRAMs and memory are those of ``siloom run systolic``
(``siloom.sim.engine.systolic``) with a word of operands, or of kept weights, in the place of an element, and
one register more between operands and adder, which is one cycle more for a whole product.

Nothing prunes here: B is 2:4 where the operation says so.

Relatives: Mishra et al., Accelerating sparse deep neural networks, arXiv 2104.08378, 2021 (the format and its use in
tensor cores); Liu et al., S2TA, HPCA 2022, and STA, IEEE CAL 2020 (systolic arrays of small dot products with
operands selected by place) - recalled; this is no model of any of them, and no number of theirs is claimed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from siloom.models._systolic_array import ACCUMULATORS, Core, Product, Run, Step, accumulator_of, run_steps
from siloom.models._systolic_cost import Words
from siloom.models._systolic_lower import lower, matmul_product
from siloom.models._systolic_result import IDEAL_NOTE, array_result
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.machine import Machine
from siloom.sim.memory import PARTS, idle_latency_s, stream_bytes_per_s, write_costs
from siloom.sim.ops import FORMAT_BITS, Elementwise, MatMul, Operation, Reduce
from siloom.sim.result import Result
from siloom.sim.units.sparse24_cell import PLACE_BITS, STAGES
from siloom.sim.units.sparse24_select import GROUP, KEPT

_FREE = "free choice of the design"


@dataclass(frozen=True)
class Sparse24Design(Design):
    """The choices that define one machine.

    Raises (when made):
        InputError: a field out of its range.
        InfeasibleError: an SRAM that cannot hold one fold of the array twice over.
    """

    rows: int = parameter(
        16, unit="cells", source="cells down, each two multipliers", status="assumed", low=1, high=65536
    )
    cols: int = parameter(32, unit="cells", source=_FREE, status="assumed", low=1, high=65536)
    precision: str = parameter(
        "auto",
        unit="",
        source="format of the operands; auto: the operation's",
        status="assumed",
        choices=("auto", *FORMAT_BITS),
    )
    accumulator: str = parameter(
        "auto",
        unit="",
        source="format of the sums; auto: int32 for integers, fp32 for floats, fp64 for fp64",
        status="assumed",
        choices=("auto", *ACCUMULATORS),
    )
    clock_hz: float = parameter(1.0e9, unit="Hz", source=_FREE, status="assumed", low=1e6, high=1e10)
    ifmap_sram_bytes: int = parameter(2**20, unit="B", source=_FREE, status="assumed", low=2, high=2**33)
    filter_sram_bytes: int = parameter(2**20, unit="B", source=_FREE, status="assumed", low=2, high=2**33)
    ofmap_sram_bytes: int = parameter(2**20, unit="B", source=_FREE, status="assumed", low=2, high=2**33)
    sram_word_bytes: int = parameter(
        8, unit="B", source="one access of a bank; a bank a row or column", status="assumed", low=1, high=64
    )
    vector_lanes: int = parameter(
        64, unit="operations/cycle", source="elementwise work, reductions", status="assumed", low=1, high=65536
    )
    memory: str = parameter(
        "ddr4-2400",
        unit="",
        source="a DRAM part, at the rate that its engine sustains at an operation's share of writes; ideal: infinite",
        status="assumed",
        choices=("ideal", *PARTS),
    )
    memory_channels: int = parameter(
        1, unit="channels", source="channels, or stacks, of the memory", status="assumed", low=1, high=1024
    )
    node_nm: float = parameter(
        22.0, unit="nm", source="node of the energy and area tables", status="assumed", low=7.0, high=130.0
    )

    def __post_init__(self) -> None:
        """Check what fields must hold together, at the narrowest operands that the design allows."""
        super().__post_init__()
        form = min(FORMAT_BITS, key=lambda f: FORMAT_BITS[f]) if self.precision == "auto" else self.precision
        words = word_bits(form, self.sums_of(form), sparse=True)
        needs = {
            "ifmap_sram_bytes": self.rows * words.ifmap,
            "filter_sram_bytes": self.rows * self.cols * words.filter,
            "ofmap_sram_bytes": self.cols * words.sums,
        }
        for name, bits in needs.items():
            least = -(-2 * bits // 8)
            if getattr(self, name) < least:
                raise InfeasibleError(
                    f"Sparse24Design: {name} must be at least {least} B to hold one fold of {self.rows} x {self.cols} "
                    f"cells twice over, got {getattr(self, name)}"
                )

    def sums_of(self, form: str) -> str:
        """The format of sums of products in ``form``."""
        return accumulator_of(form) if self.accumulator == "auto" else self.accumulator

    @property
    def multipliers(self) -> int:
        """Multipliers of all cells."""
        return KEPT * self.rows * self.cols

    @property
    def core(self) -> Core:
        """What the timing reads."""
        real = self.memory != "ideal"
        rate = stream_bytes_per_s(self.memory, channels=self.memory_channels) / self.clock_hz if real else math.inf
        return Core(
            rows=self.rows,
            cols=self.cols,
            dataflow="ws",
            double=True,
            stages=STAGES,
            ifmap_bytes=self.ifmap_sram_bytes,
            filter_bytes=self.filter_sram_bytes,
            ofmap_bytes=self.ofmap_sram_bytes,
            vector_lanes=self.vector_lanes,
            bytes_per_cycle=rate,
            write_costs=write_costs(self.memory) if real else (1.0,),
            latency=math.ceil(idle_latency_s(self.memory) * self.clock_hz) if real else 0,
        )


class Sparse24(Machine):
    """A systolic array of 2:4 cells with its SRAMs, a vector unit and DRAM."""

    name = "sparse24"
    kind = "accelerator"
    summary = "weight-stationary systolic array for 2:4 sparse weights; dense products at the dense rate"
    operations = (MatMul, Elementwise, Reduce)
    design_type = Sparse24Design
    design: Sparse24Design

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Run one operation; values are not computed.

        Raises:
            InputError: more work than can be counted.
            InfeasibleError: an SRAM that does not hold one fold in the operation's format.
        """
        if not isinstance(op, self.operations):
            raise InputError(f"{self.label}: does not run {op.kind}")
        design = self.design
        form = str(op.format) if design.precision == "auto" else design.precision
        sums = design.sums_of(form)
        sparse = isinstance(op, MatMul) and op.sparse24
        run = _time(design.core, op, form, sums)
        notes = []
        if isinstance(op, MatMul) and not sparse:
            notes.append("B is dense: two neighbours of k a row of cells, at half of the sparse rate")
        if design.memory == "ideal":
            notes.append(IDEAL_NOTE)
        return array_result(self.label, design, op, run, form, sums, word_bits(form, sums, sparse=sparse), tuple(notes))


def word_bits(form: str, accumulator: str, *, sparse: bool) -> Words:
    """What a row of cells takes: four operands, or two; two weights, with their places where they are sparse."""
    bits = FORMAT_BITS[form]
    if sparse:
        return Words(GROUP * bits, KEPT * (bits + PLACE_BITS), ACCUMULATORS[accumulator])
    return Words(KEPT * bits, KEPT * bits, ACCUMULATORS[accumulator])


def rows_of(k: int, *, sparse: bool) -> int:
    """Rows of cells, over all folds, that a product's k takes."""
    return -(-k // (GROUP if sparse else KEPT))


def word_product(op: MatMul, form: str) -> Product:
    """The product as the array has it: of words, one a row of cells."""
    words = word_bits(form, accumulator_of(form), sparse=op.sparse24)
    given = matmul_product(op)
    return replace(given, k=rows_of(op.k, sparse=op.sparse24), a_bits=words.ifmap, b_bits=words.filter)


def _time(core: Core, op: Operation, form: str, sums: str) -> Run:
    if not isinstance(op, MatMul):
        return run_steps(core, lower(op, core, form, sums), form, sums)
    product = word_product(op, form)
    run = run_steps(core, (Step(name=product.name, products=(product,)),), form, sums)
    return replace(run, multiplies=KEPT * run.multiplies)
