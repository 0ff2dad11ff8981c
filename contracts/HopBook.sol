// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {Digests} from "./libraries/Digests.sol";
import {Memory} from "./libraries/Memory.sol";
import {Routes} from "./libraries/Routes.sol";
import {Trails} from "./libraries/Trails.sol";
import {QueryBook} from "./QueryBook.sol";
import {OutputCommitment, RouteLink, TrailHash} from "./types/Types.sol";

/// @title The hops' part of the ledger: updates, one by one, in runs, and those that contradict the hop before
/// @author The DeepRing authors
/// @notice Documentation is in `ILedger`; the numbered invariants are in SPECIFICATION.md.
abstract contract HopBook is QueryBook {
    using Digests for Update;

    /// @inheritdoc ILedger
    function post(
        uint64 id,
        Place calldata place,
        OutputCommitment output,
        HopEntry calldata entry,
        RouteLink rest
    ) external override {
        (Query memory next, bool isLast) = _dueAt(id, place, 1);
        // INVARIANT [I-6]: a hop is accepted in a state that expects its output (eq. 13), and in no other.
        if (place.hop != 0) next.expectedOutput = output;
        next.trail = _takeHop({id: id, due: next, output: output, entry: entry, rest: rest});
        next.hop = place.hop + 1;
        _advance({id: id, next: next, isLast: isLast, rest: rest, expected: entry.nextOutput});
    }

    /// @inheritdoc ILedger
    function postRuns(Run[] calldata runs) external override {
        for (uint256 i = 0; i < runs.length; ++i) {
            uint256 free = Memory.mark();
            _postRun(runs[i]);
            Memory.release(free);
        }
    }

    /// @inheritdoc ILedger
    function postContradiction(
        uint64 id,
        Place calldata place,
        OutputCommitment expected,
        OutputCommitment output,
        HopEntry calldata entry,
        RouteLink rest
    ) external override {
        // INVARIANT [I-16]: hop 0, of which nothing is expected, is never in dispute; else whoever sees its entry on
        // its way could stop the query with it.
        if (place.hop == 0 || _agrees(output, expected)) revert OutputsAgree(id, output);
        (Query memory next,) = _dueAt(id, place, 1);
        next.expectedOutput = expected;
        next.trail = _takeHop({id: id, due: next, output: output, entry: entry, rest: rest});
        next.touchedAt = uint40(block.timestamp);
        next.route = rest;
        _recordViolation({id: id, hop: place.hop, next: next, actual: output});
        _store(id, next);
    }

    // ------------------------------------------------------------------ steps

    function _postRun(Run calldata run) private {
        (Query memory next, bool isLast) = _dueAt(run.query, run.place, run.entries.length);
        // INVARIANT [I-6]: the run is accepted in a state that expects its first output (eq. 13), and in no other.
        if (next.hop != 0) next.expectedOutput = run.output;
        Update memory update = _firstUpdate(run.query, next, run.output);
        next.route = _takeEntries(update, run.entries, run.rest);
        _expectState(run.query, next);
        emit RunPosted({
            query: run.query,
            attempt: next.attempt,
            hop: next.hop,
            items: next.items,
            trail: next.trail,
            output: run.output,
            rest: run.rest,
            entries: run.entries
        });
        (next.hop, next.trail) = (update.hop, update.trail);
        _advance({id: run.query, next: next, isLast: isLast, rest: run.rest, expected: update.nextOutput});
    }

    /// @dev INVARIANT [I-3]: a hop is signed by whom the committed route names, and in its order, since the link that
    /// the signer opens is a part of the state that must be the query's.
    function _takeHop(uint64 id, Query memory due, OutputCommitment output, HopEntry calldata entry, RouteLink rest)
        private
        returns (TrailHash)
    {
        Update memory update = _firstUpdate(id, due, output);
        address signer = _takeEntry(update, entry);
        due.route = Routes.link(signer, entry.salt, rest);
        _expectState(id, due);
        emit UpdatePosted({
            query: id,
            attempt: due.attempt,
            hop: due.hop,
            items: due.items,
            trail: due.trail,
            output: output,
            rest: rest,
            entry: entry
        });
        return update.trail;
    }

    function _advance(uint64 id, Query memory next, bool isLast, RouteLink rest, OutputCommitment expected) private {
        next.phase = isLast ? QueryPhase.Computed : QueryPhase.Routed;
        next.touchedAt = isLast ? 0 : uint40(block.timestamp);
        next.route = rest;
        next.expectedOutput = expected;
        _store(id, next);
    }

    /// @dev The state of a query that waits for these hops, in this arrangement, before its deadline; what the hops'
    /// entries must lead back to is left open.
    function _dueAt(uint64 id, Place calldata place, uint256 length)
        private
        view
        returns (Query memory due, bool isLast)
    {
        Arrangement storage ring = _arrangement;
        if (ring.authenticSince == 0) revert NotAuthentic(ring.id, mode());
        uint256 last = uint256(place.hop) + length;
        if (length == 0 || last > ring.seats) revert UnexpectedLength(id, ring.seats, last);
        uint256 deadline = _deadlineOf(place.touchedAt);
        if (block.timestamp > deadline) {
            revert DeadlinePassed({query: id, hop: place.hop, deadline: deadline, time: block.timestamp});
        }
        due.phase = QueryPhase.Routed;
        due.attempt = place.attempt;
        due.hop = place.hop;
        due.items = place.items;
        due.modelVersion = ring.modelVersion;
        due.touchedAt = place.touchedAt;
        due.trail = place.trail;
        isLast = last == ring.seats;
    }

    /// @dev Forward through the signatures, each over the history with the hops before it, then back through the links
    /// that the signers open. No hop can contradict the one before it: what it signed for is the expected output.
    function _takeEntries(Update memory update, HopEntry[] calldata entries, RouteLink rest)
        private
        view
        returns (RouteLink)
    {
        address[] memory signers = new address[](entries.length);
        for (uint256 i = 0; i < entries.length; ++i) {
            signers[i] = _takeEntry(update, entries[i]);
            // INVARIANT [I-6]: the next hop has signed for the output that this one expects (eq. 13), or is nobody.
            update.output = update.nextOutput;
            ++update.hop;
        }
        for (uint256 i = entries.length; i > 0; --i) {
            rest = Routes.link(signers[i - 1], entries[i - 1].salt, rest);
        }
        return rest;
    }

    /// @dev Implements eq. (9): who signed the update, which this completes. That the route names this signer is
    /// INVARIANT [I-3], `_takeHop`. Leaves the trail after the hop in the update.
    function _takeEntry(Update memory update, HopEntry calldata entry) private view returns (address signer) {
        update.envelope = entry.envelope;
        update.nextOutput = entry.nextOutput;
        bytes32 digest = _hashTypedDataV4(update.hash());
        signer = ECDSA.recover(digest, entry.r, entry.vs);
        update.trail = Trails.extend(update.trail, digest, signer);
    }

    function _firstUpdate(uint64 id, Query memory due, OutputCommitment output)
        private
        pure
        returns (Update memory update)
    {
        update.query = id;
        update.attempt = due.attempt;
        update.hop = due.hop;
        update.items = due.items;
        update.output = output;
        update.trail = due.trail;
    }
}
