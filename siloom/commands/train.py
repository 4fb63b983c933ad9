"""``siloom train``: real training in the hardware's arithmetic."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from siloom.commands.given import Json, drawable, print_json, suffix, writable
from siloom.sim.errors import SiloomError, UsageError

if TYPE_CHECKING:
    from siloom.workloads.torch.plan import Plan


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A name with settings, e.g. digits:model=vit.")],
    arithmetic: Annotated[
        list[str] | None, typer.Option(metavar="A", help="How products are computed: int8:acc=24; may be repeated.")
    ] = None,
    backward: Annotated[str | None, typer.Option(metavar="A", help="Another arithmetic for both gradients.")] = None,
    attention: Annotated[
        list[str] | None, typer.Option(metavar="A", help="Which scores are computed: elsa:p=1; may be repeated.")
    ] = None,
    optimizer: Annotated[str | None, typer.Option(metavar="O", help="E.g. adamw:lr=0.003.")] = None,
    schedule: Annotated[str | None, typer.Option(metavar="S", help="Of the rate, e.g. cosine:warmup=100.")] = None,
    sparsity: Annotated[str, typer.Option(metavar="S", help="Of the weights, e.g. rigl:density=0.1.")] = "dense",
    technique: Annotated[
        list[str] | None, typer.Option(metavar="T", help="Training done otherwise: lora:rank=8; repeated ones add up.")
    ] = None,
    loss_scale: Annotated[
        float, typer.Option(metavar="X", min=0, help="First dynamic factor on the loss, e.g. 65536; 0: none.")
    ] = 0.0,
    machine: Annotated[
        list[str] | None, typer.Option(metavar="M", help="Simulate a recorded step on M; may be repeated.")
    ] = None,
    rest: Annotated[str | None, typer.Option(metavar="M", help="Runs what --machine does not support.")] = None,
    link: Annotated[str | None, typer.Option(metavar="LINK", help="From --machine to --rest: pcie4 as a rule.")] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Instead of the recipe's epochs.")] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the weights and of the order of the data.")] = 0,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Runs, with seeds from --seed on.")] = 1,
    resume: Annotated[Path | None, typer.Option(metavar="FILE", help="Go on from this checkpoint.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Written at each validation (.safetensors).")
    ] = None,
    trace: Annotated[Path | None, typer.Option(metavar="FILE", help="Keep a recorded step (.npz), for run.")] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Accuracy against a step's time and energy (.pdf, .svg, .png).")
    ] = None,
    threads: Annotated[int, typer.Option(metavar="N", min=1, max=4096, help="Of torch's own kernels.")] = 1,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Keep the result (.json).")] = None,
    as_json: Json = False,
) -> None:
    """Train a network for real, its products computed as hardware computes them."""
    from siloom import api
    from siloom import train as training
    from siloom.sim.link import DEFAULT
    from siloom.sim.link import link as link_of
    from siloom.watch import watching

    training.require_torch()
    variants = list(itertools.product(arithmetic or ["fp32"], attention or ["exact"]))
    if (resume is not None or checkpoint is not None) and (len(variants) > 1 or seeds > 1):
        raise UsageError("train: --resume and --checkpoint are for one run: one arithmetic, one attention, one seed")
    if trace is not None and len(variants) > 1:
        raise UsageError("train: --trace keeps one step: name one arithmetic and one attention")
    if figure is not None and not machine:
        raise UsageError("train: --figure shows what a step takes on a machine: name one with --machine")
    if (rest is not None or link is not None) and not machine:
        raise UsageError("train: --rest and --link go with a machine that runs the step: name one with --machine")
    for path, allowed in (
        (checkpoint, (".safetensors",)),
        (trace, (".npz",)),
        (out, (".json",)),
    ):
        if path is not None:
            suffix(path, allowed)
            writable(path)
    drawable(figure)
    for text in [*(machine or []), *([rest] if rest else [])]:
        api.machine(text)  # a wrong name is told before the training, not behind it
    link_of(link or DEFAULT)
    with watching(f"training {recipe}") as watch:
        plans = [
            training.plans(
                range(seed, seed + seeds),
                recipe_text=recipe,
                arithmetic=way,
                attention=method,
                backward=backward,
                optimizer_text=optimizer,
                schedule_text=schedule,
                sparsity_text=sparsity,
                technique_texts=technique or (),
                steps=steps,
                threads=threads,
                loss_scale=loss_scale,
            )
            for way, method in variants
        ]

        def one(plan: Plan) -> dict[str, Any]:
            told = f"{plan.ways.text('forward')}, {plan.attention.name} attention, seed {plan.seed}"
            first = plan.seed == seed  # of several seeds one step is recorded: they differ in numbers alone
            return training.run(
                plan,
                resume=resume,
                checkpoint=checkpoint,
                watch=lambda text: watch(f"training {recipe}, {told}, {text}"),
                trace=trace if first else None,
                machines=machine or () if first else (),
                rest=rest,
                link=link,
            )

        rows = [[one(plan) for plan in of_one] for of_one in plans]
    documents = [runs[0] if seeds == 1 else training.together(runs) for runs in rows]
    made: Any = documents[0] if len(documents) == 1 else {"recipe": documents[0]["recipe"], "rows": documents}
    refused = [row for document in documents for row in document["refused"]]
    drawn = any(document["machines"] for document in documents)
    unwritten: Exception | None = None
    try:
        if out is not None:
            from siloom.reports.files import write_whole

            write_whole(out, (json.dumps(made, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())
        if figure is not None and drawn:
            from siloom.reports.training_figure import write_training_figure

            write_training_figure(documents, figure)
    except Exception as fault:
        unwritten = fault  # a full disk costs a file, not what was learned
    if as_json:
        print_json(made)
    else:
        from siloom.show_training import show_training

        show_training(documents)
    if unwritten is not None:
        raise unwritten
    if refused:
        reasons = list(dict.fromkeys(row["reason"] for row in refused))
        error = SiloomError("; ".join([*reasons, *([f"{figure} is not drawn"] if figure and not drawn else [])]))
        error.exit_code = refused[0]["exit_code"]
        raise error
