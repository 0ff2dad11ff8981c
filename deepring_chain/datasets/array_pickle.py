"""Opens pickles of plain values and uint8 arrays as Python 2 wrote them, and nothing else.

A pickle is a program: it may name any function and have it called, set attributes, or ask for huge memory in a few
bytes. Here the program is read first (`pickletools`), with few kinds of steps and few of the powerful ones, and what
names a part of numpy gets a stand-in of ours: no function of numpy, or of anything else, is called by a pickle.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections import Counter
from collections.abc import Mapping
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np

MANY = 200_000
"""Most steps of one kind; an original file of CIFAR-10 takes 10,008 of the most common."""

STEPS: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("PROTO", "STOP", "EMPTY_DICT"), 1),
        **dict.fromkeys(("GLOBAL", "REDUCE", "BUILD", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST"), 8),
        **dict.fromkeys(("MARK", "APPENDS", "SETITEMS", "NONE", "NEWFALSE"), 1000),
        **dict.fromkeys(("BININT", "BININT1", "BININT2", "BINSTRING", "SHORT_BINSTRING"), MANY),
        **dict.fromkeys(("BINPUT", "LONG_BINPUT"), MANY),
    }
)
"""Steps that may be taken, and how often. None fetches a value again, so nothing is larger than the file."""

NAMES = (("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype"))
"""All that the original files name."""


def load_arrays(data: bytes) -> Any:
    """The value in a pickle.

    Args:
        data: untrusted bytes; time and memory stay in proportion to their length.

    Returns:
        Dictionaries, lists, tuples, integers, bytes and uint8 arrays.

    Raises:
        ValueError: no pickle, or one that takes other steps or names anything but arrays; one line says which.
    """
    try:
        _check_steps(data)
        return _unwrap(_ArraysOnly(io.BytesIO(data), encoding="bytes").load())
    except Exception as error:  # noqa: BLE001 - a damaged pickle can raise anything
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from None


def _check_steps(data: bytes) -> None:
    taken: Counter[str] = Counter()
    for step, argument, place in pickletools.genops(data):
        taken[step.name] += 1
        if taken[step.name] > STEPS.get(step.name, 0):
            raise pickle.UnpicklingError(f"step {step.name} at byte {place}; only arrays are opened")
        if step.name == "GLOBAL" and tuple(str(argument).split(" ")) not in NAMES:
            raise pickle.UnpicklingError(f"it names {str(argument).replace(' ', '.')!r:.100}; only arrays are opened")
        if step.name == "LONG_BINPUT" and int(argument or 0) > 2 * MANY:
            raise pickle.UnpicklingError(f"a memory of {argument} places at byte {place}; only arrays are opened")


class _ArraysOnly(pickle.Unpickler):
    """Gives stand-ins for the three names that make an array."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in NAMES:
            raise pickle.UnpicklingError(f"it names {module}.{name}; only arrays are opened")
        return _Named(name)


class _Named:
    """Stands for a name in a pickle. It has no attribute that a pickle could set."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *arguments: object) -> _Array | _Bytes:
        if self._name == "dtype" and arguments[:1] in ((b"u1",), ("u1",)):
            return _Bytes()
        if self._name == "_reconstruct":
            return _Array()
        raise pickle.UnpicklingError(f"it calls {self._name} for something else than an array of bytes")

    def __setstate__(self, _state: object) -> None:
        raise pickle.UnpicklingError(f"it sets a state of {self._name}")


class _Bytes:
    """Stands for the type uint8, whatever state a pickle gives it."""

    __slots__ = ()

    def __setstate__(self, _state: object) -> None:
        """A pickle says the byte order here; bytes have none."""


class _Array:
    """Stands for an array until its contents are known."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: np.ndarray[Any, np.dtype[np.uint8]] | None = None

    def __setstate__(self, state: object) -> None:
        """Takes the version, shape, type, order and contents that `ndarray.__reduce__` writes."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("an array of another state")
        _, shape, dtype, fortran_order, contents = state
        if type(dtype) is not _Bytes or type(contents) is not bytes or fortran_order is not False:
            raise pickle.UnpicklingError("an array of something else than bytes in rows")
        if type(shape) is not tuple or len(shape) > 8 or any(type(size) is not int or size < 0 for size in shape):
            raise pickle.UnpicklingError("an array of no shape")
        if prod(shape) != len(contents):
            raise pickle.UnpicklingError(f"an array of {len(contents)} bytes for the shape {shape}")
        self.value = np.frombuffer(contents, np.uint8).reshape(shape)


def _unwrap(value: Any) -> Any:
    """Puts the arrays in the place of their stand-ins: the value itself, or in a dictionary's values."""
    if isinstance(value, dict):
        return {key: _unwrap(held) if type(held) is _Array else held for key, held in value.items()}
    if type(value) is _Array:
        if value.value is None:
            raise pickle.UnpicklingError("an array without contents")
        return value.value
    return value
