// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Pointer, SealingKey, TrailHash} from "../types/Types.sol";

/// @title A query's rolling hash
/// @author The DeepRing authors
/// @notice Chains all accepted entries of a query into one word.
library Trails {
    bytes32 internal constant QUERY_TAG = "deepring/v1/query";
    bytes32 internal constant TRAIL_TAG = "deepring/v1/trail";

    /// @notice First value: binds what the querent asked.
    /// @param query query
    /// @param querent account
    /// @param input pointer to the sealed input
    /// @param sealingKey the querent's key
    /// @return the trail before hop 0
    function start(uint64 query, address querent, Pointer input, SealingKey sealingKey)
        internal
        pure
        returns (TrailHash)
    {
        return TrailHash.wrap(keccak256(abi.encode(QUERY_TAG, query, querent, input, sealingKey)));
    }

    /// @notice Next value, after an accepted entry.
    /// @param trail the trail so far
    /// @param digest EIP-712 digest of the entry
    /// @param signer who signed it
    /// @return the trail after the entry
    function extend(TrailHash trail, bytes32 digest, address signer) internal pure returns (TrailHash) {
        return TrailHash.wrap(keccak256(abi.encode(TRAIL_TAG, trail, digest, signer)));
    }
}
