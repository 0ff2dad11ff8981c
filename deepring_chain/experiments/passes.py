"""A whole test set through a running ring, batch by batch, with an attack at every k-th query or without any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepring_chain.experiments.lab_ring import Answered, LiveAttack, RingSettings, running_lab_ring
from deepring_chain.experiments.results import Json
from deepring_chain.experiments.statistics import summarize, wilson_interval
from deepring_chain.experiments.subject import Subject, cut, read_logits

Progress = Callable[[str, int, int], None]
"""Told what is done, how much of it, and how much there is."""


@dataclass(frozen=True)
class QueryRecord:
    """One query of a pass.

    Attributes:
        images: how many it asked.
        attacked: whether there was an attack.
        differing: images whose prediction is not the unattacked integer model's.
        differing_logits: images with any other logit than the unattacked integer model's.
        right: images whose prediction is their label.
        answer_seconds, settle_seconds, gas, transactions: see `Answered`.
        alarms, detect_seconds, restore_seconds, wrong_accusations: see `Findings`.
    """

    images: int
    attacked: bool
    differing: int
    differing_logits: int
    right: int
    answer_seconds: float
    settle_seconds: float
    gas: int
    transactions: int
    alarms: tuple[str, ...]
    detect_seconds: float | None
    restore_seconds: float | None
    wrong_accusations: tuple[str, ...]

    def as_json(self) -> Json:
        """For the results' file; times to the millisecond."""
        return {name: _rounded(value) for name, value in vars(self).items()}


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 3)
    return list(value) if isinstance(value, tuple) else value


def record(answer: Answered, expected: NDArray[np.int32], labels: NDArray[np.uint8], *, attacked: bool) -> QueryRecord:
    """Holds an answer against what the unattacked integer model says.

    Args:
        answer: of the ring.
        expected: its logits, int32 [N, classes].
        labels: uint8 [N].
        attacked: whether there was an attack.
    """
    logits, found = read_logits(answer.output), answer.findings
    predictions = logits.argmax(1)
    return QueryRecord(
        images=len(labels),
        attacked=attacked,
        differing=int((predictions != expected.argmax(1)).sum()),
        differing_logits=int((logits != expected).any(axis=1).sum()),
        right=int((predictions == labels).sum()),
        answer_seconds=answer.answer_seconds,
        settle_seconds=answer.settle_seconds,
        gas=answer.gas,
        transactions=answer.transactions,
        alarms=found.alarms,
        detect_seconds=found.detect_seconds,
        restore_seconds=found.restore_seconds,
        wrong_accusations=found.wrong_accusations,
    )


@dataclass(frozen=True)
class PassSettings:
    """How a test set goes through a ring.

    Attributes:
        batch: images per query.
        every: an attack at every so many queries, beginning with the first.
        ring: how it runs.
    """

    batch: int = 500
    every: int = 2
    ring: RingSettings = field(default_factory=RingSettings)


def run_pass(
    subject: Subject,
    expected: NDArray[np.int32],
    strike: Callable[[int], LiveAttack] | None,
    settings: PassSettings,
    place: Path,
    on_progress: Callable[[int, int], None],
) -> Json:
    """Asks all test images.

    Args:
        subject: network and images.
        expected: the unattacked integer model's logits for all of them.
        strike: makes the attack on the query of that number; None for none at all.
        settings: how.
        place: for the ring's folder.
        on_progress: told images done and to do.
    """
    records: list[QueryRecord] = []
    done, labels = 0, subject.test.labels
    with running_lab_ring(place, subject.model, settings.ring) as ring:
        for number, part in enumerate(cut(subject.test.images, settings.batch)):
            attack = strike(number) if strike is not None and number % settings.every == 0 else None
            answer = ring.ask(part, attack)
            span = slice(done, done + len(part))
            records.append(record(answer, expected[span], labels[span], attacked=attack is not None))
            done += len(part)
            on_progress(done, len(labels))
        node = ring.node
    log = [entry.as_json() for entry in records]
    return {"settings": asdict(settings), **summarize_pass(records), "node": node, "queries": log}


def summarize_pass(records: Sequence[QueryRecord]) -> Json:
    """What the tables show of a pass."""
    attacked, quiet = ([entry for entry in records if entry.attacked is wanted] for wanted in (True, False))
    images = sum(entry.images for entry in records)
    detected = sum(bool(entry.alarms) for entry in attacked)
    return {
        "images": images,
        "asked": len(records),
        "accuracy": sum(entry.right for entry in records) / images,
        "differing_predictions": sum(entry.differing for entry in records),
        "differing_logits": sum(entry.differing_logits for entry in records),
        "attacks": len(attacked),
        "detected": detected,
        "detection_interval": wilson_interval(detected, len(attacked)) if attacked else None,
        "restored": sum(entry.restore_seconds is not None for entry in attacked),
        "false_alarms": sum(bool(entry.alarms) for entry in quiet),
        "quiet_queries": len(quiet),
        "wrong_accusations": sum(len(entry.wrong_accusations) for entry in records),
        "detect_seconds": summarize([e.detect_seconds for e in attacked if e.detect_seconds is not None]),
        "restore_seconds": summarize([e.restore_seconds for e in attacked if e.restore_seconds is not None]),
        "answer_seconds": _by_kind(attacked, quiet, lambda entry: entry.answer_seconds),
        "gas": sum(entry.gas for entry in records),
        "gas_per_query": _by_kind(attacked, quiet, lambda entry: entry.gas),
    }


def _by_kind(
    attacked: Sequence[QueryRecord], quiet: Sequence[QueryRecord], value: Callable[[QueryRecord], float]
) -> Json:
    return {
        "attacked": summarize([value(entry) for entry in attacked]),
        "quiet": summarize([value(entry) for entry in quiet]),
    }
