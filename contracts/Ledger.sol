// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {BlockHashes} from "./libraries/BlockHashes.sol";
import {Digests} from "./libraries/Digests.sol";
import {Routes} from "./libraries/Routes.sol";
import {Trails} from "./libraries/Trails.sol";
import {
    BlockHash,
    Leaf,
    ModelRoot,
    OutputCommitment,
    Pointer,
    RouteLink,
    SealingKey,
    TrailHash
} from "./types/Types.sol";

/// @title The common ledger of a DeepRing
/// @author The DeepRing authors
/// @notice State machine only: check, call a library, store, emit. Documentation is in `ILedger`; the numbered
/// invariants are in SPECIFICATION.md.
contract Ledger is ILedger, EIP712 {
    using Digests for Update;
    using Digests for Attestation;
    using Digests for Delivery;

    /// @inheritdoc ILedger
    address public immutable override ouroboros;

    /// @inheritdoc ILedger
    uint64 public override queryCount;

    Model private _model;
    Arrangement private _arrangement;
    mapping(uint16 position => Seat seat) private _seats;
    mapping(address worker => uint64 arrangementId) private _seatedIn;
    mapping(uint64 id => Query query) private _queries;

    /// @inheritdoc ILedger
    mapping(address worker => SealingKey key) public override sealingKeyOf;

    modifier onlyOuroboros() {
        if (msg.sender != ouroboros) revert NotOuroboros(ouroboros, msg.sender);
        _;
    }

    // INVARIANT [I-1]: no route, update or delivery while the authenticity flag is off.
    modifier onlyAuthentic() {
        RingMode current = mode();
        if (current != RingMode.Query) revert NotAuthentic(_arrangement.id, current);
        _;
    }

    /// @notice Opens the ledger of one ring.
    /// @param owner the ouroboros: the model owner's account
    constructor(address owner) EIP712("DeepRing", "1") {
        if (owner == address(0)) revert ZeroOuroboros();
        ouroboros = owner;
    }

    // ------------------------------------------------------------------ registration

    /// @inheritdoc ILedger
    function registerModel(ModelRoot root, Pointer card, uint16 layers) external override onlyOuroboros {
        // One seat more than layers must fit into uint16, and so must the delivery's hop.
        if (ModelRoot.unwrap(root) == 0 || layers == 0 || layers > type(uint16).max - 2) {
            revert InvalidModel(root, layers);
        }
        uint32 version = _model.version + 1;
        _model = Model({root: root, card: card, layers: layers, version: version});
        emit ModelRegistered(version, root, card, layers);
    }

    /// @inheritdoc ILedger
    function admitWorkers(address[] calldata workers, SealingKey[] calldata sealingKeys)
        external
        override
        onlyOuroboros
    {
        if (workers.length != sealingKeys.length) revert LengthMismatch(workers.length, sealingKeys.length);
        for (uint256 i = 0; i < workers.length; ++i) {
            if (SealingKey.unwrap(sealingKeys[i]) == 0) revert ZeroSealingKey(workers[i]);
            sealingKeyOf[workers[i]] = sealingKeys[i];
            emit WorkerAdmitted(workers[i], sealingKeys[i]);
        }
    }

    // ------------------------------------------------------------------ arrangement and authenticity

    /// @inheritdoc ILedger
    function arrange(address[] calldata seats, BlockHash recordedHash, Pointer notes)
        external
        override
        onlyOuroboros
    {
        if (_model.version == 0) revert ModelMissing();
        uint256 expected = uint256(_model.layers) + 1;
        if (seats.length != expected) revert UnexpectedSeatCount(expected, seats.length);
        if (seats[0] != ouroboros) revert OuroborosNotFirst(ouroboros, seats[0]);
        uint64 id = _arrangement.id + 1;
        for (uint16 position = 0; position < seats.length; ++position) {
            _seat(id, position, seats[position]);
        }
        _arrangement = Arrangement({
            id: id,
            modelVersion: _model.version,
            seats: uint16(seats.length),
            folded: 0,
            recordedHash: recordedHash,
            currentHash: BlockHash.wrap(0)
        });
        emit RingArranged(id, _model.version, seats, recordedHash, notes);
    }

    /// @inheritdoc ILedger
    function attest(Attestation[] calldata attestations, bytes[] calldata signatures) external override {
        if (attestations.length != signatures.length) {
            revert LengthMismatch(attestations.length, signatures.length);
        }
        for (uint256 i = 0; i < attestations.length; ++i) {
            _acceptLeaf(attestations[i], signatures[i]);
        }
        _fold();
    }

    // ------------------------------------------------------------------ queries

    /// @inheritdoc ILedger
    function submitQuery(Pointer input, SealingKey sealingKey) external override returns (uint64 query) {
        if (_model.version == 0) revert ModelMissing();
        if (SealingKey.unwrap(sealingKey) == 0) revert ZeroSealingKey(msg.sender);
        query = ++queryCount;
        TrailHash trail = Trails.start(query, msg.sender, input, sealingKey);
        Query storage stored = _queries[query];
        stored.phase = QueryPhase.Submitted;
        stored.trail = trail;
        emit QuerySubmitted(query, msg.sender, input, sealingKey, trail);
    }

    /// @inheritdoc ILedger
    function rejectQuery(uint64 query, RejectReason reason) external override onlyOuroboros {
        Query storage stored = _expectPhase(query, QueryPhase.Submitted);
        stored.phase = QueryPhase.Rejected;
        emit QueryRejected(query, reason);
    }

    /// @inheritdoc ILedger
    function openRoute(uint64 query, RouteLink route, Pointer notes) external override onlyOuroboros onlyAuthentic {
        if (RouteLink.unwrap(route) == 0) revert EmptyRoute(query);
        Query storage stored = _expectPhase(query, QueryPhase.Submitted);
        stored.phase = QueryPhase.Routed;
        stored.attempt = 1;
        stored.hops = _model.layers + 1;
        stored.route = route;
        emit RouteOpened(query, 1, 0, route, notes);
    }

    /// @inheritdoc ILedger
    function postUpdate(Update calldata update, RouteOpening calldata opening, bytes calldata signature)
        external
        override
        onlyAuthentic
    {
        Query storage stored = _expectPhase(update.query, QueryPhase.Routed);
        // INVARIANT [I-2]: an entry is accepted at one place only: query, attempt, hop and history.
        _checkPlace(stored, update.query, update.attempt, update.trail);
        if (update.hop != stored.hop) revert UnexpectedHop(update.query, stored.hop, update.hop);
        bytes32 digest = _hashTypedDataV4(update.hash());
        address signer = ECDSA.recover(digest, signature);
        _checkTurn(stored.route, update, opening, signer);
        TrailHash trail = Trails.extend(update.trail, digest, signer);
        stored.trail = trail;
        stored.route = opening.next;
        emit UpdatePosted(update.query, update.hop, signer, update, opening, signature, trail);
        _advance(stored, update);
    }

    /// @inheritdoc ILedger
    function deliver(Delivery calldata delivery, bytes calldata signature) external override onlyAuthentic {
        Query storage stored = _expectPhase(delivery.query, QueryPhase.Computed);
        _checkPlace(stored, delivery.query, delivery.attempt, delivery.trail);
        bytes32 digest = _hashTypedDataV4(delivery.hash());
        address signer = ECDSA.recover(digest, signature);
        if (signer != ouroboros) revert UnexpectedDeliverer(delivery.query, ouroboros, signer);
        TrailHash trail = Trails.extend(delivery.trail, digest, signer);
        stored.trail = trail;
        emit AnswerDelivered(delivery.query, delivery.attempt, delivery.answer, delivery.output, signature, trail);
        if (_violatesValidation(stored, delivery.query, stored.hop, delivery.output)) return;
        stored.phase = QueryPhase.Delivered;
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc ILedger
    function model() external view override returns (Model memory current) {
        return _model;
    }

    /// @inheritdoc ILedger
    function arrangement() external view override returns (Arrangement memory current) {
        return _arrangement;
    }

    /// @inheritdoc ILedger
    function seatAt(uint16 position) external view override returns (Seat memory seat) {
        return _seats[position];
    }

    /// @inheritdoc ILedger
    function queryAt(uint64 id) external view override returns (Query memory query) {
        return _queries[id];
    }

    /// @inheritdoc ILedger
    function isAuthentic() external view override returns (bool authentic) {
        return mode() == RingMode.Query;
    }

    /// @inheritdoc ILedger
    function mode() public view override returns (RingMode current) {
        Arrangement storage ring = _arrangement;
        if (ring.id == 0 || ring.modelVersion != _model.version) return RingMode.Setup;
        if (ring.folded < ring.seats) return RingMode.Attesting;
        return BlockHash.unwrap(ring.currentHash) == BlockHash.unwrap(ring.recordedHash)
            ? RingMode.Query
            : RingMode.Tracking;
    }

    // ------------------------------------------------------------------ steps

    function _seat(uint64 id, uint16 position, address worker) private {
        if (SealingKey.unwrap(sealingKeyOf[worker]) == 0) revert WorkerNotAdmitted(worker);
        if (_seatedIn[worker] == id) revert WorkerSeatedTwice(worker);
        _seatedIn[worker] = id;
        _seats[position].worker = worker;
    }

    function _acceptLeaf(Attestation calldata attestation, bytes calldata signature) private {
        Arrangement storage ring = _arrangement;
        uint16 position = attestation.position;
        // INVARIANT [I-4]: a leaf counts in the arrangement whose challenge it was made for, once, from its own seat.
        if (attestation.arrangement != ring.id) revert StaleArrangement(ring.id, attestation.arrangement);
        if (position >= ring.seats) revert UnknownPosition(position, ring.seats);
        Seat storage seat = _seats[position];
        if (seat.attestedIn == ring.id) revert AlreadyAttested(ring.id, position);
        if (SealingKey.unwrap(attestation.sealingKey) == 0) revert ZeroSealingKey(seat.worker);
        address signer = ECDSA.recover(_hashTypedDataV4(attestation.hash()), signature);
        if (signer != seat.worker) revert UnexpectedAttester(ring.id, position, seat.worker, signer);
        seat.attestedIn = ring.id;
        seat.leaf = attestation.leaf;
        emit BlockAttested(ring.id, position, signer, attestation.leaf, attestation.sealingKey, signature);
    }

    /// @dev Folds as many leaves as are there in ring order (eq. 1-2), and derives the flag after the last.
    function _fold() private {
        Arrangement storage ring = _arrangement;
        uint16 position = ring.folded;
        BlockHash current = ring.currentHash;
        while (position < ring.seats && _seats[position].attestedIn == ring.id) {
            Leaf leaf = _seats[position].leaf;
            current = position == 0 ? BlockHashes.first(leaf) : BlockHashes.next(current, leaf);
            _seats[position].blockHash = current;
            emit BlockHashed(ring.id, position, current);
            ++position;
        }
        if (position == ring.folded) return;
        ring.folded = position;
        ring.currentHash = current;
        // INVARIANT [I-5]: nobody sets the flag; it follows from the leaves and the recorded hash.
        if (position == ring.seats) {
            emit AuthenticityDerived(ring.id, mode() == RingMode.Query, ring.recordedHash, current);
        }
    }

    function _advance(Query storage stored, Update calldata update) private {
        if (update.hop != 0 && _violatesValidation(stored, update.query, update.hop, update.output)) return;
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
        emit OutputDisputed(query, stored.attempt, hop, expected, actual);
        return true;
    }

    /// @dev INVARIANT [I-3]: a hop is signed by whom the committed route names, and in its order.
    function _checkTurn(RouteLink expected, Update calldata update, RouteOpening calldata opening, address signer)
        private
        pure
    {
        RouteLink actual = Routes.link(signer, opening.salt, opening.next);
        if (RouteLink.unwrap(actual) != RouteLink.unwrap(expected)) {
            revert UnexpectedSigner(update.query, update.hop, signer, expected, actual);
        }
    }

    function _expectPhase(uint64 query, QueryPhase expected) private view returns (Query storage stored) {
        stored = _queries[query];
        if (stored.phase != expected) revert UnexpectedPhase(query, expected, stored.phase);
    }

    function _checkPlace(Query storage stored, uint64 query, uint16 attempt, TrailHash trail) private view {
        if (attempt != stored.attempt) revert UnexpectedAttempt(query, stored.attempt, attempt);
        if (TrailHash.unwrap(trail) != TrailHash.unwrap(stored.trail)) {
            revert UnexpectedTrail(query, stored.trail, trail);
        }
    }
}
