// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {
    BlockHash,
    Leaf,
    ModelRoot,
    OutputCommitment,
    Pointer,
    RouteLink,
    SealingKey,
    TrailHash
} from "../types/Types.sol";

/// @title The common ledger of a DeepRing (paper 3.2-3.4)
/// @author The DeepRing authors
/// @notice Keeps pointers, signatures, block hashes and the authenticity flag of one ring, and checks who acts, when
/// and in which order. Everything secret stays outside: the ledger sees ciphertext pointers and keyed commitments only.
interface ILedger {
    /// @notice Mode of the ring. Only in `Query` does the ledger accept routes, updates and deliveries.
    /// @dev Setup: nothing arranged yet for the model version in force. Attesting: leaves are missing. Query: the derived hash of the last block equals
    /// the recorded one (authenticity true). Tracking: it does not (authenticity false).
    enum RingMode {
        Setup,
        Attesting,
        Query,
        Tracking
    }

    /// @notice Phase of a query.
    /// @dev Submitted -> Routed -> Computed -> Delivered; Routed or Computed -> Disputed on a violation of eq. 13;
    /// Submitted -> Rejected when the ouroboros cannot use the input.
    enum QueryPhase {
        None,
        Submitted,
        Routed,
        Computed,
        Delivered,
        Disputed,
        Rejected
    }

    /// @notice Why the ouroboros turned a query down.
    enum RejectReason {
        Undecryptable,
        Malformed,
        WrongShape,
        BlobUnavailable
    }

    /// @notice A model version: manifest root, pointer to the public card, number of layers.
    struct Model {
        ModelRoot root;
        Pointer card;
        uint16 layers;
        uint32 version;
    }

    /// @notice The ring as it is seated now.
    struct Arrangement {
        uint64 id;
        uint32 modelVersion;
        uint16 seats;
        uint16 folded;
        BlockHash recordedHash;
        BlockHash currentHash;
    }

    /// @notice One seat of the current arrangement.
    /// @dev `attestedIn` is the arrangement that `leaf` belongs to; 0 or an older one means: not attested yet.
    struct Seat {
        address worker;
        uint64 attestedIn;
        Leaf leaf;
        BlockHash blockHash;
    }

    /// @notice State of a query: only what the next check needs; all else is in the events.
    struct Query {
        QueryPhase phase;
        uint16 attempt;
        uint16 hop;
        uint16 hops;
        RouteLink route;
        OutputCommitment expectedOutput;
        TrailHash trail;
    }

    /// @notice A hop's entry (eq. 4-11), signed by its layer as EIP-712 typed data.
    /// @dev `trail` is the query's rolling hash before this entry.
    struct Update {
        uint64 query;
        uint16 attempt;
        uint16 hop;
        Pointer envelope;
        OutputCommitment output;
        OutputCommitment nextOutput;
        TrailHash trail;
    }

    /// @notice Opens one link of the committed route: it shows who signs this hop, and nothing of the next.
    struct RouteOpening {
        bytes32 salt;
        RouteLink next;
    }

    /// @notice A block's leaf under the arrangement's challenge, signed by its worker as EIP-712 typed data.
    /// @dev `sealingKey` receives this worker's route notes and envelopes until the next arrangement.
    struct Attestation {
        uint64 arrangement;
        uint16 position;
        Leaf leaf;
        SealingKey sealingKey;
    }

    /// @notice The closing entry (eq. 12), signed by the ouroboros as EIP-712 typed data.
    struct Delivery {
        uint64 query;
        uint16 attempt;
        Pointer answer;
        OutputCommitment output;
        TrailHash trail;
    }

    /// @notice A model version was registered.
    /// @param version counts from 1
    /// @param root manifest root
    /// @param card pointer to the public model card
    /// @param layers number of layers, n
    event ModelRegistered(uint32 indexed version, ModelRoot root, Pointer card, uint16 layers);

    /// @notice A worker was admitted, or the ouroboros published its own key.
    /// @param worker account
    /// @param sealingKey long-term X25519 key
    event WorkerAdmitted(address indexed worker, SealingKey sealingKey);

    /// @notice The ring was seated anew under a fresh challenge.
    /// @param arrangement counts from 1
    /// @param modelVersion the version that the blocks must hold
    /// @param seats accounts in ring order; seat 0 is the ouroboros
    /// @param recordedHash origHASH_prev: the hash of the last block that the ouroboros expects
    /// @param notes pointer to the sealed challenges
    event RingArranged(
        uint64 indexed arrangement, uint32 indexed modelVersion, address[] seats, BlockHash recordedHash, Pointer notes
    );

