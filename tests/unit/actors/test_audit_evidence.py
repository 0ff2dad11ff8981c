"""An admitted auditor derives every verdict anew, and finds the ouroboros out that judges or testifies falsely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from assurance.adversary.liars import colluders, once
from deepring_chain.actors.ouroboros import referee as referee_module
from deepring_chain.actors.ouroboros.router import Router
from deepring_chain.attacks.lab_worker import LabWorker
from deepring_chain.attacks.orders import MEMORY_LIES, LabOrder, Lie, give_order
from deepring_chain.audit.evidence import Admission, EvidenceAuditor, EvidenceState
from deepring_chain.audit.model import load_runner
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.encoding import decode, encode
from deepring_chain.errors import ConfigError
from deepring_chain.model.checkpoint import save_model
from deepring_chain.protocol.audit_step import AuditFailure, Terms
from deepring_chain.protocol.decide.judging import GRACE_SECONDS, Case, Deed, Judge, Question, next_action
from deepring_chain.protocol.events import (
    EnvelopeDisputed,
    LoggedEvent,
    QuerySubmitted,
    UpdatePosted,
    VerdictPosted,
)
from deepring_chain.protocol.evidence import Evidence, seal_shared
from deepring_chain.protocol.plain import from_plain, to_plain
from deepring_chain.types import ZERO, Digest, ModelRoot, Pointer, TensorBytes
from tests.unit.actors.fake_ledger import DOMAIN
from tests.unit.actors.fake_ring import IMAGES, FakeRing

LIES = [lie for lie in Lie if lie not in {*MEMORY_LIES, Lie.SILENCE, Lie.NOISY_INPUT}]
"""What is judged for sure: weak noise on an input may change nothing."""
KEY = X25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = X25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def admit(ring: FakeRing, *keys: X25519PrivateKey) -> None:
    """From now on the evidence is sealed to these keys too."""
    ring.ouroboros._referee._auditors = lambda: [public_bytes(key) for key in keys]


def admission(ring: FakeRing, key: X25519PrivateKey = KEY, *, has_model: bool = True) -> Admission:
    """What the auditor has."""
    if not has_model:
        return Admission(key)
    path = ring.folder / "auditor.safetensors"
    save_model(path, ring.model)
    _, run = load_runner(path)
    # The ledger in memory has this root for its model.
    return Admission(key, ModelRoot(ZERO), run)


def audited(ring: FakeRing, given: Admission | None = None) -> EvidenceAuditor:
    """An auditor that has taken in all events."""
    terms = Terms(DOMAIN, ring.members[0].keys.address, 60, 600)
    auditor = EvidenceAuditor(terms, ring.store, given or admission(ring))
    for logged in ring.ledger.logged:
        auditor.check(logged)
    auditor.finish()
    return auditor


def lie_once(ring: FakeRing, lie: Lie, layer: int = 2) -> None:
    """One query with one liar, to its end."""
    ring.settle()
    ring.replace_worker(layer, LabWorker)
    give_order(ring.blocks[layer - 1].folder, LabOrder(lie))
    ring.ask()
    ring.settle()
    ring.now += GRACE_SECONDS + 0.1
    ring.settle()


@pytest.mark.parametrize("layer", [1, 3])
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.value)
def test_verdict_on_every_lie_is_derived_anew(ring: FakeRing, lie: Lie, layer: int) -> None:
    admit(ring, KEY)
    lie_once(ring, lie, layer)
    report = audited(ring).report()
    assert (report.verdicts, report.replayed, report.recomputed) == (1, 1, 1)
    without = audited(ring, admission(ring, has_model=False)).report()
    assert (without.verdicts, without.replayed, without.recomputed) == (1, 1, 0)
    is_missing = lie is Lie.MISSING_BLOB
    assert any("in the store then" in what for what, _ in report.open_points) is is_missing


@pytest.mark.parametrize("side", ["sender_guilty", "receiver_guilty"])
@pytest.mark.parametrize("lie", [Lie.PERTURBED_INPUT, Lie.ECHO, Lie.FALSE_COMPLAINT], ids=lambda lie: lie.value)
def test_verdict_that_its_evidence_contradicts_is_found(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch, lie: Lie, side: str
) -> None:
    """The ouroboros itself judges falsely, and signs it."""
    admit(ring, KEY)

    def unjust(case: Case) -> Question | Deed:
        just = next_action(case)
        if not isinstance(just, Judge):
            return just
        turned: dict[str, Any] = {side: not getattr(just.finding, side)}
        return replace(just, finding=replace(just.finding, **turned))

    monkeypatch.setattr(referee_module, "next_action", unjust)
    ring.settle()
    ring.replace_worker(2, LabWorker)
    give_order(ring.blocks[1].folder, LabOrder(lie))
    ring.ask()
    step_to_verdict(ring)
    with pytest.raises(AuditFailure) as caught:
        audited(ring)
    assert caught.value.field == f"VerdictPosted.verdict.{side}"
    assert caught.value.subject.startswith("query 1, hop ")


def step_to_verdict(ring: FakeRing) -> LoggedEvent:
    """Lets all act until the first verdict is posted."""
    for _ in range(60):
        for index in range(len(ring.members)):
            ring.step(index)
            found = [logged for logged in ring.ledger.logged if isinstance(logged.event, VerdictPosted)]
            if found:
                return found[0]
    raise AssertionError("no verdict")


def other_key(evidence: Evidence) -> Evidence:
    return replace(evidence, commitment_key=Digest(bytes(32)))


def other_input_key(evidence: Evidence) -> Evidence:
    return replace(evidence, input_key=bytes(32))


def other_outputs(evidence: Evidence) -> Evidence:
    changed = tuple(replace(output, data=bytes(len(output.data))) for output in evidence.outputs[1:])
    return replace(evidence, outputs=(evidence.outputs[0], *changed))


def fewer_outputs(evidence: Evidence) -> Evidence:
    return replace(evidence, outputs=evidence.outputs[:-1])


def other_recipient(evidence: Evidence) -> Evidence:
    return replace(evidence, recipient_key=bytes(range(32)))


def no_recipient(evidence: Evidence) -> Evidence:
    return replace(evidence, recipient_key=b"")


@pytest.mark.parametrize(
    ("lie", "change", "field"),
    [
        (Lie.PERTURBED_INPUT, other_key, "its commitment key"),
        (Lie.PERTURBED_INPUT, other_input_key, "its key of the input"),
        (Lie.PERTURBED_INPUT, other_outputs, "output of hop 1"),
        (Lie.PERTURBED_INPUT, fewer_outputs, "its outputs"),
        (Lie.ECHO, other_recipient, "the recipient's key"),
        (Lie.ECHO, no_recipient, "the recipient's key"),
    ],
)
def test_false_evidence_is_found_and_named(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch, lie: Lie, change: Callable[[Evidence], Evidence], field: str
) -> None:
    """The ouroboros seals other evidence than the truth."""
    admit(ring, KEY)
    real = seal_shared

    def seal(readers: Any, plaintext: bytes, place: bytes) -> bytes:
        return real(readers, change(Evidence.decode(plaintext)).encode(), place)

    monkeypatch.setattr(referee_module, "seal_shared", seal)
    lie_once(ring, lie)
    with pytest.raises(AuditFailure) as caught:
        audited(ring)
    assert caught.value.field == f"VerdictPosted.verdict.evidence ({field})"


@pytest.mark.parametrize("items", [1, 3])
def test_verdict_on_a_batch_of_another_size_is_derived_anew(ring: FakeRing, items: int) -> None:
    """Layers 1 and 2 agree on it, and the honest third complains."""
    admit(ring, KEY)
    ring.settle()
    width = ring.ouroboros._owner.outputs(ring.model.card.quantise_input(IMAGES))[2].shape[1]
    for layer, kind in enumerate(colluders(TensorBytes("int8", (items, width), bytes(items * width))), 1):
        ring.replace_worker(layer, once(kind))
    ring.ask()
    verdict = step_to_verdict(ring).event
    assert isinstance(verdict, VerdictPosted)
    assert (verdict.verdict.sender_guilty, verdict.verdict.receiver_guilty) == (True, False)
    assert audited(ring).report().replayed == 1
    assert audited(ring, admission(ring, has_model=False)).report().replayed == 1


def test_ouroboros_that_opens_a_query_for_another_number_of_items_is_found_out(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would have every honest hop complain of the one before."""
    admit(ring, KEY)
    monkeypatch.setattr(Router, "_items", lambda *_: 3)
    ring.settle()
    ring.ask()
    step_to_verdict(ring)
    with pytest.raises(AuditFailure) as caught:
        audited(ring)
    failure = caught.value
    assert failure.field == "VerdictPosted.verdict.evidence (the query's number of items)"
    assert (failure.expected, failure.found) == ("2, as the input has", "3")


