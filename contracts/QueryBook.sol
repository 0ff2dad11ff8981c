// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {Digests} from "./libraries/Digests.sol";
import {QueryStates} from "./libraries/QueryStates.sol";
import {Trails} from "./libraries/Trails.sol";
import {RingBook} from "./RingBook.sol";
import {OutputCommitment, Pointer, RouteLink, SealingKey, TrailHash} from "./types/Types.sol";

/// @title The queries' half of the ledger: submission, route, delivery, and the state's one word
/// @author The DeepRing authors
/// @notice Documentation is in `ILedger`; the numbered invariants are in SPECIFICATION.md.
abstract contract QueryBook is RingBook {
    using Digests for Delivery;

    /// @inheritdoc ILedger
    uint40 public immutable override hopSeconds;

    /// @inheritdoc ILedger
    uint40 public immutable override withdrawSeconds;

    /// @inheritdoc ILedger
    uint64 public override queryCount;

    /// @inheritdoc ILedger
    mapping(uint64 id => bytes32 state) public override stateOf;

    /// @notice Fixes the deadlines.
    /// @param hop seconds for a hop
    /// @param withdraw seconds until a querent may withdraw
    constructor(uint40 hop, uint40 withdraw) {
        if (hop == 0 || withdraw <= hop) revert InvalidDeadlines(hop, withdraw);
        hopSeconds = hop;
        withdrawSeconds = withdraw;
    }

    /// @inheritdoc ILedger
    /// @dev Implements eq. (3): the sealed input and the querent's key are on the ledger, and a query cycle begins.
    function submitQuery(Pointer input, SealingKey sealingKey) external override returns (uint64 query) {
        if (_model.version == 0) revert ModelMissing();
        if (SealingKey.unwrap(sealingKey) == 0) revert ZeroSealingKey(msg.sender);
        query = ++queryCount;
        Query memory fresh;
        fresh.phase = QueryPhase.Submitted;
        fresh.touchedAt = uint40(block.timestamp);
        fresh.trail = Trails.start(query, msg.sender, Question(input, sealingKey, fresh.touchedAt));
        _store(query, fresh);
        emit QuerySubmitted({
            query: query,
            querent: msg.sender,
            input: input,
            sealingKey: sealingKey,
            trail: fresh.trail
        });
    }

    /// @inheritdoc ILedger
    function rejectQuery(uint64 id, Query calldata query, RejectReason reason) external override onlyOuroboros {
        Query memory next = _read(id, query);
        _expectWaiting(id, query);
        next.phase = QueryPhase.Rejected;
        _store(id, next);
        emit QueryRejected(id, reason);
    }

    /// @inheritdoc ILedger
    function openRoute(uint64 id, Query calldata query, RouteLink route, Pointer notes, uint32 items)
        external
        override
        onlyOuroboros
        onlyAuthentic
    {
        Query memory next = _read(id, query);
        _expectWaiting(id, query);
        // INVARIANT [I-17]: what was asked has one number of items, whatever is attempted; every hop signs for it.
        if (items == 0 || (query.items != 0 && query.items != items)) revert UnexpectedItems(id, query.items, items);
        next.items = items;
        // INVARIANT [I-10]: what was computed under another version of the model is never gone on from.
        if (query.attempt != 0 && query.modelVersion != _arrangement.modelVersion) {
            next.trail = Trails.mark(query.trail, Trails.RENEWAL);
        }
        next.expectedOutput = OutputCommitment.wrap(0);
        _beginAttempt({id: id, next: next, firstHop: 0, route: route, notes: notes});
    }

    /// @inheritdoc ILedger
    /// @dev Implements eq. (12): the answer, sealed to the querent, closes the query.
    function deliver(
        uint64 id,
        Query calldata query,
        Pointer answer,
        OutputCommitment output,
        bytes calldata signature
    ) external override onlyAuthentic {
        Query memory next = _read(id, query);
        _expectPhase(id, query, QueryPhase.Computed);
        _expectModel(id, query);
        Delivery memory delivery =
            Delivery({query: id, attempt: query.attempt, answer: answer, output: output, trail: query.trail});
        next.trail = _extendByOuroboros({
            id: id,
            trail: query.trail,
            structHash: delivery.hash(),
            signature: signature
        });
        emit AnswerDelivered({
            query: id,
            attempt: query.attempt,
            answer: answer,
            output: output,
            signature: signature,
            trail: next.trail
        });
        next.phase = QueryPhase.Delivered;
        if (!_agrees(output, query.expectedOutput)) {
            _recordViolation({id: id, hop: query.hop, next: next, actual: output});
        }
        _store(id, next);
    }

    // ------------------------------------------------------------------ state

    function _store(uint64 id, Query memory next) internal {
        stateOf[id] = QueryStates.fold(next);
    }

    // ------------------------------------------------------------------ steps

    function _beginAttempt(uint64 id, Query memory next, uint16 firstHop, RouteLink route, Pointer notes) internal {
        if (RouteLink.unwrap(route) == 0) revert EmptyRoute(id);
        next.phase = QueryPhase.Routed;
        ++next.attempt;
        next.hop = firstHop;
        next.modelVersion = _arrangement.modelVersion;
        next.touchedAt = uint40(block.timestamp);
        next.route = route;
        _store(id, next);
        emit RouteOpened({
            query: id,
            attempt: next.attempt,
            firstHop: firstHop,
            items: next.items,
            route: route,
            notes: notes
        });
    }

    /// @dev INVARIANT [I-6]: a violation of eq. 13 never reverts; it is recorded and stops the query. The mark on the
    /// trail keeps a later attempt from going on from what was just taken in.
    function _recordViolation(uint64 id, uint16 hop, Query memory next, OutputCommitment actual) internal {
        next.phase = QueryPhase.Disputed;
        next.trail = Trails.mark(next.trail, Trails.VIOLATION);
        emit OutputDisputed({
            query: id,
            attempt: next.attempt,
            hop: hop,
            expected: next.expectedOutput,
            actual: actual
        });
    }

    function _read(uint64 id, Query calldata query) internal view returns (Query memory) {
        _expectState(id, query);
        return query;
    }

    /// @dev INVARIANT [I-2]: whoever acts on a query shows the state that it is in, so nothing is accepted at another
    /// place: query, phase, attempt, hop, items, model version, time, route, expected output, history.
    function _expectState(uint64 id, Query memory query) internal view {
        bytes32 expected = stateOf[id];
        bytes32 actual = QueryStates.fold(query);
        if (actual != expected) revert UnexpectedState(id, expected, actual);
    }

    function _extendByOuroboros(uint64 id, TrailHash trail, bytes32 structHash, bytes calldata signature)
        internal
        view
        returns (TrailHash)
    {
        bytes32 digest = _hashTypedDataV4(structHash);
        address signer = ECDSA.recover(digest, signature);
        if (signer != ouroboros) revert UnexpectedOwner(id, ouroboros, signer);
        return Trails.extend(trail, digest, signer);
    }

    function _expectModel(uint64 id, Query calldata query) internal view {
        uint32 current = _arrangement.modelVersion;
        if (query.modelVersion != current) revert ModelChanged(id, current, query.modelVersion);
    }

    /// @dev Time in which the ring was not authentic does not count against the hop that waits.
    function _deadlineOf(uint256 touchedAt) internal view returns (uint256) {
        uint256 start = touchedAt;
        if (start < _arrangement.authenticSince) start = _arrangement.authenticSince;
        return start + hopSeconds;
    }

    /// @dev Implements eq. (13): what a hop commits to is what the hop before it expects. `deliver` and
    /// `postContradiction` ask here. `post` and `postRuns` take nothing else: `HopBook` marks where, with [I-6].
    function _agrees(OutputCommitment output, OutputCommitment expected) internal pure returns (bool) {
        return OutputCommitment.unwrap(output) == OutputCommitment.unwrap(expected);
    }

    function _expectPhase(uint64 id, Query calldata query, QueryPhase expected) internal pure {
        if (query.phase != expected) revert UnexpectedPhase(id, expected, query.phase);
    }

    /// @dev Submitted or interrupted: the query waits for the ouroboros.
    function _expectWaiting(uint64 id, Query calldata query) internal pure {
        if (query.phase != QueryPhase.Interrupted) _expectPhase(id, query, QueryPhase.Submitted);
    }
}
