"""Text cut into the word pieces of a BERT, and these into sequences of one length.

The pieces are found by Hugging Face's ``tokenizers``, set up as BERT's: from the vocabulary and the few choices in a
checkpoint's ``tokenizer.json`` or, where there is none, from its ``vocab.txt`` (lower case, unless
``tokenizer_config.json`` says ``"do_lower_case": false``). Any other pipeline that a ``tokenizer.json`` may describe is
refused: the library would run its expressions, and it breaks down on some.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from siloom.sim.errors import InputError, MissingPartError, SiloomError
from siloom.workloads.bert_forward import Ids
from siloom.workloads.bounds import MAX_DIMENSION, place
from siloom.workloads.json_object import read_json_object
from siloom.workloads.regular_file import regular_file_size

_LARGEST_VOCABULARY = 16 << 20
_LONGEST_TEXT = 4 << 20
_CHOICES = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
"""Keys of a BertNormalizer, and the library's arguments; one that is null or absent is left to the library."""
_AT_ONCE = 1 << 16
"""Letters; a letter may become a token of 650 bytes while it is one."""


class WordPieces:
    """A checkpoint's way to cut text; ``where`` names its file in messages."""

    def __init__(self, where: str, tokenizer: Any) -> None:
        """Made by :func:`read_word_pieces`."""
        self.where = where
        self._tokenizer = tokenizer
        self.size: int = 1 + max(tokenizer.get_vocab().values(), default=-1)
        """One more than the largest number of a token."""
        self._first, self._last = (self._special(name) for name in ("[CLS]", "[SEP]"))

    def _special(self, name: str) -> int:
        number = self._tokenizer.token_to_id(name)
        if number is None:
            raise InputError(f"{self.where}: must have a token {name}, as BERT's have")
        return int(number)

    def chunks(self, where: str, text: str, seq: int, batch: int) -> Ids:
        """``batch`` sequences of ``seq`` tokens that follow one another in ``text``, [batch, seq].

        Each begins with [CLS] and ends with [SEP], which count. A text too short for one sequence of
        ``seq`` gives a shorter one, so that nothing need be padded.

        Raises:
            InputError: no token at all, or fewer sequences than are asked for; ``where`` names the text.
        """
        inner = seq - 2
        numbers = self._numbers(where, text, inner * batch)
        if not numbers:
            raise InputError(f"{where}: must hold text, got no token")
        if batch == 1:
            inner = min(inner, len(numbers))
        there = len(numbers) // inner
        if there < batch:
            raise InputError(
                f"{where}: batch must be at most its {max(1, there)} sequences of {seq} tokens, got {batch}"
            )
        out = np.empty((batch, inner + 2), np.int64)
        out[:, 0], out[:, -1] = self._first, self._last
        out[:, 1:-1] = np.reshape(numbers[: batch * inner], (batch, inner))
        return out

    def _numbers(self, where: str, text: str, enough: int) -> list[int]:
        """Numbers of the tokens without [CLS] and [SEP]; it stops once there are enough."""
        out: list[int] = []
        start = 0
        while start < len(text) and len(out) < enough:
            end = min(start + _AT_ONCE, len(text))
            if end < len(text):  # between two words; one longer than all this would be unknown anyway
                end = max(text.rfind(blank, start, end) for blank in " \n") + 1 or end
            try:
                out += self._tokenizer.encode(text[start:end], add_special_tokens=False).ids
            except Exception as error:  # the library raises no narrower one
                raise InputError(f"{self.where}: cannot cut {where} into tokens ({_said(error)})") from None
            start = end
        return out


def read_word_pieces(folder: Path) -> WordPieces:
    """The tokenizer of a checkpoint's folder.

    Raises:
        MissingPartError: the library is not installed.
        InputError: neither file is there, or it is not a BERT's.
    """
    try:
        from tokenizers.implementations import BertWordPieceTokenizer
    except ImportError:
        raise MissingPartError("running a checkpoint needs tokenizers: pip install 'siloom[minilm]'") from None

    names = [name for name in ("tokenizer.json", "vocab.txt") if (folder / name).exists()]
    if not names:
        raise InputError(f"{place(folder)}: must hold tokenizer.json or vocab.txt")
    path = folder / names[0]
    where = place(path)
    vocabulary: str | dict[str, int]
    if names[0] == "tokenizer.json":
        vocabulary, choices = _of_json(where, read_json_object(path, _LARGEST_VOCABULARY))
    else:
        if (size := regular_file_size(path)) > _LARGEST_VOCABULARY:
            raise InputError(f"{where}: must be at most {_LARGEST_VOCABULARY} bytes, got {size}")
        vocabulary, choices = str(path), {"lowercase": _lower_case(folder)}
    try:
        return WordPieces(where, BertWordPieceTokenizer(vocabulary, **choices))
    except SiloomError:
        raise
    except Exception as error:  # the library raises no narrower one
        raise InputError(f"{where}: is not a BERT's vocabulary ({_said(error)})") from None


def _of_json(where: str, document: dict[str, Any]) -> tuple[dict[str, int], dict[str, bool]]:
    """The vocabulary and the choices of a BERT's ``tokenizer.json``."""
    parts: dict[str, Any] = {}
    for key, kind in (("model", "WordPiece"), ("normalizer", "BertNormalizer"), ("pre_tokenizer", "BertPreTokenizer")):
        part = document.get(key)
        found = part.get("type") if isinstance(part, dict) else None
        if found != kind:
            raise InputError(f"{where}: {key} must be a {kind}, as BERT's is, got {place(repr(found)[:60])}")
        parts[key] = part
    vocabulary = parts["model"].get("vocab")
    if not isinstance(vocabulary, dict) or not all(
        type(number) is int and 0 <= number <= MAX_DIMENSION for number in vocabulary.values()
    ):
        raise InputError(f"{where}: model.vocab must give every word a whole number from 0")
    added_tokens = document.get("added_tokens") or []
    for added in added_tokens if isinstance(added_tokens, list) else [added_tokens]:
        word = added.get("content") if isinstance(added, dict) else added
        if not isinstance(word, str) or word not in vocabulary:
            raise InputError(f"{where}: added_tokens must be words of the vocabulary, got {place(repr(word)[:60])}")
    choices = {}
    for name in _CHOICES:
        value = parts["normalizer"].get(name)
        if value is not None:
            if not isinstance(value, bool):
                raise InputError(f"{where}: normalizer.{name} must be true or false, got {place(repr(value)[:60])}")
            choices[name] = value
    return vocabulary, choices


def _lower_case(folder: Path) -> bool:
    path = folder / "tokenizer_config.json"
    if not path.exists():
        return True
    value = read_json_object(path).get("do_lower_case", True)
    if not isinstance(value, bool):
        raise InputError(f"{place(path)}: do_lower_case must be true or false, got {place(repr(value)[:60])}")
    return value


def _said(error: Exception) -> str:
    return place(" ".join(str(error).split())[:160])


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        InputError: absent, empty, too long, or not UTF-8.
    """
    where = place(path)
    size = regular_file_size(path)
    if size > _LONGEST_TEXT:
        raise InputError(f"{where}: must be at most {_LONGEST_TEXT} bytes of text, got {size}")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: must be UTF-8 text, got byte {error.start} of another kind") from None
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror}") from None
