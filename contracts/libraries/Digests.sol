// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ILedger} from "../interfaces/ILedger.sol";

/// @title EIP-712 struct hashes of the three signed messages
/// @author The DeepRing authors
library Digests {
    bytes32 internal constant UPDATE_TYPEHASH = keccak256(
        "Update(uint64 query,uint16 attempt,uint16 hop,bytes32 envelope,bytes32 output,bytes32 nextOutput,bytes32 trail)"
    );
    bytes32 internal constant ATTESTATION_TYPEHASH =
        keccak256("Attestation(uint64 arrangement,uint16 position,bytes32 leaf,bytes32 sealingKey)");
    bytes32 internal constant DELIVERY_TYPEHASH =
        keccak256("Delivery(uint64 query,uint16 attempt,bytes32 answer,bytes32 output,bytes32 trail)");

    /// @notice Struct hash of an update. The struct is static, so its ABI encoding is EIP-712's encodeData.
    /// @param update the message
    /// @return hashStruct(update)
    function hash(ILedger.Update calldata update) internal pure returns (bytes32) {
        return keccak256(abi.encode(UPDATE_TYPEHASH, update));
    }

    /// @notice Struct hash of an attestation.
    /// @param attestation the message
    /// @return hashStruct(attestation)
    function hash(ILedger.Attestation calldata attestation) internal pure returns (bytes32) {
        return keccak256(abi.encode(ATTESTATION_TYPEHASH, attestation));
    }

    /// @notice Struct hash of a delivery.
    /// @param delivery the message
    /// @return hashStruct(delivery)
    function hash(ILedger.Delivery calldata delivery) internal pure returns (bytes32) {
        return keccak256(abi.encode(DELIVERY_TYPEHASH, delivery));
    }
}
