"""Says that what the hop before sent was altered."""

from __future__ import annotations

from deepring_chain.attacks.lie import FalseComplaint, LieKind
from deepring_chain.types import ComplaintKind

LIE = LieKind("false-complaint", complain=FalseComplaint(ComplaintKind.ALTERED))
