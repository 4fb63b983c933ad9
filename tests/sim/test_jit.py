"""Is a kernel's machine code always that of the sources as they are, and is a bad cache ever more than slow?

The tests run a copy of ``sim/jit.py`` over two tiny kernel files in processes of their own.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from siloom.sim import jit

CALLER = """
from siloom.sim.engine.callee import step
from siloom.sim.jit import kernel

@kernel
def twice(x):
    return step(step(x))
"""
CALLEE = """
from siloom.sim.jit import inline_kernel

@inline_kernel
def step(x):
    return x + 1
"""
ASK = "from siloom.sim.engine.caller import twice; "
COUNTS = "print(twice(1), sum(twice.stats.cache_hits.values()), sum(twice.stats.cache_misses.values()))"

AGAIN = """
import os, shutil, sys
from pathlib import Path
def again():
    '''As a new process would: the package imported afresh; the answer, and how it was come by.'''
    for name in [m for m in sys.modules if m.startswith("siloom.")]:
        del sys.modules[name]
    from siloom.sim.engine.caller import twice
    return twice(1), sum(twice.stats.cache_hits.values()), sum(twice.stats.cache_misses.values())
"""


class Mini:
    """A package ``siloom`` with our jit.py and two kernel files, and a cache folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.engine = folder / "siloom" / "sim" / "engine"
        self.engine.mkdir(parents=True)
        for package in (self.engine, *self.engine.parents[:2]):
            (package / "__init__.py").touch()
        shutil.copy(jit.__file__, self.jit)
        (self.engine / "caller.py").write_text(CALLER)
        (self.engine / "callee.py").write_text(CALLEE)

    @property
    def jit(self) -> Path:
        return self.engine.parent / "jit.py"

    def run(self, code: str, **environment: str) -> str:
        """Output of ``code`` in a fresh interpreter that sees this package as ``siloom``."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "SILOOM", "XDG"))}
        env |= {"PYTHONPATH": str(self.folder), "SILOOM_CACHE_DIR": str(self.cache), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [
            sys.executable,
            "-W",
            "error",
            "-c",
            f"import siloom; assert {str(self.folder)!r} in siloom.__file__\n",
        ]
        command[-1] += code
        done = subprocess.run(
            command, cwd=self.folder, env=env | environment, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def files(self, pattern: str) -> list[Path]:
        return sorted(self.cache.rglob(pattern))


@pytest.fixture
def mini(tmp_path: Path) -> Mini:
    return Mini(tmp_path)


def test_a_second_process_loads_what_the_first_compiled(mini: Mini) -> None:
    assert mini.run(ASK + COUNTS) == "3 0 1"
    assert mini.run(ASK + COUNTS) == "3 1 0"


def test_a_changed_callee_in_another_file_never_runs_stale(mini: Mini) -> None:
    assert mini.run(ASK + COUNTS) == "3 0 1"
    (mini.engine / "callee.py").write_text(CALLEE.replace("x + 1", "x + 10"))
    assert mini.run(ASK + COUNTS) == "21 0 1"
    (mini.engine / "callee.py").write_text(CALLEE)
    assert mini.run(ASK + COUNTS) == "3 1 0", "the first sources' folder was still there"


def test_without_the_hash_the_callee_would_be_stale(mini: Mini) -> None:
    """The harness of the test above can fail: this is what numba does on its own."""
    source = mini.jit.read_text()
    assert source.count("return digest.hexdigest()") == 1
    mini.jit.write_text(source.replace("return digest.hexdigest()", "return 'the same for all'"))
    assert mini.run(ASK + COUNTS) == "3 0 1"
    (mini.engine / "callee.py").write_text(CALLEE.replace("x + 1", "x + 10"))
    assert mini.run(ASK + COUNTS) == "3 1 0"


def test_every_change_of_the_kernel_sources_changes_the_hash(mini: Mini) -> None:
    """Contents, names, order and folders of kernel files count, and the decorator's own options."""
    code = f"""
from pathlib import Path
from siloom.sim import jit
def now():
    jit.source_hash.cache_clear()
    return jit.source_hash()
engine = Path({str(mini.engine)!r})
seen = [now()]
(engine / "added.py").write_text("a = 1"); seen.append(now())
(engine / "added.py").rename(engine / "moved.py"); seen.append(now())
(engine / "moved.py").write_text("a = 2"); seen.append(now())
(engine / "deep").mkdir(); (engine / "moved.py").rename(engine / "deep" / "moved.py"); seen.append(now())
(engine.parent / "units").mkdir(); (engine / "deep" / "moved.py").rename(engine.parent / "units" / "moved.py")
seen.append(now())
(engine.parent / "jit.py").write_text(Path(jit.__file__).read_text() + "# other options"); seen.append(now())
print(len(seen), len(set(seen)), seen[-1] == now())
"""
    assert mini.run(code) == "7 7 True"


def test_an_unusable_cache_folder_costs_only_time(mini: Mini) -> None:
    """A file in its way, no user's cache folder, no home, a name that is too long."""
    before = sorted(mini.folder.rglob("*"))
    code = """
from siloom import __file__ as a_file
def blocked(cache="", xdg="", home="/dev/null"):
    os.environ |= {"SILOOM_CACHE_DIR": cache, "XDG_CACHE_HOME": xdg, "HOME": home}
    answer = again()
    assert sys.modules["siloom.sim.jit"].cache_dir() is None
    return answer
print(blocked(cache=a_file + "/cache"), blocked(xdg="/dev/null"), blocked(), blocked(cache="/tmp/" + "x" * 300))
"""
    assert mini.run(AGAIN + code) == " ".join(["(3, 0, 1)"] * 4)
    assert sorted(mini.folder.rglob("*")) == before, "nothing is written into the package instead"