    /// @notice A block attested.
    /// @param arrangement arrangement
    /// @param position seat
    /// @param worker signer
    /// @param leaf its leaf
    /// @param sealingKey its key for this arrangement
    /// @param signature the EIP-712 signature over the attestation
    event BlockAttested(
        uint64 indexed arrangement,
        uint16 indexed position,
        address indexed worker,
        Leaf leaf,
        SealingKey sealingKey,
        bytes signature
    );

    /// @notice The ledger derived the hash of a block (eq. 1-2).
    /// @param arrangement arrangement
    /// @param position seat
    /// @param blockHash HASH_j
    event BlockHashed(uint64 indexed arrangement, uint16 indexed position, BlockHash blockHash);

    /// @notice All leaves are in: the ledger compared the last hash with the recorded one (paper 3.3).
    /// @param arrangement arrangement
    /// @param isAuthentic the authenticity flag
    /// @param recordedHash origHASH_prev
    /// @param recomputedHash HASH_prev
    event AuthenticityDerived(
        uint64 indexed arrangement, bool isAuthentic, BlockHash recordedHash, BlockHash recomputedHash
    );

    /// @notice A querent asked (eq. 3).
    /// @param query counts from 1
    /// @param querent account
    /// @param input pointer to the sealed input
    /// @param sealingKey the querent's X25519 key for the answer
    /// @param trail first value of the query's rolling hash
    event QuerySubmitted(
        uint64 indexed query, address indexed querent, Pointer input, SealingKey sealingKey, TrailHash trail
    );

    /// @notice The ouroboros cannot use a query's input.
    /// @param query query
    /// @param reason why
    event QueryRejected(uint64 indexed query, RejectReason reason);

    /// @notice The route of a query's attempt was committed.
    /// @param query query
    /// @param attempt counts from 1
    /// @param firstHop the hop that the attempt begins with
    /// @param route first link
    /// @param notes pointer to the sealed route notes
    event RouteOpened(
        uint64 indexed query, uint16 indexed attempt, uint16 firstHop, RouteLink route, Pointer notes
    );

    /// @notice A hop's update was accepted.
    /// @param query query
    /// @param hop hop
    /// @param signer the layer's account
    /// @param update the signed entry
    /// @param opening the opened link of the route
    /// @param signature S_i
    /// @param trail the rolling hash after this update
    event UpdatePosted(
        uint64 indexed query,
        uint16 indexed hop,
        address indexed signer,
        Update update,
        RouteOpening opening,
        bytes signature,
        TrailHash trail
    );

    /// @notice Eq. 13 does not hold between two neighbors: either `hop` or `hop - 1` is wrong.
    /// @param query query
    /// @param attempt attempt
    /// @param hop the hop whose own commitment differs
    /// @param expected H_{hop-1}
    /// @param actual commitment to O_hop
    event OutputDisputed(
        uint64 indexed query, uint16 attempt, uint16 indexed hop, OutputCommitment expected, OutputCommitment actual
    );

    /// @notice The answer was delivered.
    /// @param query query
    /// @param attempt attempt
    /// @param answer pointer to the answer, sealed to the querent
    /// @param output the ouroboros's commitment to the answer
    /// @param signature the EIP-712 signature over the delivery
    /// @param trail the rolling hash after the delivery
    event AnswerDelivered(
        uint64 indexed query,
        uint16 attempt,
        Pointer answer,
        OutputCommitment output,
        bytes signature,
        TrailHash trail
    );

    /// @notice Only the ouroboros may do this.
    error NotOuroboros(address ouroboros, address caller);
    /// @notice The zero address cannot be the ouroboros.
    error ZeroOuroboros();
    /// @notice A model needs at least one layer and a root.
    error InvalidModel(ModelRoot root, uint16 layers);
    /// @notice Two lists that belong together differ in length.
    error LengthMismatch(uint256 expected, uint256 actual);
    /// @notice A sealing key must not be zero.
    error ZeroSealingKey(address worker);
    /// @notice No model is registered yet.
    error ModelMissing();
    /// @notice An arrangement seats the ouroboros and one worker per layer.
    error UnexpectedSeatCount(uint256 expected, uint256 actual);
    /// @notice Seat 0 belongs to the ouroboros.
    error OuroborosNotFirst(address expected, address actual);
    /// @notice Only admitted workers are seated.
    error WorkerNotAdmitted(address worker);
    /// @notice A worker is seated once.
    error WorkerSeatedTwice(address worker);
    /// @notice The attestation is for another arrangement than the current one.
    error StaleArrangement(uint64 expected, uint64 actual);
    /// @notice There is no such seat.
    error UnknownPosition(uint16 position, uint16 seats);
    /// @notice The seat has attested in this arrangement.
    error AlreadyAttested(uint64 arrangement, uint16 position);
    /// @notice The attestation is not signed by the worker in that seat.
    error UnexpectedAttester(uint64 arrangement, uint16 position, address expected, address actual);
    /// @notice The ring is not in query mode.
    error NotAuthentic(uint64 arrangement, RingMode mode);
    /// @notice The query is in another phase, or unknown (phase None).
    error UnexpectedPhase(uint64 query, QueryPhase expected, QueryPhase actual);
    /// @notice The entry belongs to another attempt.
    error UnexpectedAttempt(uint64 query, uint16 expected, uint16 actual);
    /// @notice The entry belongs to another hop.
    error UnexpectedHop(uint64 query, uint16 expected, uint16 actual);
    /// @notice The entry was signed over another history.
    error UnexpectedTrail(uint64 query, TrailHash expected, TrailHash actual);
    /// @notice The signer and the opening do not match the committed route: not this signer's turn.
    error UnexpectedSigner(uint64 query, uint16 hop, address signer, RouteLink expected, RouteLink actual);
    /// @notice The delivery is not signed by the ouroboros.
    error UnexpectedDeliverer(uint64 query, address expected, address actual);
    /// @notice A route cannot be empty.
    error EmptyRoute(uint64 query);

