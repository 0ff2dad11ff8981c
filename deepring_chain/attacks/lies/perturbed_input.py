"""Computes on another input than it was sent (the paper's attack)."""

from __future__ import annotations

from deepring_chain.attacks.lie import LieKind, perturbed

LIE = LieKind("perturbed-input", receive=lambda received, _told: perturbed(received))
