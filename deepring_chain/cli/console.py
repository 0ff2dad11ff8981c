"""What the command prints with: results to standard output, progress and errors to standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from deepring_chain.errors import DeepRingError

PIPE_WIDTH = 120
"""Columns when nobody looks at a terminal."""

OUT = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
ERR = Console(stderr=True, highlight=False)


def print_step(text: str) -> None:
    """One line of progress."""
    ERR.print(f"  {text}", markup=False, soft_wrap=True)


def print_error(text: str) -> None:
    """The one line that an error gets; it may quote others' words."""
    ERR.print(f"error: {_harmless(' '.join(text.split()))}", markup=False, soft_wrap=True, style="bold red")


@contextmanager
def errors_as_one_line() -> Iterator[None]:
    """Ends the program with one line and exit code 1 when the block raises an error on purpose."""
    try:
        yield
    except DeepRingError as error:
        print_error(str(error))
        sys.exit(1)


def print_line(text: str) -> None:
    """One line of a result, in which others' words cannot move the cursor or change its colors."""
    OUT.print(_harmless(text), markup=False, soft_wrap=True)


def _harmless(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def short(value: bytes | str, size: int = 8) -> str:
    """First hex digits of a digest or address, for tables."""
    text = value.removeprefix("0x") if isinstance(value, str) else value.hex()
    return text[:size]
