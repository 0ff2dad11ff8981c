"""The ledger's logs as the records of `protocol.events`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from eth_abi.codec import ABICodec
from eth_abi.decoding import StringDecoder
from eth_abi.exceptions import DecodingError
from eth_abi.registry import BaseEquals
from eth_utils import event_abi_to_log_topic, to_checksum_address
from web3._utils.abi import build_strict_registry
from web3.contract import Contract
from web3.types import LogReceipt

from deepring_chain.chain.event_layout import EventLayout
from deepring_chain.errors import ChainError, ProtocolError
from deepring_chain.protocol import events as records
from deepring_chain.protocol.run import HopEntry, Run
from deepring_chain.types import (
    Address,
    ArrangementId,
    Attempt,
    Attestation,
    BlockHash,
    Complaint,
    ComplaintKind,
    Digest,
    Domain,
    Hop,
    Leaf,
    ModelRoot,
    OutputCommitment,
    Pointer,
    Position,
    QueryId,
    RejectReason,
    RouteLink,
    SealingKey,
    TrailHash,
    Verdict,
)

Arguments = Mapping[str, Any]


def _model_registered(args: Arguments) -> records.ModelRegistered:
    return records.ModelRegistered(args["version"], ModelRoot(args["root"]), Pointer(args["card"]), args["layers"])


def _worker_admitted(args: Arguments) -> records.WorkerAdmitted:
    return records.WorkerAdmitted(_address(args["worker"]), SealingKey(args["sealingKey"]))


def _ring_arranged(args: Arguments) -> records.RingArranged:
    seats = tuple(_address(seat) for seat in args["seats"])
    recorded, notes = BlockHash(args["recordedHash"]), Pointer(args["notes"])
    return records.RingArranged(ArrangementId(args["arrangement"]), args["modelVersion"], seats, recorded, notes)


def _block_attested(args: Arguments) -> records.BlockAttested:
    arrangement, position = ArrangementId(args["arrangement"]), Position(args["position"])
    leaf, key = Leaf(args["leaf"]), SealingKey(args["sealingKey"])
    attestation = Attestation(arrangement, position, args["round"], leaf, key)
    return records.BlockAttested(attestation, _address(args["worker"]), bytes(args["signature"]))


def _block_hashed(args: Arguments) -> records.BlockHashed:
    arrangement, position = ArrangementId(args["arrangement"]), Position(args["position"])
    return records.BlockHashed(arrangement, position, BlockHash(args["blockHash"]))


def _authenticity_derived(args: Arguments) -> records.AuthenticityDerived:
    recorded, recomputed = BlockHash(args["recordedHash"]), BlockHash(args["recomputedHash"])
    return records.AuthenticityDerived(ArrangementId(args["arrangement"]), args["isAuthentic"], recorded, recomputed)


def _restore_ordered(args: Arguments) -> records.RestoreOrdered:
    arrangement, position = ArrangementId(args["arrangement"]), Position(args["position"])
    names = ("recordedHash", "recomputedHash", "renewedHash", "recordedLast")
    recorded, recomputed, renewed, last = (BlockHash(args[name]) for name in names)
    return records.RestoreOrdered(
        arrangement=arrangement,
        position=position,
        worker=_address(args["worker"]),
        round=args["round"],
        recorded_hash=recorded,
        recomputed_hash=recomputed,
        renewed_hash=renewed,
        recorded_last=last,
        parameters=Pointer(args["parameters"]),
    )


def _restore_reported(args: Arguments) -> records.RestoreReported:
    arrangement, position = ArrangementId(args["arrangement"]), Position(args["position"])
    return records.RestoreReported(arrangement, position, _address(args["worker"]), args["round"], args["changed"])


def _query_submitted(args: Arguments) -> records.QuerySubmitted:
    querent, sealed_input = _address(args["querent"]), Pointer(args["input"])
    return records.QuerySubmitted(
        QueryId(args["query"]), querent, sealed_input, SealingKey(args["sealingKey"]), TrailHash(args["trail"])
    )


def _query_rejected(args: Arguments) -> records.QueryRejected:
    return records.QueryRejected(QueryId(args["query"]), RejectReason(args["reason"]))


def _route_opened(args: Arguments) -> records.RouteOpened:
    attempt, first_hop = Attempt(args["attempt"]), Hop(args["firstHop"])
    route, notes = RouteLink(args["route"]), Pointer(args["notes"])
    return records.RouteOpened(QueryId(args["query"]), attempt, first_hop, args["items"], route, notes)


def _query_resumed(args: Arguments) -> records.QueryResumed:
    attempt, anchor_attempt = Attempt(args["attempt"]), Attempt(args["anchorAttempt"])
    return records.QueryResumed(QueryId(args["query"]), attempt, anchor_attempt, Hop(args["anchorHop"]))


def _update_posted(args: Arguments) -> Run:
    return _run_posted({**args, "entries": [args["entry"]]})


def _run_posted(args: Arguments) -> Run:
    return Run(
        query=QueryId(args["query"]),
        attempt=Attempt(args["attempt"]),
        hop=Hop(args["hop"]),
        items=args["items"],
        trail=TrailHash(args["trail"]),
        output=OutputCommitment(args["output"]),
        rest=RouteLink(args["rest"]),
        entries=tuple(_hop_entry(entry) for entry in args["entries"]),
    )


def _hop_entry(entry: Arguments) -> HopEntry:
    salt, r, vs = (Digest(entry[name]) for name in ("salt", "r", "vs"))
    return HopEntry(Pointer(entry["envelope"]), OutputCommitment(entry["nextOutput"]), salt, r, vs)


def _output_disputed(args: Arguments) -> records.OutputDisputed:
    attempt, hop = Attempt(args["attempt"]), Hop(args["hop"])
    expected, actual = OutputCommitment(args["expected"]), OutputCommitment(args["actual"])
    return records.OutputDisputed(QueryId(args["query"]), attempt, hop, expected, actual)


def _envelope_disputed(args: Arguments) -> records.EnvelopeDisputed:
    posted, opening = args["complaint"], args["opening"]
    complaint = Complaint(
        query=QueryId(posted["query"]),
        attempt=Attempt(posted["attempt"]),
        hop=Hop(posted["hop"]),
        kind=ComplaintKind(posted["kind"]),
        evidence=Pointer(posted["evidence"]),
        trail=TrailHash(posted["trail"]),
    )
    salt, rest = Digest(opening["salt"]), RouteLink(opening["next"])
    signature, trail = bytes(args["signature"]), TrailHash(args["trail"])
    return records.EnvelopeDisputed(complaint, _address(args["recipient"]), salt, rest, signature, trail)


def _verdict_posted(args: Arguments) -> records.VerdictPosted:
    posted = args["verdict"]
    verdict = Verdict(
        query=QueryId(posted["query"]),
        attempt=Attempt(posted["attempt"]),
        hop=Hop(posted["hop"]),
        sender_guilty=posted["senderGuilty"],
        receiver_guilty=posted["receiverGuilty"],
        evidence=Pointer(posted["evidence"]),
        trail=TrailHash(posted["trail"]),
    )
    return records.VerdictPosted(verdict, bytes(args["signature"]), TrailHash(args["trail"]))


def _hop_timed_out(args: Arguments) -> records.HopTimedOut:
    attempt, hop = Attempt(args["attempt"]), Hop(args["hop"])
    return records.HopTimedOut(QueryId(args["query"]), attempt, hop, args["deadline"])


def _query_withdrawn(args: Arguments) -> records.QueryWithdrawn:
    return records.QueryWithdrawn(QueryId(args["query"]))


def _answer_delivered(args: Arguments) -> records.AnswerDelivered:
    query, attempt = QueryId(args["query"]), Attempt(args["attempt"])
    answer, output = Pointer(args["answer"]), OutputCommitment(args["output"])
    return records.AnswerDelivered(query, attempt, answer, output, bytes(args["signature"]), TrailHash(args["trail"]))


def _address(value: str) -> Address:
    return Address(to_checksum_address(value))


_BUILDERS: dict[str, Callable[[Arguments], records.Event | Run]] = {
    "ModelRegistered": _model_registered,
    "WorkerAdmitted": _worker_admitted,
    "RingArranged": _ring_arranged,
    "BlockAttested": _block_attested,
    "BlockHashed": _block_hashed,
    "AuthenticityDerived": _authenticity_derived,
    "RestoreOrdered": _restore_ordered,
    "RestoreReported": _restore_reported,
    "QuerySubmitted": _query_submitted,
    "QueryRejected": _query_rejected,
    "RouteOpened": _route_opened,
    "QueryResumed": _query_resumed,
    "UpdatePosted": _update_posted,
    "RunPosted": _run_posted,
    "OutputDisputed": _output_disputed,
    "EnvelopeDisputed": _envelope_disputed,
    "VerdictPosted": _verdict_posted,
    "HopTimedOut": _hop_timed_out,
    "QueryWithdrawn": _query_withdrawn,
    "AnswerDelivered": _answer_delivered,
}


class EventDecoder:
    """Decodes the logs of one ledger contract.

    Args:
        contract: the ledger.
        domain: its EIP-712 domain: who signed the updates of a run follows from their digests.
    """

    def __init__(self, contract: Contract, domain: Domain) -> None:
        self._domain = domain
        self._codec = contract.w3.codec
        abis = [entry for entry in contract.abi if entry["type"] == "event"]
        self._layouts = {event_abi_to_log_topic(abi): EventLayout.of(abi) for abi in abis if abi["name"] in _BUILDERS}

    def decode(self, log: LogReceipt) -> list[records.LoggedEvent]:
        """The records of `log`: one, or one for each hop of a run.

        Raises:
            ChainError: no event of the ledger, or malformed.
        """
        layout = self._layouts.get(bytes(log["topics"][0])) if log["topics"] else None
        where = f"log {log['logIndex']} of block {log['blockNumber']}"
        if layout is None:
            raise ChainError(f"{where} is no event of the ledger")
        try:
            record = _BUILDERS[layout.name](layout.read(self._codec, log["topics"], log["data"]))
            found = record.expand(self._domain) if isinstance(record, Run) else [record]
        except (DecodingError, ProtocolError, ValueError, TypeError, OverflowError) as error:
            raise ChainError(f"{where} is a malformed {layout.name} ({_one_line(error)})") from None
        return [_logged(log, each, part) for part, each in enumerate(found)]


def _logged(log: LogReceipt, record: records.Event, part: int) -> records.LoggedEvent:
    return records.LoggedEvent(
        event=record,
        block_number=log["blockNumber"],
        block_hash=Digest(bytes(log["blockHash"])),
        transaction_hash=Digest(bytes(log["transactionHash"])),
        log_index=log["logIndex"],
        part=part,
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def forgiving_codec() -> ABICodec:
    """Reads a text that is no UTF-8 with replacement characters.

    The ledger takes any bytes: one worker's report must not keep everybody from reading the events around it.
    """
    chosen = build_strict_registry()
    chosen.unregister_decoder("string")
    decoder = StringDecoder(handle_string_errors="replace")  # type: ignore[no-untyped-call]
    chosen.register_decoder(BaseEquals("string", with_sub=False), decoder, label="string")  # type: ignore[no-untyped-call]
    return ABICodec(chosen)
