"""Is the 2:4 array in hardware its model, bit for bit and cycle for cycle, and do the trials find wrong ones?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import Component, connect, flipped
from scipy.io import mmread

from siloom.rtl.cosim import cosimulate, score
from siloom.rtl.machines import _systolic_array, _systolic_grid
from siloom.rtl.machines import sparse24 as machine
from siloom.rtl.machines._sparse24_size import array_size
from siloom.rtl.registry import MachineBlock, find_block
from siloom.rtl.trials._sparse24_products import dense_product, pruned_product
from siloom.rtl.trials.sparse24 import HARDWARE, trial_of
from siloom.rtl.units.sparse24_cell import Sparse24Cell
from siloom.rtl.verilator import lint
from siloom.rtl.verilog import verilog
from siloom.sim.errors import InfeasibleError
from siloom.workloads.registry import load

SIZES = pytest.mark.parametrize("design", HARDWARE.sizes, ids=lambda d: MachineBlock(HARDWARE, d).size)
NAMES = ("sparse-whole", "dense-ragged", "sparse-short", "mixed")


def small(**changes):
    return replace(HARDWARE.base, rows=3, cols=2, **changes)


def judge(design, make=None, simulator="amaranth", names=()):
    trials = [t for t in HARDWARE.trials(design, 3) if not names or t.plan.name in names]
    assert len(trials) >= max(len(names), 1)
    sightings = cosimulate(make or MachineBlock(HARDWARE, design).make, [t.plan for t in trials], simulator)
    return score(trials, sightings, HARDWARE.bound)


def passes(verdict):
    assert verdict.passed, verdict
    assert verdict.mismatched_bits == verdict.mismatched_cycles == 0
    assert verdict.model_cycles == verdict.rtl_cycles > 0


@pytest.mark.parametrize("names", [NAMES, pytest.param((), marks=pytest.mark.slow)], ids=["some", "all"])
def test_a_small_array_passes_in_the_amaranth_simulator(names):
    passes(judge(small(), names=names))


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (1, 3), (3, 1)])
def test_a_single_row_or_column_is_an_array_too(rows, cols):
    names = ("sparse-one", "dense-one", "sparse-ragged", "dense-trickle", "both")
    passes(judge(replace(small(precision="int4", accumulator="int8"), rows=rows, cols=cols), names=names))


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["verilator", "cxxrtl"])
@SIZES
def test_every_size_passes(design, simulator):
    passes(judge(design, simulator=simulator))


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
def test_real_operands_pruned_and_dense_give_the_models_bits_and_cycles(real, repository, request):
    a, b = real_scores(repository) if real == "text" else real_weights(request.getfixturevalue("shared_data"))
    design, rng = replace(small(), rows=6, cols=5), np.random.default_rng(1)
    size = array_size(design)
    dense, pruned = dense_product(size, a, b, rng), pruned_product(size, a, b)
    assert (dense.c == a @ b).all()
    # The network's weights are so few that pruning takes none of them.
    assert (pruned.c != dense.c).any() == (real == "text")
    trials = [trial_of(design, name, [p], rng) for name, p in (("dense", dense), ("pruned", pruned))]
    passes(score(trials, cosimulate(MachineBlock(HARDWARE, design).make, [t.plan for t in trials], "amaranth"), 0.0))


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
    """Every twentieth word of operands is taken and forgotten."""

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


class StuckPlace(Twisted):
    """The low bit of column 0's second place never comes."""

    def twist(self, m, inner):
        m.d.comb += inner.top.p[0].eq(self.top.p[0] & ~(1 << (inner.weight_bits + 2)))


class AlwaysSparse(Twisted):
    """It never hears that a product is dense."""

    def twist(self, m, inner):
        m.d.comb += inner.job.p.dense.eq(0)


@pytest.mark.parametrize(
    ("twin", "wrong"),
    [(LostBeat, "bits"), (LateBegin, "cycles"), (StuckPlace, "bits"), (AlwaysSparse, "bits"), (Twisted, "")],
)
def test_a_wrong_machine_is_caught(twin, wrong):
    verdict = judge(small(), lambda: twin(small()), names=NAMES)
    assert verdict.passed == (not wrong), verdict
    assert (verdict.mismatched_bits > 0) == (wrong == "bits")
    if wrong == "cycles":
        assert verdict.mismatched_cycles == 3  # what is mixed has no cycles of the model


def test_weights_must_not_change_before_the_operands_that_they_chose_are_multiplied(monkeypatch):
    class Hasty(Sparse24Cell):
        def _beat(self, m, given, moves):
            early = dict(super()._beat(m, given, moves))
            with m.If(given["first"]):
                early["psum"] = Signal.like(self.o.p.psum)
                m.d.comb += early["psum"].eq(given["psum"])
            return early

    monkeypatch.setattr(_systolic_grid, "Sparse24Cell", Hasty)
    assert judge(small(), names=("sparse-ragged",)).mismatched_bits > 0


def test_sums_are_known_a_cycle_later_than_those_of_dense_cells(monkeypatch):
    plain = _systolic_array.delayed
    monkeypatch.setattr(
        _systolic_array, "delayed", lambda m, value, cycles, run, name: plain(m, value, cycles - 1, run, name)
    )
    verdict = judge(small(), names=("sparse-ragged",))
    assert verdict.mismatched_bits > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("memory=ddr4-2400", "memory must be ideal .* got ddr4-2400"),
        ("precision=bf16", "precision must be one of int4, int8 to be built, got bf16"),
        ("precision=auto", "precision must be"),
        ("accumulator=fp32", "accumulator must be one of int4, int8, int16, int32, int64 to be built"),
        ("accumulator=int4", "accumulator must be at least as wide as int8"),
        ("rows=512,cols=8", "rows must be at most 256"),
    ],
)
def test_what_cannot_be_built_is_refused_by_field_and_limit(settings, message):
    with pytest.raises(InfeasibleError, match=message):
        find_block(f"sparse24:{settings}")


def test_verilog_is_clean_under_every_lint_warning_and_holds_cells_once(tmp_path):
    block = find_block("sparse24:rows=4,cols=3")
    text = verilog(block.make(), block.name)
    assert "always @*" not in text
    assert text.count("module systolic_cell(") == text.count("module systolic_row(") == 1
    (tmp_path / "sparse24.v").write_text(text)
    assert lint(tmp_path / "sparse24.v") == []
