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

How it is fast: what can go first is looked up only when something changed it, over one request a bank;
and columns and arrivals run ahead of an earlier activation by up to tRCD, for its row could not serve them
any sooner, and what they ask for is later than it. So the two kinds of command alternate as a processor
can foretell. The plain reference does neither and is equal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from siloom.sim.engine import dram_channel as ch
from siloom.sim.engine.arrays import u
from siloom.sim.engine.bits import lowest_bit, rotate_right
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
    counts: NDArray[np.int64],
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
    rank_act = NEVER  # no activation before this, of any rank
    for rank in range(1 << timing.rank_bits):
        rank_act = min(rank_act, state[u(ch.RANK_ACT + rank)])
    # The oldest hit of each bank, the oldest request of each that is asked for, and what can go first of them.
    firsts = fronts = 0
    column_at = act_at = NEVER
    column_slot = act_slot = 0
    look_columns = look_acts = look_firsts = look_fronts = True

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
                if state[ch.TAIL + ch.OTHER] - state[ch.HEAD + ch.OTHER] >= 64:
                    ch.close_ranks(MAX_BANKS - queue, ch.OTHER, state)
                    look_fronts = True
                slot = state[ch.TAIL + ch.OTHER] & 63
                ch.put(slot, who, row, bank, state[ch.SERVED + ch.OTHER] + waiting, MAX_BANKS - queue, state)
                state[ch.LIVE + ch.OTHER] |= 1 << slot
                state[ch.TAIL + ch.OTHER] += 1
                waiting += 1
                if is_open:
                    if turn_at != NEVER and asked & bank_bit:
                        asked ^= bank_bit
                        look_fronts = True
                    state[ch.OPEN_HITS + ch.OTHER] |= 1 << slot
                    state[ch.HIT_BANKS + ch.OTHER] |= bank_bit
                elif turn_at != NEVER and not (hit_banks | asked | state[ch.HIT_BANKS + ch.OTHER]) & bank_bit:
                    asked |= bank_bit
                    ch.ask_for_row(bank, now, timing, state)
                    look_fronts = True
                continue
            if tail - head >= 64:
                state[ch.HEAD], state[ch.TAIL], state[ch.LIVE], state[ch.OPEN_HITS] = head, tail, live, hits
                ch.close_ranks(queue, 0, state)
                head, live, hits = state[ch.HEAD], state[ch.LIVE], state[ch.OPEN_HITS]
                look_firsts = look_fronts = True
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
                    look_fronts = True
                hits |= bit
                firsts |= 0 if hit_banks & bank_bit else bit
                hit_banks |= bank_bit
                ready = max(now, ch.column_ready(bank, opens, last, last_rank, timing, state))
                if ready < column_at:
                    column_at, column_slot = ready, slot
            elif turn_at == NEVER and not (hit_banks | asked) & bank_bit:
                asked |= bank_bit
                fronts |= bit
                ch.ask_for_row(bank, now, timing, state)
                ready = ch.act_ready(bank, timing, state)
                if ready < act_at:
                    act_at, act_slot = ready, slot

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
            held_back = ch.banks_of(live, queue, state) & ~(hit_banks | asked)
            asked |= held_back
            ch.ask_for_rows(held_back, now, timing, state)
            ch.turn_bus(mode, timing, state)
            counts[ch.TURNAROUNDS] += 1
            turned = 1
            turn_at = NEVER
            look_firsts = look_fronts = True
            continue  # it may have to turn back

        while True:  # until something other than an activation is next
            if look_firsts:
                look_firsts = False
                look_columns = True
                firsts = ch.firsts_of(hits, hit_banks, queue, head, state)
            if look_columns:
                look_columns = False
                best = ch.pick_column(firsts, head, now, opens, queue, last, last_rank, timing, state)
                column_at, column_slot = best >> 6, (head + best) & 63
            opening, oldest = queue, head
            if turn_at != NEVER:
                opening, oldest = MAX_BANKS - queue, state[ch.HEAD + ch.OTHER]
            if look_fronts:
                look_fronts = False
                look_acts = True
                fronts = ch.firsts_of(-1, asked, opening, oldest, state)
            if look_acts:
                look_acts = False
                # As pick_column does, but two at a time: where it ends nobody can foretell, and a wrong guess costs
                # as much as looking at two more. (As a function, which it was, it is a tenth slower.)
                best = NEVER << 6
                left = rotate_right(fronts, oldest & 63)
                while left:
                    age = lowest_bit(left)
                    left &= left - 1
                    bank = state[u(ch.BANK + opening + ((oldest + age) & 63))]
                    key = (ch.act_ready(bank, timing, state) << 6) | age
                    age = lowest_bit(left)
                    bank = state[u(ch.BANK + opening + ((oldest + age) & 63))]
                    second = ((ch.act_ready(bank, timing, state) << 6) | age) if left else key
                    left &= left - 1
                    best = min(best, key, second)
                    if best >> 6 <= rank_act:
                        break
                act_at, act_slot = best >> 6, (oldest + best) & 63

            # Columns and arrivals go ahead of an earlier activation as long as its row could not serve them.
            event = min(column_at, arrival, turn_at)
            if act_at >= refresh_at or act_at > until:
                break
            if wanted:
                if act_at >= now:
                    break
            elif act_at + (opens if turn_at == NEVER else 1) > event and event < refresh_at and event <= until:
                break

            bank = state[u(ch.BANK + opening + act_slot)]
            bank_bit = 1 << bank
            bit = 1 << act_slot
            row = state[u(ch.ROW + opening + act_slot)]
            rank_act = ch.open_row(bank, row, act_at, timing, state)
            counts[ch.ACTIVATES] += 1
            asked ^= bank_bit
            fronts ^= bit
            pending = state[u(ch.PENDING + opening + bank)]
            found = bit
            if pending != bit:
                found |= ch.matching(pending ^ bit, row, opening, state)
            others = state[u(ch.PENDING + MAX_BANKS - opening + bank)]
            found_others = ch.matching(others, row, MAX_BANKS - opening, state) if others else 0
            if turn_at == NEVER:
                firsts |= bit
                ready = max(now, ch.column_ready(bank, opens, last, last_rank, timing, state))
                if ready < column_at or (ready == column_at and ((act_slot - head) & 63) < ((column_slot - head) & 63)):
                    column_at, column_slot = ready, act_slot
            else:
                turn_at = min(turn_at, act_at + (timing.rcd_read if mode else timing.rcd_write))
                found, found_others, others = found_others, found, pending
                look_firsts = look_firsts or found != 0
            if found:
                hits |= found
                hit_banks |= bank_bit
            if others:
                state[ch.OPEN_HITS + ch.OTHER] = (state[ch.OPEN_HITS + ch.OTHER] & ~others) | found_others
                state[ch.HIT_BANKS + ch.OTHER] &= ~bank_bit
                state[ch.HIT_BANKS + ch.OTHER] |= bank_bit if found_others else 0
            look_acts = True

        if wanted:
            # Rows are opened for the other queue from now on; the bus turns when the first could be used.
            ch.give_up_precharged(asked, now, MAX_BANKS - queue, timing, state)
            asked = ch.banks_of(state[ch.LIVE + ch.OTHER], MAX_BANKS - queue, state)
            asked &= ~(state[ch.HIT_BANKS + ch.OTHER] | hit_banks)
            ch.ask_for_rows(asked, now, timing, state)
            turn_at = now
            if state[ch.HIT_BANKS + ch.OTHER] == 0:
                turn_at += rp + (timing.rcd_read if mode else timing.rcd_write)
            look_fronts = True
            continue
        if refresh_at <= event:
            if min(event, act_at) == NEVER or refresh_at > until:
                break
            if count + waiting == 0:
                refresh_at = ch.skip_refreshes(event, refresh_at, timing, state, counts)
            now = max(now, refresh_at)
            closed = ch.refresh(refresh_rank, refresh_at, asked, timing, state)
            counts[ch.REFRESHES] += 1
            hits = ch.without(hits, hit_banks & closed, queue, state)
            others = ch.without(
                state[ch.OPEN_HITS + ch.OTHER], state[ch.HIT_BANKS + ch.OTHER] & closed, MAX_BANKS - queue, state
            )
            state[ch.OPEN_HITS + ch.OTHER] = others
            hit_banks &= ~closed
            state[ch.HIT_BANKS + ch.OTHER] &= ~closed
            if turn_at == NEVER:
                asked |= ch.banks_of(live, queue, state) & closed
            else:
                asked |= ch.banks_of(state[ch.LIVE + ch.OTHER], MAX_BANKS - queue, state) & closed
            refresh_rank = ch.next_refresh(timing, state)
            refresh_at = state[u(ch.REFRESH_AT + refresh_rank)]
            look_firsts = look_fronts = True
            continue
        if event > until:
            break
        if arrival <= event or turn_at <= event:
            now = event
            continue

        # A column command.
        now = column_at
        bit = 1 << column_slot
        bank = state[u(ch.BANK + queue + column_slot)]
        bank_bit = 1 << bank
        group = bank >> bank_bits
        ch.count_wait(bank, now, opens, last, last_rank, busy_from, turned, timing, state, counts)
        turned = 0
        last, last_rank = now, group >> group_bits
        state[u(ch.COLUMN_AT + group)] = now + timing.ccd_l
        state[u(ch.LAST_COLUMN + queue + group)] = now
        who = state[u(ch.WHO + queue + column_slot)]
        done[u(who)] = now + latency
        counts[u(state[u(ch.FOUND + bank)])] += 1
        state[u(ch.FOUND + bank)] = ch.HITS
        state[u(ch.ACT_AT + bank)] = max(state[u(ch.ACT_AT + bank)], now + recover)
        pending = state[u(ch.PENDING + queue + bank)] ^ bit
        state[u(ch.PENDING + queue + bank)] = pending
        hits ^= bit
        firsts ^= bit
        live ^= bit
        count -= 1
        served += 1
        head = head + lowest_bit(rotate_right(live, head & 63)) if live else tail
        if hits & pending:
            firsts |= 1 << ((head + lowest_bit(rotate_right(hits & pending, head & 63))) & 63)
        else:
            hit_banks ^= bank_bit
            oldest = head
            if turn_at != NEVER:
                oldest = state[ch.HEAD + ch.OTHER]
                pending = (
                    0 if state[ch.HIT_BANKS + ch.OTHER] & bank_bit else state[u(ch.PENDING + MAX_BANKS - queue + bank)]
                )
            if pending:
                asked |= bank_bit
                ch.ask_for_row(bank, now, timing, state)
                age = lowest_bit(rotate_right(pending, oldest & 63))
                slot = (oldest + age) & 63
                fronts |= 1 << slot
                ready = ch.act_ready(bank, timing, state)
                if ready < act_at or (ready == act_at and age < ((act_slot - oldest) & 63)):
                    act_at, act_slot = ready, slot
        if served - state[u(ch.AGE + queue + (head & 63))] >= age_cap and live and turn_at == NEVER:
            bank = state[u(ch.BANK + queue + (head & 63))]
            if not (hits >> (head & 63)) & 1 and (hit_banks >> bank) & 1:
                # Passed often enough: the oldest's bank serves no other row before it.
                hits &= ~state[u(ch.PENDING + queue + bank)]
                hit_banks ^= 1 << bank
                asked |= 1 << bank
                ch.ask_for_row(bank, now, timing, state)
                look_firsts = look_fronts = True
        look_columns = True
        if who == stop_done:
            break

    state[ch.CLOCK], state[ch.TAKEN], state[ch.MODE] = now, place, mode
    state[ch.LAST], state[ch.LAST_RANK], state[ch.BUSY_FROM], state[ch.TURNED] = last, last_rank, busy_from, turned
    state[ch.HEAD], state[ch.TAIL], state[ch.COUNT], state[ch.LIVE], state[ch.SERVED] = head, tail, count, live, served
    state[ch.OPEN_HITS], state[ch.HIT_BANKS], state[ch.COUNT + ch.OTHER] = hits, hit_banks, waiting
    state[ch.ASKED], state[ch.TURN_AT] = asked, turn_at
    counts[u(ch.READS + mode)] = served
    counts[u(ch.WRITES - mode)] = state[ch.SERVED + ch.OTHER]
    ch.note_finish(timing, state)
