// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Memory that is used again
/// @author The DeepRing authors
/// @notice Gas for memory grows with the square of what was ever allocated: a loop of many independent steps gives back
/// what each of them used.
library Memory {
    /// @notice Where the free memory begins.
    /// @return free the pointer, for `release`
    function mark() internal pure returns (uint256 free) {
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            free := mload(0x40)
        }
    }

    /// @notice Gives back all memory that was allocated since; nothing of it may be used any more.
    /// @param free what `mark` returned
    function release(uint256 free) internal pure {
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            mstore(0x40, free)
        }
    }
}
