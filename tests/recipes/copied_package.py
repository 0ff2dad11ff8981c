"""A copy of a package with one file more, in which a program runs: so a recipe that needs a second file fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECIPES = Path(__file__).parent
BESIDE = ("node_modules", "pyproject.toml", "SPECIFICATION.md", "SECURITY.md")
"""What the copied code looks for in the folder above it."""


def run_with(folder: Path, recipe: str, place: str, check: str, copied: tuple[str, ...] = ("deepring_chain",)) -> None:
    """Runs `tests.recipes.<check>` where `recipe` of this folder stands as `place`, a file that was not there.

    Raises:
        AssertionError: it fails; with what it printed.
    """
    for package in copied:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("corpus"))
    for name in BESIDE:
        (folder / name).symlink_to(ROOT / name)
    new = folder / place
    assert not new.exists(), f"{place} is there already"
    assert new.parent.is_dir(), f"no folder for {place}"
    shutil.copy(RECIPES / recipe, new)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}
    command = [sys.executable, "-m", f"tests.recipes.{check}"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def is_copied(module_file: str | None) -> bool:
    """Whether a module comes from the copy in which this program runs."""
    return module_file is not None and Path(module_file).resolve().is_relative_to(Path.cwd().resolve())
