"""The draws of the arranger and the tracker, under the name by which these import them."""

from __future__ import annotations

from deepring_chain.protocol.draws import ArrangementDraw, RestoreDraw

__all__ = ["ArrangementDraw", "RestoreDraw"]
