"""Arms of studies: all of them draw their batches from one pool of images, each by odds of its own.

Every class is equally likely in a batch (class-balanced sampling), so that a person with ten images beside
others with a hundred is not forgotten for their number alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from evaluation.augmentation_study import FEW_SHOT, ONLY, PHYSICAL, REAL, REFERENCE
from evaluation.classifiers import BATCH, SLIM, classic
from evaluation.judge import Judge, training_rounds

MIXED, ALL = FEW_SHOT, "all real + classic"
PHYSICAL_MIXED = "real + physical + generated"
PRETRAINED, WEIGHTED = "pre-trained on generated", "generated weighing 0.3"
HARDEST, EASIEST = "hardest third of generated", "easiest third of generated"
ARMS = {  # by the word of the command line
    "real": REAL,
    "classic": REFERENCE,
    "physical": PHYSICAL,
    "generated": MIXED,
    "physical_generated": PHYSICAL_MIXED,
    "pretrained": PRETRAINED,
    "weighted": WEIGHTED,
    "hardest": HARDEST,
    "easiest": EASIEST,
    "only": ONLY,
}
WITHOUT = (REAL, REFERENCE, PHYSICAL, ALL)  # generated images
BY_PHYSICS = (PHYSICAL, PHYSICAL_MIXED)
WEIGHT = 0.3
LOOKS = 5  # into a classifier while it learns


class Pool(NamedTuple):
    """uint8 images (N, 128, 64, 3), with brightness 4 channels, labels (N,), and sources (N,): 0 real, 1 more
    real ones, 2 generated.
    """

    images: numpy.ndarray
    labels: numpy.ndarray
    sources: numpy.ndarray


def odds_of(arm: str, pool: Pool, margins: numpy.ndarray | None = None) -> list[numpy.ndarray]:
    """Phases of equal length of the arm's training: the probability (N,) of each image in a draw.

    `margins` (N,) of generated images, the logit of the person asked for less the highest other one by a
    classifier of real images, sort them by hardness.
    """
    real, further, generated = (pool.sources == number for number in range(3))
    weights: dict[str, Sequence[numpy.ndarray]] = {
        ALL: [real | further],
        MIXED: [real | generated],
        PHYSICAL_MIXED: [real | generated],
        WEIGHTED: [real + WEIGHT * generated],
        ONLY: [only(pool)],
        PRETRAINED: [only(pool), real],
    }
    if arm in (HARDEST, EASIEST):
        assert margins is not None
        weights[arm] = [real | third(pool, margins if arm == HARDEST else -margins)]
    return [balanced(pool.labels, phase * 1.0) for phase in weights.get(arm, [real])]


def only(pool: Pool) -> numpy.ndarray:
    """Generated images, and the real ones of people without any."""
    drawn = numpy.isin(pool.labels, pool.labels[pool.sources == 2])
    return (pool.sources == 2) | ((pool.sources == 0) & ~drawn)


def third(pool: Pool, margins: numpy.ndarray) -> numpy.ndarray:
    """The third of each person's generated images of lowest margins, at least one."""
    chosen = numpy.zeros(len(pool.labels), dtype=bool)
    for label in numpy.unique(pool.labels[pool.sources == 2]):
        places = numpy.flatnonzero((pool.sources == 2) & (pool.labels == label))
        chosen[places[numpy.argsort(margins[places], kind="stable")[: max(1, len(places) // 3)]]] = True
    return chosen


def balanced(labels: numpy.ndarray, weights: numpy.ndarray) -> numpy.ndarray:
    """Probabilities (N,) in which each class that has weight has the same share."""
    totals = numpy.bincount(labels, weights)
    shares = weights / numpy.where(totals > 0, totals, 1)[labels]
    return shares / shares.sum()


def train_by_odds(
    pool: Pool,
    phases: Sequence[numpy.ndarray],
    num_classes: int,
    seed: int,
    steps: int,
    change: Callable[[Tensor], Tensor],
    look: Callable[[Judge], float],
) -> tuple[Judge, list[float]]:
    """The judge's network after `steps` batches, and what `look` saw after each of LOOKS parts of them. The
    same seed starts from the same weights.
    """

    def rounds() -> Iterator[list[Tensor]]:
        for step in range(steps):
            odds = torch.from_numpy(phases[step * len(phases) // steps])
            yield [torch.multinomial(odds, BATCH, replacement=True)]

    seen, looks = [], {steps * (place + 1) // LOOKS for place in range(LOOKS)}
    trained = training_rounds(pool.images, pool.labels, num_classes, seed, rounds(), steps, change, SLIM)
    for step, judge in enumerate(trained, start=1):
        if step in looks:
            seen.append(look(judge))
    return judge.eval(), seen


def change_of(arm: str, physical: Callable[[Tensor], Tensor] | None) -> Callable[[Tensor], Tensor]:
    """How an arm changes its images before each step."""
    if arm in BY_PHYSICS and physical:
        return physical
    return torch.nn.Identity() if arm == REAL else classic
