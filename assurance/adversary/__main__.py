"""`make adversary`: runs the whole catalogue and prints how its attacks ended; an error at the first violation."""

from __future__ import annotations

import sys
import time
from collections import Counter

import pytest

from assurance.adversary.catalogue import ELSEWHERE, README, attacks, readme
from assurance.adversary.outcomes import Outcome


class Tally:
    """Counts attempts by outcome; what the tests elsewhere show is in the catalogue, what those here show they say."""

    def __init__(self) -> None:
        self.attempts: Counter[str] = Counter()
        self.violations: list[str] = []
        self._elsewhere = {attack.tests: attack.outcome for attack in ELSEWHERE}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One attempt, or what went wrong around it."""
        if report.failed:
            self.violations.append(report.nodeid)
        elif report.when == "call" and report.passed:
            said = dict(report.user_properties).get("attack") or self._elsewhere.get(report.nodeid.partition("::")[0])
            if said is not None:
                self.attempts[str(said)] += 1


def main() -> int:
    """Runs all; returns the exit code."""
    if sys.argv[1:] == ["--table"]:
        README.write_text(readme())
        return 0
    tally, begun = Tally(), time.monotonic()
    paths = ["tests/adversary", *(attack.tests for attack in ELSEWHERE)]
    code = pytest.main(["-x", "-n", "2", "--dist", "loadscope", *sys.argv[1:], *paths], plugins=[tally])
    counts = ", ".join(f"{tally.attempts[outcome.value]} {outcome.value}" for outcome in Outcome)
    print(f"{len(list(attacks()))} attacks in {tally.attempts.total()} attempts: {counts}")
    for violation in tally.violations:
        print(f"violation: {violation}; repeat it with: .venv/bin/pytest -n0 '{violation}'")
    print(f"{len(tally.violations)} violations, {time.monotonic() - begun:.0f} s")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
