"""The encoding at its bounds: the longest tag, and lengths that CBOR reserves."""

from __future__ import annotations

import pytest

from deepring_chain.encoding import decode, encode, tag
from deepring_chain.errors import ProtocolError


def test_longest_tag_has_32_bytes() -> None:
    assert tag("x" * 20) == b"deepring/v1/" + b"x" * 20
    with pytest.raises(ValueError, match="too long"):
        tag("x" * 21)


@pytest.mark.parametrize("low", [28, 29, 30, 31])
def test_reserved_length_is_refused_whatever_follows(low: int) -> None:
    for start in (low, 0x40 | low):
        with pytest.raises(ProtocolError, match="reserved or indefinite"):
            decode(bytes([start]) + bytes(300), "a value")


def test_number_beyond_64_bits_is_refused() -> None:
    with pytest.raises(ProtocolError):
        decode(encode(2**64), "a value")
