"""Says that what the hop before sent does not open, and shows another key."""

from __future__ import annotations

import os

from deepring_chain.attacks.lie import FalseComplaint, LieKind
from deepring_chain.types import ComplaintKind

LIE = LieKind("complaint-without-key", complain=FalseComplaint(ComplaintKind.UNREADABLE, lambda: os.urandom(32)))
