"""Sums of numbers times constants, so many terms a cycle, by a schedule that is fixed when a twin is built.

Terms are worked on in the order in which they are given, one in each lane and ``lanes`` a step. A lane chooses by the
step which number it takes, and multiplies it by the constant of its term; where all constants are 1 and -1 there are
no multipliers, and adders subtract instead. Neighbouring lanes with terms of one sum are added in a tree. A sum whose
terms are cut by the end of a step goes on from a register in the next one.

One adder stands between every two neighbouring lanes and adds up what on its left and right belongs together in a step,
so there are no more adders than lanes. That cannot be where a number is used in the step that completes it: a lane
would then hang on an adder which, in another step, hangs on the lane. There every run of lanes that is added up in some
step has adders of its own.

A number is kept only if it is used after the step in which it comes, in a register that others use before and after,
and nothing is wider than its largest number. Choices are multiplexers with as many inputs as there are steps at most:
this is meant for some dozen steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value

from siloom.rtl.shifts import low_unread
from siloom.rtl.term_schedule import (
    Interval,
    Span,
    Term,
    around,
    last_uses,
    plus,
    shape_of,
    shared_registers,
    spans_of,
    times,
)

Key = tuple[int, ...]
"""Of a wire: (lane, lane + 1), or of an adder (first lane, end), or (lane,) if it is the one before that lane."""


class WeightedSums:
    """The hardware of one schedule, in a unit that works step by step (:func:`siloom.rtl.stepped.stepped`).

    Numbers count from 0: first those given, signed, then the sums, which use only numbers before them.

    Attributes:
        done: The step in which each number comes; those given come in step 0.
    """

    def __init__(
        self, m: Module, step: Value, works: Value, given: Sequence[Value], terms: Sequence[Term], lanes: int
    ) -> None:
        """Lay out the schedule and build it into ``m``."""
        self._m, self._step, self._works = m, step, works
        self._given = dict(enumerate(given))
        self._spans = spans_of(terms, lanes)
        self._last = {span.target: span for span in self._spans if span.ends}
        self.done = dict.fromkeys(self._given, 0) | {number: span.step for number, span in self._last.items()}
        self._lanes: dict[int, dict[int, Term]] = defaultdict(dict)
        for k, term in enumerate(terms):
            self._lanes[k % lanes][k // lanes] = term
        self._multiplies = any(abs(term.weight) != 1 for term in terms)
        self._own_adders = any(
            term.source not in self._given and self.done[term.source] == k // lanes for k, term in enumerate(terms)
        )
        self._ranges = {number: (-(1 << (len(x) - 1)), (1 << (len(x) - 1)) - 1) for number, x in self._given.items()}
        self._running = self._find_ranges()
        self._joined: dict[Key, dict[int, tuple[Key, Key, bool]]] = defaultdict(dict)
        self._roots = {span: self._join(span.step, span.first, span.end) for span in self._spans}
        self._wires: dict[Key, Any] = {}
        self._values: dict[int, Any] = {}
        self._ongoing: dict[Key | None, Any] = {}
        self._constants: dict[int, Const] = {}
        # All registers are there before what goes into them, for that hangs on them.
        later = {number: step for number, step in last_uses(terms, lanes).items() if step > self.done[number]}
        registers = [(numbers, self._register(numbers)) for numbers in shared_registers(self.done, later)]
        self._kept = {
            number: register[: shape_of(self._ranges[number]).width].as_signed()
            for numbers, register in registers
            for number in numbers
        }
        self._carry_on()
        for numbers, register in registers:
            self._keep({self.done[number]: self._whole(number) for number in numbers}, register)

    def value(self, number: int) -> Any:
        """A number as it is in the step in which it comes, signed."""
        if number not in self._values:
            self._values[number] = self._whole(number)[: shape_of(self._ranges[number]).width].as_signed()
        return self._values[number]

    def store(self, number: int, value: Value, register: Any) -> None:
        """Let a register take what was made of a number in its step."""
        self._keep({self.done[number]: value}, register)

    def _keep(self, values: Mapping[int, Any], register: Any) -> None:
        value = self._pick("next", values)
        with self._m.If(self._works & Cat(self._step == step for step in values).any()):
            self._m.d.sync += register.eq(value[: len(register)].as_signed())

    def _register(self, numbers: Sequence[int]) -> Signal:
        shape = shape_of(around(self._ranges[number] for number in numbers))
        return Signal(shape, name=f"kept{numbers[0]}", reset_less=True)

    def _whole(self, number: int) -> Any:
        """A number in its step; where it comes from may be wider."""
        return self._given[number] if number in self._given else self._total(self._last[number])

    def _find_ranges(self) -> dict[Span, Interval]:
        """Every sum's range; and of every span, that of what is summed up with it."""
        running: dict[Span, Interval] = {}
        so_far = (0, 0)
        for span in self._spans:
            so_far = (0, 0) if span.begins else so_far
            for lane in range(span.first, span.end):
                term = self._lanes[lane][span.step]
                so_far = plus(so_far, times(self._ranges[term.source], term.weight))
            running[span] = so_far
            if span.ends:
                self._ranges[span.target] = so_far
        return running

    def _join(self, step: int, first: int, end: int) -> tuple[Key, bool]:
        """Note the adders for some lanes in a step; the wire of their sum, and whether it has the wrong sign."""
        if end - first == 1:
            return (first, end), not self._multiplies and self._lanes[first][step].weight < 0
        # The middle is the roundest number between, so the same lanes are joined by the same adders.
        level = (first ^ (end - 1)).bit_length() - 1
        middle = (end - 1) >> level << level
        left, wrong = self._join(step, first, middle)
        right, other = self._join(step, middle, end)
        key = (first, end) if self._own_adders else (middle,)
        self._joined[key][step] = (left, right, wrong != other)
        return key, wrong

    def _range_at(self, key: Key, step: int) -> Interval:
        if key not in self._joined:
            term = self._lanes[key[0]][step]
            return times(self._ranges[term.source], term.weight if self._multiplies else 1)
        left, right, subtract = self._joined[key][step]
        return plus(self._range_at(left, step), times(self._range_at(right, step), -1 if subtract else 1))

    def _wire(self, key: Key) -> Any:
        """What a lane gives, or an adder between lanes."""
        if key not in self._wires:
            uses = self._joined.get(key)
            self._wires[key] = self._lane(self._lanes[key[0]], key[0]) if uses is None else self._adder(uses, key)
        return self._wires[key]

    def _lane(self, terms: Mapping[int, Term], lane: int) -> Any:
        numbers = {
            s: self.value(t.source) if self.done[t.source] == s else self._kept[t.source] for s, t in terms.items()
        }
        number = self._pick(f"lane{lane}_takes", numbers)
        if not self._multiplies:
            return number
        weight = self._pick(f"lane{lane}_times", {step: self._constant(term.weight) for step, term in terms.items()})
        shape = shape_of(around(times(self._ranges[term.source], term.weight) for term in terms.values()))
        product = Signal(shape, name=f"lane{lane}")
        # Factors wider than the product, which a small constant makes, say no more than its bits of them.
        low_number, low_weight = (factor[: shape.width].as_signed() for factor in (number, weight))
        self._m.d.comb += product.eq(low_number * low_weight)
        return product

    def _adder(self, uses: Mapping[int, tuple[Key, Key, bool]], key: Key) -> Any:
        name = f"sum{'_to_'.join(map(str, key))}"
        left = self._pick(f"{name}_left", {step: self._wire(use[0]) for step, use in uses.items()})
        right = self._pick(f"{name}_right", {step: self._wire(use[1]) for step, use in uses.items()})
        minus = {step: use[2] for step, use in uses.items()}
        return self._add(name, left, right, minus, around(self._range_at(key, step) for step in uses))

    def _total(self, span: Span) -> Any:
        """What is summed up with this span, in its step."""
        key, wrong = self._roots[span]
        if not span.begins:
            return self._go_on(key if self._own_adders else None)
        if not wrong:
            return self._wire(key)
        negated = Signal(shape_of(self._running[span]), name=f"negated{span.target}_in_{span.step}")
        self._m.d.comb += negated.eq(-self._wire(key))
        return negated

    def _go_on(self, key: Key | None) -> Any:
        """Sums that were cut, and what comes to them in the next step: on wire ``key``, or all of them."""
        if key not in self._ongoing:
            spans = {s.step: s for s in self._spans if not s.begins and key in (None, self._roots[s][0])}
            name = f"on{'_to_'.join(map(str, key or ()))}"
            more = self._pick(f"{name}_more", {step: self._wire(self._roots[s][0]) for step, s in spans.items()})
            minus = {step: self._roots[s][1] for step, s in spans.items()}
            ends = around(self._running[s] for s in spans.values())
            self._ongoing[key] = self._add(name, self._so_far, more, minus, ends)
        return self._ongoing[key]

    def _carry_on(self) -> None:
        """The register from which a sum that was cut goes on."""
        cut = [span for span in self._spans if not span.ends]
        if cut:
            self._so_far = Signal(shape_of(around(self._running[span] for span in cut)), name="cut", reset_less=True)
            self._keep({span.step: self._total(span) for span in cut}, self._so_far)

    def _add(self, name: str, left: Value, right: Value, minus: Mapping[int, bool], numbers: Interval) -> Any:
        """The sum, or the difference in steps with a ``minus``."""
        shape = shape_of(numbers)
        if len(set(minus.values())) == 1:
            total: Any = Signal(shape, name=name)
            self._m.d.comb += total.eq(left - right if any(minus.values()) else left + right)
            return total
        # One adder, which subtracts by a carry into it.
        subtract = self._pick(f"{name}_minus", {step: self._constant(int(where)) for step, where in minus.items()})[0]
        wide: Any = Signal(Shape(shape.width + 1, signed=True), name=low_unread(name))
        turned = Mux(subtract, ~right, right)
        self._m.d.comb += wide.eq(Cat(subtract, left).as_signed() + Cat(subtract, turned).as_signed())
        return wide[1:].as_signed()

    def _pick(self, name: str, choices: Mapping[int, Any]) -> Any:
        """In each step its choice; in steps without one, any."""
        found = self._branch(choices, 0, 1 << len(self._step))
        if found is next(iter(choices.values())):
            return found
        chosen = Signal(Value.cast(found).shape(), name=name)
        self._m.d.comb += chosen.eq(found)
        return chosen

    def _branch(self, choices: Mapping[int, Any], first: int, end: int) -> Any:
        """The choice of steps ``first`` to ``end - 1``: by one bit of the step, unless it is the same for all."""
        here = {id(value): value for step, value in choices.items() if first <= step < end}
        if len(here) < 2:
            return next(iter(here.values()), None)
        middle = (first + end) // 2
        low, high = self._branch(choices, first, middle), self._branch(choices, middle, end)
        if low is None or high is None:
            return high if low is None else low
        return Mux(self._step[(end - first).bit_length() - 2], high, low)

    def _constant(self, number: int) -> Const:
        """The same object for the same number, as choices are told apart by."""
        return self._constants.setdefault(number, Const(number, shape_of((number, number))))
