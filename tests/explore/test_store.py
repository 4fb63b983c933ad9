"""Is what a store acknowledged there, once, whatever happens; and is anything else refused in one line?"""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siloom.explore.filesystem import is_network
from siloom.explore.merge import merge
from siloom.explore.metrics import METRICS
from siloom.explore.row import Row
from siloom.explore.store import Attempt, Store
from siloom.reports.exploration_table import columns, csv_bytes, frame, parquet_bytes
from siloom.sim.errors import InputError


def row(number, **about):
    how = {
        "key": number.to_bytes(16, "big"),
        "machine": "outerspace",
        "settings": {"tiles": number % 7, "dataflow": "ws", "clock_hz": 1e9},
        "workload": "w",
        "fidelity": "cycles",
        "status": "ok",
        "metrics": {"seconds": 1.0 / (number + 1), "area_mm2": float(number), "recall": 0.5},
        "bottleneck": "compute",
        "details": '{"workloads":[]}',
    }
    return Row(**{**how, **about})


def test_rows_come_back_as_they_were(tmp_path):
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


def test_the_front_of_a_store_is_that_of_its_rows(tmp_path):
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
from test_store import row

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
def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path, kills):
    """Writers are forked from one process that has all loaded, so that kills fall on writing and not on imports."""
    said = python(KILLS, tmp_path / "s.db", kills, Path(__file__).parent)
    assert int(said) > kills


def python(program, *arguments, before=()):
    """What a program prints; all that it says otherwise fails the test."""
    command = [*before, sys.executable, "-c", program, *map(str, arguments)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert said.returncode == 0, said.stderr
    return said.stdout


def test_two_writers_at_once_lose_nothing(tmp_path):
    path = tmp_path / "s.db"
    with Store.open(path) as one, Store.open(path) as other:
        for n in range(0, 200, 2):
            one.add([row(n)])
            other.add([row(n), row(n + 1)])
        assert len(list(one.rows())) == 200


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path):
    program = f"""
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_store import row
from siloom.explore.store import Store
from siloom.sim.errors import InputError
store = Store.open(Path({str(tmp_path / "s.db")!r}))
store.add([row(n) for n in range(50)])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
done = 50
try:
    while True:
        store.add([row(n) for n in range(done, done + 200)])
        done += 200
except InputError as error:
    print(done, error)
"""
    done, _, told = python(program).partition(" ")
    assert "\n" not in told.strip()
    assert "disk" in told
    with Store.open(tmp_path / "s.db") as store:
        assert len(list(store.rows())) == int(done)
        store.add([row(10**6)])


FULL = """
import subprocess, sys
from pathlib import Path
from siloom.explore.store import Store
from siloom.sim.errors import InputError
sys.path.insert(0, sys.argv[2])
from test_store import row

disk = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "none", disk], check=True)
(disk / "others").write_bytes(bytes(100_000))
done = 0
with Store.open(disk / "s.db") as store:
    try:
        while True:
            store.add([row(n) for n in range(done, done + 50)])
            done += 50
    except InputError as error:
        said = str(error)
    assert len(list(store.rows())) == done
    (disk / "others").unlink()
    store.add([row(done)])
with Store.open(disk / "s.db") as store:
    assert [one == row(n) for n, one in enumerate(store.rows())] == [True] * (done + 1)
print(done, said)
"""
OWN_MOUNTS = ("unshare", "--mount", "--map-root-user")


needs_mounts = pytest.mark.skipif(
    shutil.which("unshare") is None or subprocess.run([*OWN_MOUNTS, "true"], capture_output=True).returncode != 0,
    reason="needs a mount namespace of its own",
)


@needs_mounts
def test_a_disk_that_is_really_full_is_one_line_and_usable_again_with_room(tmp_path):
    done, _, told = python(FULL, tmp_path, Path(__file__).parent, before=OWN_MOUNTS).partition(" ")
    assert int(done) > 0
    assert told.strip().endswith("the disk is full; every row before is kept")


