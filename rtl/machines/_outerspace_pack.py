"""Elements of three words into bursts, with a bit for each word that is to be written.

Bursts are whole where elements follow each other; the first and the last of a run are written in part, so that
runs may lie side by side in a burst that several PEs write. An element goes in every cycle, unless what the last
one leaves over needs a cycle of its own.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.rtl.machines._outerspace_size import ELEMENT_WORDS, PLACE_BITS, WORD_BITS, log2

ELEMENT = data.StructLayout(
    {"words": data.ArrayLayout(WORD_BITS, ELEMENT_WORDS), "opens": 1, "closes": 1, "place": PLACE_BITS}
)
"""``opens``: it begins a run at the word ``place``. ``closes``: it ends the run."""


def burst_layout(burst_words: int) -> data.StructLayout:
    """A burst to be written: its number, its words, which of them, and whether its lowest one is not yet known."""
    return data.StructLayout(
        {
            "number": PLACE_BITS - log2(burst_words),
            "words": burst_words * WORD_BITS,
            "mask": burst_words,
            "unlinked": 1,
        }
    )


class Pack(wiring.Component):
    """Runs of elements.

    Attributes:
        elements: Elements in.
        bursts: Bursts out. Where runs are ``linked``, a word is left before the first element; the burst
            in which it lies is marked ``unlinked``, and it is the lowest of its mask.
        flush: High: what is held goes out as if an element had closed the run; none may be offered.
        empty: Nothing is held.
    """

    elements: stream.Interface
    bursts: stream.Interface
    flush: Signal
    empty: Signal

    def __init__(self, burst_words: int, linked: bool) -> None:
        """Words of a burst, more than an element has; whether every run begins with a link."""
        self.burst_words, self.linked = burst_words, linked
        super().__init__(
            {
                "elements": In(stream.Signature(ELEMENT)),
                "bursts": Out(stream.Signature(burst_layout(burst_words))),
                "flush": In(1),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The element goes to where the burst ends; what does not fit is the next burst's beginning."""
        m = Module()
        wide, inner = self.burst_words, log2(self.burst_words)
        element, burst = self.elements.p, self.bursts.p
        number = Signal(burst.number.shape())
        words, mask = Signal(wide * WORD_BITS), Signal(wide)
        at, unlinked = Signal(range(wide + 1)), Signal()

        begin, begun, fresh = Signal(range(wide + 1)), Signal(wide), Signal(burst.number.shape())
        m.d.comb += [begin.eq(at), begun.eq(mask), fresh.eq(number)]
        first = element.place[:inner]
        with m.If(element.opens):
            m.d.comb += [
                begin.eq(first + int(self.linked)),
                begun.eq(Const(1, wide) << first if self.linked else 0),
                fresh.eq(element.place[inner:]),
            ]
        filled, over = Signal(2 * wide), Signal((2 * wide) * WORD_BITS)
        m.d.comb += [filled.eq(begun), over.eq(words)]
        with m.Switch(begin):
            for place in range(wide + 1):
                with m.Case(place):
                    span = slice(place * WORD_BITS, (place + ELEMENT_WORDS) * WORD_BITS)
                    m.d.comb += over[span].eq(element.words.as_value())
                    m.d.comb += filled[place : place + ELEMENT_WORDS].eq(~0)

        ends, rest, gives, moves = Signal(), Signal(), Signal(), Signal()
        stop = Signal(range(wide + ELEMENT_WORDS + 1))
        m.d.comb += [
            stop.eq(begin + ELEMENT_WORDS),
            ends.eq((stop >= wide) | element.closes),
            self.empty.eq(~mask.any()),
        ]
        with m.If(rest | self.flush):
            # What the last element left over, or nobody closed.
            m.d.comb += [
                self.bursts.valid.eq(mask.any()),
                burst.number.eq(number),
                burst.words.eq(words),
                burst.mask.eq(mask),
                burst.unlinked.eq(unlinked),
            ]
            with m.If(self.bursts.ready):
                m.d.sync += [mask.eq(0), rest.eq(0), unlinked.eq(0)]
        with m.Else():
            m.d.comb += [
                gives.eq(ends & self.elements.valid),
                self.bursts.valid.eq(gives),
                burst.number.eq(fresh),
                burst.words.eq(over[: wide * WORD_BITS]),
                burst.mask.eq(filled[:wide]),
                burst.unlinked.eq(unlinked | (element.opens & int(self.linked))),
                self.elements.ready.eq(~ends | self.bursts.ready),
                moves.eq(self.elements.valid & self.elements.ready),
            ]
            with m.If(moves):
                goes_on = stop > wide  # words that are the next burst's
                m.d.sync += [
                    number.eq(fresh),
                    words.eq(over[: wide * WORD_BITS]),
                    mask.eq(filled[:wide]),
                    at.eq(stop),
                    unlinked.eq(burst.unlinked),
                ]
                with m.If(ends):
                    m.d.sync += [
                        number.eq(fresh + 1),
                        words.eq(Cat(over[wide * WORD_BITS :])),
                        mask.eq(filled[wide:]),
                        at.eq(Mux(stop >= wide, stop - wide, 0)),
                        unlinked.eq(0),
                        rest.eq(goes_on & element.closes),
                    ]
        return m