def test_outputs_that_the_layers_do_not_make_are_found_by_running_them(ring: FakeRing) -> None:
    admit(ring, KEY)
    lie_once(ring, Lie.PERTURBED_INPUT)
    with pytest.raises(AuditFailure) as caught:
        audited(ring, replace(admission(ring), run=lambda entered: [entered] * (ring.model.card.layers + 1)))
    assert "output of hop" in caught.value.field


def test_key_that_was_never_admitted_gets_one_clear_line(ring: FakeRing) -> None:
    admit(ring, KEY)
    lie_once(ring, Lie.ECHO)
    with pytest.raises(ConfigError) as caught:
        audited(ring, admission(ring, STRANGER))
    assert public_bytes(STRANGER).hex() in str(caught.value)
    assert "deepring admit-auditor" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_verdicts_from_before_the_admission_stay_open(ring: FakeRing) -> None:
    lie_once(ring, Lie.ECHO)
    admit(ring, KEY)
    give_order(ring.blocks[1].folder, LabOrder(Lie.PERTURBED_INPUT))
    ring.ask()
    ring.settle()
    report = audited(ring).report()
    assert (report.verdicts, report.replayed) == (2, 1)
    assert any("1 verdicts from before" in what for what, _ in report.open_points)


def test_evidence_that_is_kept_from_an_admitted_auditor_is_a_failure(ring: FakeRing) -> None:
    admit(ring, KEY)
    lie_once(ring, Lie.ECHO)
    admit(ring)
    give_order(ring.blocks[1].folder, LabOrder(Lie.PERTURBED_INPUT))
    ring.ask()
    ring.settle()
    with pytest.raises(AuditFailure) as caught:
        audited(ring)
    assert caught.value.field == "VerdictPosted.verdict.evidence (its readers)"


