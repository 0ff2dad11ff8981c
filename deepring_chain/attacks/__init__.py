"""Attacks on one's own ring, for demonstrations, experiments and tests. The actors never import this package."""