def test_a_cache_folder_that_vanishes_while_in_use_costs_only_time(mini: Mini) -> None:
    code = "import shutil; from pathlib import Path\n"
    code += f"cache = Path({str(mini.cache)!r}); shutil.rmtree(cache); cache.touch()\n"
    assert mini.run(ASK + code + COUNTS) == "3 0 1"


def test_a_damaged_cache_file_is_compiled_again_and_replaced(mini: Mini) -> None:
    code = f"""
again()
for pattern in ("*.nbi", "*.nbc"):
    for damage in (lambda held: held[: len(held) // 2], lambda held: b"", lambda held: b"\\xff" * 999):
        (path,) = Path({str(mini.cache)!r}).rglob(pattern)
        path.write_bytes(damage(path.read_bytes()))
        assert again() == (3, 0, 1), "not compiled"
        assert again() == (3, 1, 0), "not replaced"
    path.unlink()
    path.mkdir()
    assert again() == (3, 0, 1), "not compiled"
    path.rmdir()
    assert again() == (3, 0, 1), "not compiled"
print("ok")
"""
    assert mini.run(AGAIN + code) == "ok"


def test_code_for_other_argument_types_is_not_run(mini: Mini) -> None:
    """Two processes that start at once may both write file 1, one of them for another type."""
    mini.run(ASK + "twice(1)")
    (data,) = mini.files("*.nbc")
    for_whole_numbers = data.read_bytes()
    shutil.rmtree(mini.cache)
    mini.run(ASK + "twice(0.5)")
    (data,) = mini.files("*.nbc")
    data.write_bytes(for_whole_numbers)
    assert mini.run(ASK + "print(twice(0.5))") == "2.5"


def test_a_users_own_kernel_is_compiled_but_not_kept(mini: Mini) -> None:
    """Nobody watches the files that it calls, so its machine code might be stale."""
    (mini.folder / "my_machine.py").write_text(CALLER)
    assert mini.run("from my_machine import twice; print(twice(1))") == "3"
    assert mini.files("*.nb*") == []


def test_kernels_run_as_plain_python_where_numba_is_switched_off(mini: Mini) -> None:
    assert mini.run(ASK + "print(twice(1), twice.__class__.__name__)", NUMBA_DISABLE_JIT="1") == "3 function"


def test_the_users_own_numba_cache_folder_is_left_alone(mini: Mini) -> None:
    code = ASK + "twice(1); from numba.core import config; print(config.CACHE_DIR)"
    assert mini.run(code, NUMBA_CACHE_DIR=str(mini.folder / "mine")) == str(mini.folder / "mine")
    assert not (mini.folder / "mine").exists()
    assert len(mini.files("*.nbc")) == 1


def test_the_cache_folder_is_the_users_alone(mini: Mini) -> None:
    mini.run(ASK)
    (folder,) = (mini.cache / "kernels").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_cache_root_is_the_variable_else_xdg_else_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("SILOOM_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert jit.cache_root() == tmp_path / "home" / ".cache" / "siloom"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert jit.cache_root() == tmp_path / "home" / ".cache" / "siloom", "the standard says: ignore relative paths"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert jit.cache_root() == tmp_path / "xdg" / "siloom"
    monkeypatch.setenv("SILOOM_CACHE_DIR", "mine")
    assert jit.cache_root() == tmp_path / "mine"


def test_only_our_own_caches_are_dropped_and_only_when_a_month_old(tmp_path: Path) -> None:
    month_ago = time.time() - 31 * 86400
    for name, age in {"0" * 16: month_ago, "1" * 16: time.time(), "thesis": month_ago, "2" * 15: month_ago}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "held").touch()
        os.utime(tmp_path / name, (age, age))
    (tmp_path / ("3" * 16)).symlink_to(tmp_path / "thesis")
    jit._drop_old(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["1" * 16, "thesis", "2" * 15, "3" * 16])
    assert (tmp_path / "thesis" / "held").exists()
    jit._drop_old(tmp_path / "absent")


def decorated(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Functions of a file that are kernels."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = {getattr(d, "id", getattr(d, "attr", "")) for d in node.decorator_list}
            if names & {"kernel", "inline_kernel", "njit", "jit", "vectorize", "guvectorize"}:
                yield node


def test_kernels_live_where_the_hash_looks(repository: Path) -> None:
    hashed = set(jit.kernel_sources())
    for part in ("sim", "workloads", "models", "rtl", "explore", "reports"):
        for path in sorted((repository / part).rglob("*.py")):
            if path not in hashed and path.name != "jit.py":
                assert not list(decorated(ast.parse(path.read_text()))), (
                    f"{path}: a kernel outside sim/engine, sim/units"
                )


def test_kernels_read_nothing_that_the_hash_does_not_cover() -> None:
    """A constant from elsewhere would be frozen into machine code that outlives its change."""
    for path in jit.kernel_sources():
        tree = ast.parse(path.read_text())
        outside = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("siloom.")
            if not (node.module or "").startswith(("siloom.sim.engine", "siloom.sim.units"))
            for alias in node.names
            if f"{node.module}.{alias.name}" not in ("siloom.sim.engine", "siloom.sim.units")
        }
        for function in decorated(tree):
            used = {n.id for statement in function.body for n in ast.walk(statement) if isinstance(n, ast.Name)}
            assert not used & outside, f"{path.name}: {function.name} uses {used & outside} from an unhashed file"