def lost_pointer(ring: FakeRing, what: str) -> Pointer:
    """The blob of the only complaint that the ring saw, of its verdict, or of the query's input."""
    events = [logged.event for logged in ring.ledger.logged]
    (dispute,) = [event for event in events if isinstance(event, EnvelopeDisputed)]
    (verdict,) = [event for event in events if isinstance(event, VerdictPosted)]
    (asked,) = [event for event in events if isinstance(event, QuerySubmitted)]
    sent = next(
        event.signed.update
        for event in events
        if isinstance(event, UpdatePosted) and event.signed.update.hop == dispute.complaint.hop - 1
    )
    pointers = {"verdict": verdict.verdict.evidence, "input": asked.sealed_input, "envelope": sent.envelope}
    return {**pointers, "complaint": dispute.complaint.evidence}[what]


@pytest.mark.parametrize(
    ("what", "replayed", "left_open"),
    [
        ("verdict", 0, "all of it: blob"),
        ("input", 0, "all of it: blob"),
        ("envelope", 1, "not to be read now"),
        ("complaint", 1, ""),
    ],
)
def test_blob_that_was_lost_after_the_verdict_leaves_it_open(
    ring: FakeRing, what: str, replayed: int, left_open: str
) -> None:
    """Whoever can delete a blob must not make a right verdict look false, nor end the audit."""
    admit(ring, KEY)
    lie_once(ring, Lie.FALSE_COMPLAINT)
    name = lost_pointer(ring, what).hex()
    (ring.folder / "store" / name[:2] / name).unlink()
    report = audited(ring).report()
    assert (report.verdicts, report.replayed) == (1, replayed)
    assert any(left_open in point for point, _ in report.open_points)


def test_model_that_is_not_the_registered_one_leaves_the_layers_open(ring: FakeRing) -> None:
    admit(ring, KEY)
    lie_once(ring, Lie.ECHO)
    report = audited(ring, replace(admission(ring), model_root=ModelRoot(Digest(bytes([1] * 32))))).report()
    assert (report.replayed, report.recomputed) == (1, 0)
    assert any("another root" in what for what, _ in report.open_points)


def test_auditor_that_is_kept_and_taken_up_anew_after_every_event_finds_the_same(ring: FakeRing) -> None:
    admit(ring, KEY)
    lie_once(ring, Lie.PERTURBED_INPUT)
    terms = Terms(DOMAIN, ring.members[0].keys.address, 60, 600)
    given, state = admission(ring), EvidenceState()
    for logged in ring.ledger.logged:
        auditor = EvidenceAuditor(terms, ring.store, given, state)
        auditor.check(logged)
        state = from_plain(EvidenceState, decode(encode(to_plain(auditor.state)), "state"))
    assert state == audited(ring).state


def test_runner_computes_what_the_ring_does(ring: FakeRing) -> None:
    entered = ring.model.card.quantise_input(IMAGES)
    run = admission(ring).run
    assert run is not None
    assert [*run(entered), run(entered)[-1]] == ring.ouroboros._owner.outputs(entered)
