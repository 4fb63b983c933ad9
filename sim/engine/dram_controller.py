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
So the two kinds of command alternate as a processor can foretell. The plain reference does none of it and is
equal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from siloom.sim.engine import dram_channel as ch
from siloom.sim.engine.arrays import u
from siloom.sim.engine.bits import lowest_bit, rotate_right
from siloom.sim.engine.dram_lanes import LANES, enter_lane, raise_and_least, raise_lanes
from siloom.sim.engine.dram_timing import MAX_BANKS, NEVER, Policy, Timing
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
    head, tail, count, live, served = state[ch.HEAD], state[ch.TAIL], state[ch.COUNT], state[ch.LIVE], state[ch.SERVED]
    hits, hit_banks = state[ch.OPEN_HITS], state[ch.HIT_BANKS]
    waiting = state[ch.COUNT + ch.OTHER]
    # Banks that are to be opened anew, for this queue or, once ``turn_at`` is set, for the other.
    asked, turn_at = state[ch.ASKED], state[ch.TURN_AT]

    queue = mode << 6
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
    all_banks = -1 if banks == MAX_BANKS else (1 << banks) - 1
    # What can go first, and whether to look for it again.
    column_at = act_at = NEVER
    column_slot = act_slot = 0
    look_columns = look_acts = True

    while True:
        if now - base > ch.FAR:
            base = now - ch.BEHIND
            ch.count_acts(base, timing, state)
            stale = 1
            look_columns = True
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
                if state[ch.TAIL + ch.OTHER] - state[ch.HEAD + ch.OTHER] >= 64:
                    ch.close_ranks(MAX_BANKS - queue, ch.OTHER, state)
                    if turn_at != NEVER:
                        ch.note_oldest(ch.ACTS, -1, asked, MAX_BANKS - queue, state[ch.HEAD + ch.OTHER], state)
                        look_acts = True
                slot = state[ch.TAIL + ch.OTHER] & 63
                ch.put(slot, who, row, bank, state[ch.SERVED + ch.OTHER] + waiting, MAX_BANKS - queue, state)
                state[ch.LIVE + ch.OTHER] |= 1 << slot
                state[ch.TAIL + ch.OTHER] += 1
                waiting += 1
                if is_open:
                    if turn_at != NEVER and asked & bank_bit:
                        asked ^= bank_bit
                        look_acts = True
                    state[ch.OPEN_HITS + ch.OTHER] |= 1 << slot
                    state[ch.HIT_BANKS + ch.OTHER] |= bank_bit
                elif turn_at != NEVER and not (hit_banks | asked | state[ch.HIT_BANKS + ch.OTHER]) & bank_bit:
                    asked |= bank_bit
                    ch.ask_for_row(bank, 1, ch.precharge_of(bank, timing, state), now, slot, base, state)
                    look_acts = True
                continue
            if tail - head >= 64:
                state[ch.HEAD], state[ch.TAIL], state[ch.LIVE], state[ch.OPEN_HITS] = head, tail, live, hits
                ch.close_ranks(queue, 0, state)
                head, live, hits = state[ch.HEAD], state[ch.LIVE], state[ch.OPEN_HITS]
                stale = 1
                if turn_at == NEVER:
                    ch.note_oldest(ch.ACTS, -1, asked, queue, head, state)
                look_columns = look_acts = True
            slot = tail & 63
            bit = 1 << slot
            ch.put(slot, who, row, bank, served + count, queue, state)
            live |= bit
            tail += 1
            count += 1
            if is_open and asked & bank_bit and turn_at == NEVER:
                is_open = served - state[u(ch.AGE + queue + (head & 63))] < age_cap
            if is_open:
                if asked & bank_bit:  # but its precharge has not gone yet
                    asked ^= bank_bit
                    look_acts = True
                hits |= bit
                if not hit_banks & bank_bit:  # else an older one goes before it
                    hit_banks |= bank_bit
                    enter_lane(state, ch.COLUMNS, bank, 1, 0, slot)
                    ready = max(now, ch.column_ready(bank, opens, last, last_rank, timing, state))
                    column_slot = slot if ready < column_at else column_slot
                    column_at = min(ready, column_at)
            else:
                # Whether it is the first to ask for its bank nobody can foretell: all is done either way.
                new = int(turn_at == NEVER) & ~((hit_banks | asked) >> bank)
                asked |= new << bank
                ready = ch.ask_for_row(bank, new, ch.precharge_of(bank, timing, state), now, slot, base, state)
                act_slot = slot if ready < act_at else act_slot
                act_at = min(ready, act_at)

        if place >= stop_taken:
            break

        if turn_at != NEVER:
            wanted = False
        elif mode:
            wanted = waiting > 0 and count <= policy.drain_low
        else:
            wanted = waiting >= policy.drain_high or (count == 0 and waiting > 0)
        if turn_at <= now or (turn_at != NEVER and hits == 0):
            # The bus turns.
            mode = 1 - mode
            queue = mode << 6
            latency = (timing.cwl if mode else timing.cl) + timing.burst
            recover = timing.cwl + timing.burst + timing.wr + rp if mode else timing.rtp + rp
            opens = timing.rcd_write if mode else timing.rcd_read
            room, other_room = other_room, room
            count, waiting = waiting, count
            head, tail, live, served, hits, hit_banks = ch.swap_queues(head, tail, live, served, hits, hit_banks, state)
            held_back = ch.asked_for(all_banks & ~(hit_banks | asked), queue, state)
            asked |= held_back
            ch.ask_for_rows(held_back, now, queue, head, base, timing, state)
            ch.turn_bus(mode, timing, state)
            stale = 1
            state[ch.TURNAROUNDS] += 1
            turned = 1
            turn_at = NEVER
            look_columns = look_acts = True
            continue  # it may have to turn back

        opening, oldest = queue, head
        if turn_at != NEVER:
            opening, oldest = MAX_BANKS - queue, state[ch.HEAD + ch.OTHER]
        if look_columns:
            look_columns = False
            if stale:
                stale = 0
                ch.count_columns(base, opens, last, last_rank, timing, state)
                ch.note_oldest(ch.COLUMNS, hits, hit_banks, queue, head, state)
            # None can go before now: of those that could have, the oldest.
            raise_lanes(state, ch.COLUMNS, chunks, now - base, ch.GAPS)
            column_at, column_slot = ch.pick(ch.COLUMNS, hit_banks, head, base, chunks, state)
        if look_acts:
            look_acts = False
            act_at, act_slot = ch.pick(ch.ACTS, asked, oldest, base, chunks, state)

        horizon = min(refresh_at - 1, until)
        while True:  # until something other than an activation is next
            # Columns and arrivals go ahead of an earlier activation as long as its row could not serve them.
            event = min(column_at, arrival, turn_at)
            if act_at > horizon:
                break
            if wanted:
                if act_at >= now:
                    break
            elif event <= horizon and act_at + (opens if turn_at == NEVER else 1) > event:
                break

            at, slot = act_at, act_slot
            bank = state[u(ch.BANK + opening + slot)]
            bank_bit = 1 << bank
            row = state[u(ch.ROW + opening + slot)]
            state[ch.ACTIVATES] += 1
            asked ^= bank_bit
            mine = state[u(ch.PENDING + queue + bank)]
            own = 1 << slot if turn_at == NEVER else 0
            found = own | ch.matching(mine & ~own, row, queue, state)
            first_hit = slot
            if turn_at != NEVER:
                first_hit = ch.oldest_place(found, head)
                turn_at = min(turn_at, at + (timing.rcd_read if mode else timing.rcd_write))
            act_at, act_slot = ch.open_row(bank, row, at, opens, first_hit, asked, oldest, base, chunks, timing, state)
            ready = max(now, ch.column_ready(bank, opens, last, last_rank, timing, state)) if found else NEVER
            older = ((first_hit - head) & 63) < ((column_slot - head) & 63)
            sooner = (ready < column_at) | ((ready == column_at) & older)
            column_slot = first_hit if sooner else column_slot
            column_at = ready if sooner else column_at
            hits |= found
            hit_banks |= bank_bit if found else 0
            if waiting:
                others = state[u(ch.PENDING + MAX_BANKS - queue + bank)]
                found_others = ch.matching(others, row, MAX_BANKS - queue, state)
                state[ch.OPEN_HITS + ch.OTHER] = (state[ch.OPEN_HITS + ch.OTHER] & ~others) | found_others
                hit_others = state[ch.HIT_BANKS + ch.OTHER]
                state[ch.HIT_BANKS + ch.OTHER] = (hit_others & ~bank_bit) | (bank_bit if found_others else 0)

        if wanted:
            # Rows are opened for the other queue from now on; the bus turns when the first could be used.
            asked = ch.ask_for_others(
                asked, hit_banks, now, MAX_BANKS - queue, state[ch.HEAD + ch.OTHER], base, timing, state
            )
            turn_at = now
            if state[ch.HIT_BANKS + ch.OTHER] == 0:
                turn_at += rp + (timing.rcd_read if mode else timing.rcd_write)
            look_acts = True
            continue
        if event > horizon:
            if event < refresh_at or min(event, act_at) == NEVER or refresh_at > until:
                break
            if count + waiting == 0:
                refresh_at = ch.skip_refreshes(event, refresh_at, timing, state)
            now = max(now, refresh_at)
            if now - base > ch.FAR:
                base = now - ch.BEHIND
                ch.count_acts(base, timing, state)
                stale = 1
                look_columns = True
            closed = ch.refresh(refresh_rank, refresh_at, asked, base, timing, state)
            state[ch.REFRESHES] += 1
            hits = ch.without(hits, hit_banks & closed, queue, state)
            others = ch.without(
                state[ch.OPEN_HITS + ch.OTHER], state[ch.HIT_BANKS + ch.OTHER] & closed, MAX_BANKS - queue, state
            )
            state[ch.OPEN_HITS + ch.OTHER] = others
            hit_banks &= ~closed
            state[ch.HIT_BANKS + ch.OTHER] &= ~closed
            if turn_at == NEVER:
                asked |= ch.asked_for(closed, queue, state)
                ch.note_oldest(ch.ACTS, -1, asked & closed, queue, head, state)
            else:
                asked |= ch.asked_for(closed, MAX_BANKS - queue, state)
                ch.note_oldest(ch.ACTS, -1, asked & closed, MAX_BANKS - queue, state[ch.HEAD + ch.OTHER], state)
            refresh_rank = ch.next_refresh(timing, state)
            refresh_at = state[u(ch.REFRESH_AT + refresh_rank)]
            look_columns = look_acts = True
            continue
        if arrival <= event or turn_at <= event:
            now = event
            continue

        # A column command.
        now = column_at
        bit = 1 << column_slot
        bank = state[u(ch.BANK + queue + column_slot)]
        bank_bit = 1 << bank
        group = bank >> bank_bits
        ch.count_wait(bank, now, opens, last, last_rank, idle_from, busy_from, turned, timing, state)
        turned = 0
        last, last_rank, idle_from = now, group >> group_bits, now + timing.burst
        state[u(ch.LAST_COLUMN + queue + group)] = now
        who = state[u(ch.WHO + queue + column_slot)]
        done[u(who)] = now + latency
        state[u(state[u(ch.FOUND + bank)])] += 1
        state[u(ch.FOUND + bank)] = ch.HITS
        state[u(ch.ACT_AT + bank)] = max(state[u(ch.ACT_AT + bank)], now + recover)
        pending = state[u(ch.PENDING + queue + bank)] ^ bit
        state[u(ch.PENDING + queue + bank)] = pending
        hits ^= bit
        live ^= bit
        count -= 1
        served += 1
        head = head + lowest_bit(rotate_right(live, head & 63)) if live else tail
        quick = False
        state[u(ch.COLUMN_AT + group)] = now + timing.ccd_l
        if hits & pending:
            # In a stream the oldest can nearly always go at once. It alone is looked at, as long as that is so.
            slot = head & 63
            ready = ch.column_ready(state[u(ch.BANK + queue + slot)], opens, last, last_rank, timing, state)
            quick = (hits >> slot) & 1 != 0 and ready <= now + timing.ccd_s
            if not quick and not stale:
                enter_lane(state, ch.COLUMNS, bank, 1, 0, ch.oldest_place(hits & pending, head))
        else:
            hit_banks ^= bank_bit
            oldest = head
            if turn_at != NEVER:
                oldest = state[ch.HEAD + ch.OTHER]
                pending = (
                    0 if state[ch.HIT_BANKS + ch.OTHER] & bank_bit else state[u(ch.PENDING + MAX_BANKS - queue + bank)]
                )
            new = int(pending != 0)  # as foreseeable as above
            asked |= new << bank
            slot = ch.oldest_place(pending, oldest)
            ready = ch.ask_for_row(bank, new, rp, now, slot, base, state)
            age = (slot - oldest) & 63
            sooner = (ready < act_at) | ((ready == act_at) & (age < ((act_slot - oldest) & 63)))
            act_slot = slot if sooner else act_slot
            act_at = ready if sooner else act_at
        if served - state[u(ch.AGE + queue + (head & 63))] >= age_cap and live and turn_at == NEVER:
            bank = state[u(ch.BANK + queue + (head & 63))]
            if not (hits >> (head & 63)) & 1 and (hit_banks >> bank) & 1:
                # Passed often enough: the oldest's bank serves no other row before it.
                hits &= ~state[u(ch.PENDING + queue + bank)]
                hit_banks ^= 1 << bank
                asked |= 1 << bank
                ch.ask_for_row(bank, 1, rp, now, head & 63, base, state)
                look_acts = True
        if quick:
            column_at, column_slot = now + timing.ccd_s, head & 63
            stale = 1
        elif stale:
            look_columns = True
        else:
            best = raise_and_least(state, ch.COLUMNS, chunks, now - base, ch.gaps_after(group, timing), hit_banks, head)
            column_at, column_slot = base + (best >> 6) if hit_banks else NEVER, (head + best) & 63
        if who == stop_done:
            break

    state[ch.CLOCK], state[ch.TAKEN], state[ch.MODE], state[ch.BASE] = now, place, mode, base
    state[ch.STALE] = stale
    state[ch.LAST], state[ch.LAST_RANK], state[ch.BUSY_FROM], state[ch.TURNED] = last, last_rank, busy_from, turned
    state[ch.HEAD], state[ch.TAIL], state[ch.COUNT], state[ch.LIVE], state[ch.SERVED] = head, tail, count, live, served
    state[ch.OPEN_HITS], state[ch.HIT_BANKS], state[ch.COUNT + ch.OTHER] = hits, hit_banks, waiting
    state[ch.ASKED], state[ch.TURN_AT] = asked, turn_at
    state[u(ch.READS + mode)] = served
    state[u(ch.WRITES - mode)] = state[ch.SERVED + ch.OTHER]
    ch.note_finish(timing, state)
