"""Where the code says that it implements an equation of the paper, and where SPECIFICATION.md says so."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "SPECIFICATION.md"

ITEM = r"(?:eq\. \(\d+\)|\d+(?:\.\d+)+)"
TAG = re.compile(rf"\bImplements ({ITEM}(?:, {ITEM})*)")
FORM = re.compile(r"eq\. \(\d|\bImplements\b")
"""What looks like a tag: each one must be one, or a search for an equation would find other lines, too."""
DOCUMENTED = re.compile(r"((?:^ *///.*\n)+)^ *function (\w+)", re.MULTILINE)
VERIFIER = re.compile(r"^deepring_chain/(audit/|protocol/(verifier|audit_step))")
ROW = re.compile(r"^\| (\(\d+\)|\d[\d.]+), [^|]*((?:\|[^|\n]*){3})\|$", re.MULTILINE)
SIDES = ("contract", "actors", "verifier")


@dataclass(frozen=True)
class Implementation:
    """A place that implements an equation, or a section's rule that has no number.

    Attributes:
        equation: such as `eq. (13)` or `3.4.4`.
        side: whose code it is in: the contract's, the actors' or the verifier's.
        name: file and function, as in `validation.agrees`.
    """

    equation: str
    side: str
    name: str


def read_sources(root: Path = ROOT) -> dict[str, str]:
    """The text of each source file of the ledger and the package, by its path."""
    folders = (("contracts", "*.sol"), ("deepring_chain", "*.py"))
    paths = (path for folder, kind in folders for path in sorted((root / folder).rglob(kind)))
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    return {name: text for name, text in texts.items() if "/mocks/" not in name}


def implementations(path: str, text: str) -> list[Implementation]:
    """The places in one file whose documentation names an equation."""
    side = "contract" if path.endswith(".sol") else "verifier" if VERIFIER.match(path) else "actors"
    documented = DOCUMENTED.findall(text) if side == "contract" else _docstrings(ast.parse(text), "")
    return [
        Implementation(equation, side, f"{Path(path).stem}.{name}")
        for comment, name in documented
        for equations in TAG.findall(comment)
        for equation in equations.split(", ")
    ]


def read_table(text: str) -> list[Implementation]:
    """What the page's table says."""
    return [
        Implementation(f"eq. {number}" if number.startswith("(") else number, side, cell.strip("` "))
        for number, cells in ROW.findall(text)
        for side, cell in zip(SIDES, cells.split("|")[1:], strict=True)
        if cell.strip()
    ]


def comparisons(text: str, attribute: str) -> list[int]:
    """The lines that compare an attribute of this name by `==` or `!=`."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
        and any(isinstance(part, ast.Attribute) and part.attr == attribute for part in ast.walk(node))
    ]


def _docstrings(tree: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield ast.get_docstring(node) or "", prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from _docstrings(node, f"{prefix}{node.name}.")
