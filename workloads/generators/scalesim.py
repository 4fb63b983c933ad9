"""The layers of a SCALE-Sim topology file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.sim.design import parameter
from siloom.sim.ops import FORMAT_BITS, Item
from siloom.workloads.generator import OperationGenerator, file_path, input_file


@dataclass(frozen=True)
class Scalesim(OperationGenerator):
    """GEMMs or convolutions, in the file's order; SCALE-Sim's words are bytes, hence the default format."""

    name: ClassVar[str] = "scalesim"
    summary: ClassVar[str] = "layers of a SCALE-Sim topology CSV: M, N, K or convolutions"
    source: ClassVar[str] = "Samajdar et al., ISPASS 2020, and the loaders of versions 2 and 3"
    kinds: ClassVar[tuple[str, ...]] = ("matmul", "conv")

    topology: str = input_file()
    format: str = parameter(
        "int8", unit="", choices=tuple(FORMAT_BITS), source="SCALE-Sim counts words of one byte", status="assumed"
    )
    depthwise: str = parameter(
        "scalesim",
        unit="",
        choices=("scalesim", "grouped"),
        source="DP layers: one-channel layers as in SCALE-Sim 2, or one grouped convolution",
        status="assumed",
    )

    def build(self) -> tuple[tuple[Item, ...], dict[str, Any]]:
        """One operation for each line."""
        from siloom.workloads.scalesim import read_topology

        path = file_path(self.name, "topology", self.topology)
        items, notes = read_topology(path, self.format, self.depthwise)
        return items, {"file": path.name, "notes": notes}
