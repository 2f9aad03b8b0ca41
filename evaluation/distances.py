"""Distances between sets of features (N, D): of generated images from real held-out ones, beside a baseline.

The baseline ("floor" in metrics.json) is the distance of real training images from the held-out ones: what
different walks of the same people come to. Most of these measures depend on the number of images, so every
set of a comparison gives equally many of each person. Features are float64 and of a common scale
(`evaluation.features`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy

NEIGHBOURS, DIRECTIONS = 5, 256
DRAWS, HALVES = 5, 100  # draws that are averaged; halves of them that give the interval
BLOCK = 4  # neighbouring images that may be windows of one walk, each a quarter on
MOST = 1000  # images of a set in one draw
REFERENCE, OTHERS = "held_out", {"generated": "generated", "floor": "train"}


class Meaning(NamedTuple):
    """Whether less of a measure is better, and between which values it lies."""

    lower_is_better: bool
    low: float = 0.0
    high: float = math.inf


MEASURES = {
    "kid": Meaning(True, -math.inf),
    "frechet": Meaning(True),
    "sliced_wasserstein": Meaning(True),
    "precision": Meaning(False, high=1.0),
    "recall": Meaning(False, high=1.0),
    "density": Meaning(False),
    "coverage": Meaning(False, high=1.0),
}


# Measures of reference x (N, D) and other y (M, D)


def kid(x: numpy.ndarray, y: numpy.ndarray, people: numpy.ndarray) -> float:
    """Squared maximum mean discrepancy for the kernel (a.b / D + 1)^3, unbiased: 0 on average where x and y
    come from one distribution (Binkowski et al., arXiv 1801.01401).

    Row i of x and of y shows person `people[i]`: both hold just as many of each by plan. A set then has fewer
    pairs of one person within it than across, which is made up for. Who has a single row is left out, since
    nothing is known of such pairs; nan where that is everybody.
    """
    _, place, counts = numpy.unique(people, return_inverse=True, return_counts=True)
    several = counts[place] > 1
    if not several.any():
        return math.nan
    x, y, people = x[several], y[several], people[several]
    within = _mean_of_pairs(x, people) + _mean_of_pairs(y, people)
    return float(within - 2 * ((x @ y.T / x.shape[1] + 1) ** 3).mean())


def _mean_of_pairs(z: numpy.ndarray, people: numpy.ndarray) -> float:
    """Mean kernel of pairs of different ones of z, each two people weighing as their counts do."""
    kernel, member = (z @ z.T / z.shape[1] + 1) ** 3, (people[:, None] == numpy.unique(people)).astype(float)
    sums, counts = member.T @ kernel @ member, member.sum(0)
    within = (sums.diagonal() - kernel.diagonal() @ member) * counts / (counts - 1)
    return (sums.sum() - sums.trace() + within.sum()) / len(z) ** 2


def frechet(x: numpy.ndarray, y: numpy.ndarray) -> float:
    """Squared Wasserstein-2 distance of the normal distributions with the sets' means and covariances
    (Heusel et al., arXiv 1706.08500).

    The trace of the root of the covariances' product is the sum of the singular values of A B', where A'A and
    B'B are the covariances; triangular A and B are no larger than the sets.
    """
    shift = x.mean(0) - y.mean(0)
    roots = [(z - z.mean(0)) / math.sqrt(len(z) - 1) for z in (x, y)]
    a, b = (numpy.asarray(numpy.linalg.qr(root, mode="r")) for root in roots)
    shared = numpy.linalg.svd(a @ b.T, compute_uv=False).sum()
    return max(0.0, float(shift @ shift + (a**2).sum() + (b**2).sum() - 2 * shared))


def sliced_wasserstein(x: numpy.ndarray, y: numpy.ndarray) -> float:
    """Root mean square over directions of the Wasserstein-2 distance of projections (Bonneel et al., J. Math.
    Imaging Vis. 51, 2015); a shift by s gives |s| / sqrt(D). Sets of equal size.
    """
    assert len(x) == len(y), (len(x), len(y))
    along = _directions(x.shape[1])
    return float(numpy.sqrt(((numpy.sort(x @ along, axis=0) - numpy.sort(y @ along, axis=0)) ** 2).mean()))


@lru_cache(maxsize=8)
def _directions(dimension: int) -> numpy.ndarray:
    """(D, about DIRECTIONS) unit vectors in blocks of orthogonal ones, always the same."""
    rng, width = numpy.random.default_rng(0), min(dimension, DIRECTIONS)
    drawn = rng.standard_normal((-(-DIRECTIONS // width), dimension, width))
    return numpy.concatenate([numpy.linalg.qr(block)[0] for block in drawn], axis=1)


def neighbourhoods(x: numpy.ndarray, y: numpy.ndarray, k: int) -> dict[str, float]:
    """Precision and recall (Kynkäänniemi et al., arXiv 1904.06991), density and coverage (Naeem et al., arXiv
    2002.09797) of y beside the real x, by balls that reach to the k-th nearest of the same set.
    """
    balls_x, balls_y = (_radii(z, min(k, len(z) - 1))[:, None] for z in (x, y))
    between = squared_distances(x, y)
    within = between < balls_x
    return {
        "precision": float(within.any(0).mean()),
        "recall": float((between.T < balls_y).any(0).mean()),
        "density": float(within.sum(0).mean() / k),
        "coverage": float((between.min(1) < balls_x[:, 0]).mean()),
    }


def _radii(z: numpy.ndarray, k: int) -> numpy.ndarray:
    return numpy.partition(squared_distances(z, z), k, axis=1)[:, k]  # a row's smallest is the point itself


def squared_distances(x: numpy.ndarray, y: numpy.ndarray) -> numpy.ndarray:
    """(N, M); what rounding leaves between equal points is set to 0."""
    energy = (x**2).sum(1)[:, None] + (y**2).sum(1)
    squares = energy - 2 * x @ y.T
    return squares * (squares > 1e-12 * energy)


# Diversity


def vendi(z: numpy.ndarray, width: float) -> float:
    """Effective number of different ones among z (N, D): exp of the entropy of the eigenvalues of K / N, with
    K = exp(-|a - b|^2 / (2 width^2)) (Friedman & Dieng, arXiv 2210.02410). 1 where all are equal, N where all
    are far apart.
    """
    values = numpy.linalg.eigvalsh(numpy.exp(-squared_distances(z, z) / (2 * width**2)) / len(z))
    values = values[values > 1e-12]
    return float(numpy.exp(-(values * numpy.log(values)).sum()))


def usual_width(z: numpy.ndarray, labels: numpy.ndarray) -> float:
    """Root of the median squared distance between two images of the same person, z (N, D), labels (N,)."""
    squares = []
    for label in numpy.unique(labels):
        squared = squared_distances(z[labels == label], z[labels == label])
        squares.append(squared[numpy.triu_indices(len(squared), 1)])
    together = numpy.concatenate(squares)
    return math.sqrt(max(float(numpy.median(together)), 1e-12)) if len(together) else 1.0


# Equal counts and intervals


class Draw(NamedTuple):
    """Places (n,) in every set, who is there (n,), in people's order, the same in every set, and how many
    neighbours a ball holds: half as many among half the images.
    """

    places: dict[str, numpy.ndarray]
    people: numpy.ndarray
    neighbours: int = NEIGHBOURS

    def of(self, sets: Mapping[str, numpy.ndarray], name: str, label: int | None = None) -> numpy.ndarray:
        """What is drawn of a set, in all or of one person."""
        places = self.places[name]
        return sets[name][places if label is None else places[self.people == label]]


Measure = Callable[[numpy.ndarray, numpy.ndarray, Draw], dict[str, float]]


class Draws(NamedTuple):
    """`full` ones, which are averaged, and `halves` of them, which show how much depends on the images."""

    full: list[Draw]
    halves: list[Draw]


def draw_equal(labels: dict[str, numpy.ndarray], seed: int) -> Draws:
    """Draws with equally many images of each person from every set, as many as the smallest set has, about
    MOST in all; from `labels` {set: (N,) int}, whose images are in the order of time. Empty draws where the
    sets share nobody.
    """
    rng = numpy.random.default_rng(seed)
    size = 1 + max(int(whose.max()) for whose in labels.values())
    counts = numpy.min([numpy.bincount(whose, minlength=size) for whose in labels.values()], axis=0)
    counts = numpy.ceil(counts * min(1.0, MOST / max(1, counts.sum()))).astype(int)

    def some(whose: numpy.ndarray) -> numpy.ndarray:
        return numpy.concatenate(
            [rng.permutation(numpy.flatnonzero(whose == label))[:count] for label, count in enumerate(counts)]
        )

    people = numpy.repeat(numpy.arange(size), counts)
    full = [Draw({name: some(whose) for name, whose in labels.items()}, people) for _ in range(DRAWS)]
    return Draws(full, [_half(full[number % DRAWS], rng) for number in range(HALVES)])


def _half(draw: Draw, rng: numpy.random.Generator) -> Draw:
    """Half of each person's images, of every set, in runs of up to BLOCK neighbours in time: windows of one
    walk overlap, and tell less than as many independent images.
    """
    counts = numpy.bincount(draw.people)
    kept = counts // 2 + (counts % 2) * rng.integers(2, size=len(counts))
    rank = numpy.arange(len(draw.people)) - (counts.cumsum() - counts)[draw.people]
    inside, places = rank < kept[draw.people], {}
    for name, rows in draw.places.items():
        blocks = rng.random(rows.max(initial=0) // BLOCK + 1)[rows // BLOCK]
        places[name] = rows[numpy.lexsort((rng.random(len(rows)), blocks, draw.people))][inside]
    return Draw(places, draw.people[inside], (draw.neighbours + 1) // 2)


def all_distances(x: numpy.ndarray, y: numpy.ndarray, draw: Draw) -> dict[str, float]:
    """MEASURES of what a draw has of two sets, in the one form that every command uses; nan of less than two
    images.
    """
    if len(x) < 2:
        return dict.fromkeys(MEASURES, math.nan)
    single = {"frechet": frechet(x, y), "sliced_wasserstein": sliced_wasserstein(x, y)}
    distances = {"kid": kid(x, y, draw.people), **single, **neighbourhoods(x, y, draw.neighbours)}
    return {name: distances[name] for name in MEASURES}


class Values(NamedTuple):
    """A distance from held-out images: of each full draw, and what each half deviates from its draw."""

    full: numpy.ndarray
    deviations: numpy.ndarray

    def less(self, other: Values) -> Values:
        """The difference from that of another set, draw by draw and half by half."""
        return Values(self.full - other.full, self.deviations - other.deviations)

    def estimate(self, count: int, low: float = -math.inf, high: float = math.inf) -> dict[str, Any]:
        """Mean and 95 % interval within `low` and `high`, of `count` images, as JSON; None for what nan makes
        unknown, such as the interval where no half can be measured.
        """
        if not numpy.isfinite(self.full).any():
            return {"value": None, "interval": None, "count": count}
        value = float(numpy.nanmean(self.full))
        if not numpy.isfinite(self.deviations).any():
            return {"value": value, "interval": None, "count": count}
        half = 1.96 * float(numpy.nanstd(self.deviations))
        return {"value": value, "interval": [max(low, value - half), min(high, value + half)], "count": count}


def values_of(
    sets: Mapping[str, numpy.ndarray], draws: Draws, other: str, measure: Measure = all_distances
) -> dict[str, Values]:
    """Values by measure of the set `other` beside the held-out one."""
    full, halves = (
        [measure(draw.of(sets, REFERENCE), draw.of(sets, other), draw) for draw in part] for part in draws
    )
    measured = {}
    for name in full[0]:
        values = numpy.array([one[name] for one in full])
        deviations = numpy.array([half[name] for half in halves]) - numpy.resize(values, len(halves))
        measured[name] = Values(values, deviations)
    return measured


def compare(
    sets: Mapping[str, numpy.ndarray], draws: Draws, measure: Measure = all_distances
) -> dict[str, dict[str, Any]]:
    """{measure: {"generated": estimate, "floor": estimate}} of sets {"held_out", "generated", "train"}, by
    `measure` of x, y and the draw they are of.

    A value is the mean of the full draws. Its 95 % interval is 1.96 standard deviations of what halves
    deviate from their draw: the delete-half jackknife (Shao & Wu, Annals of Statistics 17, 1989). Unlike
    drawing with replacement it makes no duplicates, which nearest neighbours would take for copies. It is
    wide where nothing differs.
    """
    estimates: dict[str, dict[str, Any]] = {}
    for kind, other in OTHERS.items():
        for name, values in values_of(sets, draws, other, measure).items():
            estimates.setdefault(name, {})[kind] = values.estimate(len(draws.full[0].people), *range_of(name))
    return estimates


def range_of(measure: str) -> tuple[float, float]:
    """Lowest and highest value that a measure can have."""
    meaning = MEASURES.get(measure, Meaning(True))  # differences of motion, too, are measures
    return meaning.low, meaning.high
