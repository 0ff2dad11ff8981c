"""How the commands' tables look."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

RIGHT = frozenset(
    {"hop", "seat", "block", "gas", "waited", "open", "compute", "seal", "store", "post", "other", "turn"}
)
"""Columns of numbers."""


def new_table(title: str, *columns: str) -> Table:
    """A table without lines, its numbers on the right."""
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        collapse_padding=True,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in columns:
        table.add_column(name, justify="right" if name in RIGHT else "left", no_wrap=True)
    return table
