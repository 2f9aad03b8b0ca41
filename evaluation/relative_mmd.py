"""Is one generator closer to held-out images than another? A relative test of maximum mean discrepancies.

As Bounliphone et al. (arXiv 1511.04581): the difference of two squared MMDs from the same held-out images,
whose luck is in both and largely leaves it, over its standard error. Here it is the mean over people of each
one's own difference, so that a generator that mixes people up is far from them; the variance is taken over
blocks of neighbouring images, since held-out ones may be windows of one walk. Where both generators are
perfect the variance of first order is too large (about twice), and the test errs on the side of silence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy
import scipy

from evaluation.distances import BLOCK, REFERENCE, squared_distances, usual_width

LEAST = 4  # images of a person in every set


class Part(NamedTuple):
    """One variance of a sum of independent ones, and from how many blocks less one it is known."""

    variance: float
    freedom: int


def relative_test(
    sets: Mapping[str, numpy.ndarray], labels: Mapping[str, numpy.ndarray], one: str, other: str
) -> dict[str, Any]:
    """Of features (N, D) and labels (N,) of REFERENCE and both generators: mean over people of the squared
    MMD of `one` less that of `other`, with its 95 % interval and two-sided p for equal ones; None where
    nobody has LEAST images in all three sets. The count is that of people.

    The kernel is exp(-|a - b|^2 / (2 w^2)), w the usual distance of two held-out images of a person.
    """
    width = usual_width(sets[REFERENCE], labels[REFERENCE])
    differences: list[float] = []
    parts: list[Part] = []
    for label in numpy.unique(labels[REFERENCE]):
        x, y, z = (sets[name][labels[name] == label] for name in (REFERENCE, one, other))
        if min(len(x), len(y), len(z)) >= LEAST:
            difference, variances = _of_person(x, y, z, width)
            differences.append(difference)
            parts += variances
    if not differences:
        return {"value": None, "interval": None, "count": 0, "p": None}
    value, variance = float(numpy.mean(differences)), sum(part.variance for part in parts)
    error = math.sqrt(variance) / len(differences)
    if not error:  # equal images
        return {"value": value, "interval": [value, value], "count": len(differences), "p": float(value == 0)}
    # Welch and Satterthwaite (Biometrics Bulletin 2, 1946)
    freedom = variance**2 / sum(part.variance**2 / part.freedom for part in parts)
    half = error * float(scipy.stats.t.ppf(0.975, freedom))
    return {
        "value": value,
        "interval": [value - half, value + half],
        "count": len(differences),
        "p": 2 * float(scipy.stats.t.sf(abs(value) / error, freedom)),
    }


def _of_person(
    x: numpy.ndarray, one: numpy.ndarray, other: numpy.ndarray, width: float
) -> tuple[float, list[Part]]:
    """Unbiased MMD^2(x, one) - MMD^2(x, other), and the variances that the three sets give it to first order:
    of the means of what each image contributes.
    """
    across = [_kernel(x, y, width) for y in (one, other)]
    within = [_kernel(y, y, width) for y in (one, other)]
    usual = [(k.sum(1) - k.diagonal()) / (len(k) - 1) for k in within]  # of each image, to others of its set
    squares = [line.mean() - 2 * k.mean() for line, k in zip(usual, across)]
    of_x = -2 * (across[0].mean(1) - across[1].mean(1))
    contributions = [of_x, *(2 * (line - k.mean(0)) for line, k in zip(usual, across))]
    return float(squares[0] - squares[1]), [_part(values) for values in contributions]


def _kernel(x: numpy.ndarray, y: numpy.ndarray, width: float) -> numpy.ndarray:
    return numpy.exp(-squared_distances(x, y) / (2 * width**2))


def _part(values: numpy.ndarray) -> Part:
    """Variance of the mean of values (N,) in the order of time, N at least 2, by blocks of neighbours."""
    length = min(BLOCK, len(values) // 2)
    starts = numpy.arange(0, len(values), length)
    sums = numpy.add.reduceat(values - values.mean(), starts)
    count = len(starts)
    return Part(float(count / (count - 1) * (sums**2).sum() / len(values) ** 2), count - 1)
