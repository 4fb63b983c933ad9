"""Is the systolic array in hardware its model, bit for bit and cycle for cycle, and do the trials find wrong ones?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from amaranth.hdl import Const, Module, Signal
from amaranth.lib.wiring import Component, connect, flipped
from scipy.io import mmread

from siloom.rtl.cosim import cosimulate, score
from siloom.rtl.machines import _systolic_array
from siloom.rtl.machines import systolic as machine
from siloom.rtl.machines._systolic_heads import OperandStays, SumsStay
from siloom.rtl.machines._systolic_size import array_size
from siloom.rtl.registry import MachineBlock, find_block
from siloom.rtl.trials._systolic_numbers import product_of
from siloom.rtl.trials.systolic import HARDWARE, model_cycles, trial_of
from siloom.rtl.verilator import lint
from siloom.rtl.verilog import verilog
from siloom.sim.engine.systolic import DATAFLOWS
from siloom.sim.engine.systolic_cells import multiply
from siloom.sim.errors import InfeasibleError
from siloom.workloads.registry import load

SIZES = pytest.mark.parametrize("design", HARDWARE.sizes, ids=lambda d: MachineBlock(HARDWARE, d).size)
dataflows = pytest.mark.parametrize("dataflow", DATAFLOWS)
one_dataflow = pytest.mark.parametrize(
    "dataflow", [pytest.param(d, marks=() if d == "ws" else pytest.mark.slow) for d in DATAFLOWS]
)
"""What is quick tries a single one."""


def small(dataflow="ws", **changes):
    return replace(HARDWARE.base, rows=3, cols=2, dataflow=dataflow, **changes)


def judge(design, make=None, simulator="amaranth", names=()):
    trials = [t for t in HARDWARE.trials(design, 3) if not names or t.plan.name in names]
    assert len(trials) >= max(len(names), 1)
    sightings = cosimulate(make or MachineBlock(HARDWARE, design).make, [t.plan for t in trials], simulator)
    return score(trials, sightings, HARDWARE.bound)


def passes(verdict):
    assert verdict.passed, verdict
    assert verdict.mismatched_bits == verdict.mismatched_cycles == 0
    assert verdict.model_cycles == verdict.rtl_cycles > 0


@pytest.mark.parametrize("double", [True, pytest.param(False, marks=pytest.mark.slow)])
@dataflows
def test_small_arrays_pass_in_the_amaranth_simulator(dataflow, double):
    passes(judge(small(dataflow, double_buffer=double)))


@pytest.mark.parametrize(
    ("precision", "accumulator"), [("bf16", "fp32"), pytest.param("fp8", "fp16", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "names",
    [("ragged", "ends"), pytest.param(("ragged", "trickle", "ends", "both"), marks=pytest.mark.slow)],
    ids=["some", "more"],
)
@one_dataflow
def test_floating_point_is_that_of_fp_mac_rounded_once_a_product(dataflow, precision, accumulator, names):
    design = small(dataflow, precision=precision, accumulator=accumulator)
    passes(judge(design, names=names))


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (1, 3), (3, 1)])
@dataflows
def test_a_single_row_or_column_is_an_array_too(dataflow, rows, cols):
    passes(judge(replace(small(dataflow), rows=rows, cols=cols), names=("one", "ragged", "trickle", "both")))


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["verilator", "cxxrtl"])
@SIZES
def test_every_size_passes(design, simulator):
    passes(judge(design, simulator=simulator))


@dataflows
def test_trials_hold_bits_and_cycles_that_the_model_of_all_registers_gives_too(dataflow):
    design = small(dataflow)
    rng = np.random.default_rng(1)
    for m, n, k in ((1, 1, 1), (7, 5, 4), (2, 9, 11)):
        a, b = rng.integers(-128, 128, (m, k)), rng.integers(-128, 128, (k, n))
        ran = multiply(dataflow, design.rows, design.cols, a, b)
        product = product_of(array_size(design), a, b)
        assert (product.c == a @ b).all()
        assert model_cycles(design, product.sizes) == ran.cycles


def test_sums_wrap_at_the_accumulator():
    design = small(precision="int4", accumulator="int8")
    a, b = np.full((2, 9), -8), np.full((9, 2), -8)
    product = product_of(array_size(design), a, b)
    assert (product.c == 9 * 64 - 512).all()
    trial = trial_of(design, "wraps", [product], np.random.default_rng(1))
    sightings = cosimulate(MachineBlock(HARDWARE, design).make, [trial.plan], "amaranth")
    passes(score([trial], sightings, 0.0))


def quantized(values):
    return np.rint(values * (127 / np.abs(values).max())).astype(np.int64)


def real_scores(repository):
    """Queries and keys of a language model that reads a text."""
    pytest.importorskip("safetensors", reason="the optional part 'minilm' is not installed")
    pytest.importorskip("tokenizers", reason="the optional part 'minilm' is not installed")
    op = load(f"minilm:text={repository / 'examples' / 'weaving.txt'},seq=48,layer=2").items[0].op
    return quantized(op.q[0, 3]), quantized(op.k[0, 3]).T


def real_weights(shared_data):
    """A corner of a pruned network's weights, and the same turned: what a step of training multiplies."""
    weights = mmread(shared_data / "matrices" / "dnn-n1024-l1.mtx").toarray()[:40, :48]
    assert 0 < np.count_nonzero(weights) < weights.size
    return quantized(weights), quantized(weights[:30].T)


