// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ILedger} from "../interfaces/ILedger.sol";

/// @title The word that stands for a query's state
/// @author The DeepRing authors
/// @notice All that the ledger stores of a query.
library QueryStates {
    uint256 private constant _BYTES = 9 * 32;

    /// @notice keccak256(abi.encode(query)), without the copy: nine static members lie in memory as they are encoded.
    /// @param query the state
    /// @return state its hash
    function fold(ILedger.Query memory query) internal pure returns (bytes32 state) {
        uint256 size = _BYTES;
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            state := keccak256(query, size)
        }
    }
}
