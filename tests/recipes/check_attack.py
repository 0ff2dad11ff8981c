"""Run in a copy of the tests with `drifting_bias.py` in it: the catalogue finds, lists and runs the new attack."""

from __future__ import annotations

import subprocess
import sys

from assurance.adversary import catalogue
from tests.recipes.copied_package import is_copied


def said(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def main() -> None:
    assert is_copied(catalogue.__file__)
    row = "| Drifting bias | `tests/adversary/test_drifting_bias.py` | recorded, right blame | DR-10, DR-43 |"
    assert row not in catalogue.README.read_text()
    said("-m", "assurance.adversary", "--table")
    assert row in catalogue.README.read_text()
    said("-m", "pytest", "-n0", "tests/adversary/test_catalogue.py")
    told = said("-m", "assurance.adversary", "-n0", "-k", "drifting_bias")
    assert "in 1 attempts: 0 refused, 1 recorded, right blame, 0 not stopped" in told, told
    assert "0 violations" in told, told


if __name__ == "__main__":
    main()
