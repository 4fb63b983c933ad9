"""BERT-base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from siloom.workloads.families import bert
from siloom.workloads.model_settings import TextNetwork
from siloom.workloads.transformer import TextModel


@dataclass(frozen=True)
class BertBase(TextNetwork):
    """BERT-base: 12 layers, 768 wide, 12 heads, 109.5 M parameters with the pooler."""

    name: ClassVar[str] = "bert-base"
    summary: ClassVar[str] = "BERT-base: 12 layers, 768 wide, 12 heads, 109.5 M parameters with the pooler"
    source: ClassVar[str] = "Devlin et al., NAACL 2019, section 3; vocabulary of bert-base-uncased"
    model: ClassVar[TextModel] = bert(layers=12, hidden=768, heads=12, inner=3072)
