"""The auditor: everything re-derived from blocks and blobs, without a key and without the actors' programs."""
