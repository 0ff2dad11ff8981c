"""The ledger beside a model of it, in random calls."""
