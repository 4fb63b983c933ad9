"""One bank's candidate selection: a word of hashes a cycle, ``width`` selectors side by side.

Keys' hashes and lengths lie in two memories, words of ``width`` each. A step reads a word into a register; every
lane's selector compares one hash with the query's and its estimate with the bound. Steps are in order and stop together
when the queue has no room. Of the keys that a query may look at the best estimate is kept along the way, and goes out
with the query's last step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from siloom.rtl.beside import after, beside
from siloom.rtl.machines._elsa_shapes import Shapes
from siloom.rtl.shared import place
from siloom.rtl.units.candidate_select import CandidateSelect
from siloom.rtl.units.hamming import Hamming


class Selector(wiring.Component):
    """A Hamming unit and a comparison with the bound, one behind the other.

    Attributes:
        i: A hash of a query and of a key, and the key's length.
        o: Whether the key is a candidate, and its estimate.
        bound: The same for all keys of a head.
    """

    i: stream.Interface
    o: stream.Interface
    bound: Signal

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        pair = data.StructLayout({"query": shapes.hash, "key": shapes.hash, "norm": shapes.norm})
        judged = data.StructLayout({"candidate": 1, "estimate": shapes.estimate})
        super().__init__(
            {"i": In(stream.Signature(pair)), "o": Out(stream.Signature(judged)), "bound": In(shapes.bound)}
        )

    def elaborate(self, platform: object) -> Module:
        """The length waits beside the Hamming unit."""
        m = Module()
        units = self._shapes.units
        m.submodules.hamming = hamming = Hamming(units.hamming)
        m.submodules.select = select = CandidateSelect(units.select)
        norm = beside(
            m, "norm", self._shapes.norm, units.hamming.stages, self.i.p.norm,
            self.i.valid & self.i.ready, hamming.o.valid & hamming.o.ready,
        )  # fmt: skip
        m.d.comb += [
            hamming.i.p.query.eq(self.i.p.query),
            hamming.i.p.key.eq(self.i.p.key),
            hamming.i.valid.eq(self.i.valid),
            self.i.ready.eq(hamming.i.ready),
            select.i.p.norm.eq(norm),
            select.i.p.cosine.eq(hamming.o.p.cosine),
            select.i.p.bound.eq(self.bound),
            select.i.valid.eq(hamming.o.valid),
            hamming.o.ready.eq(select.i.ready),
            self.o.p.candidate.eq(select.o.p.candidate),
            self.o.p.estimate.eq(select.o.p.estimate),
            self.o.valid.eq(select.o.valid),
            select.o.ready.eq(self.o.ready),
        ]
        return m


class Scan(wiring.Component):
    """A bank's memories of hashes and lengths, and its selectors.

    Attributes:
        clear: A head begins.
        number: Of this bank.
        causal: Whether a query looks at no later key.
        keep_all: Whether every key that a query may look at is a candidate.
        bound: What an estimate must exceed.
        last_word: The last word that holds a key of any bank.
        hash_valid: ``hash`` is written at ``hash_place``.
        norm_valid: ``norm`` is written at ``norm_place``.
        query: The next query's hash; taken when its first step begins.
        found: Of every step, in order: the lanes with candidates, the local number of the first lane, and whether it
            is the query's last step; then the best estimate of all its steps is there, too.
    """

    clear: Signal
    number: Signal
    causal: Signal
    keep_all: Signal
    bound: Signal
    last_word: Signal
    hash_valid: Signal
    hash_place: Any
    hash: Signal
    norm_valid: Signal
    norm_place: Any
    norm: Signal
    query: stream.Interface
    found: stream.Interface

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        super().__init__(self.members(shapes))

    @staticmethod
    def members(shapes: Shapes) -> dict[str, Any]:
        """The ports."""
        return {
            "clear": In(1),
            "number": In(shapes.bank),
            "causal": In(1),
            "keep_all": In(1),
            "bound": In(shapes.bound),
            "last_word": In(range(shapes.words)),
            "hash_valid": In(1),
            "hash_place": In(shapes.place),
            "hash": In(shapes.hash),
            "norm_valid": In(1),
            "norm_place": In(shapes.place),
            "norm": In(shapes.norm),
            "query": In(stream.Signature(shapes.hash)),
            "found": Out(stream.Signature(shapes.found)),
        }

    def elaborate(self, platform: object) -> Module:
        """Read a word, judge it in all lanes, keep the best."""
        m = Module()
        shapes = self._shapes
        width = shapes.width
        begins, first, last = Signal(), Signal(), Signal()
        word, base = Signal(range(shapes.words)), Signal(shapes.local)
        room = Signal()
        m.d.comb += [
            first.eq(word == 0),
            last.eq(word == self.last_word),
            begins.eq(room & (~first | self.query.valid)),
            self.query.ready.eq(room & first),
        ]
        with m.If(begins):
            m.d.sync += [word.eq(Mux(last, 0, word + 1)), base.eq(Mux(last, 0, base + width))]
        with m.If(self.clear):
            m.d.sync += [word.eq(0), base.eq(0)]

        # The register behind the memories.
        full = Signal()
        layout = data.StructLayout({"allowed": width, "base": shapes.local, "last": 1})
        step: Any = Signal(layout)
        query = Signal(shapes.hash)
        allowed = self._allowed(m, begins & first, first, base)
        with m.If(room):
            m.d.sync += full.eq(begins)
        with m.If(begins):
            m.d.sync += [
                step.allowed.eq(allowed),
                step.base.eq(base),
                step.last.eq(last),
            ]
            with m.If(first):
                m.d.sync += query.eq(self.query.payload)
        keys = self._memory(m, "hashes", shapes.hash, self.hash_valid, self.hash_place, self.hash, begins, word)
        lengths = self._memory(m, "norms", shapes.norm, self.norm_valid, self.norm_place, self.norm, begins, word)

        selectors = [Selector(shapes) for _ in range(width)]
        ready, there = Signal(), Signal()
        for lane, selector in enumerate(selectors):
            place(m, platform, selector, f"selector{lane}", "elsa_selector")
            m.d.comb += [
                selector.i.valid.eq(full),
                selector.i.p.query.eq(query),
                selector.i.p.key.eq(keys[lane]),
                selector.i.p.norm.eq(lengths[lane]),
                selector.bound.eq(self.bound),
                selector.o.ready.eq(self.found.ready),
            ]
        m.d.comb += [
            # All lanes are in the same state, always.
            ready.eq(Cat(s.i.ready for s in selectors).all()),
            there.eq(Cat(s.o.valid for s in selectors).all()),
            room.eq(~full | ready),
        ]
        moves = Signal()
        m.d.comb += moves.eq(there & self.found.ready)
        stages = shapes.units.look_depth - 1
        judged = beside(m, "steps", layout, stages, step, full & ready, moves)
        m.d.comb += [
            self.found.valid.eq(there),
            self.found.p.hits.eq(
                Cat(s.o.p.candidate | self.keep_all for s in selectors) & judged.allowed,
            ),
            self.found.p.base.eq(judged.base),
            self.found.p.last.eq(judged.last),
        ]
        self._keep_best(m, judged, [s.o.p.estimate for s in selectors], moves)
        return m

    def _memory(self, m: Module, name: str, shape: Any, valid: Any, at: Any, entry: Any, begins: Any, word: Any) -> Any:
        """A memory of one entry a lane in every word, and the word that is read."""
        shapes = self._shapes
        memory = Memory(shape=data.ArrayLayout(shape, shapes.width), depth=shapes.words, init=[])
        m.submodules[name] = memory
        write, read = memory.write_port(granularity=1), memory.read_port()
        m.d.comb += [
            write.addr.eq(at.word),
            write.en.eq(Mux(valid, 1 << at.lane, 0)),
            read.addr.eq(word),
            read.en.eq(begins),
            *[write.data[lane].eq(entry) for lane in range(shapes.width)],
        ]
        return read.data

    def _allowed(self, m: Module, advances: Any, first: Any, base: Any) -> Any:
        """The lanes of a step whose keys are there and may be looked at.

        A bank counts its keys, and with a causal mask those that the query may look at: one more whenever a query
        has the number of one of its own keys.
        """
        shapes = self._shapes
        most = range(shapes.locals + 1)
        own, passed, seen = Signal(most), Signal(most), Signal(most)
        turn = Signal(shapes.bank)
        with m.If(self.hash_valid):
            m.d.sync += own.eq(own + 1)
        m.d.comb += seen.eq(passed + (first & (turn == self.number)))
        with m.If(advances):
            m.d.sync += [passed.eq(seen), turn.eq(after(turn, shapes.banks))]
        with m.If(self.clear):
            m.d.sync += [own.eq(0), passed.eq(0), turn.eq(0)]
        count = Signal(most)
        m.d.comb += count.eq(Mux(self.causal, seen, own))
        return Cat(base + lane < count for lane in range(shapes.width))

    def _keep_best(self, m: Module, step: Any, estimates: Sequence[Any], moves: Any) -> None:
        """The first among the best estimates of the query's steps so far, this one included."""
        shapes = self._shapes
        candidates: list[Any] = []
        for lane, estimate in enumerate(estimates):
            mine: Any = Signal(shapes.best, name=f"best_of_lane{lane}")
            m.d.comb += [
                mine.any.eq(step.allowed[lane]),
                mine.estimate.eq(estimate),
                mine.local.eq(step.base + lane),
            ]
            candidates.append(mine)
        before: Any = Signal(shapes.best)
        # Earlier ones stand first, and win among equals.
        best = first_best(m, [before, *candidates])
        m.d.comb += self.found.p.best.eq(best)
        with m.If(moves):
            m.d.sync += before.eq(best)
            with m.If(step.last):
                m.d.sync += before.any.eq(0)
        with m.If(self.clear):
            m.d.sync += before.any.eq(0)


def first_best(m: Module, found: Sequence[Any]) -> Any:
    """The first of those with the largest estimate, by a tree of comparisons."""
    if len(found) == 1:
        return found[0]
    half = (len(found) + 1) // 2
    one, other = first_best(m, found[:half]), first_best(m, found[half:])
    best: Any = Signal(one.shape(), name="best")
    m.d.comb += best.eq(Mux(other.any & (~one.any | (other.estimate > one.estimate)), other, one))
    return best
