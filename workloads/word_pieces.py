"""Text cut into the word pieces of a BERT, and these into sequences of one length.

The pieces are found by Hugging Face's ``tokenizers``, from a checkpoint's ``tokenizer.json`` or, where there is none,
its ``vocab.txt`` (lower case, unless ``tokenizer_config.json`` says ``"do_lower_case": false``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from siloom.sim.errors import InputError, MissingPartError, SiloomError
from siloom.workloads.bert_forward import Ids
from siloom.workloads.bounds import place
from siloom.workloads.json_object import read_json_object
from siloom.workloads.regular_file import regular_file_size

_LARGEST_VOCABULARY = 64 << 20
_LONGEST_TEXT = 4 << 20
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
        from tokenizers import Tokenizer
        from tokenizers.implementations import BertWordPieceTokenizer
        from tokenizers.models import WordPiece
    except ImportError:
        raise MissingPartError("running a checkpoint needs tokenizers: pip install 'siloom[minilm]'") from None

    names = [name for name in ("tokenizer.json", "vocab.txt") if (folder / name).exists()]
    if not names:
        raise InputError(f"{place(folder)}: must hold tokenizer.json or vocab.txt")
    path = folder / names[0]
    where = place(path)
    size = regular_file_size(path)
    if size > _LARGEST_VOCABULARY:
        raise InputError(f"{where}: must be at most {_LARGEST_VOCABULARY} bytes, got {size}")
    try:
        if names[0] == "vocab.txt":
            return WordPieces(where, BertWordPieceTokenizer(str(path), lowercase=_lower_case(folder)))
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        kind = type(tokenizer.model)
    except SiloomError:
        raise
    except Exception as error:  # the library raises no narrower one
        raise InputError(f"{where}: is not a sound tokenizer ({_said(error)})") from None
    if kind is not WordPiece:
        raise InputError(f"{where}: model must be WordPiece, got {kind.__name__}")
    return WordPieces(where, tokenizer)


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
