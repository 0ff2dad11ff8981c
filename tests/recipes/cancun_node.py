"""Anvil on the Cancun hard fork: the file to copy for a node, as `chain/nodes/cancun_node.py`."""

from __future__ import annotations

from deepring_chain.chain.node_kind import MNEMONIC, DevnetOptions, NodeKind, find_anvil


def _command(asked: DevnetOptions) -> list[str]:
    flags = ["--silent", "--host", "127.0.0.1", "--port", str(asked.port), "--chain-id", str(asked.chain_id)]
    pace = [] if asked.block_time is None else ["--block-time", f"{asked.block_time:g}"]
    return [*find_anvil(asked.env), *flags, "--hardfork", "cancun", "--mnemonic", MNEMONIC, *pace]


NODE = NodeKind(
    "cancun",
    _command,
    port_taken="address already in use",
    taken=("replaced by the sequencer",),
    no_method=(-32004,),
    revert_keys=("output",),
)
