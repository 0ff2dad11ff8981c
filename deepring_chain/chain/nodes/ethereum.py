"""Nodes that others run, by the execution API and as geth words it."""

from __future__ import annotations

from deepring_chain.chain.node_kind import NodeKind

NODE = NodeKind("ethereum", taken=("nonce", "already", "underpriced"), no_method=(-32601,))