    /// @notice Registers the next version of the model. Ouroboros only.
    /// @param root manifest root
    /// @param card pointer to the public model card
    /// @param layers number of layers
    function registerModel(ModelRoot root, Pointer card, uint16 layers) external;

    /// @notice Admits workers, or renews their long-term sealing keys. Ouroboros only.
    /// @param workers accounts; the ouroboros's own is among them, so that querents find its key
    /// @param sealingKeys one key each
    function admitWorkers(address[] calldata workers, SealingKey[] calldata sealingKeys) external;

    /// @notice Seats the ring anew. Ouroboros only. Until every seat has attested, nothing else moves.
    /// @param seats accounts in ring order, the ouroboros first
    /// @param recordedHash the hash of the last block that the ouroboros expects
    /// @param notes pointer to the sealed challenges
    function arrange(address[] calldata seats, BlockHash recordedHash, Pointer notes) external;

    /// @notice Posts signed leaves, one's own or others'; folds those that are next in the ring into block hashes.
    /// @param attestations the leaves
    /// @param signatures one each
    function attest(Attestation[] calldata attestations, bytes[] calldata signatures) external;

    /// @notice Opens a query (eq. 3). Anyone, in any mode: queries wait while the ring is not authentic.
    /// @param input pointer to the input, sealed to the ouroboros
    /// @param sealingKey the querent's key for the answer
    /// @return query its id
    function submitQuery(Pointer input, SealingKey sealingKey) external returns (uint64 query);

    /// @notice Turns a query down. Ouroboros only.
    /// @param query query
    /// @param reason why
    function rejectQuery(uint64 query, RejectReason reason) external;

    /// @notice Commits the route of a query. Ouroboros only.
    /// @param query query
    /// @param route first link of the chain of commitments
    /// @param notes pointer to the sealed route notes
    function openRoute(uint64 query, RouteLink route, Pointer notes) external;

    /// @notice Accepts a hop's update: checks its place, its signature, the route link and eq. 13. Anyone may carry it.
    /// @param update the signed entry
    /// @param opening opens the route's link for this hop
    /// @param signature 65 bytes, low s
    function postUpdate(Update calldata update, RouteOpening calldata opening, bytes calldata signature) external;

    /// @notice Closes a query (eq. 12): checks signature, place and eq. 13 for the last layer.
    /// @param delivery the signed entry
    /// @param signature 65 bytes, low s
    function deliver(Delivery calldata delivery, bytes calldata signature) external;

    /// @notice The model owner's account.
    /// @return account hop 0 and final receiver of every query
    function ouroboros() external view returns (address account);

    /// @notice The model version in force.
    /// @return current root, card, layers and version
    function model() external view returns (Model memory current);

    /// @notice The ring as it is seated now.
    /// @return current seats, progress and hashes
    function arrangement() external view returns (Arrangement memory current);

    /// @notice One seat.
    /// @param position seat number
    /// @return seat its worker, leaf and block hash
    function seatAt(uint16 position) external view returns (Seat memory seat);

    /// @notice Long-term sealing key of an admitted account.
    /// @param worker account
    /// @return sealingKey zero when not admitted
    function sealingKeyOf(address worker) external view returns (SealingKey sealingKey);

    /// @notice The derived mode.
    /// @return current mode
    function mode() external view returns (RingMode current);

    /// @notice The derived authenticity flag (paper 3.3).
    /// @return authentic whether the ring is in query mode
    function isAuthentic() external view returns (bool authentic);

    /// @notice State of a query.
    /// @param id query
    /// @return query its state; phase None when there is no such query
    function queryAt(uint64 id) external view returns (Query memory query);

    /// @notice How many queries were submitted.
    /// @return count the last query's id
    function queryCount() external view returns (uint64 count);
}
