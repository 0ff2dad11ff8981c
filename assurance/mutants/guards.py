"""Which calls of a module guard something, and which only tell somebody."""

from __future__ import annotations

import ast
import re

TOLD = re.compile(r"^(LOG\.|OUT\.|print)|metrics\.")
"""Logs, the terminal and metrics: no entry of the ledger depends on them."""


def is_told(function: str) -> bool:
    """Whether a call's text is one that only tells somebody what happened."""
    return bool(TOLD.search(function))


def passing_guards(tree: ast.Module) -> dict[str, int]:
    """Functions that raise or give one parameter back as it is: name, and the parameter's number."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and any(isinstance(part, ast.Raise) for part in ast.walk(node)):
            returned = {_name(part.value) for part in ast.walk(node) if isinstance(part, ast.Return)}
            names = [argument.arg for argument in node.args.args]
            if len(returned) == 1 and (name := returned.pop()) in names:
                found[node.name] = names.index(name)
    return found


def passed_argument(call: ast.Call, number: int | None) -> ast.expr | None:
    """What such a function gives back, in a call of it."""
    return call.args[number] if number is not None and number < len(call.args) else None


def _name(value: ast.expr | None) -> str:
    return value.id if isinstance(value, ast.Name) else ""
