"""Run slither on the ledger and hold its findings against those that docs/assurance-slither.md explains.

A finding of high, medium or low impact that the page does not explain is a failure, and so is a row of the page that
slither no longer finds: an explanation must not outlive what it explains.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "assurance-slither.md"
CONFIG = ROOT / "slither.config.json"
IMPACTS = ("High", "Medium", "Low")
COLUMNS = 4


class SlitherFailed(Exception):
    """Slither could not be run, or the page cannot be read."""


@dataclass(frozen=True, order=True)
class Finding:
    """What slither found, without line numbers, which move.

    Attributes:
        check: slither's detector.
        impact: its word for how bad it would be.
        place: `Contract.function`.
        text: the expression.
    """

    check: str
    impact: str
    place: str
    text: str


def main(arguments: list[str] | None = None) -> int:
    """Print all findings and say which are not explained; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--slither", default=str(ROOT / "build/slither/bin/slither"), help="the program")
    program = parser.parse_args(arguments).slither
    try:
        found, explained = run_slither(program), read_page(PAGE)
    except SlitherFailed as error:
        print(f"slither: {error}", file=sys.stderr)
        return 1
    return report(found, explained)


def run_slither(program: str) -> list[Finding]:
    """Give the findings of an impact that matters here.

    Raises:
        SlitherFailed: it does not run, or says that it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "findings.json"
        command = [program, "contracts/Ledger.sol", "--config-file", str(CONFIG), "--json", str(target)]
        # Slither asks for the compiler by the name in its configuration, relative to the repository.
        environment = {**os.environ, "PATH": f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}"}
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SlitherFailed(f"{program} does not run: {error}; `make slither` installs it") from error
        if not target.exists():
            raise SlitherFailed(f"no findings were written; it said: {done.stderr.strip()[-600:]}")
        return parse_findings(json.loads(target.read_text(encoding="utf-8")))


def parse_findings(output: dict[str, Any]) -> list[Finding]:
    """Read slither's JSON.

    Raises:
        SlitherFailed: it says that the analysis failed.
    """
    if not output["success"]:
        raise SlitherFailed(f"the analysis failed: {output['error']}")
    found = map(_finding, output["results"].get("detectors", []))
    return sorted({finding for finding in found if finding is not None})


def _finding(result: dict[str, Any]) -> Finding | None:
    if result["impact"] not in IMPACTS:
        return None
    named = {element["type"]: element for element in reversed(result["elements"])}
    node, variable = named.get("node"), named.get("variable")
    function = named.get("function") or (variable or {}).get("type_specific_fields", {}).get("parent")
    place = f"{function['type_specific_fields']['parent']['name']}.{function['name']}" if function else ""
    text = node["name"] if node else variable["name"] if variable else result["elements"][0]["name"]
    return Finding(result["check"], result["impact"], place, text)


def read_page(page: Path) -> dict[Finding, str]:
    """Read the page's table: check, impact, place with the expression, and why it does no harm.

    Raises:
        SlitherFailed: a row has no reason.
    """
    explained = {}
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != COLUMNS or cells[1] not in IMPACTS:
            continue
        place, _, text = cells[2].partition(": ")
        if not cells[3]:
            raise SlitherFailed(f"{page.name}: {cells[0]} at {place} has no reason")
        explained[Finding(cells[0], cells[1], place.strip("`"), text.strip("`"))] = cells[3]
    return explained


def report(found: list[Finding], explained: dict[Finding, str]) -> int:
    """Print the findings; 1 when one is not explained, or one is explained that is not there."""
    unexplained = [finding for finding in found if finding not in explained]
    gone = sorted(set(explained) - set(found))
    for finding in found:
        mark = "explained" if finding in explained else "NOT EXPLAINED"
        print(f"slither: {finding.impact.lower()}, {finding.check}, {finding.place}: {finding.text} ({mark})")
    for finding in gone:
        print(f"slither: {PAGE.name} explains {finding.check} at {finding.place}: {finding.text}, which is not found")
    counts = Counter(finding.impact for finding in found)
    totals = ", ".join(f"{counts[impact]} {impact.lower()}" for impact in IMPACTS)
    print(f"slither: {totals}; {len(unexplained)} not explained, {len(gone)} explained in vain")
    return 1 if unexplained or gone else 0


if __name__ == "__main__":
    sys.exit(main())
