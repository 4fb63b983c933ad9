"""Selection and scheduling: detected scores, the best keys of each row, and the rounds in which a group shares them.

Two groups' scores are held, and two groups' masks. A group is taken when its last scores have been detected and
``latency_cycles`` have gone by, less one in which its first round will be stored. Its rows go through sorters side by
side; what these give sets bits of the mask, whose columns then go through the scheduler.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.memory import Memory

from siloom.rtl.barrel import named
from siloom.rtl.machines._dota_layouts import detect_step, head_layout, lane, later, round_layout, share
from siloom.rtl.machines._dota_size import DotaSize
from siloom.rtl.pick import pick
from siloom.rtl.shared import place
from siloom.rtl.units.row_topk import RowTopk
from siloom.rtl.units.token_scheduler import TokenScheduler


class Select(Elaboratable):
    """From scores to rounds.

    Attributes:
        begin: In: a head begins; ``head``, In: what it is like.
        issued: In: the last step of a group's detection is issued in this cycle.
        step, scores: In: detected scores [keys, rows].
        round: Out: a round of group ``group``, if ``gives``; ``ends``: the one before was its last.
    """

    def __init__(self, size: DotaSize) -> None:
        self.size = size
        self.begin: Any = Signal()
        self.head: Any = Signal(head_layout(size))
        self.issued: Any = Signal()
        self.step: Any = Signal(detect_step(size))
        self.scores: Any = Signal(size.keys_at_once * size.tokens * size.detected_bits)
        self.round: Any = Signal(round_layout(size))
        self.gives: Any = Signal()
        self.ends: Any = Signal()
        self.group: Any = Signal(size.group_bits + 1)
        self.scheduled: Any = Signal(size.group_bits + 1)
        """Groups whose last bitmap is with the scheduler, two cycles after it came there."""

    def elaborate(self, platform: object) -> Module:
        """Two machines, one behind the other."""
        m = Module()
        chosen, masks = self._sort(m, platform)
        self._schedule(m, chosen, masks)
        return m

    def _keys(self, m: Module, name: str, group: Any) -> Any:
        """Keys that a group looks at."""
        size = self.size
        seen: Any = Signal(size.group_bits + size.tokens.bit_length() + 1, name=f"{name}_seen")
        keys: Any = Signal(size.seq_bits, name=f"{name}_keys")
        m.d.comb += [
            seen.eq((group + 1) * size.tokens),
            keys.eq(Mux(self.head.causal & (seen < self.head.seq), seen, self.head.seq)),
        ]
        return keys

    def _read(self, m: Module, parity: Any, beat: Any) -> list[Any]:
        """Scores of a beat for each row, a cycle after it is asked for."""
        size = self.size
        wide, lanes = max(size.keys_at_once, size.lanes), size.lanes
        words = max(2, size.words(wide))
        bits = (words - 1).bit_length()
        row = size.tokens * size.detected_bits
        m.submodules.scores = memory = Memory(shape=data.ArrayLayout(row, wide), depth=2 << bits, init=[])
        write, read = memory.write_port(granularity=size.keys_at_once), memory.read_port()
        part_bits = (wide // size.keys_at_once - 1).bit_length()
        enable: Any = Const(1, 1)
        if part_bits:
            enable = Const(1, 1) << self.step.word[:part_bits]
        word: Any = Signal(bits, name="score_word")
        m.d.comb += [
            write.en.eq(Mux(self.step.valid, enable, 0)),
            word.eq(self.step.word[part_bits:]),
            write.addr.eq(Cat(word, self.step.parity)),
            Value.cast(write.data).eq(self.scores.replicate(wide // size.keys_at_once)),
        ]
        beat_bits = (wide // lanes - 1).bit_length()
        at: Any = Signal(bits, name="score_at")
        m.d.comb += [at.eq(beat[beat_bits:]), read.addr.eq(Cat(at, parity))]
        whole = Value.cast(read.data)
        parts = [lane(whole, p, lanes * row) for p in range(wide // lanes)]
        found: Any = Signal(lanes * row, name="beat")
        m.d.comb += found.eq(pick(parts, later(m, beat[: max(1, beat_bits)], 1, "part")) if beat_bits else parts[0])
        return [
            Cat(lane(found, k * size.tokens + t, size.detected_bits) for k in range(lanes)) for t in range(size.tokens)
        ]

    def _sort(self, m: Module, platform: object) -> tuple[Any, list[Any]]:
        """Groups into sorters and out of them; whether a group's mask is complete next cycle, and all masks."""
        size = self.size
        lane_bits = size.lanes.bit_length() - 1
        group: Any = Signal(size.group_bits + 1, name="sorted_group")
        waiting: Any = Signal(3)
        beat: Any = Signal(size.key_bits + 2)
        runs, starts, ends = Signal(), Signal(), Signal()
        came = later(m, self.issued, self.size.design.latency_cycles - 2, "issued")
        keys = self._keys(m, "sort", group)
        given = named_min(m, "given", keys, self.head.keep)
        beats = share(m, "beats_low", keys, lane_bits)
        gives = share(m, "gives_low", given, lane_bits)
        sorters: list[Any] = []
        for t in range(size.tokens):
            sorter = RowTopk(size.topk)
            place(m, platform, sorter, f"sorter{t}", "dota_sorter")
            sorters.append(sorter)
        m.d.comb += [
            starts.eq(~runs & (waiting != 0) & Cat(sorter.i.ready for sorter in sorters).all()),
            ends.eq(runs & (beat + 1 == beats + gives) | starts & (beats + gives == 1)),
        ]
        m.d.sync += waiting.eq(waiting + came - starts)
        with m.If(starts | runs):
            m.d.sync += [beat.eq(Mux(ends, 0, beat + 1)), runs.eq(~ends)]
        with m.If(ends):
            m.d.sync += group.eq(group + 1)
        with m.If(self.begin):
            m.d.sync += [group.eq(0), waiting.eq(0)]

        feeds, feeds_last = Signal(), Signal()
        m.d.sync += [feeds.eq((starts | runs) & (beat < beats)), feeds_last.eq(beat + 1 == beats)]
        row_keys = later(m, keys, 1, "row_keys")
        here = later(m, beat, 1, "here")
        base = Cat(Const(0, lane_bits), here)
        group1 = later(m, group, 1, "group")
        found = self._read(m, group[0], beat)
        masks = [[Signal(size.keys, name=f"mask{half}_{t}") for t in range(size.tokens)] for half in range(2)]
        starts1 = later(m, starts, 1, "starts")
        for t, sorter in enumerate(sorters):
            # Keys of this row: none where there is no such query, and none behind it.
            query: Any = Signal(size.group_bits + size.tokens.bit_length() + 1, name=f"query{t}")
            length: Any = Signal(size.seq_bits, name=f"length{t}")
            left = named(m, length - base, f"left{t}")
            m.d.comb += [
                query.eq(group1 * size.tokens + t),
                length.eq(
                    Mux(query >= self.head.seq, 0, Mux(self.head.causal & (query < row_keys), query + 1, row_keys))
                ),
                sorter.i.valid.eq(feeds),
                sorter.i.p.count.eq(Mux(left < 0, 0, Mux(left > size.lanes, size.lanes, left))),
                sorter.i.p.last.eq(feeds_last),
                Value.cast(sorter.i.p.score).eq(found[t]),
                sorter.o.ready.eq(1),
            ]
            given_before: Any = Signal(range(size.keys + size.lanes), name=f"given_before{t}")
            with m.If(sorter.o.valid):
                m.d.sync += given_before.eq(given_before + size.lanes)
            with m.If(starts1):
                m.d.sync += given_before.eq(0)
            hits: Any = Signal(size.keys, name=f"hits{t}")
            indices = list(sorter.o.p.index) if size.lanes > 1 else [sorter.o.p.index]
            bits: Any = Const(0, 1)
            for number, index in enumerate(indices):
                bits = bits | Mux(given_before + number < self.head.keep, Const(1, 1) << index, 0)
            m.d.comb += hits.eq(bits)
            for half in range(2):
                mask = masks[half][t]
                with m.If(starts1 & (group1[0] == half)):
                    m.d.sync += mask.eq(0)
                with m.Elif(sorter.o.valid & (group1[0] == half)):
                    m.d.sync += mask.eq(mask | hits)
        return later(m, ends, 1, "chosen"), masks

    def _schedule(self, m: Module, chosen: Any, masks: list[Any]) -> None:
        """Masks into the scheduler, rounds out of it."""
        size = self.size
        lane_bits = size.lanes.bit_length() - 1
        m.submodules.scheduler = unit = TokenScheduler(size.scheduler)
        waiting: Any = Signal(3, name="masks_waiting")
        beat: Any = Signal(size.key_bits + 1, name="mask_beat")
        feeds, gives, free = Signal(name="feeds_masks"), Signal(name="gives_rounds"), Signal(name="scheduler_free")
        starts, last = Signal(name="starts_masks"), Signal(name="last_bitmaps")
        fed: Any = Signal(size.group_bits + 1, name="fed_group")
        keys = self._keys(m, "schedule", fed)
        beats = share(m, "mask_beats_low", keys, lane_bits)
        words = [
            [
                named(
                    m,
                    mask.word_select(beat[: max(1, (size.keys // size.lanes - 1).bit_length())], size.lanes),
                    f"word{half}_{t}",
                )
                for t, mask in enumerate(each)
            ]
            for half, each in enumerate(masks)
        ]
        chosen_words = [pick([words[0][t], words[1][t]], fed[0]) for t in range(size.tokens)]
        columns = Cat(Cat(word[number] for word in chosen_words) for number in range(size.lanes))
        # The group that is fed is one further than that whose rounds come, until the last of them has come.
        m.d.comb += [
            self.ends.eq(gives & ~unit.o.valid),
            free.eq(~feeds & (~gives | ~unit.o.valid)),
            starts.eq(free & (waiting != 0)),
            last.eq(beat + 1 == beats),
        ]
        m.d.comb += [
            fed.eq(self.group + self.ends),
            unit.i.valid.eq(feeds | starts),
            Value.cast(unit.i.p.owners).eq(columns),
            unit.i.p.last.eq(last),
            unit.o.ready.eq(1),
            self.gives.eq(unit.o.valid),
            Value.cast(self.round).eq(Cat(Value.cast(unit.o.p.key), Value.cast(unit.o.p.owners))),
        ]
        m.d.sync += waiting.eq(waiting + chosen - starts)
        done = Signal(name="fed")
        m.d.comb += done.eq(unit.i.valid & last)
        with m.If(self.ends):
            m.d.sync += [gives.eq(0), self.group.eq(self.group + 1)]
        with m.If(unit.i.valid):
            m.d.sync += [beat.eq(Mux(last, 0, beat + 1)), feeds.eq(~last)]
        with m.If(done):
            m.d.sync += gives.eq(1)
        m.d.sync += self.scheduled.eq(self.scheduled + later(m, done, 1, "done"))
        with m.If(self.begin):
            m.d.sync += [waiting.eq(0), self.group.eq(0), self.scheduled.eq(0)]


def named_min(m: Module, name: str, a: Any, b: Any) -> Any:
    """The smaller of two numbers."""
    found: Any = Signal(max(len(a), len(b)), name=name)
    m.d.comb += found.eq(Mux(a < b, a, b))
    return found
