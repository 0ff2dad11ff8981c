"""Searches for what tests alone would miss: attacks, faults, mutants, parsers, the ledger beside its model."""
