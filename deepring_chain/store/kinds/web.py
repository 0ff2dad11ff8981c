"""Web servers, which list nothing; fsspec calls a file missing whatever they answer, and if they do not answer."""

from __future__ import annotations

from deepring_chain.store.kind import StoreKind

KIND = StoreKind(frozenset({"http", "https"}), has_folders=False, tells_missing=False)
