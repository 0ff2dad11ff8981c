"""Does nothing at its turn."""

from __future__ import annotations

from deepring_chain.attacks.lie import LieKind

LIE = LieKind("silence", is_silent=True)
