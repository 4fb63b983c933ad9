"""A DRAM controller, command by command: FR-FCFS over banks, groups, ranks and refresh.

Requests of a channel are taken in order, reads into a window, writes into a queue, as long as there is
room. One of the two is served at a time (``Policy`` says when they change). In it

- a bank that is asked for, but for none of its open row, is opened for the oldest request that waits for
  it: precharged as soon as that is known and allowed, activated as soon as the bank, tRRD and tFAW allow,
  the bank that can go first before the others;
- of the requests whose row is open, the one whose column command can go first goes first, of equals the
  oldest. So hits pass those that wait for a row, until the oldest has been passed ``age_cap`` times: then
  no other row of its bank is served before it.

When reads and writes change, rows are opened for the new ones first, while hits of the old ones are still
served; the bus turns once a new row is open. A refresh closes its banks as soon as their times allow.

Events are handled in the order of time: refresh, arrival, column command, activation where they meet.
Banks, groups, ranks and data bus keep their times exactly. Not modelled: slots on the command bus (two
more commands fit between most bursts), power-down, postponed refreshes, a write's data forwarded to a
read of it.

How it differs from :mod:`siloom.sim.engine.dram`, the light model inside other engines: there a read gets
its clock at once, in the order asked, rows are opened by whoever comes, and tRRD, tFAW, bank groups and
turnarounds are left out. Here requests wait to be chosen, so completions are known only once the
channel has been run.

A channel's whole state is one array (``new_channel``), so a run can stop at any clock and go on, which
drivers that react to completions need (:mod:`siloom.sim.engine.dram_driver`).

How it is fast: what can go first is looked up only when something changed it, over all banks at once
(:mod:`siloom.sim.engine.dram_lanes`), each with its oldest request; what happens by chance, as whether a bank
is asked for already, is done by selection, not by branches; and columns and arrivals run ahead of an earlier
activation by up to tRCD, for its row could not serve them any sooner, and what they ask for is later than it.
So the two kinds of command alternate as a processor can foretell, and where each request has a row of its own, no
other row is mostly open when a column goes: then no next column is looked for. The plain reference does none of it
and is equal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from siloom.sim.engine import dram_channel as ch
from siloom.sim.engine.arrays import u
from siloom.sim.engine.bits import rare
from siloom.sim.engine.dram_lanes import (
    LANES,
    NO_KEY,
    PLACE_BITS,
    PLACES,
    enter_lane,
    least_key,
    raise_and_least,
    raise_lanes,
    set_lane,
)
from siloom.sim.engine.dram_timing import MAX_BANKS, MAX_WINDOW, NEVER, Policy, Timing
from siloom.sim.jit import kernel


@kernel
def run_channel(
    requests: NDArray[np.int64],
    arrivals: NDArray[np.int64],
    end: int,
    until: int,
    stop_taken: int,
    stop_done: int,
    timing: Timing,
    policy: Policy,
    state: NDArray[np.int64],
    done: NDArray[np.int64],
) -> None:
    """Serve a channel's requests up to place ``end``; ``done`` [n] gets the clock of each one's last data.

    ``requests`` [n] are packed (:mod:`siloom.sim.engine.dram_mapping`); that at place k arrives at
    ``arrivals[k]``, and not before the one ahead of it is taken. Events later than ``until`` are left for the
    next call, as are those after the request before place ``stop_taken`` has been taken in or that at
    ``stop_done`` is done.
    """
    if until < state[ch.CLOCK]:
        return
    end = min(end, stop_taken)
    rp, age_cap = timing.rp, policy.age_cap
    bank_bits, group_bits = timing.bank_bits, timing.group_bits

    now, place, mode = state[ch.CLOCK], state[ch.TAKEN], state[ch.MODE]
    last, last_rank, busy_from, turned = state[ch.LAST], state[ch.LAST_RANK], state[ch.BUSY_FROM], state[ch.TURNED]
    idle_from = last + timing.burst if last >= 0 else 0
    # The queue that is served: 0 reads, 1 writes; how many are in the other.
    tail, count, served = state[ch.TAIL], state[ch.COUNT], state[ch.SERVED]
    hit_banks = state[ch.HIT_BANKS]
    waiting = state[ch.COUNT + ch.OTHER]
    # Banks that are to be opened anew, for this queue or, once ``turn_at`` is set, for the other.
    asked, turn_at = state[ch.ASKED], state[ch.TURN_AT]

    queue = mode * ch.WRITTEN
    latency = (timing.cwl if mode else timing.cl) + timing.burst
    recover = timing.cwl + timing.burst + timing.wr + rp if mode else timing.rtp + rp
    opens = timing.rcd_write if mode else timing.rcd_read
    room = policy.write_queue if mode else policy.window
    other_room = policy.window if mode else policy.write_queue

    refresh_rank = ch.next_refresh(timing, state)
    refresh_at = state[u(ch.REFRESH_AT + refresh_rank)]
    base, stale = state[ch.BASE], state[ch.STALE]  # stale: the lanes of columns
    banks = 1 << (timing.rank_bits + group_bits + bank_bits)
    chunks = (LANES - 1 + banks) // LANES
    # What can go first, an activation as a key, and whether to look for it again; the queue that rows are opened for.
    column_at, column_slot, act_key = NEVER, 0, NO_KEY
    look_columns = look_acts = True
    opening = ch.WRITTEN - queue if turn_at != NEVER else queue
    ahead = opens if turn_at == NEVER else 1
    horizon = min(refresh_at - 1, until, base + ch.FAR)
    # The oldest has not been passed ``age_cap`` times before so many are served.
    cap_at = 0

    while True:
        # Take in what has arrived.
        arrival = NEVER
        while place < end:
            request = requests[u(place)]
            write = request & 1
            if write == mode:
                if count >= room:
                    break
            elif waiting >= other_room:
                break
            arrival = arrivals[u(place)]
            if arrival > now:
                break
            arrival = NEVER
            who = place
            place += 1
            if count + waiting == 0:
                busy_from = now
            row = request >> 7
            bank = (request >> 1) & 63
            bank_bit = 1 << bank
            is_open = state[u(ch.OPEN + bank)] == row
            if is_open and asked & bank_bit and now > state[u(ch.ACT_AT + bank)] - rp:
                is_open = False  # its precharge has gone
            if write != mode:
                other = ch.WRITTEN - queue
                if rare(state[ch.TAIL + ch.OTHER] == 2 * MAX_WINDOW):
                    state[ch.TAIL + ch.OTHER] = ch.pack_queue(other, state)
                    if turn_at != NEVER:
                        ch.note_oldest(asked, other, state)
                        look_acts = True
                slot = state[ch.TAIL + ch.OTHER]
                ch.put(slot, who, row, bank, state[ch.SERVED + ch.OTHER] + waiting, other, state)
                state[ch.TAIL + ch.OTHER] = slot + 1
                waiting += 1
                if is_open:
                    if turn_at != NEVER and asked & bank_bit:
                        asked ^= bank_bit
                        look_acts = True
                    state[u(ch.HITS_OF + other + (slot & 64) + bank)] |= ch.bit_of(slot)
                    state[ch.HIT_BANKS + ch.OTHER] |= bank_bit
                elif turn_at != NEVER and not (hit_banks | asked | state[ch.HIT_BANKS + ch.OTHER]) & bank_bit:
                    asked |= bank_bit
                    ch.ask_for_row(bank, 1, ch.precharge_of(bank, timing, state), now, slot, base, state)
                    look_acts = True
                continue
            if rare(tail == 2 * MAX_WINDOW):
                tail = ch.pack_queue(queue, state)
                stale = 1
                if turn_at == NEVER:
                    ch.note_oldest(asked, queue, state)
                look_columns = look_acts = True
            slot = tail
            ch.put(slot, who, row, bank, served + count, queue, state)
            tail += 1
            count += 1
            if is_open and asked & bank_bit and turn_at == NEVER:
                is_open = served - ch.age_of(queue, ch.oldest_place(ch.LIVE, queue, state), state) < age_cap
            if is_open:
                if asked & bank_bit:  # but its precharge has not gone yet
                    asked ^= bank_bit
                    look_acts = True
                state[u(ch.HITS_OF + queue + (slot & 64) + bank)] |= ch.bit_of(slot)
                if not hit_banks & bank_bit:  # else an older one goes before it
                    hit_banks |= bank_bit
                    ready = max(now, ch.column_ready(bank, opens, last, last_rank, timing, state))
                    set_lane(state, ch.COLUMNS, bank, ch.key_of(ready - base, slot))
                    column_slot = slot if ready < column_at else column_slot
                    column_at = min(ready, column_at)
            else:
                # Whether it is the first to ask for its bank nobody can foretell: all is done either way.
                new = int(turn_at == NEVER) & ~((hit_banks | asked) >> bank)
                asked |= new << bank
                key = ch.ask_for_row(bank, new, ch.precharge_of(bank, timing, state), now, slot, base, state)
                act_key = min(key, act_key)

        if place >= stop_taken:
            break

        if turn_at != NEVER:
            wanted = False
        elif mode:
            wanted = waiting > 0 and count <= policy.drain_low
        else:
            wanted = waiting >= policy.drain_high or (count == 0 and waiting > 0)
        if rare(turn_at != NEVER) and rare(turn_at <= now or hit_banks == 0):
            # The bus turns.
            mode = 1 - mode
            queue = mode * ch.WRITTEN
            latency = (timing.cwl if mode else timing.cl) + timing.burst
            recover = timing.cwl + timing.burst + timing.wr + rp if mode else timing.rtp + rp
            opens = timing.rcd_write if mode else timing.rcd_read
            room, other_room = other_room, room
            count, waiting = waiting, count
            tail, served, hit_banks = ch.swap_queues(tail, served, hit_banks, state)
            # Elsewhere rows have been asked for since it was to turn.
            held_back = ch.asked_for(state[ch.HIT_BANKS + ch.OTHER] & ~(hit_banks | asked), queue, state)
            asked |= held_back
            ch.ask_for_rows(held_back, now, queue, base, timing, state)
            ch.turn_bus(mode, timing, state)
            stale = 1
            state[ch.TURNAROUNDS] += 1
            turned = 1
            turn_at = NEVER
            look_columns = look_acts = True
            opening, ahead, cap_at = queue, opens, 0
            continue  # it may have to turn back

        if look_columns:
            look_columns = False
            if stale:
                stale = 0
                ch.count_columns(hit_banks, queue, base, opens, last, last_rank, timing, state)
            # None can go before now: of those that could have, the oldest.
            raise_lanes(state, ch.COLUMNS, chunks, max(now - base, 0), ch.GAPS)
            key = least_key(state, ch.COLUMNS, chunks, hit_banks)
            column_at, column_slot = base + (key >> PLACE_BITS), key & PLACES
        if look_acts:
            look_acts = False
            act_key = least_key(state, ch.ACTS, chunks, asked)

        while True:  # until something other than an activation is next
            # Columns and arrivals go ahead of an earlier activation as long as its row could not serve them.
            # Of no key, the clock is beyond the horizon.
            at = base + (act_key >> PLACE_BITS)
            event = min(column_at, arrival, turn_at)
            if at > horizon:
                break
            if rare(wanted):
                if at >= now:
                    break
            elif event <= horizon and at + ahead > event:
                break

            slot = act_key & PLACES
            bank, row = ch.bank_of(opening, slot, state), ch.row_of(opening, slot, state)
            bank_bit = 1 << bank
            state[ch.ACTIVATES] += 1
            asked ^= bank_bit
            own = ch.bit_of(slot) if turn_at == NEVER else 0
            found = bank_bit if ch.first_hits(bank, row, slot, own, queue, state) else 0
            first = slot
            if turn_at != NEVER:
                first = ch.oldest_place(ch.HITS_OF + bank, queue, state)
                turn_at = min(turn_at, at + (timing.rcd_read if mode else timing.rcd_write))
            act_key = ch.open_row(bank, row, at, asked, base, chunks, timing, state)
            ready = max(now, ch.column_ready(bank, opens, last, last_rank, timing, state))
            set_lane(state, ch.COLUMNS, bank, ch.key_of(ready - base, first))
            sooner = found != 0 and (ready < column_at) | ((ready == column_at) & (first < column_slot))
            column_slot = first if sooner else column_slot
            column_at = ready if sooner else column_at
            hit_banks |= found
            if waiting:
                hit_others = state[ch.HIT_BANKS + ch.OTHER]
                state[ch.HIT_BANKS + ch.OTHER] = ch.other_hits(bank, row, ch.WRITTEN - queue, hit_others, state)

        if rare(wanted):
            # Rows are opened for the other queue from now on; the bus turns when the first could be used.
            asked = ch.ask_for_others(asked, hit_banks, now, ch.WRITTEN - queue, base, timing, state)
            turn_at = now
            if state[ch.HIT_BANKS + ch.OTHER] == 0:
                turn_at += rp + (timing.rcd_read if mode else timing.rcd_write)
            look_acts = True
            opening, ahead = ch.WRITTEN - queue, 1
            continue
        if rare(event > horizon):
            event = min(column_at if hit_banks else NEVER, arrival, turn_at)
            soonest = min(event, at if asked else NEVER)
            if soonest <= min(refresh_at - 1, until):
                ch.shift_acts(soonest - ch.BEHIND - base, state)
                base = soonest - ch.BEHIND
                stale = 1
                look_columns = look_acts = True
                horizon = min(refresh_at - 1, until, base + ch.FAR)
                continue
            if event < refresh_at or soonest == NEVER or refresh_at > until:
                break
            if count + waiting == 0:
                refresh_at = ch.skip_refreshes(event, refresh_at, timing, state)
            now = max(now, refresh_at)
            if rare(now - base > ch.FAR):
                ch.shift_acts(now - ch.BEHIND - base, state)
                base = now - ch.BEHIND
                stale = 1
                look_columns = True
            closed = ch.refresh(refresh_rank, refresh_at, asked, base, timing, state)
            state[ch.REFRESHES] += 1
            lost = closed & (hit_banks | state[ch.HIT_BANKS + ch.OTHER])
            if lost:
                ch.lose_hits(lost, state)
                hit_banks &= ~lost
                state[ch.HIT_BANKS + ch.OTHER] &= ~lost
                look_columns = True
            asked |= ch.asked_for(closed, opening, state)
            ch.note_oldest(asked & closed, opening, state)
            refresh_rank = ch.next_refresh(timing, state)
            refresh_at = state[u(ch.REFRESH_AT + refresh_rank)]
            horizon = min(refresh_at - 1, until, base + ch.FAR)
            look_acts = True
            continue
        if arrival <= event or turn_at <= event:
            now = event
            continue

        # A column command.
        now = column_at
        bank = ch.bank_of(queue, column_slot, state)
        bank_bit = 1 << bank
        group = bank >> bank_bits
        ch.count_wait(bank, now, opens, last, last_rank, idle_from, busy_from, turned, timing, state)
        turned = 0
        last, last_rank, idle_from = now, group >> group_bits, now + timing.burst
        state[u(ch.LAST_COLUMN + mode * MAX_BANKS + group)] = now
        who = ch.who_of(queue, column_slot, state)
        done[u(who)] = now + latency
        state[u(state[u(ch.FOUND + bank)])] += 1
        state[u(ch.FOUND + bank)] = ch.HITS
        own_at = max(state[u(ch.ACT_AT + bank)], now + recover)  # its precharge may go by now or later
        state[u(ch.ACT_AT + bank)] = own_at
        ch.drop(column_slot, bank, queue, state)
        state[u(ch.HITS_OF + queue + (column_slot & 64) + bank)] ^= ch.bit_of(column_slot)
        count -= 1
        served += 1
        quick, oldest = False, 0
        state[u(ch.COLUMN_AT + group)] = now + timing.ccd_l
        if ch.has_any(ch.HITS_OF + bank, queue, state):
            # In a stream the oldest can nearly always go at once. It alone is looked at, as long as that is so.
            oldest = ch.oldest_place(ch.LIVE, queue, state)
            of = ch.bank_of(queue, oldest, state)
            ready = ch.column_ready(of, opens, last, last_rank, timing, state)
            is_hit = (state[u(ch.HITS_OF + queue + (oldest & 64) + of)] >> (oldest & 63)) & 1
            quick = is_hit != 0 and ready <= now + timing.ccd_s
            if not quick and not stale:
                enter_lane(state, ch.COLUMNS, bank, 1, 0, ch.oldest_place(ch.HITS_OF + bank, queue, state))
        else:
            hit_banks ^= bank_bit
            new = int(ch.has_any(ch.PENDING + bank, opening, state) != 0)  # as foreseeable as above
            if rare(turn_at != NEVER):
                new &= ~(state[ch.HIT_BANKS + ch.OTHER] >> bank)
            asked |= new << bank
            slot = ch.oldest_place(ch.PENDING + bank, opening, state)
            key = enter_lane(state, ch.ACTS, bank, new, own_at - base, slot)
            act_key = min(key if new else NO_KEY, act_key)
        if rare(served >= cap_at):
            oldest = ch.oldest_place(ch.LIVE, queue, state)
            cap_at = age_cap + (ch.age_of(queue, oldest, state) if count else served)
            bank = ch.bank_of(queue, oldest, state)
            is_hit = (state[u(ch.HITS_OF + queue + (oldest & 64) + bank)] >> (oldest & 63)) & 1
            if served >= cap_at and turn_at == NEVER and is_hit == 0 and (hit_banks >> bank) & 1 != 0:
                # Passed often enough: the oldest's bank serves no other row before it.
                ch.none_of(ch.HITS_OF + bank, queue, state)
                hit_banks ^= 1 << bank
                asked |= 1 << bank
                ch.ask_for_row(bank, 1, rp, now, oldest, base, state)
                look_acts = True
        if quick:
            column_at, column_slot = now + timing.ccd_s, oldest
            stale = 1
        elif hit_banks == 0:  # mostly so where each request has a row of its own
            column_at, column_slot = base + (NO_KEY >> PLACE_BITS), PLACES
            stale = 0  # no lane is
        elif stale:
            look_columns = True
        else:
            gaps = ch.gaps_after(group, timing)
            key = raise_and_least(state, ch.COLUMNS, chunks, now - base, gaps, hit_banks)
            column_at, column_slot = base + (key >> PLACE_BITS), key & PLACES
        if who == stop_done:
            break

    state[ch.CLOCK], state[ch.TAKEN], state[ch.MODE], state[ch.BASE] = now, place, mode, base
    state[ch.STALE] = stale
    state[ch.LAST], state[ch.LAST_RANK], state[ch.BUSY_FROM], state[ch.TURNED] = last, last_rank, busy_from, turned
    state[ch.TAIL], state[ch.COUNT], state[ch.SERVED] = tail, count, served
    state[ch.HIT_BANKS], state[ch.COUNT + ch.OTHER] = hit_banks, waiting
    state[ch.ASKED], state[ch.TURN_AT] = asked, turn_at
    state[u(ch.READS + mode)] = served
    state[u(ch.WRITES - mode)] = state[ch.SERVED + ch.OTHER]
    ch.note_finish(timing, state)
