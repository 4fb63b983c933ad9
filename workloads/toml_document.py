"""Reading a TOML file that anybody may have written: its size, its lines and its nesting are bounded."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from siloom.sim.errors import InputError
from siloom.workloads.bounds import place
from siloom.workloads.regular_file import regular_file_size

_MAX_BYTES = 1 << 20
_LONGEST_LINE = 4096


def toml_document(path: Path) -> tuple[str, dict[str, Any]]:
    """A file's text and what it says.

    Raises:
        InputError: absent, not a regular file, too large, not UTF-8, not TOML.
    """
    where = place(path)
    size = regular_file_size(path)
    if size > _MAX_BYTES:
        raise InputError(f"{where}: must be at most {_MAX_BYTES} bytes, got {size}")
    try:
        text = path.read_bytes().decode("utf-8")
        # Parsing time grows with the square of a key's length.
        for number, line in enumerate(text.split("\n"), start=1):
            if len(line) > _LONGEST_LINE:
                raise InputError(f"{where}: line {number}: must be at most {_LONGEST_LINE} characters, got {len(line)}")
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: must be UTF-8 text, got byte {error.start} of another kind") from None
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise InputError(f"{where}: is not TOML: {' '.join(str(error).split())[:200]}") from None
    except RecursionError:
        raise InputError(f"{where}: is not TOML that can be read: nested too deeply") from None
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror}") from None
