"""Orders to a lab worker are taken once, and unreadable ones are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepring_chain.attacks.orders import ORDER_FILE, LabOrder, Lie, give_order, take_order
from deepring_chain.errors import ConfigError


@pytest.mark.parametrize("lie", list(Lie), ids=lambda lie: lie.value)
def test_order_is_taken_as_it_was_given_and_only_once(tmp_path: Path, lie: Lie) -> None:
    given = LabOrder(lie, "layer.3.weight", 77)
    give_order(tmp_path, given)
    assert take_order(tmp_path) == given
    assert take_order(tmp_path) is None


def test_later_order_replaces_one_that_was_not_taken(tmp_path: Path) -> None:
    give_order(tmp_path, LabOrder(Lie.ECHO))
    give_order(tmp_path, LabOrder(Lie.SILENCE))
    assert take_order(tmp_path) == LabOrder(Lie.SILENCE)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "nonsense", "{}", '{"lie": "fly", "tensor": "", "bit": 0}', '{"lie": "echo", "tensor": "", "bit": "x"}'],
)
def test_unreadable_order_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / ORDER_FILE).write_text(text)
    with pytest.raises(ConfigError, match="no readable order") as refusal:
        take_order(tmp_path)
    assert len(str(refusal.value).splitlines()) == 1
