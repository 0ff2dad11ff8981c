"""Commits to what is expected, and sends something else."""

from __future__ import annotations

from deepring_chain.attacks.lie import LieKind, perturbed

LIE = LieKind("echo", send=perturbed)
