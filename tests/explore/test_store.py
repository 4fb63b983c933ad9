"""Is what a store acknowledged there, once, whatever happens to those who write?"""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from siloom.explore.metrics import METRICS
from siloom.explore.store import Attempt, Store


def test_rows_come_back_as_they_were(tmp_path, row):
    rows = [row(3), row(1, status="infeasible", reason="design", message="no", metrics={}, details=""), row(2)]
    with Store.open(tmp_path / "s.db") as store:
        store.add(rows)
        store.add(rows)
        store.add([replace(rows[0], message="another time")])
        assert list(store.rows()) == [rows[1], rows[2], rows[0]]
        assert list(store.rows([rows[0].key, b"x" * 16])) == [rows[0]]
        assert store.has([rows[0].key, b"x" * 16]) == {rows[0].key}
        assert store.counts() == {"infeasible": 1, "ok": 2}
        assert store.find("0" * 31 + "3") == [rows[0]]
    with Store.open(tmp_path / "s.db", read_only=True) as store:
        assert len(list(store.rows())) == 3


def test_attempts_and_spaces_are_kept_apart(tmp_path):
    with Store.open(tmp_path / "s.db") as store:
        store.add([], [Attempt(key=b"k" * 16, host="h", wall_s=1.5, outcome="timeout", limit="timeout")])
        store.note_space("web", {"b": 1, "a": [2]})
        store.note_space("web", {"a": [2], "b": 1})
        assert store.attempts()[0].wall_s == 1.5
        assert store.spaces() == [("web", {"a": [2], "b": 1})]
        assert not list(store.rows())


def test_the_front_of_a_store_is_that_of_its_rows(tmp_path, row):
    rng = random.Random(0)
    rows = [
        row(n, metrics={"seconds": rng.randrange(9), "area_mm2": rng.randrange(9), "recall": rng.random()})
        for n in range(300)
    ]
    rows.append(row(999, status="infeasible", metrics={"seconds": -1, "area_mm2": -1, "recall": 2}))
    rows.append(row(998, metrics={"seconds": -1.0}))
    with Store.open(tmp_path / "s.db") as store:
        store.add(rows)
        for names in (["seconds", "area_mm2"], ["seconds", "area_mm2", "recall"]):
            judged = [METRICS[name] for name in names]
            signs = [-1 if m.more_is_better else 1 for m in judged]
            points = {
                r.key: [s * r.metrics[m.name] for s, m in zip(signs, judged, strict=True)]
                for r in rows
                if r.status == "ok" and all(m.name in r.metrics for m in judged)
            }
            expected = {
                key
                for key, p in points.items()
                if not any(all(a <= b for a, b in zip(q, p, strict=True)) and q != p for q in points.values())
            }
            assert {r.key for r in store.front(judged)} == expected


KILLS = """
import os, random, signal, sys, time
from pathlib import Path
from siloom.explore.store import Store
sys.path.insert(0, sys.argv[3])
from conftest import row

def write(first, batch, said):
    with Store.open(path) as store:
        while True:
            store.add([row(n) for n in range(first, first + batch)])
            first += batch
            os.write(said, first.to_bytes(8, "big"))

path, kills = Path(sys.argv[1]), int(sys.argv[2])
rng, known = random.Random(kills), 0
for _ in range(kills):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        write(known, rng.choice([1, 20, 300]), writer)
    os.close(writer)
    time.sleep(rng.uniform(0, 0.2))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as heard:
        acknowledged = int.from_bytes(heard.read()[-8:] or known.to_bytes(8, "big"), "big")
    with Store.open(path) as store:
        (whole,) = store._db.execute("PRAGMA integrity_check").fetchone()
        count, last = store._db.execute("SELECT count(*), max(key) FROM row").fetchone()
    assert whole == "ok", whole
    assert count == (0 if last is None else int.from_bytes(last, "big") + 1), "a row is missing or twice"
    assert count >= acknowledged, (count, acknowledged)
    known = count
with Store.open(path) as store:
    assert all(one == row(n) for n, one in enumerate(store.rows()))
print(known)
"""


@pytest.mark.parametrize("kills", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path, kills, python):
    """Writers are forked from one process that has all loaded, so that kills fall on writing and not on imports."""
    said = python(KILLS, tmp_path / "s.db", kills, Path(__file__).parent)
    assert int(said) > kills


def test_two_writers_at_once_lose_nothing(tmp_path, row):
    path = tmp_path / "s.db"
    with Store.open(path) as one, Store.open(path) as other:
        for n in range(0, 200, 2):
            one.add([row(n)])
            other.add([row(n), row(n + 1)])
        assert len(list(one.rows())) == 200


MANY = """
import os, sys
from pathlib import Path
from siloom.explore.store import Store
sys.path.insert(0, sys.argv[2])
from conftest import row

path, children = Path(sys.argv[1]), []
for writer in range(4):
    child = os.fork()
    if not child:
        for n in range(20):
            with Store.open(path) as store:
                store.add([row(writer * 15 + n)])
            with Store.open(path, read_only=True) as store:
                assert store.has([row(writer * 15 + n).key])
        os._exit(0)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
"""


def test_four_processes_that_open_and_close_at_once_lose_and_double_nothing(tmp_path, row, python):
    assert python(MANY, tmp_path / "s.db", Path(__file__).parent) == "[0, 0, 0, 0]\n"
    with Store.open(tmp_path / "s.db", read_only=True) as store:
        assert list(store.rows()) == [row(n) for n in range(65)]
    # Of two that close at the same moment neither may be the last; the log that then stays is empty.
    assert {path.name for path in tmp_path.iterdir()} <= {"s.db", "s.db-wal", "s.db-shm"}
