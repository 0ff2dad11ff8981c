"""Hosts a ring whose workers take orders to misbehave: `deepring up --lab`, and the tests."""

from deepring_chain.attacks.lab_worker import LabWorker
from deepring_chain.runtime.host import main

if __name__ == "__main__":
    main(LabWorker)
