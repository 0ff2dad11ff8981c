"""Each module's constant is found, in the order of names; one without it, or two with one name, stop the import."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepring_chain.registry import constants_in, merged


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A package without modules, of a name that no other test uses."""
    name = f"registered_{abs(hash(request.node.name))}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_constants_come_in_the_order_of_the_modules_names(package: str, tmp_path: Path) -> None:
    for name in ("second", "first", "third"):
        (tmp_path / package / f"{name}.py").write_text(f"KIND = {name!r}")
    assert list(constants_in(package, [str(tmp_path / package)], "KIND")) == ["first", "second", "third"]


def test_module_without_its_constant_is_named(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "empty.py").write_text("")
    with pytest.raises(AttributeError, match=r"empty.* has no attribute 'KIND'"):
        list(constants_in(package, [str(tmp_path / package)], "KIND"))


def test_two_files_cannot_claim_one_key() -> None:
    assert dict(merged({"a": 1}, {"b": 2})) == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match="two files claim a, b; rename or remove one"):
        merged({"a": 1, "b": 2}, {"c": 3}, {"a": 1, "b": 4})
