"""The classifiers of studies: what they learn from, how images are changed on the way, and their training."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from evaluation.judge import TIME, VELOCITY, Judge, SmallJudge, augmented, training_rounds
from evaluation.paired_differences import HeldOut

BATCH = 32
# The judge's network: 2.6 times as fast as at its own width of 48 for 1 point of accuracy.
SLIM = partial(SmallJudge, width=24)
NOISE, MASKED = 0.05, 1 / 8
TRIED = 6  # steps whose time is taken


class Labelled(NamedTuple):
    """uint8 images (N, 128, 64, 3) as `judge.reduced` gives them, in time order, labels (N,) int64, and the
    day or recording of each (N,), where known."""

    images: numpy.ndarray
    labels: numpy.ndarray
    days: numpy.ndarray | None = None

    def at(self, places: numpy.ndarray) -> Labelled:
        """Some of them."""
        return Labelled(self.images[places], *self.tested.at(places))

    @property
    def tested(self) -> HeldOut:
        return HeldOut(self.labels, self.days)


def rolled(images: numpy.ndarray, seed: int) -> numpy.ndarray:
    """Images (N, V, T, 3), each by its own random number of columns around in time."""
    columns = numpy.arange(images.shape[2])
    shifts = numpy.random.default_rng(seed).integers(len(columns), size=(len(images), 1))
    return numpy.take_along_axis(images, ((columns + shifts) % len(columns))[:, None, :, None], axis=2)


def train_classifier(
    pool: Labelled, num_classes: int, seed: int, steps: int, change: Callable[[Tensor], Tensor]
) -> Judge:
    """The judge's network after `steps` batches of the pool, each changed, pass after pass; it never stops
    earlier.

    The same seed starts from the same weights.
    """

    def rounds() -> Iterator[list[Tensor]]:
        passes = math.ceil(steps * BATCH / len(pool.labels))
        order = torch.cat([torch.randperm(len(pool.labels)) for _ in range(passes)])[: steps * BATCH]
        yield from ([chosen] for chosen in order.split(BATCH))

    *_, judge = training_rounds(pool.images, pool.labels, num_classes, seed, rounds(), steps, change, SLIM)
    return judge.eval()


def seconds_of_step(num_classes: int) -> float:
    """Of a classifier on this machine as it is now, with classic augmentation."""
    images, labels = numpy.zeros((BATCH, VELOCITY, TIME, 3), numpy.uint8), numpy.zeros(BATCH, int)
    rounds = ([torch.arange(BATCH)] for _ in range(TRIED))
    steps = training_rounds(images, labels, num_classes, 0, rounds, TRIED, classic, SLIM)
    return statistics.median(end - start for start, end in pairwise(time.monotonic() for _ in steps))


def classic(x: Tensor) -> Tensor:
    """Usual augmentation of images (N, 3, V, T): time shift, gain, a little noise, and one band of columns
    and one of rows at the image's mean (SpecAugment, arXiv 1904.08779)."""
    x = augmented(x)
    strength = NOISE * torch.rand(len(x), 1, 1, 1)
    x = torch.randn_like(x).mul_(strength).add_(x)
    mean = x.mean((1, 2, 3), keepdim=True)
    for axis in (2, 3):
        places, size = torch.arange(x.shape[axis]), x.shape[axis]
        width = MASKED * size * torch.rand(len(x), 1)
        from_start = places - torch.rand(len(x), 1) * (size - width)
        band = (from_start >= 0) & (from_start < width)
        x = torch.where(band[:, None, :, None] if axis == 2 else band[:, None, None], mean, x)
    return x
