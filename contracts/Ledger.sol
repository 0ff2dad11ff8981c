// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
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
/// `QueryBook`; here is what happens when it goes wrong: complaint, verdict, timeout, new attempt, withdrawal.
contract Ledger is QueryBook {
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
    function complain(Complaint calldata complaint, RouteOpening calldata opening, bytes calldata signature)
        external
        override
    {
        Query storage stored = _queries[complaint.query];
        if (stored.phase != QueryPhase.Computed) _expectPhase(complaint.query, QueryPhase.Routed);
        if (complaint.hop != stored.hop) revert UnexpectedHop(complaint.query, stored.hop, complaint.hop);
        _checkPlace({stored: stored, query: complaint.query, attempt: complaint.attempt, trail: complaint.trail});
        bytes32 digest = _hashTypedDataV4(complaint.hash());
        address signer = ECDSA.recover(digest, signature);
        // INVARIANT [I-8]: only the recipient whose turn it is can dispute what it was sent.
        if (!_isRecipient(stored, signer, opening)) revert NotRecipient(complaint.query, complaint.hop, signer);
        TrailHash trail = Trails.extend(complaint.trail, digest, signer);
        stored.phase = QueryPhase.Disputed;
        stored.trail = trail;
        emit EnvelopeDisputed({
            query: complaint.query,
            hop: complaint.hop,
            recipient: signer,
            complaint: complaint,
            opening: opening,
            signature: signature,
            trail: trail
        });
    }

    /// @inheritdoc ILedger
    function judge(Verdict calldata verdict, bytes calldata signature) external override {
        Query storage stored = _expectPhase(verdict.query, QueryPhase.Disputed);
        if (verdict.hop != stored.hop) revert UnexpectedHop(verdict.query, stored.hop, verdict.hop);
        _checkPlace({stored: stored, query: verdict.query, attempt: verdict.attempt, trail: verdict.trail});
        bytes32 digest = _hashTypedDataV4(verdict.hash());
        address signer = ECDSA.recover(digest, signature);
        if (signer != ouroboros) revert UnexpectedOwner(verdict.query, ouroboros, signer);
        TrailHash trail = Trails.extend(verdict.trail, digest, signer);
        stored.phase = QueryPhase.Interrupted;
        stored.trail = trail;
        emit VerdictPosted({
            query: verdict.query,
            hop: verdict.hop,
            verdict: verdict,
            signature: signature,
            trail: trail
        });
    }

    /// @inheritdoc ILedger
    function resumeRoute(
        Update calldata anchor,
        address signer,
        TrailEntry[] calldata later,
        RouteLink route,
        Pointer notes
    ) external override onlyOuroboros onlyAuthentic {
        Query storage stored = _expectPhase(anchor.query, QueryPhase.Interrupted);
        if (anchor.hop >= stored.hop || anchor.hop + 1 >= stored.hops) {
            revert ResumedTooLate(anchor.query, stored.hop, anchor.hop + 1);
        }
        _checkHistory({stored: stored, anchor: anchor, signer: signer, later: later});
        // INVARIANT [I-9]: a new attempt is held to what the last accepted hop before it expects.
        stored.expectedOutput = anchor.nextOutput;
        _beginAttempt({
            stored: stored,
            query: anchor.query,
            firstHop: anchor.hop + 1,
            route: route,
            notes: notes
        });
        emit QueryResumed({
            query: anchor.query,
            attempt: stored.attempt,
            anchorAttempt: anchor.attempt,
            anchorHop: anchor.hop
        });
    }

    /// @inheritdoc ILedger
    function timeOut(uint64 query) external override onlyAuthentic {
        Query storage stored = _expectPhase(query, QueryPhase.Routed);
        uint256 deadline = _deadlineOf(stored);
        if (block.timestamp <= deadline) revert DeadlineAhead(query, deadline, block.timestamp);
        stored.phase = QueryPhase.Interrupted;
        emit HopTimedOut({query: query, attempt: stored.attempt, hop: stored.hop, deadline: deadline});
    }

    /// @inheritdoc ILedger
    function withdrawQuery(uint64 query) external override {
        Query storage stored = _queries[query];
        if (!_isOpen(stored.phase)) revert QueryNotOpen(query, stored.phase);
        if (msg.sender != stored.querent) revert NotQuerent(query, stored.querent, msg.sender);
        uint256 deadline = uint256(stored.submittedAt) + withdrawSeconds;
        if (block.timestamp <= deadline) revert DeadlineAhead(query, deadline, block.timestamp);
        stored.phase = QueryPhase.Withdrawn;
        emit QueryWithdrawn(query);
    }

    // ------------------------------------------------------------------ steps

    function _isRecipient(Query storage stored, address signer, RouteOpening calldata opening)
        private
        view
        returns (bool)
    {
        if (stored.phase == QueryPhase.Computed) return signer == ouroboros;
        if (stored.hop == 0) return false;
        return RouteLink.unwrap(Routes.link(signer, opening.salt, opening.next)) == RouteLink.unwrap(stored.route);
    }

    /// @dev The trail binds every entry: an anchor with its successors leads to it only if all were accepted so.
    function _checkHistory(Query storage stored, Update calldata anchor, address signer, TrailEntry[] calldata later)
        private
        view
    {
        TrailHash trail = Trails.extend(anchor.trail, _hashTypedDataV4(anchor.hash()), signer);
        for (uint256 i = 0; i < later.length; ++i) {
            trail = Trails.extend(trail, later[i].digest, later[i].signer);
        }
        if (TrailHash.unwrap(trail) != TrailHash.unwrap(stored.trail)) {
            revert UnexpectedTrail(anchor.query, stored.trail, trail);
        }
    }

    function _isOpen(QueryPhase phase) private pure returns (bool) {
        return phase == QueryPhase.Submitted || phase == QueryPhase.Routed || phase == QueryPhase.Computed
            || phase == QueryPhase.Disputed || phase == QueryPhase.Interrupted;
    }
}
