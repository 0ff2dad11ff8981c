"""Expects of the next hop what no layer gives."""

from __future__ import annotations

import os

from deepring_chain.attacks.lie import LieKind
from deepring_chain.types import Digest, OutputCommitment

LIE = LieKind("bogus-next", expect=lambda _true: OutputCommitment(Digest(os.urandom(32))))