READ_ONLY = """
import subprocess, sys
from pathlib import Path
from siloom.explore.store import Store
from siloom.sim.errors import InputError
sys.path.insert(0, sys.argv[2])
from test_store import row

disk = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "none", disk], check=True)
with Store.open(disk / "s.db") as store:
    store.add([row(n) for n in range(9)])
subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
with Store.open(disk / "s.db", read_only=True) as store:
    assert [one == row(n) for n, one in enumerate(store.rows())] == [True] * 9
for name in ("s.db", "new.db"):
    try:
        Store.open(disk / name)
    except InputError as error:
        print(error)
"""


@needs_mounts
def test_a_store_on_a_read_only_disk_is_read_and_not_written(tmp_path):
    said = python(READ_ONLY, tmp_path, Path(__file__).parent, before=OWN_MOUNTS).splitlines()
    assert [line.partition(": cannot be ")[2][:6] for line in said] == ["opened", "opened"]


MANY = """
import os, sys
from pathlib import Path
from siloom.explore.store import Store
sys.path.insert(0, sys.argv[2])
from test_store import row

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


def test_four_processes_that_open_and_close_at_once_lose_and_double_nothing(tmp_path):
    assert python(MANY, tmp_path / "s.db", Path(__file__).parent) == "[0, 0, 0, 0]\n"
    with Store.open(tmp_path / "s.db", read_only=True) as store:
        assert list(store.rows()) == [row(n) for n in range(65)]
    # Of two that close at the same moment neither may be the last; the log that then stays is empty.
    assert {path.name for path in tmp_path.iterdir()} <= {"s.db", "s.db-wal", "s.db-shm"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be"):
        Store.open(tmp_path / "s.db")


def test_what_is_no_store_is_refused_and_left_alone(tmp_path):
    (tmp_path / "text.db").write_text("no database at all, but long enough to be one" * 9)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE mine (a)")
    other.close()
    newer = tmp_path / "newer.db"
    Store.open(newer).close()
    changed = sqlite3.connect(newer)
    changed.execute("PRAGMA user_version = 99")
    changed.close()
    for name, told in [
        ("text.db", "is not a store"), ("other.db", "not a store"), ("newer.db", "newer Siloom"),
        ("absent/s.db", "folder"), (".", "is a folder"),
    ]:  # fmt: skip
        before = (tmp_path / name).read_bytes() if (tmp_path / name).is_file() else None
        with pytest.raises(InputError, match=told):
            Store.open(tmp_path / name)
        assert before is None or (tmp_path / name).read_bytes() == before
    with pytest.raises(InputError, match="no such store"):
        Store.open(tmp_path / "none.db", read_only=True)
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("change", ["status = 'fine'", "seconds = 'x'", "settings = '[1]'", "more = '3'"])
def test_a_row_that_nobody_wrote_is_one_line(tmp_path, change):
    path = tmp_path / "s.db"
    with Store.open(path) as store:
        store.add([row(1)])
    other = sqlite3.connect(path)
    other.execute(f"UPDATE row SET {change}")
    other.commit()
    other.close()
    with Store.open(path) as store, pytest.raises(InputError, match="is damaged"):
        list(store.rows())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_damaged_store_is_one_line_or_whole(tmp_path, data):
    whole = tmp_path / "whole.db"
    if not whole.exists():
        with Store.open(whole) as store:
            store.add([row(n) for n in range(40)], [Attempt(key=b"k", host="h", wall_s=1.0, outcome="done")])
            store.note_space("s", {"n": 1})
            store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(whole.read_bytes())
    cut = data.draw(st.integers(0, len(content)))
    # Most pages are empty: damage is drawn from everywhere, or from where the rows begin.
    rows_at = content.find(b"outerspace") - 60
    begin, end = data.draw(st.sampled_from([(0, len(content)), (rows_at, rows_at + 4000)]))
    for _ in range(data.draw(st.integers(0, 20))):
        content[data.draw(st.integers(begin, end - 1))] = data.draw(st.integers(0, 255))
    broken = tmp_path / "broken.db"
    for left in tmp_path.glob("broken.db*"):
        left.unlink()
    broken.write_bytes(content[:cut] if data.draw(st.booleans()) else content)
    try:
        with Store.open(broken) as store:
            rows = list(store.rows())
            store.counts()
            store.spaces()
            store.attempts()
            store.front([METRICS["seconds"], METRICS["area_mm2"], METRICS["recall"]])
            store.add([row(41)])
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert len(rows) <= 40


def test_merging_is_the_same_in_any_order_and_number_of_times(tmp_path):
    parts = []
    for number in range(3):
        path = tmp_path / f"part{number}.db"
        with Store.open(path) as store:
            store.add([row(n) for n in range(number * 5, number * 5 + 8)])
            store.note_space(f"s{number}", {"n": number})
        parts.append(path)
    exports = set()
    for order in ([0, 1, 2], [2, 0, 1], [1, 1, 2, 0]):
        into = tmp_path / f"all{len(exports)}{order}.db"
        assert merge(into, [parts[n] for n in order]) == 18
        assert merge(into, [parts[0]]) == 0
        with Store.open(into, read_only=True) as store:
            exports.add((csv_bytes(store.rows()), parquet_bytes(store.rows())))
            assert len(store.spaces()) == 3
    assert len(exports) == 1


def test_merging_refuses_two_truths(tmp_path):
    for name, reason in (("a.db", ""), ("b.db", "other")):
        with Store.open(tmp_path / name) as store:
            store.add([row(1, reason=reason), row(2 if name == "a.db" else 3)])
    shutil.copy(tmp_path / "a.db", tmp_path / "into.db")
    with pytest.raises(InputError, match="differs"):
        merge(tmp_path / "into.db", [tmp_path / "b.db"])
    with pytest.raises(InputError, match="differs"):
        merge(tmp_path / "new.db", [tmp_path / "a.db", tmp_path / "b.db"])
    assert not (tmp_path / "new.db").exists()
    with Store.open(tmp_path / "into.db") as store:
        assert [one.key[-1] for one in store.rows()] == [1, 2]


def test_an_export_is_one_table(tmp_path):
    rows = [
        row(2, settings={"tiles": 10, "name": "=1+2"}),
        row(1, settings={"tiles": 9, "cycles": 4}, status="infeasible", metrics={}),
        row(3, machine="elsa", settings={"p": 1.5}),
    ]
    table = columns(rows)
    assert table["machine"] == ["elsa", "outerspace", "outerspace"]
    assert table["tiles"] == [None, 9, 10]
    assert table["field.cycles"] == [None, 4, None]
    assert list(table)[:2] == ["key", "machine"]
    assert frame(rows).shape == (3, len(table))
    text = csv_bytes(rows).decode()
    assert ",'=1+2," in text
    assert csv_bytes(reversed(rows)).decode() == text
    import pyarrow as pa
    import pyarrow.parquet as pq

    read = pq.read_table(pa.BufferReader(parquet_bytes(rows)))
    assert read.to_pydict() == table


def test_network_file_systems_are_told_apart(tmp_path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda rw\n"
        f"23 22 0:5 / {tmp_path}/net rw shared:1 - nfs4 host:/x rw\n"
        f"24 23 8:2 / {tmp_path}/net/local\\040disk rw - xfs /dev/sdb rw\n"
        "broken line\n"
    )
    assert is_network(tmp_path / "net" / "s.db", mounts)
    assert not is_network(tmp_path / "network", mounts)
    assert not is_network(tmp_path / "net" / "local disk" / "s.db", mounts)
    assert not is_network(tmp_path, tmp_path / "absent")
