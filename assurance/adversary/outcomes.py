"""How an attack ends; every test of the catalogue says which of the three it shows."""

from __future__ import annotations

from enum import Enum

import pytest


class Outcome(Enum):
    """What the attacker gets."""

    REFUSED = "refused"
    BLAMED = "recorded, right blame"
    NOT_STOPPED = "not stopped, documented"


refused = pytest.mark.attack(Outcome.REFUSED)
"""Nothing comes of it: nobody believes it, or it is put right, and no honest actor is blamed."""

blamed = pytest.mark.attack(Outcome.BLAMED)
"""It is on the record, and whoever did it, and nobody else, is named there."""


def not_stopped(paragraph: str) -> pytest.MarkDecorator:
    """The attack works; the paragraph of SECURITY.md that begins with these words says so, and why."""
    return pytest.mark.attack(Outcome.NOT_STOPPED, paragraph)
