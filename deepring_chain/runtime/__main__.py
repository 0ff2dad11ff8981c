"""Hosts a ring's processes; see `deepring_chain.runtime.host`."""

from deepring_chain.actors.worker.worker import Worker
from deepring_chain.runtime.host import main

if __name__ == "__main__":
    main(Worker)
