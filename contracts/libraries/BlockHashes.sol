// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {BlockHash, Leaf} from "../types/Types.sol";

/// @title Block hashes (paper eq. 1-2) with SHA-256
/// @author The DeepRing authors
/// @notice Folds the blocks' leaves into one hash for the whole ring.
library BlockHashes {
    bytes32 internal constant TAG = "deepring/v1/block-hash";

    /// @notice HASH_0 = SHA-256(tag, leaf): the ouroboros's block depends on its own leaf only.
    /// @dev Implements eq. (2).
    /// @param leaf leaf of seat 0
    /// @return HASH_0
    function first(Leaf leaf) internal pure returns (BlockHash) {
        return BlockHash.wrap(sha256(abi.encode(TAG, leaf)));
    }

    /// @notice HASH_j = SHA-256(tag, HASH_{j-1}, leaf_j).
    /// @dev Implements eq. (1).
    /// @param previous HASH_{j-1}
    /// @param leaf leaf of seat j
    /// @return HASH_j
    function next(BlockHash previous, Leaf leaf) internal pure returns (BlockHash) {
        return BlockHash.wrap(sha256(abi.encode(TAG, previous, leaf)));
    }
}
