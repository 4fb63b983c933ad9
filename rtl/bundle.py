"""What is emitted beside the Verilog: vectors from the model, benches that check against them, and what one must know.

Every text is a template in ``rtl/templates``; here is only what they are filled with.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from siloom.rtl.cosim import Trial
from siloom.rtl.exchange import DRAIN_CYCLES, RESET_CYCLES
from siloom.rtl.names import sink_prefix, source_prefix
from siloom.rtl.registry import Block, MachineBlock, UnitBlock
from siloom.sim.contract import Contract, CycleKernel, Stream

VECTORS = 256
"""Beats of each run of a unit."""

MOST_BITS = 8_000_000
"""Runs of a machine are emitted until their beats and words hold this many bits; the first one always is."""

_QUEUE = 1024  # reads that the bench's memory holds


def bundle(block: Block, component: Any, seed: int) -> dict[str, str]:
    """File name -> text of everything but the Verilog of ``component``, which is ``block``'s."""
    runs = _chosen(block.trials(VECTORS, seed))
    name = block.name
    facts = _facts(block, component, runs)
    templates = {
        "README.md": "README.md.j2",
        f"{name}_tb.v": "bench.v.j2",
        "Makefile": "Makefile.j2",
        f"test_{name}.py": "cocotb_test.py.j2",
        f"{name}.core": "core.j2",
    }
    vectors = {
        f"vectors/{_folder(run.plan.name)}/{file}": text for run in runs for file, text in _vectors(block, run).items()
    }
    facts["vectors"] = list(vectors)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    texts = {file: environment.get_template(template).render(facts) for file, template in templates.items()}
    return texts | {f"{name}.f": f"{name}.v\n"} | vectors


def _chosen(trials: Sequence[Trial]) -> list[Trial]:
    chosen: list[Trial] = []
    bits = 0
    for trial in trials:
        bits += sum(feed.bits * len(feed.payloads) for feed in trial.plan.feeds.values())
        bits += sum(memory.data_bits * len(memory.words) for memory in trial.plan.memories.values())
        if chosen and bits > MOST_BITS:
            break
        chosen.append(trial)
    return chosen


