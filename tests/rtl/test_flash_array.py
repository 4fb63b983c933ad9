"""Is the attention array in hardware its model, bit for bit and cycle for cycle, and do the trials find wrong ones?"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import Component, connect, flipped

from siloom.rtl.cosim import cosimulate, score
from siloom.rtl.machines import _flash_head, _flash_softmax
from siloom.rtl.machines import flash_array as machine
from siloom.rtl.registry import MachineBlock, find_block
from siloom.rtl.trials._attention import real
from siloom.rtl.trials.flash_array import HARDWARE, trial_of
from siloom.rtl.verilator import lint
from siloom.rtl.verilog import verilog
from siloom.sim.errors import InfeasibleError

SIZES = pytest.mark.parametrize("design", HARDWARE.sizes, ids=lambda d: MachineBlock(HARDWARE, d).size)
SMALL = HARDWARE.base
NAMES = ("ragged", "causal-blocks", "wild")


def judge(design=SMALL, make=None, simulator="amaranth", names=()):
    trials = [t for t in HARDWARE.trials(design, 3) if not names or t.plan.name in names]
    assert len(trials) >= max(len(names), 1)
    sightings = cosimulate(make or MachineBlock(HARDWARE, design).make, [t.plan for t in trials], simulator)
    return score(trials, sightings, HARDWARE.bound)


def passes(verdict):
    assert verdict.passed, verdict
    assert verdict.mismatched_bits == verdict.mismatched_cycles == 0
    assert verdict.model_cycles == verdict.rtl_cycles > 0


def test_a_small_array_passes_in_the_amaranth_simulator():
    names = ("one", "ragged", "causal-blocks", "heads", "causal-heads", "wild", "full-queues", "both")
    passes(judge(names=names))


@pytest.mark.parametrize("settings", ["rows=1,cols=1,block=1", "rows=1,cols=3,block=5", "rows=5,cols=1,block=2"])
def test_a_single_row_column_or_key_is_an_array_too(settings):
    passes(judge(find_block(f"flash_array:{settings},max_seq=16").design, names=("one", "causal-ragged", "both")))


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["verilator", "cxxrtl"])
@SIZES
def test_every_size_passes(design, simulator):
    passes(judge(design, simulator=simulator))


def test_the_largest_size_has_heads_of_a_transformer():
    largest = HARDWARE.sizes[-1]
    (long,) = (t for t in HARDWARE.trials(largest, 3) if t.plan.name == "long")
    assert largest.cols == 64
    assert long.plan.feeds["job"].payloads[0] >= 128


def test_a_real_head_gives_the_models_bits_and_cycles():
    op = real(24, 4)
    if op is None:
        pytest.skip("the optional part 'minilm' is not installed")
    trial = trial_of(SMALL, "real", [op], np.random.default_rng(1))
    passes(score([trial], cosimulate(MachineBlock(HARDWARE, SMALL).make, [trial.plan], "amaranth"), 0.0))


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


class LostKey(Twisted):
    """Every twentieth key is taken and forgotten."""

    def twist(self, m, inner):
        count = Signal(range(20))
        with m.If(self.k.valid & inner.k.ready):
            m.d.sync += count.eq(count + 1)
        with m.If(count == 19):
            m.d.comb += [inner.k.valid.eq(0), self.k.ready.eq(1)]
            m.d.sync += count.eq(0)


class LateBegin(Twisted):
    """It takes a cycle before it looks at its first head."""

    def twist(self, m, inner):
        awake = Signal()
        m.d.sync += awake.eq(1)
        with m.If(~awake):
            m.d.comb += [inner.job.valid.eq(0), self.job.ready.eq(0)]


class SwappedElements(Twisted):
    """Two elements of every value have changed places."""

    def twist(self, m, inner):
        m.d.comb += [inner.v.p[0].eq(self.v.p[1]), inner.v.p[1].eq(self.v.p[0])]


class NeverCausal(Twisted):
    """Queries look at later keys of their tile, though fewer keys come."""

    def twist(self, m, inner):
        m.d.comb += inner.job.p.causal.eq(0)


@pytest.mark.parametrize(
    ("twin", "wrong"),
    [(LostKey, "bits"), (LateBegin, "cycles"), (SwappedElements, "bits"), (NeverCausal, "bits"), (Twisted, "")],
)
def test_a_wrong_machine_is_caught(twin, wrong):
    verdict = judge(make=lambda: twin(SMALL), names=NAMES)
    assert verdict.passed == (not wrong), verdict
    assert (verdict.mismatched_bits > 0) == (wrong == "bits")
    if wrong == "cycles":
        assert verdict.mismatched_cycles == len(NAMES)


def test_sums_that_stay_as_they_are_when_the_maximum_rises_are_caught(monkeypatch):
    class Flat(_flash_softmax.Softmax):
        def _largest(self, m, key, scores, blocks):
            super()._largest(m, key, scores, blocks)
            m.d.comb += blocks.i.p.before.eq(blocks.i.p.now)

    monkeypatch.setattr(machine, "Softmax", Flat)
    assert judge(names=("blocks",)).mismatched_bits > 0


def test_an_exponential_that_goes_on_while_the_array_stands_is_caught(monkeypatch):
    class Loose(_flash_softmax.Softmax):
        def elaborate(self, platform):
            m = super().elaborate(platform)
            m.d.comb += m.submodules.power.o.ready.eq(1)
            return m

    monkeypatch.setattr(machine, "Softmax", Loose)
    verdict = judge(names=("ragged", "full-queues"))
    assert verdict.mismatched_bits > 0
    assert "full-queues" in verdict.fault  # nothing else stops the array


def test_a_row_whose_mask_never_closes_is_caught(monkeypatch):
    class Unmasked(_flash_head.Head):
        def elaborate(self, platform):
            m = super().elaborate(platform)
            m.d.comb += self.lanes[0].kept.eq(1)
            return m

    monkeypatch.setattr(machine, "Head", Unmasked)
    assert judge(names=("causal-blocks",)).mismatched_bits > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("memory=hbm2-2.0", "memory must be ideal .* got hbm2-2.0"),
        ("rows=65,cols=64", "rows must be at most 64 beside cols 64 to be built, got 65"),
    ],
)
def test_what_cannot_be_built_is_refused_by_field_and_limit(settings, message):
    with pytest.raises(InfeasibleError, match=message):
        find_block(f"flash_array:{settings}")


def test_verilog_is_clean_under_every_lint_warning_and_holds_cells_once(tmp_path):
    block = find_block("flash_array:rows=3,cols=4")
    text = verilog(block.make(), block.name)
    assert "always @*" not in text
    for part in ("cell", "row", "softmax", "divide"):
        assert text.count(f"module flash_{part}(") == 1
    (tmp_path / "flash_array.v").write_text(text)
    assert lint(tmp_path / "flash_array.v") == []
