"""Strings for people, made of values that anybody may have put on the chain or into the store."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import datetime, timezone

from deepring_chain.types import Address

Names = Mapping[Address, str]
"""What the reader calls the ring's members."""

LONGEST_TEXT = 300
"""Characters of a foreign text that are shown; a worker's report is at most 256 bytes."""

LONGEST_NAME = 60

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean(text: str, limit: int = LONGEST_TEXT) -> str:
    """A foreign text on one line, cut, without characters that nobody sees or that turn the text around.

    HTML is not escaped here: the templates escape everything.
    """
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(" " if char in "\r\n\t" else "\N{REPLACEMENT CHARACTER}" if _hides(char) else char for char in cut)


def short(value: bytes | str, size: int = 8) -> str:
    """First hex digits of a digest or address, for tables."""
    text = value.removeprefix("0x") if isinstance(value, str) else value.hex()
    return text[:size]


def name_of(account: Address, names: Names, role: str = "") -> str:
    """What to call an account: its name, what it is here, or the beginning of its address."""
    return clean(names.get(account, ""), LONGEST_NAME) or role or short(account)


def utc(seconds: int, form: str = "%H:%M:%S") -> str:
    """A Unix time in UTC; the number itself where no calendar reaches."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime(form)
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def listed(words: list[str]) -> str:
    """Several words as a part of a sentence."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else "nobody"


def _hides(char: str) -> bool:
    return unicodedata.category(char) in _UNSAFE
