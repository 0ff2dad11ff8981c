"""A pickle is a program: only those that make arrays of bytes are run, and none of numpy's functions with them."""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepring_chain.datasets import array_pickle
from deepring_chain.datasets.array_pickle import load_arrays
from deepring_chain.datasets.cifar import decode_batch
from deepring_chain.errors import ModelError
from tests.unit.datasets.data_files import number, pickled_array, pickled_batch, short_text

ROWS = np.arange(12, dtype=np.uint8).reshape(3, 4)


def test_array_and_plain_values_are_opened() -> None:
    found = load_arrays(b"\x80\x02}(" + short_text(b"a") + pickled_array(ROWS) + short_text(b"b") + b"]N(K\x05tu.")
    assert np.array_equal(found[b"a"], ROWS)
    assert found[b"b"] == []
    assert found[None] == (5,)


class Calls:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def dtype_pickle(name: bytes, state: bytes = b"") -> bytes:
    return b"cnumpy\ndtype\n" + short_text(name) + number(0) + number(1) + b"\x87R" + state


def array_with(state: bytes) -> bytes:
    start = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + number(0) + b"\x85"
    return start + short_text(b"b") + b"tR" + state + b"b."


U1 = dtype_pickle(b"u1")
RECONSTRUCT = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n("
ONE = b"(" + number(1) + number(1) + b"\x85"
BOMB_DEPTH = 60


def attacks(tmp: str) -> dict[str, bytes]:
    marker = f"{tmp}/owned"
    return {
        "os.system": b"\x80\x02cos\nsystem\n" + short_text(f"touch {marker}".encode()) + b"\x85R.",
        "posix.system": b"\x80\x02cposix\nsystem\n" + short_text(f"touch {marker}".encode()) + b"\x85R.",
        "eval": f"\x80\x02cbuiltins\neval\n(V__import__('os').mkdir('{marker}')\ntR.".encode("latin-1"),
        "protocol 0": f"cos\nsystem\n(S'touch {marker}'\ntR.".encode(),
        "inst": f"(S'touch {marker}'\nios\nsystem\n.".encode(),
        "obj": b"\x80\x02(cos\nsystem\n" + short_text(f"touch {marker}".encode()) + b"o.",
        "stack global": pickle.dumps(Calls(os.mkdir, marker), protocol=4),
        "reduce": pickle.dumps(Calls(os.mkdir, marker), protocol=2),
        "hidden behind an array": b"\x80\x02(" + pickled_array(ROWS) + f"cos\nmkdir\n(V{marker}\ntRt.".encode(),
        "dotted name": b"\x80\x02cnumpy\nndarray.tofile\n.",
        "name with a space": b"\x80\x02cnumpy ndarray\nx\n.",
        "name in three parts": b"\x80\x02cnumpy\nndarray dtype\n.",
        "numpy load": b"\x80\x02cnumpy\nload\n" + short_text(marker.encode()) + b"\x85R.",
        "extension": b"\x80\x02\x82\x01.",
        "persistent": b"\x80\x02Pabc\n.",
        "array called with a huge shape": b"\x80\x02cnumpy\nndarray\n" + number(2**31 - 1) * 3 + b"\x87R.",
        "array of strides": b"\x80\x02cnumpy\nndarray\n(" + number(9) + U1 + short_text(b"x") + number(0) + b"NtR.",
        "state of a class": b"\x80\x02cnumpy\nndarray\n}" + short_text(b"__len__") + b"Nsb.",
        "slots of a function": RECONSTRUCT + b"N}" + short_text(b"_name") + b"K\x01stb.",
        "state with a dictionary": array_with(b"}"),
        "state of objects": array_with(ONE + dtype_pickle(b"O8") + b"\x89]t"),
        "state of another type": array_with(
            b"(" + number(1) + number(1) + b"\x85" + short_text(b"u1") + b"\x89U\x01xt"
        ),
        "state too long": array_with(b"(" + number(1) + number(9) + b"\x85" + U1 + b"\x89" + short_text(b"x") + b"t"),
        "state negative": array_with(b"(" + number(1) + number(-1) + b"\x85" + U1 + b"\x89" + short_text(b"") + b"t"),
        "state huge": array_with(
            b"(" + number(1) + b"(" + number(2**31 - 1) * 4 + b"t" + U1 + b"\x89" + short_text(b"x") + b"t"
        ),
        "state in columns": array_with(ONE + U1 + b"\x88" + short_text(b"x") + b"t"),
        "state of a list": array_with(ONE + U1 + b"\x89](" + number(1) + b"et"),
        "array without contents": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(tR.",
        "deep tuples": b"\x80\x02N" + b"\x85" * 10**6 + b".",
        "tuples of themselves as a key": b"\x80\x02}N" + b"2\x86" * BOMB_DEPTH + b"Ns.",
        "tuples fetched again": b"\x80\x02N" + b"q\x01h\x01\x86" * BOMB_DEPTH + b".",
        "huge place in the memory": b"\x80\x02Nr\xff\xff\xff\x7f.",
        "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
        "huge frame": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.",
        "huge string": b"\x80\x02T" + struct.pack("<i", 2**31 - 1) + b"x.",
        "negative string": b"\x80\x02T" + struct.pack("<i", -1) + b"x.",
        "huge number": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
        "long decimal number": b"I" + b"9" * 10**6 + b"\n.",
        "nothing": b"",
        "no end": b"\x80\x02N",
        "end without a value": b"\x80\x02.",
        "no mark": b"\x80\x02t.",
        "other bytes": bytes(range(256)),
        "text": b"hello world",
    }


@pytest.mark.parametrize("kind", sorted(attacks("")))
def test_hostile_pickle_is_refused_and_does_nothing(tmp_path: Path, kind: str) -> None:
    data = attacks(str(tmp_path))[kind]
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"^[^\n]{1,200}$"):
            load_arrays(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert list(tmp_path.iterdir()) == []
    assert peak < 20 * 2**20


def test_named_attack_is_said(tmp_path: Path) -> None:
    found = attacks(str(tmp_path))
    for kind, message in (
        ("os.system", "it names 'os.system'; only arrays are opened"),
        ("stack global", "step FRAME at byte 2; only arrays are opened"),
        ("eval", "it names 'builtins.eval'"),
        ("state too long", r"an array of 1 bytes for the shape \(9,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            load_arrays(found[kind])


def test_too_many_steps_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"\x80\x02](" + b"K\x01" * 300 + b"e."
    assert load_arrays(data) == [1] * 300
    monkeypatch.setattr(array_pickle, "STEPS", {**array_pickle.STEPS, "BININT1": 299})
    with pytest.raises(ValueError, match="step BININT1 at byte 602"):
        load_arrays(data)


def test_memory_has_a_bound_of_its_own_that_the_original_files_keep() -> None:
    """CPython makes room for every place up to the one that is named: four bytes would take gigabytes."""
    most = 2 * array_pickle.MANY
    assert load_arrays(b"\x80\x02Nr" + struct.pack("<I", most) + b".") is None
    for place in (most + 1, 2**31 - 1, 2**32 - 1):
        with pytest.raises(ValueError, match=f"a memory of {place} places at byte 3; only arrays are opened"):
            load_arrays(b"\x80\x02Nr" + struct.pack("<I", place) + b".")


NAMED, CALLED, SET = "it names", "it calls", "it sets a state"
BEHIND = {
    "os.system": NAMED,
    "stack global": NAMED,
    "reduce": NAMED,
    "slots of a function": SET,
    "state of a class": SET,
    "state of objects": CALLED,
}


def test_second_filter_holds_without_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_pickle, "_check_steps", lambda _data: None)
    for kind, message in BEHIND.items():
        with pytest.raises(ValueError, match=f"^{message}"):
            load_arrays(attacks(str(tmp_path))[kind])
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- each check by itself, by its own words


def state(*parts: bytes) -> bytes:
    """An array whose state has these parts."""
    return array_with(b"(" + b"".join(parts) + b"t")


def shape(*sizes: int) -> bytes:
    return b"(" + b"".join(number(size) for size in sizes) + b"t"


VERSION, ROWS_FIRST, X = number(1), b"\x89", short_text(b"x")
STATE, ELEMENTS, SHAPE = (
    "an array of another state",
    "an array of something else than bytes in rows",
    "an array of no shape",
)
STATES = {
    "of four parts": (state(VERSION, shape(1), U1, ROWS_FIRST), STATE),
    "of six parts": (state(VERSION, shape(1), U1, ROWS_FIRST, X, X), STATE),
    "a dictionary": (array_with(b"}"), STATE),
    "a text of five": (array_with(short_text(b"abcde")), STATE),
    "of a named type": (state(VERSION, shape(1), short_text(b"u1"), ROWS_FIRST, X), ELEMENTS),
    "of a list": (state(VERSION, shape(1), U1, ROWS_FIRST, b"](" + number(1) + b"e"), ELEMENTS),
    "in order 0": (state(VERSION, shape(1), U1, number(0), X), ELEMENTS),
    "shape a list": (state(VERSION, b"](" + number(1) + b"e", U1, ROWS_FIRST, X), SHAPE),
    "nine dimensions": (state(VERSION, shape(*[1] * 9), U1, ROWS_FIRST, X), SHAPE),
    "a size that is a text": (state(VERSION, b"(" + short_text(b"") + b"t", U1, ROWS_FIRST, short_text(b"")), SHAPE),
    "two negative sizes": (state(VERSION, shape(-1, -1), U1, ROWS_FIRST, X), SHAPE),
    "too short": (state(VERSION, shape(2), U1, ROWS_FIRST, X), r"an array of 1 bytes for the shape \(2,\)"),
    "of objects": (state(VERSION, shape(1), dtype_pickle(b"O8"), ROWS_FIRST, X), "it calls dtype for something else"),
    "of no dtype": (
        b"\x80\x02cnumpy\nndarray\n" + short_text(b"u1") + b"\x85R.",
        "it calls ndarray for something else",
    ),
}


@pytest.mark.parametrize(("data", "message"), STATES.values(), ids=STATES)
def test_state_that_is_no_array_of_bytes_is_refused_for_its_own_reason(data: bytes, message: str) -> None:
    """Most would be refused further on, too; or, with one check less, would not."""
    with pytest.raises(ValueError, match=f"^{message}"):
        load_arrays(data)


@pytest.mark.parametrize("sizes", [(1,) * 8, (0,), (2, 0)], ids=str)
def test_eight_dimensions_and_empty_arrays_are_opened(sizes: tuple[int, ...]) -> None:
    contents = short_text(b"x" if all(sizes) else b"")
    assert load_arrays(state(VERSION, shape(*sizes), U1, ROWS_FIRST, contents)).shape == sizes


@pytest.mark.parametrize(("text", "told"), [("", "KeyError"), ("x" * 300, "x" * 200), ("a\n b", "a b")])
def test_error_is_one_line_of_a_bounded_length(monkeypatch: pytest.MonkeyPatch, text: str, told: str) -> None:
    def fail(_data: bytes) -> None:
        raise KeyError if not text else OSError(text)

    monkeypatch.setattr(array_pickle, "_check_steps", fail)
    with pytest.raises(ValueError, match=f"^{told}$"):
        load_arrays(b"")


def test_any_changed_byte_gives_arrays_or_one_error() -> None:
    images = np.arange(3072, dtype=np.uint64).astype(np.uint8).reshape(1, 32, 32, 3)
    data = pickled_batch(images, [3])
    head = data.index(images.transpose(0, 3, 1, 2).tobytes()[:20])
    places = [*range(head), *range(head + 3072, len(data))]
    for place in places:
        for flip in (0x01, 0x20, 0xFF):
            mixed = data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]
            try:
                found, labels = decode_batch(mixed, "file")
            except ModelError as error:
                assert str(error).startswith("file: "), place  # noqa: PT017
                continue
            assert (found.shape[1:], labels.shape) == ((32, 32, 3), found.shape[:1]), place
