"""What the command prints with: results to standard output, progress and errors to standard error."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from deepring_chain.errors import DeepRingError

PIPE_WIDTH = 1_000_000
"""Columns when nobody looks at a terminal: a line that is read by a program is never cut or wrapped."""

RULE_WIDTH = 80

QUOTED = re.compile("`[^`]+`")
GLUE = "\0"
"""Stands for a space at which no line is broken; it is in no text that was made harmless."""

OUT = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
ERR = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else PIPE_WIDTH)


def print_step(text: str) -> None:
    """One line of progress."""
    _print(ERR, f"  {harmless(text)}")


def print_step_with_command(text: str, command: str) -> None:
    """One line of progress that ends in a command to copy, which gets a line of its own where both do not fit."""
    whole = f"  {text} {command}"
    lines = [whole] if len(whole) <= ERR.width else [*fold(f"  {text}", ERR.width).splitlines(), f"    {command}"]
    for line in lines:
        ERR.print(Text(harmless(line)), no_wrap=True, overflow="ignore", crop=False)


def print_error(text: str) -> None:
    """The one line that an error gets; it may quote others' words."""
    _print(ERR, f"error: {harmless(' '.join(text.split()))}", "bold red")


def print_line(text: str, style: str = "") -> None:
    """One line of a result, in which others' words cannot move the cursor or change its colors."""
    _print(OUT, harmless(text), style)


def print_rule(title: str) -> None:
    """A line across, with a title in it."""
    OUT.print(f" {title} ".center(min(OUT.width, RULE_WIDTH), "\u2500"), style="bold", markup=False)


def print_command(text: str) -> None:
    """A line with a command to copy: the terminal alone may wrap it."""
    OUT.print(Text(harmless(text)), no_wrap=True, overflow="ignore", crop=False)


def fold(text: str, width: int) -> str:
    """Break a line that is too long between words, never within one or within a `quoted command`."""
    if len(text) <= width:
        return text
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    glued = QUOTED.sub(lambda match: match[0].replace(" ", GLUE), text)
    lines = textwrap.fill(glued, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return lines.replace(GLUE, " ")


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(fold(text, console.width), style), no_wrap=True, overflow="ignore", crop=False)


@contextmanager
def errors_as_one_line() -> Iterator[None]:
    """Ends the program with one line and exit code 1 when the block raises an error on purpose."""
    try:
        yield
    except DeepRingError as error:
        print_error(str(error))
        sys.exit(1)


def harmless(text: str) -> str:
    """Replace what a terminal would obey."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def short(value: bytes | str, size: int = 8) -> str:
    """First hex digits of a digest or address, for tables."""
    text = value.removeprefix("0x") if isinstance(value, str) else value.hex()
    return text[:size]
