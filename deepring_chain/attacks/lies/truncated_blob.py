"""Stores half of an envelope, and points to that."""

from __future__ import annotations

from deepring_chain.attacks.lie import LieKind

LIE = LieKind("truncated-blob", store=lambda store, envelope: store.put(envelope[: len(envelope) // 2]))
