"""Does the memory stay within its pins and its latency, and do its parts cost what they say?"""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest

from siloom.sim.engine import dram
from siloom.sim.engine.dram import DramState, DramTiming, ideal, least_cycles, new_dram
from siloom.sim.engine.outer_reference import Memory

HBM = DramTiming(
    channel_bits=2, bank_bits=2, row_bits=3, burst=6.0, latency=100, activate=40, row_cycle=70,
    refresh_interval=2000, refresh=300, write_buffer=96.0,
)  # fmt: skip
QUIET = HBM._replace(refresh=0)
ROUNDING = 1e-6
"""Cycles by which sums of bursts that are no binary fraction may differ from their product."""
COUNTS = ("read_bursts", "write_bursts", "row_hits", "row_misses", "bus_wait", "bank_wait")


def serve(
    timing: DramTiming, blocks: list[int], cycles: list[int], writes: list[bool] | None = None, bursts: int = 1
) -> tuple[list[int], DramState]:
    state = new_dram(timing)
    done = dram.replay(
        np.array(blocks, np.int64),
        np.array(cycles, np.int64),
        np.array(writes if writes is not None else [False] * len(blocks), np.bool_),
        bursts,
        timing,
        state,
    )
    return done.tolist(), state


def same_channel(row: int, column: int = 0, timing: DramTiming = HBM) -> int:
    """A block of channel 0; rows that differ by 2**bank_bits share a bank."""
    return ((row << timing.row_bits) + column) << timing.channel_bits


def random_stream(seed: int, n: int = 400) -> tuple[DramTiming, list[int], list[int], list[bool], int]:
    rng = np.random.default_rng(seed)

    def pick(*of: float) -> float:
        return float(rng.choice(of))

    timing = DramTiming(
        channel_bits=int(pick(0, 1, 3)), bank_bits=int(pick(0, 1, 3)), row_bits=int(pick(0, 2, 5)),
        burst=pick(0.0, 0.7, 1.5, 6.0, 24.0), latency=int(pick(0, 20, 120)), activate=int(pick(0, 42)),
        row_cycle=int(pick(0, 42, 68)), refresh_interval=int(pick(300, 1000)), refresh=int(pick(0, 0, 60, 200)),
        write_buffer=pick(0.0, 10.0, 96.0, 1000.0),
    )  # fmt: skip
    blocks = rng.integers(0, int(pick(4, 60, 5000)), n).tolist()
    cycles = np.sort(rng.integers(0, int(pick(1, 500, 10_000)), n)).tolist()
    return timing, blocks, cycles, (rng.random(n) < pick(0.0, 0.3, 1.0)).tolist(), int(pick(1, 2, 4))


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_plain_reference(seed: int) -> None:
    timing, blocks, cycles, writes, bursts = random_stream(seed)
    done, state = serve(timing, blocks, cycles, writes, bursts)
    memory = Memory(timing)
    expected = [
        memory.write(block, bursts, cycle) if write else memory.read(block, bursts, cycle)
        for block, cycle, write in zip(blocks, cycles, writes, strict=True)
    ]
    assert done == expected
    assert state.counts.tolist() == [memory.counts[name] for name in COUNTS]
    assert ceil(state.bus.max()) == memory.drained()


@pytest.mark.parametrize("seed", range(40))
def test_never_above_peak_never_below_latency_never_better_than_the_null_memory(seed: int) -> None:
    timing, blocks, cycles, writes, bursts = random_stream(seed)
    done, state = serve(timing, blocks, cycles, writes, bursts)
    moved = bursts * timing.burst
    channels = 1 << timing.channel_bits
    reads: dict[int, list[int]] = {channel: [] for channel in range(channels)}
    for block, cycle, write, end in zip(blocks, cycles, writes, done, strict=True):
        assert end >= cycle if write else end >= cycle + ceil(moved) + timing.latency
        if not write:
            reads[block % channels].append(end - timing.latency)
    for channel, ends in reads.items():
        # By any cycle a channel has delivered no more than its pins move from the first request on.
        first = min((c for b, c in zip(blocks, cycles, strict=True) if b % channels == channel), default=0)
        assert all(end >= first + moved * (k + 1) - ROUNDING for k, end in enumerate(sorted(ends)))
        assert state.bus[channel] >= moved * sum(block % channels == channel for block in blocks) - ROUNDING
    assert ceil(state.bus.max()) >= least_cycles(bursts * len(blocks), timing)
    best, _ = serve(ideal(timing), blocks, cycles, writes, bursts)
    assert all(real >= null for real, null in zip(done, best, strict=True))
    assert all(null == cycle + (0 if write else timing.latency)
               for null, cycle, write in zip(best, cycles, writes, strict=True))  # fmt: skip


