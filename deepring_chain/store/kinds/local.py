"""Folders of this machine, and what is mounted there."""

from __future__ import annotations

from deepring_chain.store.kind import StoreKind

KIND = StoreKind(frozenset({"file", "local"}), is_local=True)
