"""Attention of a BERT of the user's on a text of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from siloom.workloads.generator import file_path, input_file
from siloom.workloads.text_attention import TextAttention


@dataclass(frozen=True)
class Bert(TextAttention):
    """A checkpoint's folder: ``config.json``, ``model.safetensors``, and ``tokenizer.json`` or ``vocab.txt``."""

    name: ClassVar[str] = "bert"
    summary: ClassVar[str] = "attention with real operands: a BERT checkpoint run on a text; needs siloom[minilm]"
    source: ClassVar[str] = "Devlin et al., NAACL 2019; the folder as Hugging Face saves one"

    checkpoint: str = input_file()

    def folder(self) -> Path:
        """What ``checkpoint`` names."""
        return file_path(self.name, "checkpoint", self.checkpoint)
