"""`brownie run audit`: checks the public trail of the ring that is deployed on this chain. Needs no key."""

from brownie import web3

from deepring_chain.audit.auditor import audit
from deepring_chain.cli.audit_output import conclude
from deepring_chain.cli.clients import open_reader
from deepring_chain.errors import ConfigError
from deepring_chain.ring.deploy import find_deployment
from deepring_chain.store.content import ContentStore

from .deploy import errors_told, ring_folder


def main() -> None:
    with errors_told():
        folder, url = ring_folder(), web3.provider.endpoint_uri
        deployment = find_deployment(folder, url)
        if deployment is None:
            raise ConfigError(
                f"{url}: the ring in {folder.path} is not on this chain; `brownie run deploy` puts it there"
            )
        conclude(audit(open_reader(deployment), ContentStore(deployment.store_url), deployment.first_block))
