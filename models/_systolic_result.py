"""The Result of a machine with one systolic array: times, counts, energy and area of a run.

Knows no machine by name: a machine says what of its design costs are read from (:class:`Built`), and how wide its
words are (:class:`Words`).
"""

from __future__ import annotations

import math

from siloom.models._systolic_array import Run
from siloom.models._systolic_cost import TABLES, Built, Words, area_parts, energy_parts
from siloom.sim.cost import table_hash
from siloom.sim.memory import part
from siloom.sim.ops import Operation, extras_note
from siloom.sim.result import Result, utilization

_MOST_BLOCKS_SHOWN = 8

IDEAL_NOTE = "memory is ideal: traffic is counted, takes no time and no energy"
"""What to say where the memory is ideal."""


def array_result(
    label: str,
    design: Built,
    op: Operation,
    run: Run,
    form: str,
    accumulator: str,
    words: Words,
    notes: tuple[str, ...] = (),
    port: bool = True,
) -> Result:
    """What ``run`` means for ``op`` on a machine called ``label``.

    Args:
        label: the machine.
        design: its choices.
        op: what was asked for.
        run: what happened.
        form: the operands' format.
        accumulator: that of sums.
        words: widths of what ``run`` counts as words.
        notes: told beside those that hold for every such machine.
        port: whether traffic over the memory port was counted.
    """
    energy = energy_parts(design, run, form, accumulator, words, port)
    area = area_parts(design, form, accumulator)
    seconds = run.cycles / design.clock_hz
    a_cycle = 2 * design.multipliers if op.multiplies else design.vector_lanes
    peaks = {"operations_per_s": float(a_cycle * design.clock_hz)}
    if design.memory != "ideal":
        peaks["bytes_per_s"] = design.memory_channels * part(design.memory).peak_bytes_per_s
    operations = {
        "multiplies": run.multiplies,
        "adds": run.multiplies,
        "effective_multiplies": op.multiplies,
        "vector_operations": run.vector_operations,
    }
    asked = getattr(op, "format", form)
    told = () if form == asked else (f"{op.name or op.kind} computed in {form}, the workload asks for {asked}",)
    return Result(
        machine=label,
        workload=op.name or op.kind,
        seconds=seconds,
        overhead_s=0.0,
        cycles=run.cycles,
        clock_hz=design.clock_hz,
        energy_j=math.fsum(energy.values()),
        energy_parts=energy,
        area_mm2=math.fsum(area.values()),
        area_parts=area,
        operations=operations,
        traffic_bytes=_traffic(run, words, port),
        phases=run.as_phases(design.clock_hz),
        stalls=run.stalls,
        precision=(form,),
        utilization=utilization(operations, op.flops, peaks, seconds),
        peaks=peaks,
        notes=(*told, *extras_note(op), *notes),
        design=design.as_dict(),
        provenance={
            "design_hash": design.content_hash(),
            "tables": {name: table_hash(name) for name in TABLES},
            "precision": {"operands": form, "sums": accumulator},
            "blocks": list(run.blocks[:_MOST_BLOCKS_SHOWN]),
        },
    )


def _traffic(run: Run, words: Words, port: bool) -> dict[str, int]:
    """Bytes between array and SRAMs and over the DRAM port, by tensor and in all."""
    bits = {"ifmap_read": words.ifmap, "filter_read": words.filter, "ofmap_read": words.sums, "ofmap_write": words.sums}
    out = {f"sram_{name}": -(-run.words.get(name, 0) * width // 8) for name, width in bits.items()}
    if not port:
        del out["sram_ofmap_read"]
        return out
    out |= {f"dram_{name}": moved for name, moved in run.port_bytes.items() if moved}
    return out | {"dram_read": run.read_bytes, "dram_write": run.write_bytes}
