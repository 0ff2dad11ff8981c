"""Checks taken out in turn: a test must fail for each."""
