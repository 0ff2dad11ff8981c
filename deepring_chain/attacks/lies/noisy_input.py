"""Computes on its input with noise."""

from __future__ import annotations

from deepring_chain.attacks.input_noise import add_input_noise
from deepring_chain.attacks.lie import LieKind

LIE = LieKind("noisy-input", receive=lambda received, told: add_input_noise(received, told.steps, told.seed))
