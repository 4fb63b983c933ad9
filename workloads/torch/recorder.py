"""The recorder: every operation that torch dispatches, once, as operations of a workload."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from siloom.sim.errors import InputError
from siloom.sim.ops import Elementwise, Item, Reduce
from siloom.workloads.torch import lower_attention, lower_products
from siloom.workloads.torch.calls import Call
from siloom.workloads.torch.lower_elements import lower_elements
from siloom.workloads.torch.lower_sparse import SparseProducts
from siloom.workloads.torch.masked_weights import MaskedWeights
from siloom.workloads.torch.updates import Step
from siloom.workloads.torch.where import Place, Whereabouts

_LOWERINGS = {**lower_products.LOWERINGS, **lower_attention.LOWERINGS}


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees what is dispatched while :meth:`recording`.

    Of each operation one of three things is noted: the operations of a workload that it is, that it is free
    (:attr:`Call.free`), or that an optimizer's update stands for it. In an optimizer's step products remain operations
    of their own; all else is in the updates.
    """

    def __init__(self, model: nn.Module, masked: MaskedWeights, *, data: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.items: list[Item] = []
        self.dispatched: Counter[str] = Counter()
        self.free: Counter[str] = Counter()
        self.absorbed: Counter[str] = Counter()
        self.notes: dict[str, None] = {}
        self._state_bytes: dict[int, int] = {}
        self._where = Whereabouts(model)
        self._names = {id(value): name for name, value in model.named_parameters()}
        self._masked, self._sparse = masked, SparseProducts(masked)
        self._data = data
        self._steps: list[Step] = []

    @property
    def state_bytes(self) -> int:
        """What all optimizers keep."""
        return sum(self._state_bytes.values())

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what is dispatched within."""
        with ExitStack() as open_:
            open_.callback(register_optimizer_step_pre_hook(self._step_begins).remove)
            open_.callback(register_optimizer_step_post_hook(self._step_ends).remove)
            open_.enter_context(self._where.following())
            open_.enter_context(self)
            yield

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and note it."""
        place = self._where.now()
        result = func(*args, **(kwargs or {}))
        self._note(place, Call(func, args, kwargs or {}, result, place.label, place.phase == "backward", self._data))
        return result

    def _note(self, place: Place, call: Call) -> None:
        self.dispatched[call.full_name] += 1
        if call.free:
            self.free[call.full_name] += 1
            return
        self._masked.see(call)
        made, notes = self._lower(call)
        in_step = bool(self._steps) and place.phase == "optimizer"
        if in_step and all(isinstance(item.op, Elementwise | Reduce) for item in made):
            self.absorbed[call.full_name] += 1
            self._steps[-1].see(call, sum(item.op.flops * item.repeat for item in made))
            return
        self.items += made
        self.notes |= dict.fromkeys(notes)

    def _lower(self, call: Call) -> tuple[list[Item], list[str]]:
        """The operations, and what to say of them."""
        try:
            sparse = self._sparse.lower(call)
            if sparse is not None:
                return sparse
            if call.name in _LOWERINGS:
                return _LOWERINGS[call.name](call), []
            made, notes = lower_elements(call)
        except InputError as error:
            raise InputError(f"record: {call.label}: {error}") from None
        return [Item(op) for op in made], notes

    def _step_begins(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._steps.append(Step(optimizer))
        self._where.in_optimizer = True

    def _step_ends(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        step = self._steps.pop()
        self._where.in_optimizer = bool(self._steps)
        self.items += [Item(update) for update in step.updates(self._names)]
        self._state_bytes[id(optimizer)] = step.resident_bytes()
