"""The survivors that docs/assurance-mutants.md explains."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "assurance-mutants.md"


def read_explained(page: Path) -> dict[str, str]:
    """The page's list: `- `name`: why no test can notice`, one line each.

    Raises:
        ValueError: a line has no reason.
    """
    explained = {}
    for line in page.read_text(encoding="utf-8").splitlines():
        if not line.startswith("- `"):
            continue
        name, _, reason = line[3:].rpartition("`: ")
        if not name or not reason.strip():
            raise ValueError(f"{page.name}: no reason is given in: {line}")
        explained[name] = reason
    return explained
