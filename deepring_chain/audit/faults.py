"""Faults that an audit collects while it reads on: each spoils one blob or one verdict, and nothing after it.

What follows from the events alone is the trail's own logic, and its first fault ends the audit: nothing after it can be
derived. Whether a blob can be read changes nothing of what follows, and anybody with write access to the store can make
one unreadable: that must not keep later queries from being audited.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from deepring_chain.protocol.audit_step import AuditFailure, Place

MAX_FAULTS = 1000
"""So many of each field are kept: memory must not grow with a store that is damaged all over.

Of each field, since who plants a thousand faults of one shall not hide those of another.
"""


@dataclass(frozen=True)
class Fault:
    """An `AuditFailure` as a record, which a progress file can hold."""

    subject: str
    field: str
    expected: str
    found: str
    place: Place

    @classmethod
    def of(cls, failure: AuditFailure) -> Fault:
        """Keeps a failure."""
        return cls(failure.subject, failure.field, failure.expected, failure.found, failure.place)

    @property
    def failure(self) -> AuditFailure:
        """The failure that it was made of."""
        return AuditFailure(self.subject, self.field, self.expected, self.found, self.place)


@dataclass
class Faults:
    """The faults so far.

    Attributes:
        kept: the first `MAX_FAULTS` of each field, in the order in which they were found.
        counts: how many there are of each field.
    """

    kept: list[Fault] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, fault: Fault) -> None:
        """Counts a fault, and keeps it while there is room."""
        self.counts[fault.field] = self.counts.get(fault.field, 0) + 1
        if self.counts[fault.field] <= MAX_FAULTS:
            self.kept.append(fault)

    @property
    def more(self) -> dict[str, int]:
        """How many were counted and not kept, by field."""
        return {name: count - MAX_FAULTS for name, count in self.counts.items() if count > MAX_FAULTS}
