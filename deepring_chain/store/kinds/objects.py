"""Object stores: S3, Google's, Azure's, and fsspec's in memory."""

from __future__ import annotations

from deepring_chain.store.kind import StoreKind

KIND = StoreKind(
    frozenset({"memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"}), has_folders=False, puts_whole=True
)
