"""Errors a user can cause, each with the exit code that the command line answers with.

The message is one line that names the place (file, line, field), the rule and the value got.
Anything else that escapes is a defect of ours and ends with exit code 70.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SiloomError(Exception):
    """Base of every error that is the caller's to mend."""

    exit_code = 70


class CheckFailedError(SiloomError):
    """A check that was asked for did not hold (exit 1)."""

    exit_code = 1


class UsageError(SiloomError):
    """An unknown machine, workload, command or field name (exit 2)."""

    exit_code = 2


class InfeasibleError(SiloomError):
    """A design that cannot be built, or a machine that supports nothing asked of it (exit 3)."""

    exit_code = 3


class InputError(SiloomError):
    """An absent file, malformed data, or a value out of its range (exit 4)."""

    exit_code = 4


class MissingPartError(SiloomError):
    """An optional part is not installed; the message carries the install line (exit 5)."""

    exit_code = 5


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` - did you mean 'x'?`` for the nearest known word, else the list of known words."""
    known = sorted(known)
    return nearest(word, known) or (f"; known: {', '.join(known)}" if known else "")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `` - did you mean 'x'?`` for the nearest known word, or nothing."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" - did you mean '{close[0]}'?" if close else ""
