"""What the ledger tells of an attack on a query: was it found, when, and was anybody accused who is innocent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deepring_chain.protocol.events import (
    AuthenticityDerived,
    EnvelopeDisputed,
    Event,
    HopTimedOut,
    OutputDisputed,
    RestoreOrdered,
    RestoreReported,
    UpdatePosted,
    VerdictPosted,
)
from deepring_chain.types import Address, Hop


@dataclass(frozen=True)
class Attack:
    """An attack on one worker.

    Attributes:
        layer: that the worker serves, which is its hop, too.
        worker: its account.
        tensor: the tensor that was changed, such as "layer.3.weight"; None if only a computation's input was.
    """

    layer: int
    worker: Address
    tensor: str | None


@dataclass(frozen=True)
class SeenEvent:
    """An event of the ledger, and when it was seen (seconds of a monotonic clock)."""

    event: Event
    at: float


@dataclass(frozen=True)
class Findings:
    """What became of one query.

    Attributes:
        alarms: disputes, flags that went off and deadlines that passed, in order.
        detect_seconds: from the attack to the first alarm: from the change of a tensor, or from the moment that the
            layer's input was on the ledger. None without attack or alarm.
        restore_seconds: from the first alarm until the flag was on again after the restore, or until the layer's true
            output was accepted. None without attack or alarm, or if it never was.
        wrong_accusations: verdicts and restores that name somebody or something else than the attack did.
    """

    alarms: tuple[str, ...]
    detect_seconds: float | None
    restore_seconds: float | None
    wrong_accusations: tuple[str, ...]


def find(seen: Sequence[SeenEvent], attack: Attack | None, attacked_at: float) -> Findings:
    """Reads the events of one query, from its submission until the ring was ready for the next one.

    Args:
        seen: the events, oldest first.
        attack: what was done, if anything.
        attacked_at: when it was done, on the clock of `seen`.
    """
    alarms = [(entry.at, name) for entry in seen if (name := _alarm(entry.event))]
    names = tuple(name for _, name in alarms)
    wrong = tuple(_wrong_accusations(seen, attack))
    if attack is None or not alarms:
        return Findings(names, None, None, wrong)
    first = alarms[0][0]
    began = attacked_at if attack.tensor is not None else _input_posted(seen, attack, attacked_at)
    healed = _healed_at(seen, attack, first)
    return Findings(names, max(0.0, first - began), None if healed is None else healed - first, wrong)


def _alarm(event: Event) -> str | None:
    match event:
        case OutputDisputed():
            return "output disputed"
        case EnvelopeDisputed():
            return f"envelope disputed: {event.complaint.kind.name.lower()}"
        case AuthenticityDerived(is_authentic=False):
            return "authenticity off"
        case HopTimedOut():
            return "deadline passed"
    return None


def _input_posted(seen: Sequence[SeenEvent], attack: Attack, otherwise: float) -> float:
    before = Hop(attack.layer - 1)
    times = [
        entry.at for entry in seen if isinstance(entry.event, UpdatePosted) and entry.event.signed.update.hop == before
    ]
    return times[0] if times else otherwise


def _healed_at(seen: Sequence[SeenEvent], attack: Attack, alarm: float) -> float | None:
    later = [entry for entry in seen if entry.at >= alarm]
    if attack.tensor is None:
        return _accepted_at(later, attack)
    return _authentic_at(later)


def _accepted_at(later: Sequence[SeenEvent], attack: Attack) -> float | None:
    """When the attacked layer's output was accepted: the last time, for the false one was posted, too."""
    times = [
        entry.at
        for entry in later
        if isinstance(entry.event, UpdatePosted) and entry.event.signed.update.hop == attack.layer
    ]
    return times[-1] if times else None


def _authentic_at(later: Sequence[SeenEvent]) -> float | None:
    """When the flag was first on after the restore."""
    is_restored = False
    for entry in later:
        if isinstance(entry.event, RestoreReported):
            is_restored = True
        if is_restored and isinstance(entry.event, AuthenticityDerived) and entry.event.is_authentic:
            return entry.at
    return None


def _wrong_accusations(seen: Sequence[SeenEvent], attack: Attack | None) -> Iterable[str]:
    for entry in seen:
        match entry.event:
            case VerdictPosted(verdict=verdict):
                sides = ((verdict.sender_guilty, verdict.hop - 1), (verdict.receiver_guilty, verdict.hop))
                for hop in [hop for is_guilty, hop in sides if is_guilty]:
                    if attack is None or hop != attack.layer:
                        yield f"verdict against hop {hop}"
            case RestoreOrdered(worker=worker) if attack is None or worker != attack.worker:
                yield f"restore ordered of {worker}"
            case RestoreReported(changed=changed) if attack is None or changed != attack.tensor:
                yield f"restore reported of {changed}"
