"""What the makers of operations share: the graph, the number format, and what is to be said afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import prod

from siloom.sim.errors import InputError
from siloom.sim.ops import FORMAT_BITS, Operation
from siloom.workloads.bounds import place
from siloom.workloads.onnx_graph import FLOATS, WHOLE, Graph, Node, Tensor


@dataclass
class Lowering:
    """One graph on its way; ``number_format`` ``auto`` keeps each tensor's own."""

    graph: Graph
    number_format: str
    notes: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def shape(self, node: Node, name: str) -> tuple[int, ...]:
        """Shape of one of the node's tensors (InputError where it is not known)."""
        return self.graph.shape(node, name)

    def elements(self, node: Node, name: str) -> int:
        """Product of that shape."""
        return prod(self.shape(node, name))

    def format(self, node: Node, *names: str) -> str:
        """The widest format of those of the node's tensors that are not scalars.

        Raises:
            InputError: none has a type that is modelled.
        """
        found = {self._own(name) for name in names if name and self._counts(name)} or {
            self._own(name) for name in names if name
        }
        found.discard("")
        if not found:
            raise InputError(f"{self.at(node)}: its operands' type is not modelled")
        return max(found, key=lambda form: (FORMAT_BITS[form], form))

    def at(self, node: Node) -> str:
        """Where an error is: file, node, operator."""
        return f"{self.graph.where}: {place(node.name)} ({place(node.title)})"

    def _counts(self, name: str) -> bool:
        return self.graph.tensors.get(name, Tensor(None, 0)).elements != 1

    def _own(self, name: str) -> str:
        kind = self.graph.tensors.get(name, Tensor(None, 0)).type
        if kind in FLOATS:
            return FLOATS[kind] if self.number_format == "auto" else self.number_format
        return WHOLE.get(kind, "")


Handler = Callable[[Lowering, Node], Iterable[Operation]]
"""Makes the operations of one node."""
