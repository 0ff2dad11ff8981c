// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title An account that is a contract, or that another account's calls go through
/// @author The DeepRing authors
/// @notice The ledger must judge by who calls it, not by who pays for the transaction.
contract Forwarder {
    /// @notice Makes one call in the forwarder's own name.
    /// @param target whom to call
    /// @param data the call
    /// @return result what the call returned
    function forward(address target, bytes calldata data) external returns (bytes memory result) {
        bool isDone;
        // solhint-disable-next-line avoid-low-level-calls
        (isDone, result) = target.call(data);
        if (isDone) return result;
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            revert(add(result, 32), mload(result))
        }
    }
}