def _facts(block: Block, component: Any, runs: Sequence[Trial]) -> dict[str, Any]:
    plans = [run.plan for run in runs]
    first, count = plans[0], 3
    ins: list[dict[str, Any]] = []
    outs: list[dict[str, Any]] = []
    memories: list[dict[str, Any]] = []
    loads: list[dict[str, str]] = []
    for name, feed in first.feeds.items():
        most = max(1, *(len(plan.feeds[name].payloads) for plan in plans))
        key = f"in_{name}"
        ins.append(
            {"name": name, "id": key, "prefix": sink_prefix(name), "bits": feed.bits, "most": most, "count": count}
        )
        loads += [_load(count, f"{name}.hex", f"{key}_beats"), _load(count, f"{name}_idle.hex", f"{key}_idle")]
        count += 1
    for name, drain in first.drains.items():
        most = max(1, *(len(run.answers[name]) for run in runs))
        ready = max(1, *(len(plan.drains[name].ready) for plan in plans))
        key = f"out_{name}"
        outs.append({"name": name, "id": key, "prefix": source_prefix(name), "bits": drain.bits, "most": most,
                     "most_ready": ready, "count": count,
                     "unordered": any(name in run.unordered for run in runs)})  # fmt: skip
        loads += [_load(count, f"{name}.hex", f"{key}_beats"), _load(count + 1, f"{name}_ready.hex", f"{key}_pattern")]
        count += 2
    for name, memory in first.memories.items():
        key = f"memory_{name}"
        memories.append({"name": name, "id": key, "address_bits": memory.address_bits, "data_bits": memory.data_bits,
                         "lanes": memory.lanes, "request_bits": memory.request_bits,
                         "requests": source_prefix(f"{name}_req"), "answers": sink_prefix(f"{name}_rsp"),
                         "most_words": 1 << memory.address_bits,
                         "most_latency": max(len(plan.memories[name].latency) for plan in plans),
                         "count": count})  # fmt: skip
        files = {"": "words", "_latency": "latency", "_expected": "expected"}
        loads += [_load(count + k, f"{name}{f}.hex", f"{key}_{a}") for k, (f, a) in enumerate(files.items())]
        count += 3
    ports = _ports(block, component)
    for side in (*ins, *outs):
        side["rows"] = ports[side["prefix"]]
    prefixes = [s["prefix"] for s in (*ins, *outs)] + [m[k] for m in memories for k in ("requests", "answers")]
    return {
        "name": block.name,
        "text": f"{block.name}:{block.size}" if block.size else block.name,
        "summary": f"{block.summary[0].upper()}{block.summary[1:]}.",
        "settings": list(block.design.as_dict().items()),
        "timing": _timing(block.unit.contract(block.design)) if isinstance(block, UnitBlock) else None,
        "notes": inspect.cleandoc(type(component).__doc__ or ""),
        "runs": [_folder(plan.name) for plan in plans],
        "run_rows": [_run_row(run) for run in runs],
        "first_run": _folder(first.name),
        "ins": ins,
        "outs": outs,
        "memories": memories,
        "loads": loads,
        "counts": count,
        "wires": [f"{prefix}_{wire}" for prefix in prefixes for wire in ("tdata", "tvalid", "tready")],
        "queue": _QUEUE,
        "reset_cycles": RESET_CYCLES,
        "drain_cycles": DRAIN_CYCLES,
        "junk": lambda bits: "{" + ", ".join(["$random"] * -(-bits // 32)) + "}",
        "in_names": {s["name"]: (s["prefix"], s["bits"]) for s in ins},
        "out_names": {s["name"]: (s["prefix"], s["unordered"]) for s in outs},
        "memory_names": {s["name"]: (s["address_bits"], s["data_bits"], s["lanes"]) for s in memories},
    }


def _load(count: int, file: str, array: str) -> dict[str, str]:
    return {"when": f"counts[{count}]", "file": file, "array": array}


def _folder(name: str) -> str:
    """A run's name as make, Verilog and a file system take it."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name)


def _run_row(run: Trial) -> dict[str, Any]:
    return {
        "name": _folder(run.plan.name),
        "beats_in": sum(len(feed.payloads) for feed in run.plan.feeds.values()),
        "beats_out": sum(len(beats) for beats in run.answers.values()),
        "cycles": "not compared" if run.model_cycles is None else run.model_cycles,
    }


def _vectors(block: Block, run: Trial) -> dict[str, str]:
    plan, files = run.plan, {}
    bound = block.hardware.bound if isinstance(block, MachineBlock) else 0.0
    model = run.model_cycles or 0
    counts = [plan.limit, model, int(bound * model)]
    for name, feed in plan.feeds.items():
        files[f"{name}.hex"] = _hex(feed.payloads)
        files[f"{name}_idle.hex"] = _hex(feed.idle)
        counts.append(len(feed.payloads))
    for name, drain in plan.drains.items():
        files[f"{name}.hex"] = _hex(run.answers[name])
        files[f"{name}_ready.hex"] = _hex(drain.ready)
        counts += [len(run.answers[name]), len(drain.ready)]
    for name, memory in plan.memories.items():
        expected = run.words.get(name, ())
        files[f"{name}.hex"] = _hex(memory.words)
        files[f"{name}_latency.hex"] = _hex(memory.latency)
        files[f"{name}_expected.hex"] = _hex(expected)
        counts += [len(memory.words), len(memory.latency), len(expected)]
    return files | {"counts.hex": _hex(counts)}


def _hex(values: Sequence[int]) -> str:
    return "".join(f"{int(value):x}\n" for value in values)


def _ports(block: Block, component: Any) -> dict[str, list[dict[str, Any]]]:
    """Prefix -> what its payload is made of, from the lowest bit."""
    from siloom.rtl.twin import stream_sides

    if isinstance(block, UnitBlock):
        contract = block.unit.contract(block.design)
        return {"s_axis": _unit_rows(contract.inputs), "m_axis": _unit_rows(contract.outputs)}
    ins, outs = stream_sides(component)
    prefixed = {sink_prefix(name): side for name, side in ins.items()}
    prefixed |= {source_prefix(name): side for name, side in outs.items()}
    return {prefix: _layout_rows(side.payload) for prefix, side in prefixed.items()}


def _unit_rows(side: Stream) -> list[dict[str, Any]]:
    rows, at = [], 0
    for port in side.ports:
        bits = port.format.bits * port.lanes
        form = str(port.format) if port.lanes == 1 else f"{port.lanes} x {port.format}"
        rows.append({"high": at + bits - 1, "low": at, "name": port.name, "format": form, "meaning": port.meaning})
        at += bits
    return rows


def _layout_rows(payload: Any) -> list[dict[str, Any]]:
    from amaranth.hdl import Shape
    from amaranth.lib import data

    def text(shape: Any) -> str:
        if isinstance(shape, data.ArrayLayout):
            return f"{shape.length} x {text(shape.elem_shape)}"
        if isinstance(shape, data.StructLayout):
            return "{" + ", ".join(f"{key}: {text(field.shape)}" for key, field in shape) + "}"
        plain = Shape.cast(shape)
        return f"{'s' if plain.signed else 'u'}{plain.width}"

    shape = payload.shape()
    if not isinstance(shape, data.StructLayout):
        width = Shape.cast(shape).width
        return [{"high": width - 1, "low": 0, "name": "payload", "format": text(shape), "meaning": ""}]
    return [
        {"high": f.offset + f.width - 1, "low": f.offset, "name": key, "format": text(f.shape), "meaning": ""}
        for key, f in shape
    ]


def _timing(contract: Contract) -> dict[str, Any]:
    def cycles(promise: int | CycleKernel) -> str:
        return str(promise) if isinstance(promise, int) else "depends on the operands"

    turnaround = (
        "`m_axis_tready` reaches `s_axis_tready` in the same cycle, through logic."
        if contract.turnaround == 0
        else f"Room that a result gives free is offered again {contract.turnaround} cycles after it was taken."
    )
    return {
        "latency": cycles(contract.latency),
        "interval": cycles(contract.interval),
        "capacity": contract.capacity,
        "turnaround": turnaround,
    }
