"""Is a disk, a file or a row that does not serve told in one line, and nothing lost by it?"""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siloom.explore.filesystem import is_network
from siloom.explore.metrics import METRICS
from siloom.explore.store import Attempt, Store
from siloom.sim.errors import InputError


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, row, python):
    program = f"""
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from conftest import row
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
from conftest import row

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
def test_a_disk_that_is_really_full_is_one_line_and_usable_again_with_room(tmp_path, python):
    done, _, told = python(FULL, tmp_path, Path(__file__).parent, before=OWN_MOUNTS).partition(" ")
    assert int(done) > 0
    assert told.strip().endswith("the disk is full; every row before is kept")


READ_ONLY = """
import subprocess, sys
from pathlib import Path
from siloom.explore.store import Store
from siloom.sim.errors import InputError
sys.path.insert(0, sys.argv[2])
from conftest import row

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
def test_a_store_on_a_read_only_disk_is_read_and_not_written(tmp_path, python):
    said = python(READ_ONLY, tmp_path, Path(__file__).parent, before=OWN_MOUNTS).splitlines()
    assert [line.partition(": cannot be ")[2][:6] for line in said] == ["opened", "opened"]


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
def test_a_row_that_nobody_wrote_is_one_line(tmp_path, change, row):
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
def test_a_damaged_store_is_one_line_or_whole(tmp_path, data, row):
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
