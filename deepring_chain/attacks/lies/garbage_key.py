"""Sends an envelope whose key does not open."""

from __future__ import annotations

import os

from deepring_chain.attacks.lie import LieKind
from deepring_chain.encoding import decode_fields, encode_fields
from deepring_chain.store.ports import BlobStore
from deepring_chain.types import Pointer


def _store(store: BlobStore, envelope: bytes) -> Pointer:
    wrapped_key, ciphertext = decode_fields(envelope, "envelope", [bytes, bytes])
    return store.put(encode_fields("envelope", [os.urandom(len(wrapped_key)), ciphertext]))


LIE = LieKind("garbage-key", store=_store)
