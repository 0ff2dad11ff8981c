// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Passes calls on, as any account's code may
/// @author The DeepRing authors
/// @notice A contract between an account and the ledger, or the code of an account that is delegated (EIP-7702).
contract Forwarder {
    /// @notice Calls a contract; what it reverts with goes on to the caller.
    /// @param target the contract
    /// @param data the call
    /// @return result what it returned
    function forward(address target, bytes calldata data) external returns (bytes memory result) {
        bool success;
        // solhint-disable-next-line avoid-low-level-calls
        (success, result) = target.call(data);
        if (!success) {
            // solhint-disable-next-line no-inline-assembly
            assembly ("memory-safe") {
                revert(add(result, 32), mload(result))
            }
        }
    }
}
