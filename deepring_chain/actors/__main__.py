"""Hosts a ring's processes; see `deepring_chain.actors.host`."""

from deepring_chain.actors.host import main
from deepring_chain.actors.worker import Worker

if __name__ == "__main__":
    main(Worker)
