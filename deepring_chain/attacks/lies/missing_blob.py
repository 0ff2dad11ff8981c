"""Points to an envelope that it does not store."""

from __future__ import annotations

from deepring_chain.attacks.lie import LieKind
from deepring_chain.crypto.digest import sha256
from deepring_chain.types import Pointer

LIE = LieKind("missing-blob", store=lambda _store, envelope: Pointer(sha256(envelope)))