def test_unloaded_read_takes_activation_burst_and_latency_and_an_open_row_saves_the_activation() -> None:
    done, state = serve(QUIET, [0, same_channel(0, 1)], [0, 500])
    assert done == [40 + 6 + 100, 500 + 6 + 100]
    assert state.counts[dram.ROW_HITS] == 1
    assert state.counts[dram.ROW_MISSES] == 1


def test_a_bank_opens_a_row_each_row_cycle_and_banks_overlap() -> None:
    n = 20
    other_bank, other_row = same_channel(1), same_channel(1 << QUIET.bank_bits)
    open_row, _ = serve(QUIET, [0] * n, [0] * n)
    conflicts, _ = serve(QUIET, [0, other_row] * (n // 2), [0] * n)
    overlap, _ = serve(QUIET, [0, other_bank] * (n // 2), [0] * n)
    assert conflicts[-1] == (n - 1) * QUIET.row_cycle + QUIET.activate + 6 + QUIET.latency
    assert open_row[-1] == n * 6 + QUIET.latency
    assert overlap[-1] == open_row[-1]


def test_blocks_go_round_the_channels() -> None:
    spread, _ = serve(QUIET, list(range(4)), [0] * 4, bursts=2)
    assert spread == [40 + 12 + 100] * 4
    assert [dram.channel_of(block, QUIET) for block in range(6)] == [0, 1, 2, 3, 0, 1]


def test_a_read_in_a_refresh_waits_for_its_end_and_only_there() -> None:
    unloaded = 40 + 6 + 100
    for cycle, begin in ((0, 0), (299, 299), (1999, 1999), (2000, 2300), (2299, 2300), (2300, 2300), (4100, 4300)):
        done, _ = serve(HBM, [0], [cycle])
        assert done == [begin + unloaded]


def test_refresh_costs_its_share_of_a_chain_of_reads() -> None:
    memory, quiet = Memory(HBM), Memory(QUIET)
    now = without = 0
    for i in range(500):
        now, without = memory.read(4 * i, 1, now), quiet.read(4 * i, 1, without)
    windows = now // HBM.refresh_interval
    assert without < now <= without + windows * HBM.refresh
    # Each window holds up the one read in flight, by the window less that read's own time.
    assert now >= without + windows * (HBM.refresh - 40 - 6 - 100)


def test_reads_overtake_writes_until_the_buffer_is_full() -> None:
    opened = 200
    for pending in range(40):
        blocks = [0, *[same_channel(0, 1)] * pending, 0]
        done, _ = serve(QUIET, blocks, [0, *[opened] * pending, opened], [False, *[True] * pending, False])
        excess = max(0, 6 * pending - 96)
        assert done[-1] == opened + excess + 6 + 100
        # A write is taken when what stands before it fits the buffer.
        assert done[1:-1] == [opened + max(0, 6 * (k + 1) - 96) for k in range(pending)]


def test_writes_hold_the_pins_as_long_as_reads_do() -> None:
    _, state = serve(QUIET, [0] * 30, [0] * 30, [True, False] * 15)
    assert state.bus[0] == 30 * 6
    assert state.read_bus[0] >= 15 * 6


def test_least_cycles_is_bursts_over_the_pins() -> None:
    assert least_cycles(1000, HBM) == 1000 * 6 // 4
    assert least_cycles(1, HBM) == 2
