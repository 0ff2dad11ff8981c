"""Hashes, signatures, sealing and key files: thin layers over well-kept libraries."""
