"""The node, the ledger's contract and what is needed to talk to them."""
