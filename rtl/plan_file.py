"""Plans and sightings as files, for simulators that run in a process of their own.

Both are one sequence of little-endian 64-bit words, in the order in which the functions below read
them: easy to read in C++ (``rtl/cxxrtl.cpp``) as in Python. A list is its length and its entries; a
payload takes as many words as its bits need, lowest first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from siloom.rtl.exchange import Drain, Feed, Memory, Plan, Seen, Transfers

_WORD = np.dtype("<i8")


def words_of(bits: int) -> int:
    """64-bit words of a payload of this many bits."""
    return -(-bits // 64)


class _Writer:
    def __init__(self) -> None:
        self._parts: list[npt.NDArray[np.int64]] = []

    def number(self, value: int) -> None:
        self._parts.append(np.array([value], _WORD))

    def numbers(self, values: Sequence[int] | Sequence[bool]) -> None:
        self.number(len(values))
        self._parts.append(np.array(values, _WORD))

    def text(self, value: str) -> None:
        self.numbers(list(value.encode()))

    def payloads(self, values: Sequence[int], bits: int) -> None:
        self.number(bits)
        self.number(len(values))
        size = 8 * words_of(bits)
        self._parts.append(np.frombuffer(b"".join(v.to_bytes(size, "little") for v in values), _WORD))

    def save(self, path: Path) -> None:
        np.concatenate(self._parts).tofile(path)


class _Reader:
    def __init__(self, path: Path) -> None:
        self._words = np.fromfile(path, _WORD)
        self._at = 0

    def number(self) -> int:
        self._at += 1
        return int(self._words[self._at - 1])

    def numbers(self) -> list[int]:
        count = self.number()
        self._at += count
        return [int(v) for v in self._words[self._at - count : self._at]]

    def text(self) -> str:
        return bytes(self.numbers()).decode()

    def payloads(self) -> tuple[list[int], int]:
        bits, count = self.number(), self.number()
        size = words_of(bits)
        raw = self._words[self._at : self._at + size * count].tobytes()
        self._at += size * count
        return [int.from_bytes(raw[8 * size * k : 8 * size * (k + 1)], "little") for k in range(count)], bits


def save_plans(path: Path, plans: Sequence[Plan]) -> None:
    """Write plans for :func:`load_plans`."""
    out = _Writer()
    out.number(len(plans))
    for plan in plans:
        out.text(plan.name)
        out.number(plan.limit)
        out.number(plan.seed)
        out.number(len(plan.feeds))
        for name, feed in plan.feeds.items():
            out.text(name)
            out.payloads(feed.payloads, feed.bits)
            out.numbers(feed.idle)
        out.number(len(plan.drains))
        for name, drain in plan.drains.items():
            out.text(name)
            out.number(drain.bits)
            out.number(drain.expected)
            out.numbers(drain.ready)
        out.number(len(plan.memories))
        for name, memory in plan.memories.items():
            out.text(name)
            out.number(memory.address_bits)
            out.payloads(memory.words, memory.data_bits)
            out.numbers(memory.latency)
            out.number(memory.lanes)
    out.save(path)


def load_plans(path: Path) -> list[Plan]:
    """Read the plans back."""
    file = _Reader(path)
    return [_load_plan(file) for _ in range(file.number())]


def _load_plan(file: _Reader) -> Plan:
    name, limit, seed = file.text(), file.number(), file.number()
    feeds, drains, memories = {}, {}, {}
    for _ in range(file.number()):
        key = file.text()
        payloads, bits = file.payloads()
        feeds[key] = Feed(bits, payloads, file.numbers())
    for _ in range(file.number()):
        key, bits, expected = file.text(), file.number(), file.number()
        drains[key] = Drain(bits, expected, [bool(r) for r in file.numbers()])
    for _ in range(file.number()):
        key, address_bits = file.text(), file.number()
        words, bits = file.payloads()
        memories[key] = Memory(address_bits, bits, words, file.numbers(), file.number())
    return Plan(name, feeds, drains, limit, seed, memories)


def save_seen(path: Path, plans: Sequence[Plan], sightings: Sequence[Seen]) -> None:
    """Write what was seen in the run of each plan, for :func:`load_seen`."""
    out = _Writer()
    out.number(len(sightings))
    for plan, seen in zip(plans, sightings, strict=True):
        widths = _widths(plan)
        out.number(len(seen.streams))
        for name, transfers in seen.streams.items():
            out.text(name)
            out.numbers(transfers.shown)
            out.numbers(transfers.moved)
            out.payloads(transfers.payloads, widths[name])
            out.number(transfers.unstable)
        out.number(len(seen.words))
        for name, words in seen.words.items():
            out.text(name)
            out.payloads(words, plan.memories[name].data_bits)
    out.save(path)


def load_seen(path: Path) -> list[Seen]:
    """Read back what was seen."""
    file = _Reader(path)
    return [_load_seen(file) for _ in range(file.number())]


def _load_seen(file: _Reader) -> Seen:
    streams, words = {}, {}
    for _ in range(file.number()):
        name = file.text()
        shown, moved = file.numbers(), file.numbers()
        payloads, _ = file.payloads()
        streams[name] = Transfers(shown, moved, payloads, file.number())
    for _ in range(file.number()):
        name = file.text()
        words[name], _ = file.payloads()
    return Seen(streams, words)


def _widths(plan: Plan) -> Mapping[str, int]:
    widths = {name: feed.bits for name, feed in plan.feeds.items()}
    widths |= {name: drain.bits for name, drain in plan.drains.items()}
    for name, memory in plan.memories.items():
        widths |= {f"{name}_req": memory.request_bits, f"{name}_rsp": memory.data_bits}
    return widths
