// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {ILedger} from "../interfaces/ILedger.sol";

/// @title EIP-712 struct hashes of the signed messages
/// @author The DeepRing authors
/// @notice What the actors sign; each struct is static, so its ABI encoding is EIP-712's encodeData.
library Digests {
    bytes32 internal constant UPDATE_TYPEHASH = keccak256(
        "Update(uint64 query,uint16 attempt,uint16 hop,uint32 items,"
        "bytes32 envelope,bytes32 output,bytes32 nextOutput,bytes32 trail)"
    );
    bytes32 internal constant ATTESTATION_TYPEHASH =
        keccak256("Attestation(uint64 arrangement,uint16 position,uint16 round,bytes32 leaf,bytes32 sealingKey)");
    bytes32 internal constant DELIVERY_TYPEHASH =
        keccak256("Delivery(uint64 query,uint16 attempt,bytes32 answer,bytes32 output,bytes32 trail)");

    bytes32 internal constant COMPLAINT_TYPEHASH = keccak256(
        "Complaint(uint64 query,uint16 attempt,uint16 hop,uint8 kind,bytes32 evidence,bytes32 trail)"
    );
    bytes32 internal constant VERDICT_TYPEHASH = keccak256(
        "Verdict(uint64 query,uint16 attempt,uint16 hop,"
        "bool senderGuilty,bool receiverGuilty,bytes32 evidence,bytes32 trail)"
    );

    /// @notice Struct hash of an update.
    /// @param update the message
    /// @return hashStruct(update)
    function hash(ILedger.Update memory update) internal pure returns (bytes32) {
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
    function hash(ILedger.Delivery memory delivery) internal pure returns (bytes32) {
        return keccak256(abi.encode(DELIVERY_TYPEHASH, delivery));
    }

    /// @notice Struct hash of a complaint.
    /// @param complaint the message
    /// @return hashStruct(complaint)
    function hash(ILedger.Complaint memory complaint) internal pure returns (bytes32) {
        return keccak256(abi.encode(COMPLAINT_TYPEHASH, complaint));
    }

    /// @notice Struct hash of a verdict.
    /// @param verdict the message
    /// @return hashStruct(verdict)
    function hash(ILedger.Verdict memory verdict) internal pure returns (bytes32) {
        return keccak256(abi.encode(VERDICT_TYPEHASH, verdict));
    }
}
