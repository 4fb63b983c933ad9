"""Bad input costs little: under a second each and no large allocation, in one process of its own.

The child caps its address space 300 MB above what it holds after imports, so that even memory that
is reserved and never touched would be refused; the one message that a refusal gives fails the test.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

REAL = b"%%MatrixMarket matrix coordinate real general\n"

CHILD = """
import json, resource, sys, time
from pathlib import Path
from siloom.sim.errors import SiloomError
from siloom.workloads.registry import load
folder = Path(sys.argv[1])
load(folder / "sound.mtx"); load(folder / "sound.npz")
status = Path("/proc/self/status").read_text().splitlines()
held = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (held + 300_000_000,) * 2)
out = {}
for text in json.loads(sys.argv[2]):
    start = time.perf_counter()
    try:
        load(text)
        said = ["none", ""]
    except SiloomError as error:
        said = [error.exit_code, str(error)]
    out[text] = [*said, time.perf_counter() - start]
print(json.dumps(out))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to know its own size")
def test_bad_input_is_cheap(tmp_path: Path) -> None:
    big = np.random.default_rng(0).integers(1, 1000, (100_000, 2))
    packed = gzip.compress(
        b"%%MatrixMarket matrix coordinate pattern general\n1000 1000 100000\n"
        + b"".join(b"%d %d\n" % tuple(p) for p in big)
    )
    (tmp_path / "sound.mtx").write_bytes(REAL + b"2 2 1\n1 1 1\n")
    np.savez(tmp_path / "sound.npz", kept=np.ones((2, 2), bool))
    files = {
        "nan.mtx": REAL + b"2 2 1\n1 1 nan\n",
        "inf.mtx": REAL + b"2 2 1\n1 1 inf\n",
        "1e999.mtx": REAL + b"2 2 1\n1 1 1e999\n",
        "zero.mtx": REAL + b"2 2 1\n0 1 1\n",
        "beyond.mtx": REAL + b"2 2 1\n3 1 1\n",
        "dims62.mtx": REAL + b"4611686018427387904 4611686018427387904 1\n1 1 1\n",
        "dims31.mtx": REAL + b"2147483647 2147483647 1\n1 1 1\n",
        "promise.mtx": REAL + b"1000000 1000000 400000000000\n1 1 1\n",
        "promise.mtx.gz": gzip.compress(REAL + b"1000000 1000000 400000000000\n1 1 1\n"),
        "cut.mtx.gz": packed[: len(packed) // 2],
        "bomb.mtx.gz": gzip.compress(REAL + b"2 2 1\n1 1 1\n" + b" " * 200_000_000, 1),
        "comments.mtx": REAL + b"%\n" * 2_000_000,
        "empty.mtx": b"",
        "junk.npz": b"PK" + bytes(1000),
        "junk.toml": b"a = [" * 800,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("kept.npy", bytes(200 << 20))
    texts = [str(tmp_path / name) for name in (*files, "bomb.npz")]
    texts += [
        str(tmp_path),
        "uniform:n=16777216,density=1",
        "rmat:scale=30,edges=2147483647",
        "banded:n=16777216,band=8000000",
    ]
    texts += ["poisson3d:n=1290", "hub:n=16777216,density=1", "road:n=4097", "uniform:n=4611686018427387904"]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), json.dumps(texts)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for text, (code, message, seconds) in json.loads(done.stdout).items():
        assert code == 4, (text, message)
        assert message.isprintable() and "does not fit in memory" not in message, (text, message)
        assert seconds < 1, (text, seconds)