@pytest.mark.parametrize("real", ["text", pytest.param("weights", marks=pytest.mark.slow)])
@one_dataflow
def test_real_operands_give_the_models_bits_and_cycles(dataflow, real, repository, request):
    operands = real_scores(repository) if real == "text" else real_weights(request.getfixturevalue("shared_data"))
    design = replace(small(dataflow), rows=6, cols=5)
    trial = trial_of(design, real, [product_of(array_size(design), *operands)], np.random.default_rng(1))
    passes(score([trial], cosimulate(MachineBlock(HARDWARE, design).make, [trial.plan], "amaranth"), 0.0))


class Twisted(Component):
    """The right machine, its streams passed through; ``twist`` does something to them."""

    def __init__(self, design):
        self.inner = machine.TWIN(design)
        super().__init__(dict(self.inner.signature.members.items()))

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = self.inner
        for name in self.signature.members:
            connect(m, getattr(self.inner, name), flipped(getattr(self, name)))
        self.twist(m, self.inner)
        return m

    def twist(self, m, inner):
        """Later assignments win over those above."""


class LostBeat(Twisted):
    """Every twentieth factor from the left is taken and forgotten."""

    def twist(self, m, inner):
        count = Signal(range(20))
        with m.If(self.left.valid & inner.left.ready):
            m.d.sync += count.eq(count + 1)
        with m.If(count == 19):
            m.d.comb += [inner.left.valid.eq(0), self.left.ready.eq(1)]
            m.d.sync += count.eq(0)


class LateBegin(Twisted):
    """It takes a cycle before it looks at its first job."""

    def twist(self, m, inner):
        awake = Signal()
        m.d.sync += awake.eq(1)
        with m.If(~awake):
            m.d.comb += [inner.job.valid.eq(0), self.job.ready.eq(0)]


class SwappedColumns(Twisted):
    """Two columns of operands have changed places."""

    def twist(self, m, inner):
        m.d.comb += [inner.top.p[0].eq(self.top.p[1]), inner.top.p[1].eq(self.top.p[0])]


@pytest.mark.parametrize(
    ("twin", "wrong"), [(LostBeat, "bits"), (LateBegin, "cycles"), (SwappedColumns, "bits"), (Twisted, "")]
)
@dataflows
def test_a_wrong_machine_is_caught(dataflow, twin, wrong):
    verdict = judge(small(dataflow), lambda: twin(small(dataflow)), names=("whole", "ragged", "short"))
    assert verdict.passed == (not wrong), verdict
    assert (verdict.mismatched_bits > 0) == (wrong == "bits")
    if wrong == "cycles":
        assert verdict.mismatched_cycles == 3


def test_rows_that_a_fold_does_not_use_must_add_nothing(monkeypatch):
    class AllRows(OperandStays):
        def _factors(self, m, used):
            super()._factors(m, ~Const(0, self.size.rows))

    monkeypatch.setattr(_systolic_array, "OperandStays", AllRows)
    assert judge(small("ws"), names=("ragged",)).mismatched_bits > 0


def test_a_fold_must_not_hand_over_its_sums_before_those_ahead_are_out_of_the_way(monkeypatch):
    class TwiceAsDouble(SumsStay):
        def __init__(self, size):
            super().__init__(replace(size, cell=replace(size.cell, double=True)))

    design = small("os", double_buffer=False)
    passes(judge(design, names=("ragged",)))
    monkeypatch.setattr(_systolic_array, "SumsStay", TwiceAsDouble)
    assert judge(design, names=("ragged",)).mismatched_bits > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("convention=scalesim", "convention must be physical"),
        ("memory=ddr4-2400", "memory must be ideal .* got ddr4-2400"),
        ("precision=fp64", "precision must be"),
        ("accumulator=fp32", "accumulator must be one of int4, int8, int16, int32, int64 for int8"),
        ("precision=bf16", "accumulator must be one of fp16, bf16, fp32 for bf16 .* got int32"),
        ("accumulator=int4", "accumulator must be at least as wide as int8"),
        ("precision=auto", "precision must be"),
        ("rows=512,filter_sram_bytes=1000000", "rows must be at most 256"),
    ],
)
def test_what_cannot_be_built_is_refused_by_field_and_limit(settings, message):
    with pytest.raises(InfeasibleError, match=message):
        find_block(f"systolic:{settings}")


@dataflows
def test_verilog_is_clean_under_every_lint_warning_and_holds_no_star_block(dataflow, tmp_path):
    block = find_block(f"systolic:rows=4,cols=3,dataflow={dataflow}")
    text = verilog(block.make(), block.name)
    assert "always @*" not in text
    assert text.count("module systolic_cell(") == text.count("module systolic_row(") == 1
    (tmp_path / "systolic.v").write_text(text)
    assert lint(tmp_path / "systolic.v") == []


@pytest.mark.slow
def test_cells_are_written_once_however_many_there_are():
    texts = [verilog(find_block(f"systolic:rows={n},cols={n}").make(), "systolic") for n in (8, 32)]
    assert len(texts[1]) < 500_000
    assert texts[1].count("endmodule") == texts[0].count("endmodule") < 12
