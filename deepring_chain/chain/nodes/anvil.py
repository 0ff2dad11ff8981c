"""Foundry's development node."""

from __future__ import annotations

from deepring_chain.chain.node_kind import MNEMONIC, DevnetOptions, NodeKind, find_anvil


def _command(asked: DevnetOptions) -> list[str]:
    # A backlog above --max-transactions (1000 by default) stops Anvil 1.7.1 from mining and its memory grows without
    # bound. --hardfork is pinned because the default moves with each release.
    flags = ["--silent", "--host", "127.0.0.1", "--port", str(asked.port), "--chain-id", str(asked.chain_id)]
    flags += ["--hardfork", "prague", "--max-transactions", "100000", "--mnemonic", MNEMONIC]
    pace = [] if asked.block_time is None else ["--block-time", f"{asked.block_time:g}"]
    return [*find_anvil(asked.env), *flags, *pace]


NODE = NodeKind("anvil", _command, port_taken="address (already )?in use", taken=("nonce", "already", "underpriced"))
