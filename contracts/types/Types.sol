// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @notice 32 bytes that point at a blob in the ciphertext store: the SHA-256 of the stored bytes.
type Pointer is bytes32;

/// @notice Leaf of a block: SHA-256 over the arrangement's challenge and the tensors that the block computes with.
type Leaf is bytes32;

/// @notice HASH_j of the paper (eq. 1-2): the fold of all leaves up to seat j.
type BlockHash is bytes32;

/// @notice What is left of a query's route: a chain of keccak commitments, one link per hop.
type RouteLink is bytes32;

/// @notice Keyed commitment to a layer's output (O_i or H_i of the paper).
type OutputCommitment is bytes32;

/// @notice Rolling hash over a query and all its accepted updates.
type TrailHash is bytes32;

/// @notice X25519 public key (RFC 7748), the recipient of HPKE messages (RFC 9180).
type SealingKey is bytes32;

/// @notice Root of a model's manifest: binds every tensor of every layer.
type ModelRoot is bytes32;
