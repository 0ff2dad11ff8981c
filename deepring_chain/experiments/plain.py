"""The plain models, without a ring: what they answer, and what an attack makes of that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepring_chain.experiments.results import Json
from deepring_chain.experiments.sigma import GRID, choose_sigma
from deepring_chain.experiments.strikes import Strike
from deepring_chain.experiments.subject import (
    Subject,
    accuracy,
    best_class,
    digest_images,
    float_predictions,
    integer_logits,
)


class PlainModels:
    """Answers of the unattacked float and integer model to all test images, computed once and kept between runs.

    Args:
        subject: networks and images.
        work: folder for what is kept.
    """

    def __init__(self, subject: Subject, work: Path) -> None:
        self._subject, self._work = subject, work
        root, images = subject.model.manifest().root().hex()[:16], digest_images(subject.test)[:16]
        self._name = f"{subject.name}-{root}-{images}"
        self._held: dict[str, NDArray[np.int64] | NDArray[np.int32]] = {}

    def logits(self) -> NDArray[np.int32]:
        """Of the integer model, int32 [N, classes]."""
        subject = self._subject
        kept = self._keep("logits", lambda: integer_logits(subject.model, subject.test.images))
        return kept.astype(np.int32)

    def integer(self) -> NDArray[np.int64]:
        """Predictions of the integer model, int64 [N]."""
        return best_class(self.logits())

    def float(self) -> NDArray[np.int64]:
        """Predictions of the float model, int64 [N]."""
        subject = self._subject
        kept = self._keep("float", lambda: float_predictions(subject.network, subject.test.images))
        return kept.astype(np.int64)

    def _keep(
        self, what: str, compute: Callable[[], NDArray[np.int64] | NDArray[np.int32]]
    ) -> NDArray[np.int64] | NDArray[np.int32]:
        path = self._work / f"{self._name}-{what}.npy"
        if what not in self._held and path.is_file():
            self._held[what] = np.load(path, allow_pickle=False)
        if what not in self._held:
            self._held[what] = compute()
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, self._held[what])
        return self._held[what]

    def measure(self) -> Json:
        """Both accuracies, and how often the two agree."""
        test = self._subject.test
        return {
            "images": len(test.labels),
            "float": accuracy(self.float(), test),
            "integer": accuracy(self.integer(), test),
            "same_predictions": float((self.float() == self.integer()).mean()),
        }


class StrikeMeasure:
    """Accuracies of the attacked plain models, and the choice of the attack's strength.

    Args:
        plain: the unattacked models.
        subject: networks and images.
        strike: the attack.
        search_images: the first so many test images are used to search sigma.
        float_images: the attacked float model is asked so many test images at most; all if None.
    """

    def __init__(
        self, plain: PlainModels, subject: Subject, strike: Strike, search_images: int, float_images: int | None
    ) -> None:
        self._plain, self._test, self._strike = plain, subject.test, strike
        self._search_images, self._float_images = search_images, float_images
        self._found: dict[float, tuple[float, float]] = {}

    def measure(self, margin: float, on_sigma: Callable[[float, int, int], None]) -> Json:
        """Chooses the smallest sigma of the grid with which both accuracies drop at least by `margin`.

        Args:
            margin: share (0..1).
            on_sigma: told what is tried now, how many were tried, and how many there are.
        """
        tried: list[list[float]] = []

        def search(sigma: float) -> float:
            on_sigma(sigma, len(tried), len(GRID))
            drops = self._drops(sigma, self._search_images)
            tried.append([sigma, *drops])
            return min(drops)

        choice = choose_sigma(margin, search, lambda sigma: min(self._drops(sigma, None)))
        floats, integers = self._accuracies(choice.sigma, None)
        return {
            "layer": self._strike.layer,
            "place": self._strike.place,
            "margin": margin,
            "sigma": choice.sigma,
            "reached": choice.is_reached,
            "float": floats,
            "integer": integers,
            "float_images": len(self._plain.float()[: self._limit(None)]),
            "search_images": min(self._search_images, len(self._test.labels)),
            "tried": tried,
        }

    def _drops(self, sigma: float, count: int | None) -> tuple[float, float]:
        """By how much the float and the integer accuracy drop, on the first images or on all."""
        clean = self._plain.float()[: self._limit(count)], self._plain.integer()[:count]
        found = self._accuracies(sigma, count)
        return accuracy(clean[0], self._test) - found[0], accuracy(clean[1], self._test) - found[1]

    def _accuracies(self, sigma: float, count: int | None) -> tuple[float, float]:
        if count is None and sigma in self._found:
            return self._found[sigma]
        images = self._test.images
        floats = accuracy(self._strike.float_predictions(sigma, images[: self._limit(count)]), self._test)
        integers = accuracy(self._strike.integer_predictions(sigma, images[:count]), self._test)
        if count is None:
            self._found[sigma] = floats, integers
        return floats, integers

    def _limit(self, count: int | None) -> int | None:
        limits = [limit for limit in (count, self._float_images) if limit is not None]
        return min(limits) if limits else None
