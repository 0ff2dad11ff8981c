"""Calls of the ledger that the client would not make: forged, repeated, or several in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deepring_chain.chain.settlement import LedgerCall
from deepring_chain.crypto.signing import compact_signature
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.types import OutputCommitment, SignedUpdate

Struct = dict[str, Any]


def entry_struct(signed: SignedUpdate) -> Struct:
    """`ILedger.HopEntry` of a signed update."""
    r, vs = compact_signature(signed.signature)
    update = signed.update
    return {"envelope": update.envelope, "nextOutput": update.next_output, "salt": signed.salt, "r": r, "vs": vs}


def run_struct(state: QueryState, updates: Sequence[SignedUpdate]) -> Struct:
    """`ILedger.Run`, whether or not the updates continue each other."""
    first, last = updates[0], updates[-1]
    entries = [entry_struct(signed) for signed in updates]
    place, output = state.place(), first.update.output
    return {
        "query": first.update.query,
        "place": place,
        "output": output,
        "rest": last.next_route,
        "entries": entries,
    }


def runs_call(*runs: Struct) -> LedgerCall:
    """`ILedger.postRuns`."""
    return LedgerCall("postRuns", (list(runs),))


def post_call(state: QueryState, signed: SignedUpdate) -> LedgerCall:
    """`ILedger.post`, also of an output that is not the expected one."""
    update = signed.update
    return LedgerCall("post", (update.query, state.place(), update.output, entry_struct(signed), signed.next_route))


def contradiction_call(state: QueryState, signed: SignedUpdate, expected: OutputCommitment | None = None) -> LedgerCall:
    """`ILedger.postContradiction`, whether or not the outputs differ; the state's expected output if None."""
    update = signed.update
    outputs = (state.expected_output if expected is None else expected, update.output)
    entry = entry_struct(signed)
    return LedgerCall("postContradiction", (update.query, state.place(), *outputs, entry, signed.next_route))
