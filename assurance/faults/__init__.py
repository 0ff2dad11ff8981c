"""Rings of processes in which things go wrong."""
