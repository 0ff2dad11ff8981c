"""Records as plain values and back: how a long audit's progress is kept in a file, without pickle.

A record is `[name, field, ...]`, so that one of several kinds can be told; mappings are lists of pairs, sets are
sorted. What kind each value must be is read from the type annotations; anything else is refused.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from deepring_chain.errors import ProtocolError

T = TypeVar("T")


def to_plain(value: object) -> Any:
    """Integers, texts, bytes, booleans, null and lists of them, for deterministic CBOR.

    Args:
        value: a record (dataclass), or what its fields may hold: numbers, texts, bytes, enumerations, tuples, lists,
            sets and mappings.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, *(to_plain(getattr(value, item.name)) for item in fields(value))]
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, dict):
        return [[to_plain(key), to_plain(item)] for key, item in value.items()]
    if isinstance(value, set | frozenset):
        return sorted(to_plain(item) for item in value)
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: type[T], plain: object) -> T:
    """Inverse of `to_plain`.

    Args:
        kind: the record's class.
        plain: what was made of it.

    Raises:
        ProtocolError: it is something else.
    """
    found: T = _read(kind, plain)
    return found


def base_of(kind: Any) -> Any:
    """Return the type that a NewType stands for in the end; any other type as it is."""
    while hasattr(kind, "__supertype__"):
        kind = kind.__supertype__
    return kind


def _read(kind: Any, plain: Any) -> Any:
    kind = base_of(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _read_union(arguments, plain)
    if origin is not None:
        return _read_collection(origin, arguments, _checked(list, plain))
    if is_dataclass(kind):
        return _read_record(kind, _checked(list, plain))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _read_member(kind, plain)
    return None if kind is type(None) and plain is None else _checked(kind, plain)


def _read_union(choices: tuple[Any, ...], plain: Any) -> Any:
    if plain is None and type(None) in choices:
        return None
    others = [choice for choice in choices if choice is not type(None)]
    if len(others) == 1:
        return _read(others[0], plain)
    name = _checked(list, plain)[:1]
    for choice in others:
        if [getattr(choice, "__name__", None)] == name:
            return _read(choice, plain)
    raise ProtocolError(f"a record of an unknown kind {str(name)[:40]}")


def _read_collection(origin: Any, arguments: tuple[Any, ...], plain: list[Any]) -> Any:
    if issubclass(origin, dict):
        pairs = [_checked(list, item) for item in plain]
        if any(len(pair) != 2 for pair in pairs):
            raise ProtocolError("a mapping with a pair that is none")
        key, value = arguments if len(arguments) == 2 else (arguments[0], int)
        return origin({_read(key, pair[0]): _read(value, pair[1]) for pair in pairs})
    if origin is tuple and (len(arguments) != 2 or arguments[1] is not Ellipsis):
        if len(plain) != len(arguments):
            raise ProtocolError(f"{len(plain)} values in place of {len(arguments)}")
        return tuple(_read(kind, item) for kind, item in zip(arguments, plain, strict=True))
    make: Callable[[Any], Any] = origin
    return make(_read(arguments[0], item) for item in plain)


def _read_record(kind: Any, plain: list[Any]) -> Any:
    names = [item.name for item in fields(kind)]
    if plain[:1] != [kind.__name__] or len(plain) != len(names) + 1:
        raise ProtocolError(f"a record that is no {kind.__name__}")
    hints = _hints(kind)
    return kind(**{name: _read(hints[name], item) for name, item in zip(names, plain[1:], strict=True)})


def _read_member(kind: type[Enum], plain: Any) -> Enum:
    if type(plain) is not str or plain not in kind.__members__:
        raise ProtocolError(f"{str(plain)[:40]} is no {kind.__name__}")
    return kind[plain]


@lru_cache(maxsize=64)
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _checked(kind: type, plain: Any) -> Any:
    if type(plain) is not kind:
        raise ProtocolError(f"{type(plain).__name__} in place of {kind.__name__}")
    return plain
