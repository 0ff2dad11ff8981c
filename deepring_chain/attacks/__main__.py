"""Hosts a ring whose workers take orders to misbehave: `deepring up --lab`, and the tests."""

from deepring_chain.actors.host import main
from deepring_chain.attacks.lab_worker import LabWorker

if __name__ == "__main__":
    main(LabWorker)
