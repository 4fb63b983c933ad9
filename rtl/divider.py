"""Division digit by digit, without ever putting anything back, in a pipeline or in place.

What is left of the dividend stays between minus and plus the divisor. Each step doubles it and brings it back: the
divisor is taken away where it was not negative, which is a digit of +1, and added where it was, a digit of -1. So a
step is a single adder, and a signed dividend needs no care. Of the digits only their signs are kept, and at the end

    dividend = quotient * divisor + left,    |left| <= divisor,    quotient odd

because the last digit is odd and all others count even. One more step then says where the nearest whole number is: at
the quotient, or one above or below it where half the divisor or more is left. A tie always lies between the odd
quotient and an even number, so to take ties away from the quotient is to round them half to even.

The quotient before rounding has ``digits`` digits, and the dividend is at most the divisor times ``2**digits``. What is
rounded is cut to ``digits + 1`` bits: the caller knows that it fits, or what it means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from siloom.rtl.elastic import Values
from siloom.rtl.shifts import extended, low_unread
from siloom.rtl.spread import ADD, Step


def next_left(m: Module, name: str, left: Any, by: Any, bit: Any) -> Any:
    """What is left after one more digit, in one bit more than the divisor has.

    Args:
        m: where the wire ``name`` is put.
        name: of what is left.
        left: what was left before, of the same width.
        by: the divisor, unsigned.
        bit: the dividend's next bit.
    """
    takes_away = ~left[-1]
    wide = Cat(by, Const(0, 1))
    # The lowest place adds the 1 of a two's complement: one adder does both.
    doubled = Cat(takes_away, bit, left[:-1])
    found = Signal(signed(len(wide)), name=name)
    both = Signal(len(wide) + 1, name=low_unread(f"{name}_and_carry"))
    m.d.comb += [
        both.eq(doubled + Cat(takes_away, wide ^ takes_away.replicate(len(wide)))),
        found.eq(both[1:]),
    ]
    return found


def rounded(left: Any, beyond: Any, kept: Any, half_up: bool = False) -> Any:
    """The nearest whole number, in one bit more than ``kept``.

    Args:
        left: what is left after the last digit.
        beyond: what would be left after one more.
        kept: signs of the digits, the last one lowest, a 1 for +1; the highest turned round where it is the first.
        half_up: ties are taken upwards, not to the even number.
    """
    up = ~left[-1] & ~beyond[-1]
    down = left[-1] & (beyond[-1] if half_up else beyond[-1] | ~beyond.any())
    return Cat(~(up | down), (kept + up)[: len(kept)])


def division(digits: int) -> list[Step]:
    """Steps of a pipeline from ``left`` and ``by`` to ``quotient``: ``left / by * 2**digits``, halves up.

    ``left``, one bit wider than ``by``, is signed and no further from zero than ``by``; whatever else a beat carries
    is passed on.
    """
    names = [f"digit{number}" for number in range(digits)]

    def next_digit(number: int) -> Step:
        def compute(m: Module, given: Values, moves: Value) -> Values:
            left = next_left(m, f"left_after{number}", given["left"], given["by"], Const(0, 1))
            sign = given["left"][-1]
            return {**given, "left": left, names[number]: ~sign if number else sign}

        return Step(compute, ADD)

    def round_off(m: Module, given: Values, moves: Value) -> Values:
        beyond = next_left(m, "beyond", given["left"], given["by"], Const(0, 1))
        signs = Cat(given[name] for name in reversed(names))
        kept = {name: value for name, value in given.items() if name not in ("left", "by", *names)}
        return {**kept, "quotient": rounded(given["left"], beyond, signs, half_up=True)}

    return [*(next_digit(number) for number in range(digits)), Step(round_off, 2 * ADD)]


@dataclass(frozen=True)
class Dividers:
    """Dividers side by side that share a divisor; each works in place, on one division at a time.

    The dividend's low bits and the quotient share a register: with each digit one bit goes out above and one comes in
    below. A cycle does as few digits as ``cycles`` allows; rounding has a cycle of its own where there is one.

    Attributes:
        by_bits: of the divisor, unsigned.
        digits: of the quotient before rounding.
        cycles: from the one with the dividends to the last one without quotients; 0: both are the same.
    """

    by_bits: int
    digits: int
    cycles: int

    @property
    def at_once(self) -> int:
        """Digits in a cycle, where rounding counts as one."""
        return -(-(self.digits + 1) // max(1, self.cycles))

    @property
    def rounds(self) -> int:
        """Cycles with digits."""
        return -(-self.digits // self.at_once)

    @property
    def places(self) -> int:
        """Digits that are worked out: some are added in front where the rounds have room for more."""
        return self.at_once * self.rounds

    def divide(self, m: Module, start: Value, dividends: Sequence[Any], by: Value) -> tuple[Value, list[Value]]:
        """Put the dividers into ``m``.

        Args:
            m: where they are put.
            start: dividends and divisor stand in this cycle, and none is being divided.
            dividends: signed, of ``by_bits + digits + 1`` bits at most.
            by: the divisor.

        Returns:
            A bit that is high ``cycles`` cycles after ``start``, and the quotients, which stand from the cycle after
            that: nearest, ties to even, signed, ``digits + 1`` bits of each; zero where the divisor is.
        """
        lanes = [(f"lane{number}", dividend) for number, dividend in enumerate(dividends)]
        if self.cycles == 0:
            return start, [self._at_once(m, name, start, dividend, by) for name, dividend in lanes]
        divisor = Signal(self.by_bits, name="divisor", reset_less=True)
        count = Signal(range(self.cycles + 1), name="divide_count")
        with m.If(start):
            m.d.sync += [divisor.eq(by), count.eq(self.cycles)]
        with m.Elif(count != 0):
            m.d.sync += count.eq(count - 1)
        quotients = [self._in_rounds(m, name, start, dividend, divisor, count) for name, dividend in lanes]
        return count == 1, quotients

    def _at_once(self, m: Module, name: str, start: Value, dividend: Any, by: Value) -> Value:
        left, rest = self._cut(dividend)
        left, signs = self._digits(m, name, left, by, rest)
        quotient = Signal(signed(self.digits + 1), name=f"{name}_quotient", reset_less=True)
        with m.If(start):
            m.d.sync += quotient.eq(self._round(m, name, left, by, signs))
        return quotient

    def _in_rounds(self, m: Module, name: str, start: Value, dividend: Any, by: Value, count: Value) -> Value:
        first, rest = self._cut(dividend)
        left = Signal(signed(len(first)), name=f"{name}_left", reset_less=True)
        # What is still to be divided goes out above, digits come in below; at the end it is the quotient.
        word = Signal(max(self.places, self.digits + 1), name=f"{name}_word", reset_less=True)
        coming, staying = word[self.places - self.at_once : self.places], word[: self.places - self.at_once]
        now, found = self._digits(m, name, left, by, coming)
        moved = Cat(found, staying)
        behind = self.cycles - self.rounds  # the count once all digits are there
        result = self._round(m, name, left, by, word) if behind else self._round(m, name, now, by, moved)
        with m.If(start):
            m.d.sync += [left.eq(first), word.eq(rest)]
        with m.Elif(count == max(1, behind)):
            m.d.sync += word.eq(result)
        with m.Elif(count > behind):
            m.d.sync += [left.eq(now), word.eq(moved)]
        return word[: self.digits + 1].as_signed()

    def _cut(self, dividend: Any) -> tuple[Any, Value]:
        """What is left at first, and the bits that are brought down one by one."""
        wide = extended(dividend, self.by_bits + 1 + self.places)
        return wide[self.places :].as_signed(), wide[: self.places]

    def _digits(self, m: Module, name: str, left: Any, by: Value, rest: Value) -> tuple[Any, Value]:
        """What is left after as many digits as ``rest`` has bits, and their signs, a 1 for +1."""
        signs: list[Value] = []
        for number, bit in enumerate(reversed(list(rest))):
            signs = [~left[-1], *signs]
            left = next_left(m, f"{name}_left{number}", left, by, bit)
        return left, Cat(signs)

    def _round(self, m: Module, name: str, left: Any, by: Value, signs: Value) -> Value:
        beyond = next_left(m, f"{name}_beyond", left, by, Const(0, 1))
        kept = signs[: self.digits]
        if self.places == self.digits:
            kept = Cat(kept[:-1], ~kept[-1])
        return Mux(by.any(), rounded(left, beyond, kept), 0)
