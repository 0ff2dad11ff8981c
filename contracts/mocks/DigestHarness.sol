// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ILedger} from "../interfaces/ILedger.sol";
import {BlockHashes} from "../libraries/BlockHashes.sol";
import {Digests} from "../libraries/Digests.sol";
import {QueryStates} from "../libraries/QueryStates.sol";
import {Routes} from "../libraries/Routes.sol";
import {Trails} from "../libraries/Trails.sol";
import {BlockHash, Leaf, RouteLink, TrailHash} from "../types/Types.sol";

/// @title Exposes the pure libraries to the differential tests
/// @author The DeepRing authors
/// @notice Python and Solidity must agree on every digest.
contract DigestHarness is EIP712 {
    using Digests for ILedger.Update;
    using Digests for ILedger.Attestation;
    using Digests for ILedger.Delivery;
    using Digests for ILedger.Complaint;
    using Digests for ILedger.Verdict;

    /// @notice Same EIP-712 name and version as the ledger.
    constructor() EIP712("DeepRing", "1") {}

    /// @notice EIP-712 digest of an update for this contract.
    /// @param update the message
    /// @return the digest that is signed
    function updateDigest(ILedger.Update calldata update) external view returns (bytes32) {
        return _hashTypedDataV4(update.hash());
    }

    /// @notice EIP-712 digest of an attestation for this contract.
    /// @param attestation the message
    /// @return the digest that is signed
    function attestationDigest(ILedger.Attestation calldata attestation) external view returns (bytes32) {
        return _hashTypedDataV4(attestation.hash());
    }

    /// @notice EIP-712 digest of a delivery for this contract.
    /// @param delivery the message
    /// @return the digest that is signed
    function deliveryDigest(ILedger.Delivery calldata delivery) external view returns (bytes32) {
        return _hashTypedDataV4(delivery.hash());
    }

    /// @notice EIP-712 digest of a complaint for this contract.
    /// @param complaint the message
    /// @return the digest that is signed
    function complaintDigest(ILedger.Complaint calldata complaint) external view returns (bytes32) {
        return _hashTypedDataV4(complaint.hash());
    }

    /// @notice EIP-712 digest of a verdict for this contract.
    /// @param verdict the message
    /// @return the digest that is signed
    function verdictDigest(ILedger.Verdict calldata verdict) external view returns (bytes32) {
        return _hashTypedDataV4(verdict.hash());
    }

    /// @notice See `BlockHashes.first`.
    /// @param leaf leaf of seat 0
    /// @return HASH_0
    function firstBlockHash(Leaf leaf) external pure returns (BlockHash) {
        return BlockHashes.first(leaf);
    }

    /// @notice See `BlockHashes.next`.
    /// @param previous HASH_{j-1}
    /// @param leaf leaf of seat j
    /// @return HASH_j
    function nextBlockHash(BlockHash previous, Leaf leaf) external pure returns (BlockHash) {
        return BlockHashes.next(previous, leaf);
    }

    /// @notice See `Routes.link`.
    /// @param signer the hop's account
    /// @param salt hides the signer
    /// @param rest the rest of the route
    /// @return the link
    function routeLink(address signer, bytes32 salt, RouteLink rest) external pure returns (RouteLink) {
        return Routes.link(signer, salt, rest);
    }

    /// @notice See `Trails.start`.
    /// @param query query
    /// @param querent account
    /// @param question what it asked
    /// @return the first trail
    function startTrail(uint64 query, address querent, ILedger.Question calldata question)
        external
        pure
        returns (TrailHash)
    {
        return Trails.start(query, querent, question);
    }

    /// @notice See `Trails.extend`.
    /// @param trail the trail so far
    /// @param digest EIP-712 digest of the entry
    /// @param signer who signed it
    /// @return the next trail
    function extendTrail(TrailHash trail, bytes32 digest, address signer) external pure returns (TrailHash) {
        return Trails.extend(trail, digest, signer);
    }

    /// @notice See `Trails.mark`, for a violation of eq. 13.
    /// @param trail the trail so far
    /// @return the next trail
    function markViolation(TrailHash trail) external pure returns (TrailHash) {
        return Trails.mark(trail, Trails.VIOLATION);
    }

    /// @notice See `Trails.mark`, for a beginning under another version of the model.
    /// @param trail the trail so far
    /// @return the next trail
    function markRenewal(TrailHash trail) external pure returns (TrailHash) {
        return Trails.mark(trail, Trails.RENEWAL);
    }

    /// @notice See `QueryStates.fold`.
    /// @param query the state
    /// @return the word that the ledger stores
    function foldState(ILedger.Query calldata query) external pure returns (bytes32) {
        return QueryStates.fold(query);
    }
}
