"""Runs the verifier over a scripted trail."""

from __future__ import annotations

import pytest
from trail_script import DOMAIN, OUROBOROS, ScriptedTrail

from deepring_chain.protocol.audit_step import AuditFailure
from deepring_chain.protocol.verifier import TrailReport, TrailVerifier
from deepring_chain.types import Address, Domain


def verify(script: ScriptedTrail, domain: Domain = DOMAIN, ouroboros: Address = OUROBOROS) -> TrailReport:
    verifier = TrailVerifier(domain, ouroboros)
    for logged in script.placed():
        verifier.check(logged)
    return verifier.finish()


def failure_of(script: ScriptedTrail, domain: Domain = DOMAIN, ouroboros: Address = OUROBOROS) -> AuditFailure:
    with pytest.raises(AuditFailure) as caught:
        verify(script, domain, ouroboros)
    return caught.value
