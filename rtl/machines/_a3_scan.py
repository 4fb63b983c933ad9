"""The scan: a query's greedy scores, some rows a cycle, and the keys that may matter for it.

Candidates are the rows with a score above zero, as the search has marked them, that the mask allows. Where there are
none it is the allowed row with the largest score, the lowest among equals; the scan has it with its last rows.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.rtl.barrel import named
from siloom.rtl.beside import after
from siloom.rtl.machines._a3_size import Size
from siloom.rtl.machines._a3_turn import Turn


class Scan(wiring.Component):
    """The module.

    Attributes:
        clear: A head begins, whose first query comes next.
        rows: The head's: a bit each.
        last_group: The last of their groups.
        causal: A query sees only keys up to its own.
        i: Queries that have been searched.
        o: The keys that are chosen for each.
        group: The rows that are looked at, by ``part``, the query's place in the memories of sums.
        gains: What was added to the score of each.
        losses: What was taken away.
    """

    clear: Signal
    rows: Signal
    last_group: Signal
    causal: Signal
    i: stream.Interface
    o: stream.Interface
    group: Signal
    part: Signal

    def __init__(self, size: Size, score: Shape) -> None:
        self._size = size
        sums = In(score).array(size.width)
        super().__init__(
            {
                "clear": In(1),
                "rows": In(size.keys),
                "last_group": In(size.group),
                "causal": In(1),
                "i": In(stream.Signature(size.found)),
                "o": Out(stream.Signature(size.chosen)),
                "group": Out(size.group),
                "part": Out(size.part),
                "gains": sums,
                "losses": sums,
            }
        )
        self._best = data.StructLayout({"any": 1, "score": Shape(score.width + 1, signed=True), "row": size.number})

    def elaborate(self, platform: object) -> Module:
        """Groups one after another, the best row so far, and what is chosen in the end."""
        m = Module()
        size = self._size
        turn = Turn(m, self.i, self.o)
        found: Any = Signal(size.found)
        allowed = Signal(size.keys)
        last_group = named(m, self.group == self.last_group, "at_last_group")
        m.d.comb += turn.done.eq(turn.busy & last_group)
        best: Any = Signal(self._best)
        now = self._better(m, "best_now", best, self._of_group(m, found, allowed))
        with m.If(turn.busy & ~last_group):
            m.d.sync += [self.group.eq(self.group + 1), best.eq(now)]
        with m.If(turn.leaves):
            m.d.sync += [self.group.eq(0), best.any.eq(0), self.part.eq(after(self.part, size.parts))]
        with m.If(turn.takes):
            later = Cat(Const(1, 1), allowed)[: size.keys]
            m.d.sync += [found.eq(self.i.payload), allowed.eq(Mux(self.causal, later, self.rows))]
        with m.If(self.clear):
            m.d.sync += allowed.eq(0)

        chosen = named(m, found.candidate & allowed, "chosen")
        alone = (Const(1, 1) << now.row)[: size.keys]
        m.d.comb += self.o.p.keys.eq(Mux(chosen.any(), chosen, alone))
        return m

    def _of_group(self, m: Module, found: Any, allowed: Any) -> Any:
        """The best row of those that are looked at."""
        size = self._size
        me: Any = self

        def here(bits: Any) -> Any:
            wide = Cat(bits, Const(0, (1 << size.number_bits) - size.keys))
            return wide.word_select(self.group[: size.group_bits], size.width) if size.group_bits else wide

        may, gained, lost = here(allowed), here(found.gained), here(found.lost)
        rows = []
        for lane in range(size.width):
            row: Any = Signal(self._best, name=f"row{lane}")
            score = Mux(gained[lane], me.gains[lane], 0) + Mux(lost[lane], me.losses[lane], 0)
            number = Cat(Const(lane, size.width_bits), self.group[: size.group_bits])
            m.d.comb += [row.any.eq(may[lane]), row.score.eq(score), row.row.eq(number)]
            rows.append(row)
        while len(rows) > 1:
            pairs = zip(rows[::2], rows[1::2], strict=True)
            rows = [self._better(m, f"best_of_{len(rows)}_{k}", one, other) for k, (one, other) in enumerate(pairs)]
        return rows[0]

    def _better(self, m: Module, name: str, one: Any, other: Any) -> Any:
        """The better of two rows, ``one`` among equals."""
        best: Any = Signal(self._best, name=name)
        m.d.comb += best.eq(Mux(other.any & (~one.any | (other.score > one.score)), other, one))
        return best
