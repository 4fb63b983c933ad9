"""The optimizer's update of the weights, with the traffic of its state.

One fused pass over all parameters, elementwise. In mixed precision the gradients arrive in the
compute format and a copy of the new weights leaves in it, while weights and state are kept in the
master format: 2 + 2 + 12 bytes a parameter for AdamW, as Rajbhandari et al. count them (ZeRO, SC
2020, section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from siloom.sim.ops import Elementwise, Item, format_bytes


@dataclass(frozen=True)
class Rule:
    """``state`` numbers kept for each parameter, and operations for each update of one."""

    state: int
    flops_each: int


RULES: Mapping[str, Rule] = {
    # w -= r g
    "sgd": Rule(state=0, flops_each=2),
    # v = a v + g; w -= r v
    "momentum": Rule(state=1, flops_each=4),
    # v = a v + g; w -= r (g + a v)
    "nesterov": Rule(state=1, flops_each=6),
    # m = a m + (1-a) g (3); v = b v + (1-b) g^2 (4); m / (1-a^t) and v / (1-b^t) (2); root, + e, divide (3);
    # w -= r of it (2)
    "adam": Rule(state=2, flops_each=14),
    # the same, and w shrinks by a factor (1) first
    "adamw": Rule(state=2, flops_each=15),
}
"""Update rules by name: Polyak's and Nesterov's momentum, Adam (Kingma and Ba 2015), AdamW (Loshchilov and Hutter
2019)."""

NO_OPTIMIZER = "none"
OPTIMIZERS = (*RULES, NO_OPTIMIZER)


def resident_bytes(name: str, parameters: int, compute: str, master: str) -> int:
    """Bytes that weights, gradients and state of a training step take together, activations left out.

    16 bytes a parameter for AdamW in mixed precision (ZeRO, section 3.1).
    """
    state = RULES[name].state if name != NO_OPTIMIZER else 0
    copy = format_bytes(compute, parameters) if compute != master else 0
    return format_bytes(master, (1 + state) * parameters) + format_bytes(compute, parameters) + copy


def optimizer_items(name: str, parameters: int, compute: str, master: str) -> tuple[Item, ...]:
    """The update of ``parameters`` numbers.

    Where ``compute`` and ``master`` are one format: reads weights, gradients and state, writes
    weights and state. Where they differ, gradients and the copy of the weights are a second
    operation, in the compute format; it has no arithmetic of its own.

    Raises:
        InputError: more parameters than counters hold.
    """
    if name == NO_OPTIMIZER:
        return ()
    rule = RULES[name]
    mixed = compute != master
    kept = 1 + rule.state
    update = Elementwise(
        name="optimizer.update",
        elements=parameters,
        reads=kept if mixed else kept + 1,
        writes=kept,
        flops_each=rule.flops_each,
        function=name,
        format=master,
        state=True,
    )
    if not mixed:
        return (Item(update),)
    copy = Elementwise(
        name="optimizer.gradient_and_copy",
        elements=parameters,
        reads=1,
        writes=1,
        flops_each=0,
        function="cast",
        format=compute,
        state=True,
    )
    return (Item(update), Item(copy))
