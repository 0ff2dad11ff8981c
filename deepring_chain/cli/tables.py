"""How the commands' tables look: columns of text, without lines, never cut.

On a terminal that is too narrow, columns that matter less are left out, and a line says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from deepring_chain.cli.console import OUT, harmless, print_line

GAP = 2
"""Spaces between two columns."""

RIGHT = frozenset(
    {"hop", "seat", "block", "gas", "waited", "open", "compute", "seal", "store", "post", "other", "turn", "layer"}
    | {"nonce", "probability"}
)
"""Columns of numbers."""


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        columns: their names.
        rows: a text for each column.
        title: a line above.
        remarks: lines below.
        spare: columns to leave out where there is no room for all, the first ones first.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    remarks: Sequence[str] = ()
    spare: Sequence[str] = ()


def print_sheet(sheet: Sheet) -> None:
    """Print a table as wide as the terminal allows, and in full where there is none."""
    left_out = _left_out(sheet, OUT.width)
    shown = [index for index, name in enumerate(sheet.columns) if name not in left_out]
    if sheet.title:
        print_line("")
        print_line(sheet.title, "italic")
        print_line("")
    lines = [[str(row[index]) for index in shown] for row in (sheet.columns, *sheet.rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    names = [sheet.columns[index] for index in shown]
    head, *rows = [_line(cells, names, widths) for cells in lines]
    _print_row(head, "bold")
    _print_row("\u2500" * (sum(widths) + GAP * (len(widths) - 1)))
    for row in rows:
        _print_row(row)
    for remark in sheet.remarks:
        print_line(remark, "dim")
    if left_out:
        print_line(f"no room for: {', '.join(left_out)}; a wider window or a pipe shows all", "dim")


def _left_out(sheet: Sheet, room: int) -> list[str]:
    """The columns that there is no room for, as few as will do."""
    widths = {
        name: max(map(cell_len, (name, *(str(row[index]) for row in sheet.rows))))
        for index, name in enumerate(sheet.columns)
    }
    left_out: list[str] = []
    for name in sheet.spare:
        if sum(widths.values()) + GAP * (len(widths) - 1) <= room:
            break
        del widths[name]
        left_out.append(name)
    return left_out


def _line(cells: Sequence[str], names: Sequence[str], widths: Sequence[int]) -> str:
    padded = []
    for cell, name, width in zip(cells, names, widths, strict=True):
        space = " " * (width - cell_len(cell))
        padded.append(space + cell if name in RIGHT else cell + space)
    return (" " * GAP).join(padded).rstrip()


def _print_row(text: str, style: str = "") -> None:
    OUT.print(Text(harmless(text), style), no_wrap=True, overflow="ignore", crop=False)
