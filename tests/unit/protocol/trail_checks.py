"""Runs the verifier over a scripted trail."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepring_chain.protocol.audit_step import AuditFailure
from deepring_chain.protocol.verifier import TrailVerifier
from deepring_chain.protocol.verifier_report import TrailReport
from deepring_chain.types import Address, Domain
from tests.unit.protocol.trail_names import DOMAIN, OUROBOROS, TERMS
from tests.unit.protocol.trail_script import ScriptedTrail


def verify(script: ScriptedTrail, domain: Domain = DOMAIN, ouroboros: Address = OUROBOROS) -> TrailReport:
    verifier = TrailVerifier(replace(TERMS, domain=domain, ouroboros=ouroboros))
    for logged, witness in script.placed():
        verifier.check(logged, witness)
    return verifier.finish()


def failure_of(script: ScriptedTrail, domain: Domain = DOMAIN, ouroboros: Address = OUROBOROS) -> AuditFailure:
    with pytest.raises(AuditFailure) as caught:
        verify(script, domain, ouroboros)
    return caught.value
