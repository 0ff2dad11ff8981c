"""A comparison for the tests of the encoding."""

from __future__ import annotations

from typing import Any


def same(left: Any, right: Any) -> bool:
    """Equal in types too: Python takes 1, 1.0 and True for equal."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and repr(left) == repr(right)
