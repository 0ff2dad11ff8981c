// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {Digests} from "./libraries/Digests.sol";
import {Routes} from "./libraries/Routes.sol";
import {Trails} from "./libraries/Trails.sol";
import {RingBook} from "./RingBook.sol";
import {OutputCommitment, Pointer, RouteLink, SealingKey, TrailHash} from "./types/Types.sol";

/// @title The queries' half of the ledger: submission, route, updates, delivery
/// @author The DeepRing authors
/// @notice Documentation is in `ILedger`; the numbered invariants are in SPECIFICATION.md.
abstract contract QueryBook is RingBook {
    using Digests for Update;
    using Digests for Delivery;

    /// @inheritdoc ILedger
    uint40 public immutable override hopSeconds;

    /// @inheritdoc ILedger
    uint40 public immutable override withdrawSeconds;

    /// @inheritdoc ILedger
    uint64 public override queryCount;

    mapping(uint64 id => Query query) internal _queries;

    /// @notice Fixes the deadlines.
    /// @param hop seconds for a hop
    /// @param withdraw seconds until a querent may withdraw
    constructor(uint40 hop, uint40 withdraw) {
        if (hop == 0 || withdraw <= hop) revert InvalidDeadlines(hop, withdraw);
        hopSeconds = hop;
        withdrawSeconds = withdraw;
    }

    /// @inheritdoc ILedger
    function submitQuery(Pointer input, SealingKey sealingKey) external override returns (uint64 query) {
        if (_model.version == 0) revert ModelMissing();
        if (SealingKey.unwrap(sealingKey) == 0) revert ZeroSealingKey(msg.sender);
        query = ++queryCount;
        TrailHash trail = Trails.start(query, msg.sender, input, sealingKey);
        Query storage stored = _queries[query];
        stored.phase = QueryPhase.Submitted;
        stored.touchedAt = uint40(block.timestamp);
        stored.querent = msg.sender;
        stored.submittedAt = uint40(block.timestamp);
        stored.trail = trail;
        emit QuerySubmitted({
            query: query,
            querent: msg.sender,
            input: input,
            sealingKey: sealingKey,
            trail: trail
        });
    }

    /// @inheritdoc ILedger
    function rejectQuery(uint64 query, RejectReason reason) external override onlyOuroboros {
        Query storage stored = _expectWaiting(query);
        stored.phase = QueryPhase.Rejected;
        emit QueryRejected(query, reason);
    }

    /// @inheritdoc ILedger
    function openRoute(uint64 query, RouteLink route, Pointer notes) external override onlyOuroboros onlyAuthentic {
        Query storage stored = _expectWaiting(query);
        _beginAttempt({stored: stored, query: query, firstHop: 0, route: route, notes: notes});
    }

    /// @inheritdoc ILedger
    function postUpdate(Update calldata update, RouteOpening calldata opening, bytes calldata signature)
        external
        override
        onlyAuthentic
    {
        Query storage stored = _expectPhase(update.query, QueryPhase.Routed);
        // INVARIANT [I-2]: an entry is accepted at one place only: query, attempt, hop and history.
        if (update.hop != stored.hop) revert UnexpectedHop(update.query, stored.hop, update.hop);
        _checkPlace({stored: stored, query: update.query, attempt: update.attempt, trail: update.trail});
        _checkDeadline(stored, update.query);
        bytes32 digest = _hashTypedDataV4(update.hash());
        address signer = ECDSA.recover(digest, signature);
        _checkTurn({expected: stored.route, update: update, opening: opening, signer: signer});
        TrailHash trail = Trails.extend(update.trail, digest, signer);
        stored.trail = trail;
        stored.route = opening.next;
        emit UpdatePosted({
            query: update.query,
            hop: update.hop,
            signer: signer,
            update: update,
            opening: opening,
            signature: signature,
            trail: trail
        });
        _advance(stored, update);
    }

    /// @inheritdoc ILedger
    function deliver(Delivery calldata delivery, bytes calldata signature) external override onlyAuthentic {
        Query storage stored = _expectPhase(delivery.query, QueryPhase.Computed);
        _checkPlace({stored: stored, query: delivery.query, attempt: delivery.attempt, trail: delivery.trail});
        bytes32 digest = _hashTypedDataV4(delivery.hash());
        address signer = ECDSA.recover(digest, signature);
        if (signer != ouroboros) revert UnexpectedOwner(delivery.query, ouroboros, signer);
        TrailHash trail = Trails.extend(delivery.trail, digest, signer);
        stored.trail = trail;
        emit AnswerDelivered({
            query: delivery.query,
            attempt: delivery.attempt,
            answer: delivery.answer,
            output: delivery.output,
            signature: signature,
            trail: trail
        });
        if (_violatesValidation({stored: stored, query: delivery.query, hop: stored.hop, actual: delivery.output})) {
            return;
        }
        stored.phase = QueryPhase.Delivered;
    }

    /// @inheritdoc ILedger
    function queryAt(uint64 id) external view override returns (Query memory query) {
        return _queries[id];
    }

    // ------------------------------------------------------------------ steps

    function _beginAttempt(Query storage stored, uint64 query, uint16 firstHop, RouteLink route, Pointer notes)
        internal
    {
        if (RouteLink.unwrap(route) == 0) revert EmptyRoute(query);
        stored.phase = QueryPhase.Routed;
        ++stored.attempt;
        stored.hop = firstHop;
        stored.hops = _model.layers + 1;
        stored.touchedAt = uint40(block.timestamp);
        stored.route = route;
        emit RouteOpened({
            query: query,
            attempt: stored.attempt,
            firstHop: firstHop,
            route: route,
            notes: notes
        });
    }

    function _expectPhase(uint64 query, QueryPhase expected) internal view returns (Query storage stored) {
        stored = _queries[query];
        if (stored.phase != expected) revert UnexpectedPhase(query, expected, stored.phase);
    }

    /// @dev Submitted or interrupted: the query waits for the ouroboros.
    function _expectWaiting(uint64 query) internal view returns (Query storage stored) {
        stored = _queries[query];
        if (stored.phase != QueryPhase.Interrupted) return _expectPhase(query, QueryPhase.Submitted);
    }

    function _checkPlace(Query storage stored, uint64 query, uint16 attempt, TrailHash trail) internal view {
        if (attempt != stored.attempt) revert UnexpectedAttempt(query, stored.attempt, attempt);
        if (TrailHash.unwrap(trail) != TrailHash.unwrap(stored.trail)) {
            revert UnexpectedTrail(query, stored.trail, trail);
        }
    }

    /// @dev Time in which the ring was not authentic does not count against the hop that waits.
    function _deadlineOf(Query storage stored) internal view returns (uint256) {
        uint256 start = stored.touchedAt;
        if (start < _arrangement.authenticSince) start = _arrangement.authenticSince;
        return start + hopSeconds;
    }

    function _advance(Query storage stored, Update calldata update) private {
        stored.touchedAt = uint40(block.timestamp);
        bool violated = update.hop != 0
            && _violatesValidation({stored: stored, query: update.query, hop: update.hop, actual: update.output});
        if (violated) return;
        stored.expectedOutput = update.nextOutput;
        stored.hop = update.hop + 1;
        if (stored.hop == stored.hops) stored.phase = QueryPhase.Computed;
    }

    /// @dev INVARIANT [I-6]: a violation of eq. 13 never reverts; it is recorded and stops the query.
    function _violatesValidation(Query storage stored, uint64 query, uint16 hop, OutputCommitment actual)
        private
        returns (bool)
    {
        OutputCommitment expected = stored.expectedOutput;
        if (OutputCommitment.unwrap(expected) == OutputCommitment.unwrap(actual)) return false;
        stored.phase = QueryPhase.Disputed;
        emit OutputDisputed({
            query: query,
            attempt: stored.attempt,
            hop: hop,
            expected: expected,
            actual: actual
        });
        return true;
    }

    function _checkDeadline(Query storage stored, uint64 query) private view {
        uint256 deadline = _deadlineOf(stored);
        if (block.timestamp > deadline) {
            revert DeadlinePassed({query: query, hop: stored.hop, deadline: deadline, time: block.timestamp});
        }
    }

    /// @dev INVARIANT [I-3]: a hop is signed by whom the committed route names, and in its order.
    function _checkTurn(RouteLink expected, Update calldata update, RouteOpening calldata opening, address signer)
        private
        pure
    {
        RouteLink actual = Routes.link(signer, opening.salt, opening.next);
        if (RouteLink.unwrap(actual) != RouteLink.unwrap(expected)) {
            revert UnexpectedSigner({
                query: update.query,
                hop: update.hop,
                signer: signer,
                expected: expected,
                actual: actual
            });
        }
    }
}
