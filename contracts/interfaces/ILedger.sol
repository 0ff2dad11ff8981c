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
    /// @dev Setup: nothing arranged yet for the model version in force. Attesting: leaves are missing. Query: the
    /// derived hash of the last block equals the recorded one (authenticity true). Tracking: it does not (false).
    enum RingMode {
        Setup,
        Attesting,
        Query,
        Tracking
    }

    /// @notice Phase of a query.
    /// @dev Submitted -> Routed -> Computed -> Delivered. Routed or Computed -> Disputed on a violation of eq. 13 or a
    /// recipient's complaint; Disputed -> Interrupted by the verdict; Routed -> Interrupted by a timeout;
    /// Interrupted -> Routed by a new attempt. Submitted or Interrupted -> Rejected when the ouroboros cannot go on.
    /// Any open phase -> Withdrawn by the querent after the long deadline.
    enum QueryPhase {
        None,
        Submitted,
        Routed,
        Computed,
        Delivered,
        Disputed,
        Rejected,
        Interrupted,
        Withdrawn
    }

    /// @notice Why the ouroboros turned a query down.
    enum RejectReason {
        Undecryptable,
        Malformed,
        WrongShape,
        BlobUnavailable,
        RingFaulty
    }

    /// @notice Why a recipient does not go on with the envelope that the hop before it sent.
    /// @dev Missing: the store does not have these bytes. Unreadable: malformed, or it does not decrypt.
    /// Altered: it decrypts to another output than was committed to. Unable: the recipient's parameters are damaged.
    enum ComplaintKind {
        Missing,
        Unreadable,
        Altered,
        Unable
    }

    /// @notice A model version: manifest root, pointer to the public card, number of layers.
    struct Model {
        ModelRoot root;
        Pointer card;
        uint16 layers;
        uint32 version;
    }

    /// @notice The ring as it is seated now.
    /// @dev `authenticSince` is the time at which the last fold made the flag true; zero while it is not. All that a
    /// hop needs to know of the ring is in the first word.
    struct Arrangement {
        uint64 id;
        uint32 modelVersion;
        uint16 seats;
        uint16 folded;
        uint40 authenticSince;
        BlockHash recordedHash;
        BlockHash currentHash;
    }

    /// @notice One seat of the current arrangement.
    /// @dev `attestedIn` is the arrangement that `leaf` belongs to; 0 or an older one means: not attested yet.
    /// `round` counts the restore orders for this seat in the current arrangement, `reported` the last one reported on.
    struct Seat {
        address worker;
        uint64 attestedIn;
        uint16 round;
        uint16 reported;
        Leaf leaf;
        BlockHash blockHash;
    }

    /// @notice State of a query: what the next check needs; all else is in the events.
    /// @dev The ledger stores one word of it, its hash: whoever acts on a query passes the state, which anyone can tell
    /// from the events. `modelVersion` is the one that the attempt's route was opened for. `touchedAt` is the time of
    /// the last step, from which the deadline of the hop that is due counts; zero when no hop is due any more.
    /// `items` is the number of items in the query's batch, zero before the first route and the same from then on.
    /// `route` is what is left of it; `expectedOutput` is H of the last accepted hop, zero before hop 0.
    struct Query {
        QueryPhase phase;
        uint16 attempt;
        uint16 hop;
        uint32 items;
        uint32 modelVersion;
        uint40 touchedAt;
        RouteLink route;
        OutputCommitment expectedOutput;
        TrailHash trail;
    }

    /// @notice Where a hop is due: what of the query's state does not follow from the hop's own entry.
    struct Place {
        uint16 attempt;
        uint16 hop;
        uint32 items;
        uint40 touchedAt;
        TrailHash trail;
    }

    /// @notice One hop of a run of updates: what the ledger cannot derive from the query's state and the hop before.
    /// @dev `salt` opens the route's link; `r` and `vs` are the signature over the `Update` in the form of EIP-2098.
    struct HopEntry {
        Pointer envelope;
        OutputCommitment nextOutput;
        bytes32 salt;
        bytes32 r;
        bytes32 vs;
    }

    /// @notice A hop's entry (eq. 4-11), signed by its layer as EIP-712 typed data.
    /// @dev `items` is the query's: who signs says that the envelope holds so many. `trail` is the query's rolling hash
    /// before this entry.
    struct Update {
        uint64 query;
        uint16 attempt;
        uint16 hop;
        uint32 items;
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

    /// @notice The updates of several hops in a row.
    /// @dev `output` is the first hop's own commitment; every later one's is what the hop before it expects. `rest` is
    /// what is left of the route after them.
    struct Run {
        uint64 query;
        Place place;
        OutputCommitment output;
        RouteLink rest;
        HopEntry[] entries;
    }

    /// @notice A block's leaf under the arrangement's challenge, signed by its worker as EIP-712 typed data.
    /// @dev `sealingKey` receives this worker's route notes and envelopes until the next arrangement. `round` is the
    /// seat's: an attestation from before a restore does not count after it.
    struct Attestation {
        uint64 arrangement;
        uint16 position;
        uint16 round;
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

    /// @notice A recipient's complaint about the envelope of the hop before, signed as EIP-712 typed data.
    /// @dev `hop` is the recipient's own. `evidence` points to the recipient's key of this arrangement, sealed to the
    /// ouroboros, so that it can repeat the recipient's check.
    struct Complaint {
        uint64 query;
        uint16 attempt;
        uint16 hop;
        ComplaintKind kind;
        Pointer evidence;
        TrailHash trail;
    }

    /// @notice The ouroboros's verdict on a disputed edge (hop - 1, hop), signed as EIP-712 typed data.
    /// @dev `evidence` points to what it found, sealed to the auditors that the owner admits.
    struct Verdict {
        uint64 query;
        uint16 attempt;
        uint16 hop;
        bool senderGuilty;
        bool receiverGuilty;
        Pointer evidence;
        TrailHash trail;
    }

    /// @notice What a querent asked, and when.
    struct Question {
        Pointer input;
        SealingKey sealingKey;
        uint40 submittedAt;
    }

    /// @notice An entry of a query's trail, as far as the rolling hash needs it.
    struct TrailEntry {
        bytes32 digest;
        address signer;
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
    /// @param round the seat's round
    /// @param leaf its leaf
    /// @param sealingKey its key for this arrangement
    /// @param signature the EIP-712 signature over the attestation
    event BlockAttested(
        uint64 indexed arrangement,
        uint16 indexed position,
        address indexed worker,
        uint16 round,
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

    /// @notice A block must be restored (paper 3.4.4): its hash is the first that differs from the record.
    /// @param arrangement arrangement
    /// @param position seat
    /// @param worker who sits there
    /// @param round the seat's new round: the worker attests again in it
    /// @param recordedHash HASH_j as the ouroboros recorded it
    /// @param recomputedHash HASH_j as the attestations gave it
    /// @param renewedHash HASH_j from here on, with the restored block's fresh challenge in it
    /// @param recordedLast origHASH_prev from here on: the fold of the renewed hash and the evidence's other leaves
    /// @param parameters pointer to the parameters and the fresh challenge, sealed to the worker
    event RestoreOrdered(
        uint64 indexed arrangement,
        uint16 indexed position,
        address indexed worker,
        uint16 round,
        BlockHash recordedHash,
        BlockHash recomputedHash,
        BlockHash renewedHash,
        BlockHash recordedLast,
        Pointer parameters
    );

    /// @notice A restored worker named what had changed in its parameters.
    /// @param arrangement arrangement
    /// @param position seat
    /// @param worker who reports
    /// @param round the seat's round
    /// @param changed names of the tensors
    event RestoreReported(
        uint64 indexed arrangement, uint16 indexed position, address indexed worker, uint16 round, string changed
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
    /// @param items number of items in the query's batch
    /// @param route first link
    /// @param notes pointer to the sealed route notes
    event RouteOpened(
        uint64 indexed query, uint16 indexed attempt, uint16 firstHop, uint32 items, RouteLink route, Pointer notes
    );

    /// @notice An attempt goes on from an accepted output.
    /// @param query query
    /// @param attempt the new attempt
    /// @param anchorAttempt attempt of the update that it goes on from
    /// @param anchorHop hop of that update
    event QueryResumed(uint64 indexed query, uint16 attempt, uint16 anchorAttempt, uint16 anchorHop);

    /// @notice A hop's update was accepted.
    /// @dev The rest follows: the signed `Update` from the place, the trail and the entry, its signer from the
    /// signature, the opened link of the route from the signer, the salt and `rest`.
    /// @param query query
    /// @param attempt attempt
    /// @param hop hop
    /// @param items number of items in the query's batch
    /// @param trail the rolling hash before this update
    /// @param output the hop's own commitment
    /// @param rest what is left of the route after it
    /// @param entry the hop's entry
    event UpdatePosted(
        uint64 indexed query,
        uint16 attempt,
        uint16 hop,
        uint32 items,
        TrailHash trail,
        OutputCommitment output,
        RouteLink rest,
        HopEntry entry
    );

    /// @notice The updates of several hops in a row were accepted, in one call.
    /// @dev As several `UpdatePosted`: the output of each later hop is the `nextOutput` of the one before it.
    /// @param query query
    /// @param attempt attempt
    /// @param hop the first hop
    /// @param items number of items in the query's batch
    /// @param trail the rolling hash before the run
    /// @param output the first hop's own commitment
    /// @param rest what is left of the route after the run
    /// @param entries the hops
    event RunPosted(
        uint64 indexed query,
        uint16 attempt,
        uint16 hop,
        uint32 items,
        TrailHash trail,
        OutputCommitment output,
        RouteLink rest,
        HopEntry[] entries
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

    /// @notice A recipient cannot use the envelope that it got: either `hop` or `hop - 1` is wrong.
    /// @param query query
    /// @param hop the recipient's hop
    /// @param recipient who complains
    /// @param complaint the signed complaint
    /// @param opening the opened link of the route that shows whose turn it is; empty after the last hop
    /// @param signature the EIP-712 signature over the complaint
    /// @param trail the rolling hash after this entry
    event EnvelopeDisputed(
        uint64 indexed query,
        uint16 indexed hop,
        address indexed recipient,
        Complaint complaint,
        RouteOpening opening,
        bytes signature,
        TrailHash trail
    );

    /// @notice The ouroboros judged a disputed edge: who is guilty, and who is acquitted.
    /// @param query query
    /// @param hop the edge's later hop
    /// @param verdict the signed verdict
    /// @param signature the EIP-712 signature over the verdict
    /// @param trail the rolling hash after this entry
    event VerdictPosted(
        uint64 indexed query, uint16 indexed hop, Verdict verdict, bytes signature, TrailHash trail
    );

    /// @notice A hop was not posted in time.
    /// @param query query
    /// @param attempt attempt
    /// @param hop the hop that is missing
    /// @param deadline Unix time until which it was due
    event HopTimedOut(uint64 indexed query, uint16 attempt, uint16 indexed hop, uint256 deadline);

    /// @notice The querent gave up a query that was not answered in time.
    /// @param query query
    event QueryWithdrawn(uint64 indexed query);

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

    /// @notice Deadlines must be positive, and a querent's longer than a hop's.
    error InvalidDeadlines(uint40 hopSeconds, uint40 withdrawSeconds);
    /// @notice Only the ouroboros may do this.
    error NotOuroboros(address ouroboros, address caller);
    /// @notice The zero address cannot be the ouroboros.
    error ZeroOuroboros();
    /// @notice A model needs a root and 1 to 127 layers.
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
    /// @notice A restore is ordered in tracking mode only.
    error NotTracking(uint64 arrangement, RingMode mode);
    /// @notice The leaves given as evidence do not lead to the recorded hash.
    error UnexpectedEvidence(uint64 arrangement, BlockHash expected, BlockHash actual);
    /// @notice The block's hash is the recorded one: there is nothing to restore.
    error BlockIntact(uint64 arrangement, uint16 position, BlockHash recorded);
    /// @notice A restore brings a fresh challenge: the renewed hash is neither the recorded nor the recomputed one.
    error ChallengeNotFresh(uint64 arrangement, uint16 position, BlockHash renewed);
    /// @notice The attestation is from another round of the seat.
    error UnexpectedRound(uint64 arrangement, uint16 position, uint16 expected, uint16 actual);
    /// @notice Only the worker in this seat may do this.
    error NotSeated(uint64 arrangement, uint16 position, address expected, address caller);
    /// @notice No restore was ordered for the seat, or the report was made.
    error NothingToReport(uint64 arrangement, uint16 position);
    /// @notice The report is too long.
    error ReportTooLong(uint256 limit, uint256 actual);
    /// @notice The query is in another phase, or unknown (phase None).
    error UnexpectedPhase(uint64 query, QueryPhase expected, QueryPhase actual);
    /// @notice The query is not in the state that was passed, or that the entries lead back to: it is another place, or
    /// another's turn, something happened meanwhile, or an output contradicts what was expected.
    error UnexpectedState(uint64 query, bytes32 expected, bytes32 actual);
    /// @notice The attempt's route was opened for another version of the model than the ring holds now.
    error ModelChanged(uint64 query, uint32 expected, uint32 actual);
    /// @notice A run has at least one hop, and ends with the last of `hops` at the latest.
    error UnexpectedLength(uint64 query, uint16 hops, uint256 end);
    /// @notice The output is the expected one, or none is expected (hop 0): there is nothing to dispute.
    error OutputsAgree(uint64 query, OutputCommitment output);
    /// @notice The entries that were given do not lead to the query's trail.
    error UnexpectedTrail(uint64 query, TrailHash expected, TrailHash actual);
    /// @notice No attempt goes on from an output that violated eq. 13, or from one of another model version.
    error UnusableAnchor(uint64 query, uint16 hop);
    /// @notice The delivery or verdict is not signed by the ouroboros.
    error UnexpectedOwner(uint64 query, address expected, address actual);
    /// @notice The complaint is not signed by the recipient.
    error NotRecipient(uint64 query, uint16 hop, address signer);
    /// @notice The hop's deadline has passed; only a new attempt goes on.
    error DeadlinePassed(uint64 query, uint16 hop, uint256 deadline, uint256 time);
    /// @notice The deadline has not passed yet.
    error DeadlineAhead(uint64 query, uint256 deadline, uint256 time);
    /// @notice The query has ended already.
    error QueryNotOpen(uint64 query, QueryPhase phase);
    /// @notice An attempt begins at the hop that failed or before it.
    error ResumedTooLate(uint64 query, uint16 hop, uint16 first);
    /// @notice A route cannot be empty.
    error EmptyRoute(uint64 query);
    /// @notice A query has at least one item, and as many in each attempt as in the first (`expected`, if not zero).
    error UnexpectedItems(uint64 query, uint32 expected, uint32 actual);

    /// @notice Registers the next version of the model. Ouroboros only.
    /// @param root manifest root
    /// @param card pointer to the public model card
    /// @param layers number of layers, 127 at most: a larger ring would not be seated in one transaction
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

    /// @notice Orders the restore of the first block whose hash differs (paper 3.4.4). Ouroboros only, in tracking.
    /// @dev The evidence is the expected leaves from that seat to the end: with the hash before it they must lead to
    /// the recorded hash, so all before is intact, and the first of them must differ from what the block attested.
    /// The ledger folds the other leaves of the evidence onto the renewed hash: an order changes what is expected of
    /// the restored block alone. A hash does not give its leaf away.
    /// @param position seat
    /// @param expectedLeaves the leaves of this seat and all after it, as the ouroboros expects them
    /// @param renewedHash the restored block's hash with its fresh challenge in it
    /// @param parameters pointer to the parameters and the fresh challenge, sealed to the worker
    function orderRestore(
        uint16 position,
        Leaf[] calldata expectedLeaves,
        BlockHash renewedHash,
        Pointer parameters
    ) external;

    /// @notice Names what a restore changed. Only the worker of the seat, once after each order.
    /// @param position seat
    /// @param changed names of the tensors, at most 256 bytes
    function reportRestore(uint16 position, string calldata changed) external;

    /// @notice Opens a query (eq. 3). Anyone, in any mode: queries wait while the ring is not authentic.
    /// @param input pointer to the input, sealed to the ouroboros
    /// @param sealingKey the querent's key for the answer
    /// @return query its id
    function submitQuery(Pointer input, SealingKey sealingKey) external returns (uint64 query);

    /// @notice Turns a query down. Ouroboros only.
    /// @param id query
    /// @param query its state
    /// @param reason why
    function rejectQuery(uint64 id, Query calldata query, RejectReason reason) external;

    /// @notice Commits the route of a query from hop 0. Ouroboros only.
    /// @param id query
    /// @param query its state: submitted, or interrupted
    /// @param route first link of the chain of commitments
    /// @param notes pointer to the sealed route notes
    /// @param items number of items in the query's batch: not zero, and in a later attempt what it was in the first
    function openRoute(uint64 id, Query calldata query, RouteLink route, Pointer notes, uint32 items) external;

    /// @notice Commits a new route from the hop after `anchor`, an accepted output. Ouroboros only.
    /// @param id query
    /// @param query its state: interrupted
    /// @param anchor an update of this query that was accepted before; its trail and the entries after it must lead to
    /// the query's trail
    /// @param signer who signed it
    /// @param later all entries of the trail after it
    /// @param route first link of the chain of commitments
    /// @param notes pointer to the sealed route notes
    function resumeRoute(
        uint64 id,
        Query calldata query,
        Update calldata anchor,
        address signer,
        TrailEntry[] calldata later,
        RouteLink route,
        Pointer notes
    ) external;

    /// @notice Accepts a hop's update. Anyone may carry it.
    /// @dev The state that the entry leads back to - phase, place, time, model version, the route that the signer
    /// opens, the output that was expected, the trail that it signed - must be the query's: one comparison checks the
    /// place, the signature, the order of the route and eq. 13.
    /// @param id query
    /// @param place where it stands
    /// @param output the hop's own commitment
    /// @param entry the hop
    /// @param rest what is left of the route after it
    function post(
        uint64 id,
        Place calldata place,
        OutputCommitment output,
        HopEntry calldata entry,
        RouteLink rest
    ) external;

    /// @notice Accepts the updates of several hops in a row, of one query or of many, by the same checks. All, or none.
    /// @param runs the runs
    function postRuns(Run[] calldata runs) external;

    /// @notice Records the update of a hop whose output is not what the hop before it expects (eq. 13).
    /// @dev The same checks but that one. The query is disputed.
    /// @param id query
    /// @param place where it stands
    /// @param expected what the hop before expects
    /// @param output the hop's own commitment, another one
    /// @param entry the hop
    /// @param rest what is left of the route after it
    function postContradiction(
        uint64 id,
        Place calldata place,
        OutputCommitment expected,
        OutputCommitment output,
        HopEntry calldata entry,
        RouteLink rest
    ) external;

    /// @notice Closes a query (eq. 12): checks signature, place and eq. 13 for the last layer.
    /// @param id query
    /// @param query its state: computed
    /// @param answer pointer to the answer, sealed to the querent
    /// @param output the ouroboros's commitment to the answer
    /// @param signature the ouroboros's over the `Delivery`; 65 bytes, low s
    function deliver(
        uint64 id,
        Query calldata query,
        Pointer answer,
        OutputCommitment output,
        bytes calldata signature
    ) external;

    /// @notice Disputes the envelope of the hop before. Only its recipient: whose turn it is, at the end the ouroboros.
    /// @param id query
    /// @param query its state: routed or computed
    /// @param kind what is wrong
    /// @param evidence pointer to the recipient's sealed key
    /// @param opening opens the route's link for the recipient's hop; ignored after the last hop
    /// @param signature the recipient's over the `Complaint`; 65 bytes, low s
    function complain(
        uint64 id,
        Query calldata query,
        ComplaintKind kind,
        Pointer evidence,
        RouteOpening calldata opening,
        bytes calldata signature
    ) external;

    /// @notice Judges a disputed edge. The query then waits for a new attempt.
    /// @param id query
    /// @param query its state: disputed
    /// @param senderGuilty whether the hop before the disputed one is guilty
    /// @param receiverGuilty whether the disputed hop is
    /// @param evidence pointer to the finding
    /// @param signature the ouroboros's over the `Verdict`; 65 bytes, low s
    function judge(
        uint64 id,
        Query calldata query,
        bool senderGuilty,
        bool receiverGuilty,
        Pointer evidence,
        bytes calldata signature
    ) external;

    /// @notice Ends an attempt whose hop is overdue. Anyone.
    /// @param id query
    /// @param query its state: routed
    function timeOut(uint64 id, Query calldata query) external;

    /// @notice Gives up a query that is still open. The querent only, after the long deadline.
    /// @dev Who asked, and when, the ledger knows from the trail alone: it begins with the question.
    /// @param id query
    /// @param query its state
    /// @param question what was asked, by the caller
    /// @param later all entries of the trail after it
    function withdrawQuery(
        uint64 id,
        Query calldata query,
        Question calldata question,
        TrailEntry[] calldata later
    ) external;

    /// @notice Seconds that a hop has, counted from the hop before or from when the ring became authentic.
    /// @return duration in seconds
    function hopSeconds() external view returns (uint40 duration);

    /// @notice Seconds after its submission from which on a querent may withdraw an open query.
    /// @return duration in seconds
    function withdrawSeconds() external view returns (uint40 duration);

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

    /// @notice All that the ledger stores of a query.
    /// @param id query
    /// @return state keccak256 of the ABI-encoded `Query`; zero when there is no such query
    function stateOf(uint64 id) external view returns (bytes32 state);

    /// @notice How many queries were submitted.
    /// @return count the last query's id
    function queryCount() external view returns (uint64 count);
}
