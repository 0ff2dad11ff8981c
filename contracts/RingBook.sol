// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {BlockHashes} from "./libraries/BlockHashes.sol";
import {Digests} from "./libraries/Digests.sol";
import {BlockHash, Leaf, ModelRoot, Pointer, SealingKey} from "./types/Types.sol";

/// @title The ring's half of the ledger: members, seats, attestations, authenticity, restore
/// @author The DeepRing authors
/// @notice Documentation is in `ILedger`; the numbered invariants are in SPECIFICATION.md.
abstract contract RingBook is ILedger, EIP712 {
    using Digests for Attestation;

    uint256 private constant _REPORT_LIMIT = 256;

    /// @dev Seating and attesting the largest ring take less gas than a transaction may have (EIP-7825, 2^24).
    uint16 private constant _MOST_LAYERS = 127;

    /// @inheritdoc ILedger
    address public immutable override ouroboros;

    Model internal _model;
    Arrangement internal _arrangement;
    mapping(uint16 position => Seat seat) private _seats;
    mapping(address worker => uint64 arrangementId) private _seatedIn;

    /// @inheritdoc ILedger
    mapping(address worker => SealingKey key) public override sealingKeyOf;

    modifier onlyOuroboros() {
        if (msg.sender != ouroboros) revert NotOuroboros(ouroboros, msg.sender);
        _;
    }

    // INVARIANT [I-1]: no route, update or delivery while the authenticity flag is off.
    modifier onlyAuthentic() {
        if (_arrangement.authenticSince == 0) revert NotAuthentic(_arrangement.id, mode());
        _;
    }

    /// @notice Names the model's owner for good.
    /// @param owner the ouroboros
    constructor(address owner) {
        if (owner == address(0)) revert ZeroOuroboros();
        ouroboros = owner;
    }

    // ------------------------------------------------------------------ registration

    /// @inheritdoc ILedger
    function registerModel(ModelRoot root, Pointer card, uint16 layers) external override onlyOuroboros {
        if (ModelRoot.unwrap(root) == 0 || layers == 0 || layers > _MOST_LAYERS) {
            revert InvalidModel(root, layers);
        }
        uint32 version = _model.version + 1;
        _arrangement.authenticSince = 0;
        _model = Model({root: root, card: card, layers: layers, version: version});
        emit ModelRegistered({version: version, root: root, card: card, layers: layers});
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
            authenticSince: 0,
            recordedHash: recordedHash,
            currentHash: BlockHash.wrap(0)
        });
        emit RingArranged({
            arrangement: id,
            modelVersion: _model.version,
            seats: seats,
            recordedHash: recordedHash,
            notes: notes
        });
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

    /// @inheritdoc ILedger
    /// @dev Implements 3.4.4: the first block whose hash differs is restored, until the last hash matches.
    function orderRestore(
        uint16 position,
        Leaf[] calldata expectedLeaves,
        BlockHash renewedHash,
        Pointer parameters
    ) external override onlyOuroboros {
        Arrangement storage ring = _arrangement;
        RingMode current = mode();
        if (current != RingMode.Tracking) revert NotTracking(ring.id, current);
        if (position >= ring.seats) revert UnknownPosition(position, ring.seats);
        Seat storage seat = _seats[position];
        BlockHash recorded = _checkEvidence(ring, position, expectedLeaves);
        // INVARIANT [I-7]: only a block whose recorded and recomputed hashes differ is restored, the first such one.
        if (_isSame(recorded, seat.blockHash)) revert BlockIntact(ring.id, position, recorded);
        if (_isSame(renewedHash, recorded) || _isSame(renewedHash, seat.blockHash)) {
            revert ChallengeNotFresh(ring.id, position, renewedHash);
        }
        // INVARIANT [I-5]: an order leaves the owner no say in what the other seats must have attested.
        BlockHash recordedLast = _foldAfter(renewedHash, expectedLeaves);
        emit RestoreOrdered({
            arrangement: ring.id,
            position: position,
            worker: seat.worker,
            round: seat.round + 1,
            recordedHash: recorded,
            recomputedHash: seat.blockHash,
            renewedHash: renewedHash,
            recordedLast: recordedLast,
            parameters: parameters
        });
        ++seat.round;
        seat.attestedIn = 0;
        ring.folded = position;
        ring.currentHash = _hashBefore(position);
        ring.recordedHash = recordedLast;
    }

    /// @inheritdoc ILedger
    function reportRestore(uint16 position, string calldata changed) external override {
        uint64 id = _arrangement.id;
        if (position >= _arrangement.seats) revert UnknownPosition(position, _arrangement.seats);
        Seat storage seat = _seats[position];
        if (msg.sender != seat.worker) revert NotSeated(id, position, seat.worker, msg.sender);
        if (seat.reported == seat.round) revert NothingToReport(id, position);
        if (bytes(changed).length > _REPORT_LIMIT) revert ReportTooLong(_REPORT_LIMIT, bytes(changed).length);
        seat.reported = seat.round;
        emit RestoreReported({
            arrangement: id,
            position: position,
            worker: seat.worker,
            round: seat.round,
            changed: changed
        });
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
    function isAuthentic() external view override returns (bool authentic) {
        return mode() == RingMode.Query;
    }

    /// @inheritdoc ILedger
    /// @dev Implements 3.3: authenticity is whether HASH_prev, which the ledger derived, is origHASH_prev.
    function mode() public view override returns (RingMode current) {
        Arrangement storage ring = _arrangement;
        if (ring.id == 0 || ring.modelVersion != _model.version) return RingMode.Setup;
        if (ring.folded < ring.seats) return RingMode.Attesting;
        return _isSame(ring.currentHash, ring.recordedHash) ? RingMode.Query : RingMode.Tracking;
    }

    // ------------------------------------------------------------------ steps

    function _seat(uint64 id, uint16 position, address worker) private {
        if (SealingKey.unwrap(sealingKeyOf[worker]) == 0) revert WorkerNotAdmitted(worker);
        if (_seatedIn[worker] == id) revert WorkerSeatedTwice(worker);
        _seatedIn[worker] = id;
        Seat storage seat = _seats[position];
        seat.worker = worker;
        seat.round = 0;
        seat.reported = 0;
    }

    function _acceptLeaf(Attestation calldata attestation, bytes calldata signature) private {
        Arrangement storage ring = _arrangement;
        uint16 position = attestation.position;
        // INVARIANT [I-4]: a leaf counts in the arrangement and round whose challenge it was made for, once, from its
        // own seat.
        if (attestation.arrangement != ring.id) revert StaleArrangement(ring.id, attestation.arrangement);
        if (position >= ring.seats) revert UnknownPosition(position, ring.seats);
        Seat storage seat = _seats[position];
        if (attestation.round != seat.round) {
            revert UnexpectedRound(ring.id, position, seat.round, attestation.round);
        }
        if (seat.attestedIn == ring.id) revert AlreadyAttested(ring.id, position);
        if (SealingKey.unwrap(attestation.sealingKey) == 0) revert ZeroSealingKey(seat.worker);
        address signer = ECDSA.recover(_hashTypedDataV4(attestation.hash()), signature);
        if (signer != seat.worker) revert UnexpectedAttester(ring.id, position, seat.worker, signer);
        seat.attestedIn = ring.id;
        seat.leaf = attestation.leaf;
        emit BlockAttested({
            arrangement: ring.id,
            position: position,
            worker: signer,
            round: attestation.round,
            leaf: attestation.leaf,
            sealingKey: attestation.sealingKey,
            signature: signature
        });
    }

    /// @dev Folds as many leaves as are there in ring order (eq. 1-2), and derives the flag after the last.
    function _fold() private {
        Arrangement storage ring = _arrangement;
        uint16 position = ring.folded;
        BlockHash current = ring.currentHash;
        while (position < ring.seats && _seats[position].attestedIn == ring.id) {
            current = _foldOne(position, current, _seats[position].leaf);
            _seats[position].blockHash = current;
            emit BlockHashed(ring.id, position, current);
            ++position;
        }
        if (position == ring.folded) return;
        ring.folded = position;
        ring.currentHash = current;
        if (position == ring.seats) _derive(ring);
    }

    /// @dev INVARIANT [I-5]: nobody sets the flag; it follows from the leaves and the recorded hash.
    function _derive(Arrangement storage ring) private {
        bool authentic = mode() == RingMode.Query;
        if (authentic) ring.authenticSince = uint40(block.timestamp);
        emit AuthenticityDerived({
            arrangement: ring.id,
            isAuthentic: authentic,
            recordedHash: ring.recordedHash,
            recomputedHash: ring.currentHash
        });
    }

    function _checkEvidence(Arrangement storage ring, uint16 position, Leaf[] calldata expectedLeaves)
        private
        view
        returns (BlockHash recorded)
    {
        uint256 rest = ring.seats - position;
        if (expectedLeaves.length != rest) revert LengthMismatch(rest, expectedLeaves.length);
        recorded = _foldOne(position, _hashBefore(position), expectedLeaves[0]);
        BlockHash last = _foldAfter(recorded, expectedLeaves);
        if (!_isSame(last, ring.recordedHash)) revert UnexpectedEvidence(ring.id, ring.recordedHash, last);
    }

    function _hashBefore(uint16 position) private view returns (BlockHash) {
        return position == 0 ? BlockHash.wrap(0) : _seats[position - 1].blockHash;
    }

    /// @dev The last hash, from that of the first leaf's block on.
    function _foldAfter(BlockHash first, Leaf[] calldata leaves) private pure returns (BlockHash last) {
        last = first;
        for (uint256 i = 1; i < leaves.length; ++i) {
            last = BlockHashes.next(last, leaves[i]);
        }
    }

    function _isSame(BlockHash one, BlockHash other) private pure returns (bool) {
        return BlockHash.unwrap(one) == BlockHash.unwrap(other);
    }

    function _foldOne(uint16 position, BlockHash previous, Leaf leaf) private pure returns (BlockHash) {
        return position == 0 ? BlockHashes.first(leaf) : BlockHashes.next(previous, leaf);
    }
}
