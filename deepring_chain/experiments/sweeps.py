"""`deepring experiment attacks`: how the plain models' accuracy falls with the strength of each attack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from deepring_chain.attacks.bit_search import progressive_flips, random_flips
from deepring_chain.attacks.weights import LEGAL_BITS, BitFlip, apply_flips, weight_tensors
from deepring_chain.experiments.passes import Progress
from deepring_chain.experiments.results import Json, ResultBook
from deepring_chain.experiments.strikes import Strike, perturbation, tampering, weigh_layers
from deepring_chain.experiments.subject import Subject, accuracy, best_class, float_predictions, integer_logits

SIGMAS = tuple(step * 10.0**power for power in (-3, -2, -1, 0) for step in (1.0, 2.0, 5.0))
"""Standard deviations of the curves."""

RANDOM_COUNTS = (1, 10, 100, 1000, 10_000, 100_000)
"""Numbers of randomly flipped bits, as far as the weights have so many."""

LEGAL, ALL_BITS = "bits 0 to 5", "all eight bits"

SWEEP_PARTS = ("importance", "sigma", "bits")


@dataclass(frozen=True)
class SweepSettings:
    """How the curves are measured.

    Attributes:
        seed: of everything.
        importance_steps, importance_batch: of Algorithm 1's training.
        flips: of the progressive search.
        flip_batch: images that the search looks at.
        draws: random sets of flips for each number of them.
        most: the largest number of random flips.
    """

    seed: int = 1
    importance_steps: int = 60
    importance_batch: int = 32
    flips: int = 30
    flip_batch: int = 64
    draws: int = 5
    most: int = RANDOM_COUNTS[-1]


class Sweep:
    """The curves of one network.

    Args:
        subject: network and the images that all accuracies are measured on.
        settings: how.
        book: keeps the parts.
        on_progress: told what is done.
    """

    def __init__(self, subject: Subject, settings: SweepSettings, book: ResultBook, on_progress: Progress) -> None:
        self._subject, self._settings, self._book, self._on_progress = subject, settings, book, on_progress

    def run(self) -> None:
        """Computes the parts that are not there yet."""
        computes: Mapping[str, Callable[[], Json]] = {
            "importance": self._importance,
            "sigma": self._sigma,
            "bits": self._bits,
        }
        for name in SWEEP_PARTS:
            self._on_progress(name, 0, 1)
            self._book.part(name, computes[name])
            self._on_progress(name, 1, 1)

    def _importance(self) -> Json:
        settings = self._settings
        weighed = weigh_layers(self._subject, settings.importance_steps, settings.importance_batch, settings.seed)
        return {"layers": [asdict(entry) for entry in weighed]}

    def _sigma(self) -> Json:
        test, settings = self._subject.test, self._settings
        weighed = weigh_layers(self._subject, settings.importance_steps, settings.importance_batch, settings.seed)
        tamper = tampering(self._subject, weighed, settings.seed)
        perturb = perturbation(self._subject, settings.seed)
        clean_float = accuracy(float_predictions(self._subject.network, test.images), test)
        return {
            "images": len(test.labels),
            "clean": [clean_float, self._accuracy(())],
            "layers": {"tampering": tamper.layer, "perturbation": perturb.layer},
            "tampering": self._curve("tampering", tamper),
            "perturbation": self._curve("perturbation", perturb),
        }

    def _curve(self, name: str, strike: Strike) -> list[list[float]]:
        """For each sigma: itself, the float and the integer accuracy."""
        test, points = self._subject.test, []
        for number, sigma in enumerate(SIGMAS):
            self._on_progress(f"{name}, sigma {sigma:g}", number, len(SIGMAS))
            floats = accuracy(strike.float_predictions(sigma, test.images), test)
            points.append([sigma, floats, accuracy(strike.integer_predictions(sigma, test.images), test)])
        return points

    def _bits(self) -> Json:
        chosen = {name: self._search(name, in_range=name == LEGAL) for name in (LEGAL, ALL_BITS)}
        return {
            "images": len(self._subject.test.labels),
            "progressive": {
                name: [[count, self._accuracy(found[:count])] for count in range(len(found) + 1)]
                for name, found in chosen.items()
            },
            "flips": {name: [str(flip) for flip in found] for name, found in chosen.items()},
            "random": self._random_curve(),
        }

    def _search(self, name: str, *, in_range: bool) -> list[BitFlip]:
        """The flips that the progressive search chooses, in order."""
        settings = self._settings
        found: list[BitFlip] = []

        def take(flip: BitFlip) -> None:
            found.append(flip)
            self._on_progress(f"progressive flips, {name}", len(found), settings.flips)

        progressive_flips(
            self._subject.model,
            self._subject.training,
            count=settings.flips,
            seed=settings.seed,
            batch=settings.flip_batch,
            in_range=in_range,
            on_flip=take,
        )
        return found

    def _random_curve(self) -> list[list[float]]:
        """For each number of flips: itself, and the accuracy of each draw."""
        weights = sum(tensor.numel() for tensor in weight_tensors(self._subject.model.layers).values())
        counts = [count for count in RANDOM_COUNTS if count <= min(self._settings.most, LEGAL_BITS * weights)]
        points = []
        for number, count in enumerate(counts):
            self._on_progress(f"{count:,} random flips", number, len(counts))
            draws = range(self._settings.draws)
            seeds = [self._settings.seed + 100 * number + draw for draw in draws]
            points.append([count, *(self._accuracy(random_flips(self._subject.model, count, seed)) for seed in seeds)])
        return points

    def _accuracy(self, flips: Sequence[BitFlip]) -> float:
        """Of the integer model with these bits flipped."""
        model, test = self._subject.model, self._subject.test
        return accuracy(best_class(integer_logits(apply_flips(model, flips) if flips else model, test.images)), test)
