"""`brownie run tamper`: a bit of a worker flipped; flag off, block found, restored, flag on, the same answer."""

import random
from dataclasses import replace

from deepring_chain.attacks.tamper_sweep import LAB_HOST, Sweep
from deepring_chain.cli.clients import member_names
from deepring_chain.datasets.samples import load_mnist_samples
from deepring_chain.errors import ChainError
from deepring_chain.model.checkpoint import load_model
from deepring_chain.protocol.events import AuthenticityDerived, RestoreOrdered, RestoreReported
from deepring_chain.ring.folder import MODEL_FILE, RingFolder
from deepring_chain.ring.options import ActorOptions
from deepring_chain.runtime.processes import RingProcesses

from .deploy import deployed, errors_told, owned_ring


def main() -> None:
    with errors_told(), owned_ring() as (folder, password, lock):
        deployment = deployed(folder, password)
        model, images = load_model(folder.ouroboros / MODEL_FILE), load_mnist_samples().images[:10]
        with RingProcesses(folder, deployment, password, ActorOptions(), host_module=LAB_HOST, lock=lock) as processes:
            ring = Sweep(folder, deployment, processes, model, password)
            ring.expect(images)
            before = ring.ask(images)
            flip = replace(ring.choose(random.SystemRandom()), in_file=False)
            print(f"tampered: {flip}")
            ring.run(flip, images)
            _tell(folder, ring)
            after = ring.ask(images)
        if before != after:
            raise ChainError("the answer after the restore is not the one before the flip")
        print("same answer as before:", *model.card.predictions(after).tolist())


def _tell(folder: RingFolder, ring: Sweep) -> None:
    names = member_names(folder)
    for logged in ring.events(ring.first_block):
        match logged.event:
            case AuthenticityDerived() as event:
                print(f"arrangement {event.arrangement}: authenticity {'ON' if event.is_authentic else 'OFF'}")
            case RestoreOrdered() as event:
                print(f"block found: {names[event.worker]} in seat {event.position}; restore ordered")
            case RestoreReported() as event:
                print(f"restored: {names[event.worker]} reports that {event.changed} had changed")
