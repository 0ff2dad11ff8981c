// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ILedger} from "../interfaces/ILedger.sol";
import {TrailHash} from "../types/Types.sol";

/// @title A query's rolling hash
/// @author The DeepRing authors
/// @notice Chains all accepted entries of a query into one word.
library Trails {
    bytes32 internal constant QUERY_TAG = "deepring/v1/query";
    bytes32 internal constant TRAIL_TAG = "deepring/v1/trail";

    /// @notice Stands on the trail right after an entry that violated eq. 13, with the zero address as its signer.
    bytes32 internal constant VIOLATION = "deepring/v1/violation";

    /// @notice Stands on the trail where a query begins anew under another version of the model.
    bytes32 internal constant RENEWAL = "deepring/v1/renewal";

    /// @notice First value: binds what was asked, by whom and when.
    /// @param query query
    /// @param querent account
    /// @param question what it asked
    /// @return the trail before hop 0
    function start(uint64 query, address querent, ILedger.Question memory question)
        internal
        pure
        returns (TrailHash)
    {
        return TrailHash.wrap(keccak256(abi.encode(QUERY_TAG, query, querent, question)));
    }

    /// @notice Next value, after an accepted entry.
    /// @param trail the trail so far
    /// @param digest EIP-712 digest of the entry
    /// @param signer who signed it
    /// @return the trail after the entry
    function extend(TrailHash trail, bytes32 digest, address signer) internal pure returns (TrailHash) {
        return TrailHash.wrap(keccak256(abi.encode(TRAIL_TAG, trail, digest, signer)));
    }

    /// @notice Next value, after something that nobody signs: no digest of a message equals a mark.
    /// @param trail the trail so far
    /// @param what VIOLATION or RENEWAL
    /// @return the trail after the mark
    function mark(TrailHash trail, bytes32 what) internal pure returns (TrailHash) {
        return extend(trail, what, address(0));
    }
}
