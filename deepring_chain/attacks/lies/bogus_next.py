"""Expects of the next hop what no layer gives."""

from __future__ import annotations

import os

from deepring_chain.attacks.lie import LieKind
from deepring_chain.types import Digest

LIE = LieKind("bogus-next", expect=lambda _true: Digest(os.urandom(32)))
