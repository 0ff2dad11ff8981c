"""The relay: hops on their way to the ledger, many in one transaction."""
