// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {HopBook} from "./HopBook.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {Digests} from "./libraries/Digests.sol";
import {Routes} from "./libraries/Routes.sol";
import {Trails} from "./libraries/Trails.sol";
import {QueryBook} from "./QueryBook.sol";
import {RingBook} from "./RingBook.sol";
import {Pointer, RouteLink, TrailHash} from "./types/Types.sol";

/// @title The common ledger of a DeepRing
/// @author The DeepRing authors
/// @notice State machine only: check, call a library, store, emit. The ring is in `RingBook`, a query's ordinary way in
/// `QueryBook` and `HopBook`; here is what happens when it goes wrong: complaint, verdict, timeout, new attempt,
/// withdrawal. Calls of one sender go into one transaction by OpenZeppelin's `multicall`: all of them happen, or none.
contract Ledger is HopBook, Multicall {
    using Digests for Update;
    using Digests for Complaint;
    using Digests for Verdict;

    /// @notice Opens the ledger of one ring.
    /// @param owner the ouroboros: the model owner's account
    /// @param hop seconds for a hop
    /// @param withdraw seconds until a querent may withdraw
    constructor(address owner, uint40 hop, uint40 withdraw)
        EIP712("DeepRing", "1")
        RingBook(owner)
        QueryBook(hop, withdraw)
    {}

    /// @inheritdoc ILedger
    function complain(
        uint64 id,
        Query calldata query,
        ComplaintKind kind,
        Pointer evidence,
        RouteOpening calldata opening,
        bytes calldata signature
    ) external override {
        Query memory next = _read(id, query);
        if (query.phase != QueryPhase.Computed) _expectPhase(id, query, QueryPhase.Routed);
        Complaint memory complaint = Complaint({
            query: id,
            attempt: query.attempt,
            hop: query.hop,
            kind: kind,
            evidence: evidence,
            trail: query.trail
        });
        bytes32 digest = _hashTypedDataV4(complaint.hash());
        address signer = ECDSA.recover(digest, signature);
        // INVARIANT [I-8]: only the recipient whose turn it is can dispute what it was sent.
        if (!_isRecipient(query, signer, opening)) revert NotRecipient(id, query.hop, signer);
        next.phase = QueryPhase.Disputed;
        next.trail = Trails.extend(query.trail, digest, signer);
        _store(id, next);
        emit EnvelopeDisputed({
            query: id,
            hop: query.hop,
            recipient: signer,
            complaint: complaint,
            opening: opening,
            signature: signature,
            trail: next.trail
        });
    }

    /// @inheritdoc ILedger
    function judge(
        uint64 id,
        Query calldata query,
        bool senderGuilty,
        bool receiverGuilty,
        Pointer evidence,
        bytes calldata signature
    ) external override {
        Query memory next = _read(id, query);
        _expectPhase(id, query, QueryPhase.Disputed);
        Verdict memory verdict = Verdict({
            query: id,
            attempt: query.attempt,
            hop: query.hop,
            senderGuilty: senderGuilty,
            receiverGuilty: receiverGuilty,
            evidence: evidence,
            trail: query.trail
        });
        next.phase = QueryPhase.Interrupted;
        next.trail = _extendByOuroboros({
            id: id,
            trail: query.trail,
            structHash: verdict.hash(),
            signature: signature
        });
        _store(id, next);
        emit VerdictPosted({
            query: id,
            hop: query.hop,
            verdict: verdict,
            signature: signature,
            trail: next.trail
        });
    }

    /// @inheritdoc ILedger
    function resumeRoute(
        uint64 id,
        Query calldata query,
        Update calldata anchor,
        address signer,
        TrailEntry[] calldata later,
        RouteLink route,
        Pointer notes
    ) external override onlyOuroboros onlyAuthentic {
        Query memory next = _read(id, query);
        _expectPhase(id, query, QueryPhase.Interrupted);
        _expectModel(id, query);
        if (anchor.hop >= query.hop || anchor.hop + 1 >= _arrangement.seats) {
            revert ResumedTooLate(id, query.hop, anchor.hop + 1);
        }
        _checkHistory({id: id, query: query, anchor: anchor, signer: signer, later: later});
        // INVARIANT [I-9]: a new attempt is held to what the last accepted hop before it expects.
        next.expectedOutput = anchor.nextOutput;
        _beginAttempt({id: id, next: next, firstHop: anchor.hop + 1, route: route, notes: notes});
        emit QueryResumed({
            query: id,
            attempt: next.attempt,
            anchorAttempt: anchor.attempt,
            anchorHop: anchor.hop
        });
    }

    /// @inheritdoc ILedger
    function timeOut(uint64 id, Query calldata query) external override onlyAuthentic {
        Query memory next = _read(id, query);
        _expectPhase(id, query, QueryPhase.Routed);
        uint256 deadline = _deadlineOf(query.touchedAt);
        if (block.timestamp <= deadline) revert DeadlineAhead(id, deadline, block.timestamp);
        next.phase = QueryPhase.Interrupted;
        _store(id, next);
        emit HopTimedOut({query: id, attempt: query.attempt, hop: query.hop, deadline: deadline});
    }

    /// @inheritdoc ILedger
    function withdrawQuery(
        uint64 id,
        Query calldata query,
        Question calldata question,
        TrailEntry[] calldata later
    ) external override {
        Query memory next = _read(id, query);
        if (!_isOpen(query.phase)) revert QueryNotOpen(id, query.phase);
        _expectTrail(id, query, _extend(Trails.start(id, msg.sender, question), later));
        uint256 deadline = uint256(question.submittedAt) + withdrawSeconds;
        if (block.timestamp <= deadline) revert DeadlineAhead(id, deadline, block.timestamp);
        next.phase = QueryPhase.Withdrawn;
        _store(id, next);
        emit QueryWithdrawn(id);
    }

    // ------------------------------------------------------------------ steps

    function _isRecipient(Query calldata query, address signer, RouteOpening calldata opening)
        private
        view
        returns (bool)
    {
        if (query.phase == QueryPhase.Computed) return signer == ouroboros;
        if (query.hop == 0) return false;
        return RouteLink.unwrap(Routes.link(signer, opening.salt, opening.next)) == RouteLink.unwrap(query.route);
    }

    /// @dev The trail binds every entry: an anchor with its successors leads to it only if all were accepted so. The
    /// marks among them tell that the anchor violated eq. 13, or belongs to an older version of the model.
    function _checkHistory(
        uint64 id,
        Query calldata query,
        Update calldata anchor,
        address signer,
        TrailEntry[] calldata later
    ) private view {
        if (later.length != 0 && later[0].digest == Trails.VIOLATION) revert UnusableAnchor(id, anchor.hop);
        for (uint256 i = 0; i < later.length; ++i) {
            if (later[i].digest == Trails.RENEWAL) revert UnusableAnchor(id, anchor.hop);
        }
        TrailHash trail = Trails.extend(anchor.trail, _hashTypedDataV4(anchor.hash()), signer);
        _expectTrail(id, query, _extend(trail, later));
    }

    function _extend(TrailHash trail, TrailEntry[] calldata entries) private pure returns (TrailHash) {
        for (uint256 i = 0; i < entries.length; ++i) {
            trail = Trails.extend(trail, entries[i].digest, entries[i].signer);
        }
        return trail;
    }

    function _expectTrail(uint64 id, Query calldata query, TrailHash actual) private pure {
        if (TrailHash.unwrap(actual) != TrailHash.unwrap(query.trail)) {
            revert UnexpectedTrail(id, query.trail, actual);
        }
    }

    function _isOpen(QueryPhase phase) private pure returns (bool) {
        return phase == QueryPhase.Submitted || phase == QueryPhase.Routed || phase == QueryPhase.Computed
            || phase == QueryPhase.Disputed || phase == QueryPhase.Interrupted;
    }
}
