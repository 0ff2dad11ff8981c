"""Gas of every transaction and of whole queries, beside EAS's delegated attestation on the same kind of node."""

from __future__ import annotations

from benchmarks.eas_contracts import Eas
from benchmarks.harness import Page, pick, say
from deepring_chain.chain.connection import connect
from deepring_chain.chain.devnet import Devnet
from tests.chain import gas_report

BATCH = 22
"""Attestations in one transaction: about what a query of VGG-19 has."""


def main() -> None:
    """Runs the gas report of the tests, which is exact, and EAS."""
    page = Page("gas", "How much gas does the ledger take, and how much would a general attestation service?")
    say("every kind of transaction of the ledger")
    ours = gas_report.measure()
    say("EAS")
    theirs = measure_eas(pick(5, 2))
    page.text("## The ledger")
    page.table(("transaction", "gas"), [(name, f"{gas:,}") for name, gas in ours.items()])
    page.text("## EAS")
    page.table(("transaction", "gas for each"), [(name, f"{gas:,.0f}") for name, gas in theirs.items()])
    page.text("## A hop's entry")
    single, many = theirs.values()
    hops = [(name, gas, single) for name, gas in ours.items() if name == "post update, middle hop"]
    hops += [(name, gas, many) for name, gas in ours.items() if name.startswith("each update")]
    page.table(
        ("entry", "gas", "EAS, gas", "EAS / this"),
        [(name, f"{gas:,}", f"{eas:,.0f}", f"{eas / gas:.1f}") for name, gas, eas in hops],
    )
    page.text(
        "EAS stores a signed statement of a hop's four digests (128 bytes) by somebody else's transaction, "
        "which is what `attestByDelegation` is for. It checks the signature, and nothing of what the "
        "ledger checks besides: "
        "order, deadlines, the route's links, agreement of neighbors, the trail's hash."
    )
    page.write()


def measure_eas(repeats: int) -> dict[str, float]:
    """Gas of one, and of each of many in one transaction; the first makes the attester's nonce and is left out."""
    with Devnet() as node:
        eas = Eas.deploy(connect(node.url))
        eas.attest()
        singly = {eas.attest() for _ in range(repeats)}
        many = eas.attest_many(BATCH)
    return {"attestByDelegation, 128 bytes": min(singly), f"multiAttestByDelegation, {BATCH} of them": many / BATCH}


if __name__ == "__main__":
    main()
