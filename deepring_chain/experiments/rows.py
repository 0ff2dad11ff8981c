"""The rows of the paper's Tables 2 and 3, and one row's run: plain models, attacked ones, rings under attack."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

from deepring_chain.experiments.lab_ring import ExperimentError, LiveAttack
from deepring_chain.experiments.passes import PassSettings, Progress, run_pass
from deepring_chain.experiments.plain import PlainModels, StrikeMeasure
from deepring_chain.experiments.results import Json, ResultBook
from deepring_chain.experiments.strikes import Strike, Tampering, perturbation, tampering, weigh_layers
from deepring_chain.experiments.subject import Subject

TAMPERING, PERTURBATION = "tampering", "perturbation"

PARTS = ("plain", "tampering", "perturbation", "ring-tampering", "ring-perturbation", "ring-honest")
"""Parts of a row, in the order in which they are run."""


@dataclass(frozen=True)
class Paper:
    """What the paper prints, in percent: the network, and after each attack."""

    original: float
    tampered: float
    perturbed: float


@dataclass(frozen=True)
class Row:
    """A row (in the paper: a column) of a table."""

    table: str
    network: str
    data: str
    paper: Paper


ROWS: Mapping[str, Row] = MappingProxyType(
    {
        row.network: row
        for row in (
            Row("table3", "mnist-dense", "MNIST", Paper(98.10, 64.29, 77.89)),
            Row("table3", "cifar10-dense", "CIFAR-10", Paper(62.35, 50.11, 44.37)),
            Row("table2", "cifar10-vgg19", "CIFAR-10", Paper(83.89, 63.18, 74.88)),
            Row("table2", "mnist-vgg19", "MNIST", Paper(99.07, 51.20, 81.54)),
            Row("table2", "tiny-vgg19", "Tiny-ImageNet, 40 classes", Paper(76.12, 41.96, 58.21)),
        )
    }
)
"""All rows, the most important first."""


IMPORTANCE_STEPS: Mapping[str, int] = MappingProxyType({"table2": 60, "table3": 300})
"""Steps of Algorithm 1's training: a step of VGG-19 takes 30 times as long as one of the dense network."""


@dataclass(frozen=True)
class PlainSettings:
    """How the plain models are attacked; what must be the same for a row's parts to be kept.

    Attributes:
        seed: of importance, noise and attacks.
        search_images: test images on which sigma is searched.
        float_images: test images for the attacked float model; all if None.
        importance_steps, importance_batch: of Algorithm 1's training.
    """

    seed: int = 1
    search_images: int = 500
    float_images: int | None = None
    importance_steps: int = IMPORTANCE_STEPS["table2"]
    importance_batch: int = 32


class RowRun:
    """One row's run.

    Args:
        paper: what the paper prints; its margins choose sigma.
        subject: network and images.
        settings: how the plain models are attacked.
        passing: how the test set goes through the rings.
        book: keeps the parts.
        work: for rings, and for what is kept between runs.
        on_progress: told what is done.
    """

    def __init__(
        self,
        paper: Paper,
        subject: Subject,
        settings: PlainSettings,
        passing: PassSettings,
        book: ResultBook,
        work: Path,
        on_progress: Progress,
    ) -> None:
        self._paper, self._subject, self._settings, self._passing = paper, subject, settings, passing
        self._book, self._work, self._on_progress = book, work, on_progress
        self._plain = PlainModels(subject, work)

    def run(self, parts: Collection[str] = PARTS) -> None:
        """Computes the parts that are not there yet; a ring's attack needs the plain models' part before it."""
        computes: Mapping[str, Callable[[], Json]] = {
            "plain": self._plain.measure,
            "tampering": self._tamper,
            "perturbation": self._perturb,
            "ring-tampering": lambda: self._ring(TAMPERING),
            "ring-perturbation": lambda: self._ring(PERTURBATION),
            "ring-honest": lambda: self._ring(None),
        }
        for name in PARTS:
            if name in parts and name not in self._book.parts:
                self._on_progress(name, 0, 1)
                self._book.part(name, computes[name])
                self._on_progress(name, 1, 1)

    def _tamper(self) -> Json:
        settings = self._settings
        weighed = weigh_layers(self._subject, settings.importance_steps, settings.importance_batch, settings.seed)
        strike = tampering(self._subject, weighed, settings.seed)
        about = {"importance": [asdict(entry) for entry in weighed], "tensor": strike.tensor}
        return {**about, **self._measure(TAMPERING, strike, self._paper.original - self._paper.tampered)}

    def _perturb(self) -> Json:
        strike = perturbation(self._subject, self._settings.seed)
        margin = self._paper.original - self._paper.perturbed
        return {"step": strike.scale, **self._measure(PERTURBATION, strike, margin)}

    def _measure(self, name: str, strike: Strike, margin: float) -> Json:
        settings = self._settings
        measure = StrikeMeasure(self._plain, self._subject, strike, settings.search_images, settings.float_images)
        return measure.measure(
            margin / 100, lambda sigma, done, todo: self._on_progress(f"{name}, sigma {sigma:g}", done, todo)
        )

    def _strike(self, name: str) -> tuple[Strike, float]:
        """The attack as its part of the results has it."""
        found = self._book.parts.get(name)
        if found is None:
            raise ExperimentError(f"{self._subject.name}: the ring's part needs the part {name!r}; run that, too")
        if name == TAMPERING:
            return Tampering(self._subject, found["place"], found["layer"], self._settings.seed), found["sigma"]
        return perturbation(self._subject, self._settings.seed), found["sigma"]

    def _ring(self, name: str | None) -> Json:
        label = f"ring, {name or 'no attack'}"
        place = self._work / f"ring-{self._subject.name}-{name or 'honest'}"
        strike = None if name is None else self._striker(name)
        logits = self._plain.logits()
        return run_pass(
            self._subject, logits, strike, self._passing, place, lambda done, all_: self._on_progress(label, done, all_)
        )

    def _striker(self, name: str) -> Callable[[int], LiveAttack]:
        """Makes the attack on a query by its number, each with noise of its own."""
        strike, sigma = self._strike(name)
        return lambda number: strike.live(sigma, self._settings.seed + 1000 + number)
