"""Do generated images lie nearer to the training images than held-out real ones do? The three-sample test of
Meehan, Chaudhuri & Dasgupta (arXiv 2004.05675), whose cells are people.

Unlike `evaluation.memorisation`, which looks for single copies, it sees a whole set that leans towards the
training images, and says nothing of a few copies among many. Windows of one walk overlap and walks change
with time, so z scatters far more than a normal deviate; verdicts go by C_T, a mean of people's z.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy
import scipy

from data.labels import LabelTable

COPYING = -3  # C_T at which a set is said to lean towards the training images; real ones reached -2.7


class Ranked(NamedTuple):
    """Mann and Whitney's U of one sample over another, less what is expected, and its variance."""

    deviation: float
    variance: float

    @property
    def z(self) -> float:
        """0 where all values are equal."""
        return self.deviation / math.sqrt(self.variance) if self.variance > 0 else 0.0


def rank_test(values: numpy.ndarray, others: numpy.ndarray) -> Ranked:
    """How far `values` (M,) lie above `others` (N,), with ties (Mann & Whitney, Annals of Mathematical
    Statistics 18, 1947); neither is empty.
    """
    ranks = scipy.stats.rankdata(numpy.concatenate([values, others]))
    count, pairs = len(ranks), len(values) * len(others)
    ties = numpy.unique(ranks, return_counts=True)[1].astype(float)
    deviation = ranks[: len(values)].sum() - len(values) * (len(values) + 1) / 2 - pairs / 2
    tied = (ties**3 - ties).sum() / (count * (count - 1))
    return Ranked(float(deviation), float(pairs / 12 * (count + 1 - tied)))


def three_samples(
    generated: numpy.ndarray,
    labels: numpy.ndarray,
    held_out: numpy.ndarray,
    held_out_labels: numpy.ndarray,
    people: LabelTable,
) -> dict[str, Any]:
    """The test on distances to the nearest training image of M generated and N held-out images.

    "z" of all (deviations and variances summed over people), "c_t" (the paper's mean of people's z by their
    share of the held-out images), and "per_person" {person: z, counts}; people of whom a sample has none are
    left out, and z is None where nobody is left. Below 0: generated ones are nearer.
    """
    each, weights = {}, {}
    for label in numpy.intersect1d(labels, held_out_labels):
        drawn, real = generated[labels == label], held_out[held_out_labels == label]
        each[people.names[label]] = rank_test(drawn, real)
        weights[people.names[label]] = len(drawn), len(real)
    if not each:
        return {"z": None, "c_t": None, "per_person": {}}
    summed = Ranked(*(sum(parts) for parts in zip(*each.values())))
    shares = [count for _, count in weights.values()]
    return {
        "z": summed.z,
        "c_t": float(numpy.average([one.z for one in each.values()], weights=shares)),
        "per_person": {
            person: {"z": one.z, **dict(zip(("generated", "held_out"), weights[person]))}
            for person, one in each.items()
        },
    }


def lean_line(test: dict[str, Any]) -> str:
    """`three_samples` for the screen."""
    if test["z"] is None:
        return "three-sample test: nobody has both generated and held-out images"
    least = min(test["per_person"], key=lambda person: test["per_person"][person]["z"])
    return (
        f"three-sample test: C_T {test['c_t']:+.1f} ({COPYING} or less: nearer to training than real ones), "
        f"z {test['z']:+.1f}, lowest {least} {test['per_person'][least]['z']:+.1f}"
    )
