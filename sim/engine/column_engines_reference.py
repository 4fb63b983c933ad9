"""The two engines of ``column_engines``, cycle by cycle, in plain Python: what the kernel is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from siloom.sim.engine.column_engines import DENSER, NONE, SPARSER, Product


@dataclass
class _State:
    """When each thing ended; absent: not yet."""

    loaded: dict[tuple[int, int], int] = field(default_factory=dict)
    decoded: dict[tuple[int, int], int] = field(default_factory=dict)
    worked: dict[tuple[int, int], int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    stored: dict[int, int] = field(default_factory=dict)


def run_columns_reference(products: Sequence[Product], held: int = 2) -> tuple[list[int], int]:
    """When each product ends, and when the last results are written."""
    if not products:
        return [], 0
    state = _State()
    jobs = _port_jobs(products)
    items = [(p, i) for p, product in enumerate(products) for i in range(len(product.load))]
    port_free = decoder_free = denser_free = now = 0
    lines = [[0] * product.sparser for product in products]
    while len(products) - 1 not in state.stored:
        moved = True
        while moved:
            moved = False
            current = len(state.ends)
            if jobs and port_free <= now and _may_start(jobs[0], products, state, now, held):
                kind, p, i = jobs.pop(0)
                port_free = now + (products[p].store if kind == "store" else int(products[p].load[i]))
                if kind == "store":
                    state.stored[p] = port_free
                else:
                    state.loaded[p, i] = port_free
                moved = True
            following = len(state.decoded)
            if following < len(items) and decoder_free <= now:
                item = items[following]
                if state.loaded.get(item, now + 1) <= now:
                    decoder_free = now + int(products[item[0]].decode[item[1]])
                    state.decoded[item] = decoder_free
                    moved = True
            if current == len(products):
                continue
            product = products[current]
            if now < (state.ends[current - 1] if current else 0) + product.between:
                continue
            for engine in (NONE, DENSER, SPARSER):
                waiting = [i for i in range(len(product.load)) if product.engine[i] == engine]
                todo = [i for i in waiting if (current, i) not in state.worked]
                if not todo or state.decoded.get((current, todo[0]), now + 1) > now:
                    continue
                done = now + int(product.work[todo[0]])
                if engine == DENSER:
                    if denser_free > now:
                        continue
                    denser_free = done
                elif engine == SPARSER:
                    idle = [at for at, free in enumerate(lines[current]) if free <= now]
                    if not idle:
                        continue
                    lines[current][idle[0]] = done
                else:
                    done = now
                state.worked[current, todo[0]] = done
                moved = True
            ended = [state.worked.get((current, i), now + 1) for i in range(len(product.load))]
            if all(end <= now for end in ended):
                state.ends[current] = now
                moved = True
        now += 1
    return [state.ends[p] for p in range(len(products))], max(state.stored.values())


def _port_jobs(products: Sequence[Product]) -> list[tuple[str, int, int]]:
    """What the port does, in order: each product's operands, then the results of the one before."""
    jobs: list[tuple[str, int, int]] = []
    for p, product in enumerate(products):
        jobs += [("load", p, i) for i in range(len(product.load))]
        if p and products[p - 1].store:
            jobs.append(("store", p - 1, 0))
    return [*jobs, ("store", len(products) - 1, 0)]


def _may_start(job: tuple[str, int, int], products: Sequence[Product], state: _State, now: int, held: int) -> bool:
    """Whether there is room for operands, or results are there."""
    kind, p, _ = job
    if kind == "store":
        # The last ones are waited for; most of the others have left before.
        drain = products[p].drain if p == len(products) - 1 else 0
        return p in state.ends and state.ends[p] + drain <= now
    return p < held or state.ends.get(p - held, now + 1) <= now
