"""Packages that list themselves: each file says in one constant what it adds, and nothing else has to name it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def constants_in(package: str, places: Sequence[str], constant: str) -> Iterator[Any]:
    """The constant of that name of each module, in the order of the modules' names.

    Args:
        package: its name, such as `deepring_chain.store.kinds`.
        places: its `__path__`.
        constant: what each module must have.
    """
    for name in sorted(module.name for module in iter_modules(places)):
        yield getattr(import_module(f"{package}.{name}"), constant)


def merged(*tables: Mapping[_Key, _Value]) -> Mapping[_Key, _Value]:
    """One table of several.

    Raises:
        ValueError: two of them have an entry under one key.
    """
    found: dict[_Key, _Value] = {}
    for table in tables:
        twice = [str(key) for key in table if key in found]
        if twice:
            raise ValueError(f"two files claim {', '.join(twice)}; rename or remove one")
        found |= table
    return MappingProxyType(found)
