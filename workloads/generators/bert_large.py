"""BERT-large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from siloom.workloads.families import bert
from siloom.workloads.model_settings import TextNetwork
from siloom.workloads.transformer import TextModel


@dataclass(frozen=True)
class BertLarge(TextNetwork):
    """BERT-large: 24 layers, 1024 wide, 16 heads, 335.1 M parameters with the pooler."""

    name: ClassVar[str] = "bert-large"
    summary: ClassVar[str] = "BERT-large: 24 layers, 1024 wide, 16 heads, 335.1 M parameters with the pooler"
    source: ClassVar[str] = "Devlin et al., NAACL 2019, section 3; vocabulary of bert-large-uncased"
    model: ClassVar[TextModel] = bert(layers=24, hidden=1024, heads=16, inner=4096)
