"""Everything around a component, for any simulator: what is driven each cycle, and what is seen.

A component has streams in, streams out and, as pairs of both, memory ports. A simulator's loop is
three steps - ``drive``, let the logic settle, ``observe`` - and a clock edge, the same for a unit of
two streams and for a machine. Whenever no beat is offered, junk lies on the payload: a component that
looks at its inputs a cycle late finds something else there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

RESET_CYCLES = 2

DRAIN_CYCLES = 8
"""Cycles watched after the last expected result, for beats that nobody asked for."""


@dataclass(frozen=True)
class Feed:
    """The producer of one stream in: ``payloads`` of ``bits``, each offered after ``idle`` cycles of junk."""

    bits: int
    payloads: Sequence[int]
    idle: Sequence[int]


@dataclass(frozen=True)
class Drain:
    """The consumer of one stream out: ready as ``ready`` says by cycle, and always after its end.

    ``expected`` beats end the run, together with those of the other streams.
    """

    bits: int
    expected: int
    ready: Sequence[bool] = ()


@dataclass(frozen=True)
class Memory:
    """A memory behind the streams ``<name>_req`` (out) and ``<name>_rsp`` (in).

    A request holds, from its lowest bit, ``address`` (a word's number), ``write`` (1 bit), ``data`` and, where a
    word has ``lanes``, a bit for each of so many equal parts: a write changes only those whose bit is set.
    One is accepted in every cycle. Requests act in their order; a read is answered ``latency`` cycles
    after it was accepted (a pattern over the reads, repeated; at least 1), or as soon as those before
    it are gone. Writes are not answered.
    """

    address_bits: int
    data_bits: int
    words: Sequence[int]
    latency: Sequence[int] = (1,)
    lanes: int = 0

    @property
    def request_bits(self) -> int:
        """Bits of a request."""
        return self.address_bits + 1 + self.data_bits + self.lanes

    def written(self, before: int, request: int) -> int:
        """What a word becomes by a write."""
        data = request >> (self.address_bits + 1) & ((1 << self.data_bits) - 1)
        if not self.lanes:
            return data
        wide = self.data_bits // self.lanes
        chosen = request >> (self.address_bits + 1 + self.data_bits)
        mask = sum(((1 << wide) - 1) << (wide * lane) for lane in range(self.lanes) if chosen >> lane & 1)
        return before & ~mask | data & mask


@dataclass(frozen=True)
class Plan:
    """What to drive from reset, fixed before the simulation starts; streams and memories by name.

    The run ends once every beat is taken and every expected one has come, or at cycle ``limit``.
    """

    name: str
    feeds: Mapping[str, Feed]
    drains: Mapping[str, Drain]
    limit: int
    seed: int
    memories: Mapping[str, Memory] = field(default_factory=dict)


@dataclass
class Transfers:
    """One stream's beats, in cycles from the first after reset.

    ``shown``: when each became valid; ``moved``: when it was taken. Of streams out, ``payloads`` are what was on
    the wires, and ``unstable`` counts cycles in which a waiting beat changed or was withdrawn; of
    streams in, only ``moved`` is noted.
    """

    shown: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)
    payloads: list[int] = field(default_factory=list)
    unstable: int = 0


@dataclass
class Seen:
    """What happened in one run: transfers by stream (memory ports too), and each memory's words at the end."""

    streams: dict[str, Transfers]
    words: dict[str, list[int]]

    @property
    def cycles(self) -> int:
        """Cycles up to and with the last transfer of any stream."""
        return 1 + max((t.moved[-1] for t in self.streams.values() if t.moved), default=-1)


class Producer:
    """Offers a feed's beats."""

    def __init__(self, feed: Feed, junk: Random) -> None:
        self.transfers = Transfers()
        self.bits = feed.bits
        self._feed = feed
        self._junk = junk
        self._wait = feed.idle[0] if feed.idle else 0
        self._offers = False

    def junk(self) -> int:
        """A payload that means nothing."""
        return self._junk.getrandbits(self.bits)

    @property
    def done(self) -> bool:
        """Whether every beat was taken."""
        return len(self.transfers.moved) == len(self._feed.payloads)

    def drive(self, cycle: int) -> tuple[bool, int]:
        """This cycle's ``valid`` and payload."""
        at = len(self.transfers.moved)
        self._offers = at < len(self._feed.payloads) and self._wait == 0
        return self._offers, self._feed.payloads[at] if self._offers else self.junk()

    def observe(self, cycle: int, ready: bool) -> None:
        """Note this cycle's ``ready``."""
        if not self._offers:
            self._wait = max(self._wait - 1, 0)
        elif ready:
            moved, idle = self.transfers.moved, self._feed.idle
            moved.append(cycle)
            self._wait = idle[len(moved)] if len(moved) < len(idle) else 0


class Consumer:
    """Takes beats as a drain says, and watches that waiting ones stay as they are."""

    def __init__(self, drain: Drain) -> None:
        self.transfers = Transfers()
        self._drain = drain
        self._waiting: int | None = None
        self._ready = False

    @property
    def stalls(self) -> bool:
        """Whether there is a cycle in which it is not ready."""
        return not all(self._drain.ready)

    @property
    def done(self) -> bool:
        """Whether every expected beat has come."""
        return len(self.transfers.moved) >= self._drain.expected

    def drive(self, cycle: int) -> bool:
        """This cycle's ``ready``."""
        self._ready = self._drain.ready[cycle] if cycle < len(self._drain.ready) else True
        return self._ready

    def observe(self, cycle: int, valid: bool, payload: int) -> bool:
        """Note this cycle's ``valid`` and payload; True when a beat moved."""
        seen = self.transfers
        if self._waiting is not None and (not valid or payload != self._waiting):
            seen.unstable += 1
        if valid and self._waiting is None:
            seen.shown.append(cycle)
        elif not valid and self._waiting is not None:
            seen.shown.pop()
        self._waiting = payload if valid else None
        if not (valid and self._ready):
            return False
        seen.moved.append(cycle)
        seen.payloads.append(payload)
        self._waiting = None
        return True


class MemoryRequests(Consumer):
    """Accepts requests, and passes what is read to the response side."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(Drain(memory.request_bits, 0))
        self.words = list(memory.words)
        self.answers: deque[tuple[int, int]] = deque()
        self._memory = memory
        self._reads = 0

    def observe(self, cycle: int, valid: bool, payload: int) -> bool:
        """Act on a request that moves: a write at once, a read's word as it is now."""
        moved = super().observe(cycle, valid, payload)
        if moved:
            memory = self._memory
            address = payload & ((1 << memory.address_bits) - 1)
            if payload >> memory.address_bits & 1:
                if address < len(self.words):
                    self.words[address] = memory.written(self.words[address], payload)
            else:
                word = self.words[address] if address < len(self.words) else 0
                self.answers.append((cycle + memory.latency[self._reads % len(memory.latency)], word))
                self._reads += 1
        return moved


class MemoryAnswers(Producer):
    """Offers what was read, in the order of the requests."""

    def __init__(self, memory: Memory, requests: MemoryRequests, junk: Random) -> None:
        super().__init__(Feed(memory.data_bits, (), ()), junk)
        self._requests = requests

    @property
    def done(self) -> bool:
        """Whether no answer waits."""
        return not self._requests.answers

    def drive(self, cycle: int) -> tuple[bool, int]:
        """This cycle's ``valid`` and word."""
        answers = self._requests.answers
        self._offers = bool(answers) and answers[0][0] <= cycle
        return self._offers, answers[0][1] if self._offers else self.junk()

    def observe(self, cycle: int, ready: bool) -> None:
        """Note this cycle's ``ready``."""
        if self._offers and ready:
            self.transfers.moved.append(cycle)
            self._requests.answers.popleft()


class Exchange:
    """One run of a plan: a producer for every stream in, a consumer for every stream out, by name."""

    def __init__(self, plan: Plan) -> None:
        self._junk = Random(plan.seed)
        self._limit = plan.limit
        self._drain = DRAIN_CYCLES
        self.producers = {name: Producer(feed, self._junk) for name, feed in plan.feeds.items()}
        self.consumers = {name: Consumer(drain) for name, drain in plan.drains.items()}
        self._memories: dict[str, MemoryRequests] = {}
        for name, memory in plan.memories.items():
            requests = MemoryRequests(memory)
            self._memories[name] = self.consumers[f"{name}_req"] = requests
            self.producers[f"{name}_rsp"] = MemoryAnswers(memory, requests, self._junk)
        self._parts: list[Producer | Consumer] = [*self.producers.values(), *self.consumers.values()]
        self._busy: Producer | Consumer | None = None

    def goes_on(self, cycle: int) -> bool:
        """Whether there is a cycle after this one, which was observed."""
        if self._drain < DRAIN_CYCLES or self._all_done():
            self._drain -= 1
        return self._drain > 0 and cycle + 1 < self._limit

    def _all_done(self) -> bool:
        # One that is not done now is most likely the one that was not a cycle ago.
        if self._busy is None or self._busy.done:
            self._busy = next((part for part in self._parts if not part.done), None)
        return self._busy is None

    @property
    def seen(self) -> Seen:
        """What happened."""
        streams: dict[str, Producer | Consumer] = {**self.producers, **self.consumers}
        return Seen(
            {name: part.transfers for name, part in streams.items()},
            {name: memory.words for name, memory in self._memories.items()},
        )
