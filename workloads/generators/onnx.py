"""Any ONNX model, by the shapes of its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.sim.design import parameter
from siloom.sim.ops import FORMAT_BITS, Item
from siloom.workloads.generator import OperationGenerator, file_path, input_file, size


@dataclass(frozen=True)
class Onnx(OperationGenerator):
    """The model of ``file``, with sizes for the dimensions that it leaves free.

    A free dimension is given by ``dims=NAME:SIZE;NAME:SIZE`` (``INPUT.AXIS`` for one without a name), or by
    ``batch`` and ``seq`` where its name is one of the usual ones for these; a first axis without a name is
    the batch. ``format`` is that of all floating-point tensors; whole numbers keep theirs.
    """

    name: ClassVar[str] = "onnx"
    summary: ClassVar[str] = "an ONNX model by its shapes; needs siloom[onnx]"
    source: ClassVar[str] = "the ONNX operator schemas, opset 1 to 28"
    kinds: ClassVar[tuple[str, ...]] = ("conv", "matmul", "attention", "elementwise", "reduce")

    file: str = input_file()
    batch: int = size(0, "samples; 0: 1 where the model leaves it free", low=0)
    seq: int = size(0, "tokens; 0: as the model has it", low=0)
    dims: str = parameter("", unit="", source="chosen by the user: name:size;name:size", status="assumed")
    format: str = parameter(
        "auto", unit="", choices=("auto", *FORMAT_BITS), source="auto: as the model has it", status="assumed"
    )

    def build(self) -> tuple[tuple[Item, ...], dict[str, Any]]:
        """One or more operations for each node."""
        from siloom.workloads.onnx_dims import Dims, parse_dims
        from siloom.workloads.onnx_file import read_onnx
        from siloom.workloads.onnx_lower import lower

        path = file_path(self.name, "file", self.file)
        graph = read_onnx(path, Dims(self.batch, self.seq, parse_dims(self.name, self.dims)))
        items, about = lower(graph, self.format)
        return items, {"file": path.name, **about}
