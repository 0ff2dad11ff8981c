"""Following the ledger: what it tells, block by block, into a `LedgerState`."""
