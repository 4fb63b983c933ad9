"""Record a training step: forward, backward and optimizer as one workload, to be run on any machine."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from siloom.sim.errors import InputError
from siloom.sim.ops import Workload
from siloom.workloads.torch.masked_weights import MaskedWeights
from siloom.workloads.torch.recorder import Recorder

Model = TypeVar("Model", bound=nn.Module)


def record(
    model: Model,
    step: Callable[[Model], object],
    *,
    shapes_only: bool = False,
    masks: Mapping[str, torch.Tensor] | None = None,
    name: str = "",
) -> Workload:
    """Run ``step(model)`` once and return all that torch dispatched as a workload.

    Every dispatched operation is in it once, named by module and pass (``layers.0.linear1 backward``), or is counted
    by its name in ``provenance["recording"]``: as ``free`` where it moves no elements (views, memory not filled), as
    ``absorbed`` where the optimizer's update stands for it. Attention carries its real q, k and v, masked weights
    their real pattern. Multiplies are those of the step; biases are added as products leave. What runs outside of
    modules, such as losses, is named ``step``.

    Args:
        model: the network; its memory does not matter with ``shapes_only``, where it may lie on the device ``meta``.
        step: what to record: any of forward, backward, optimizer. With ``shapes_only`` it is given a copy of the
            model without numbers, must make its optimizer from that copy, and cannot look at numbers.
        shapes_only: run under fake tensors: no memory is touched and nothing is computed. Machines whose time depends
            on numbers draw them.
        masks: parameter's name -> mask of its shape, where masked elements are held at zero by other means than
            ``torch.nn.utils.prune``.
        name: the workload's; the model's class by default.

    Raises:
        InputError: nothing was dispatched, a mask that does not fit, or operands that are not finite.
    """
    for parameter, mask in (masks or {}).items():
        known = dict(model.named_parameters())
        if parameter not in known or known[parameter].shape != mask.shape or mask.dim() < 2:
            raise InputError(f"record: masks[{parameter!r}] must be of a parameter's shape, of two axes or more")
    with _numbers_or_shapes(model, shapes_only) as chosen:
        masked = MaskedWeights(chosen, {} if shapes_only else masks or {})
        recorder = Recorder(chosen, masked, data=not shapes_only)
        with recorder.recording():
            step(chosen)
    if not recorder.dispatched:
        raise InputError("record: the step dispatched no operation")
    notes = list(recorder.notes)
    if shapes_only:
        notes.append("recorded by shapes: operands of machines whose time depends on them are drawn")
        if masks or masked.any:
            notes.append("weights are masked, but shapes say not where: their products are dense")
    count = sum(p.numel() for p in model.parameters())
    held = sum(p.numel() * p.element_size() * (2 if p.requires_grad else 1) for p in model.parameters())
    resident = held + recorder.state_bytes
    recording: dict[str, Any] = {
        "engine": f"torch {torch.__version__}",
        "operands": "generated" if shapes_only else "recorded",
        "dispatched": dict(recorder.dispatched),
        "free": dict(recorder.free),
        "absorbed": dict(recorder.absorbed),
        "parameters": count,
        "resident_bytes": resident,
    }
    about = {"recording": recording, "resident_bytes": resident, "notes": notes}
    return Workload(name or type(model).__name__, tuple(recorder.items), about)


@contextmanager
def _numbers_or_shapes(model: Model, shapes_only: bool) -> Iterator[Model]:
    """The model itself, or within fake tensors a copy that has shapes alone."""
    if not shapes_only:
        yield model
        return
    with FakeTensorMode(allow_non_fake_inputs=True):
        faked: dict[int, Any] = {}
        for parameter in model.parameters():
            empty = torch.empty_strided(parameter.shape, parameter.stride(), dtype=parameter.dtype, device="cpu")
            faked[id(parameter)] = nn.Parameter(empty, parameter.requires_grad)
        # Modules keep tensors that are neither: pruning, for one, the weights it has masked.
        kept = [value for module in model.modules() for value in vars(module).values()]
        for value in (*model.buffers(), *(value for value in kept if isinstance(value, torch.Tensor))):
            faked[id(value)] = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="cpu")
        yield copy.deepcopy(model, faked)
