"""Distances against closed forms, other implementations and brute force; intervals against known spreads."""

import math

import numpy
import pytest
import torch
from scipy.linalg import sqrtm

from evaluation.distances import (
    HALVES,
    compare,
    draw_equal,
    frechet,
    kid,
    neighbourhoods,
    sliced_wasserstein,
    squared_distances,
    usual_width,
    vendi,
)


def normal(count, dimension, seed):
    return numpy.random.default_rng(seed).standard_normal((count, dimension))


@pytest.mark.parametrize(("count", "dimension"), [(200, 3), (30, 80)])
def test_frechet_of_scaled_and_shifted_clouds(count, dimension):
    """Scaling by s > 0 multiplies the covariance C by s^2: the distance is |shift|^2 + (1 - s)^2 tr C."""
    x, shift = normal(count, dimension, 0), numpy.linspace(0, 1, dimension)
    spread = ((x - x.mean(0)) ** 2).sum() / (count - 1)
    moved = x.mean(0) + shift + 1.7 * (x - x.mean(0))
    assert frechet(x, moved) == pytest.approx(shift @ shift + 0.7**2 * spread, rel=1e-9)
    assert frechet(x, x[::-1]) == pytest.approx(0, abs=1e-9 * spread)


def test_frechet_of_covariances_that_do_not_commute():
    x, y = normal(60, 5, 0) @ normal(5, 5, 1), 1 + normal(90, 5, 2) @ normal(5, 5, 3)
    a, b = numpy.cov(x.T), numpy.cov(y.T)
    plain = ((x.mean(0) - y.mean(0)) ** 2).sum() + numpy.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet(x, y) == pytest.approx(plain, rel=1e-8)


def test_kid_is_that_of_torchmetrics():
    mmd = pytest.importorskip("torchmetrics.image.kid").poly_mmd
    x, y = normal(40, 6, 0), 0.5 + normal(40, 6, 1)  # theirs takes sets of one size
    alone = numpy.zeros(40, dtype=int)
    assert kid(x, y, alone) == pytest.approx(float(mmd(torch.from_numpy(x), torch.from_numpy(y))), rel=1e-9)


def test_kid_of_one_distribution_is_zero_on_average():
    alone = numpy.zeros(20, dtype=int)
    pairs = [[normal(20, 4, (seed, side)) for side in range(2)] for seed in range(400)]
    estimates = numpy.array([kid(x, y, alone) for x, y in pairs])
    assert abs(estimates.mean()) < 3 * estimates.std() / math.sqrt(len(estimates))


def test_kid_of_sets_with_equally_many_of_each_person_is_unbiased_too():
    """Three per person whose means are 6 apart: pairs within a set are then more often of different people.
    The last one has a single row, of which no pair within is known.
    """
    people = numpy.repeat(numpy.arange(5), (3, 3, 3, 3, 1))
    centres = 6 * numpy.eye(5)[people]
    pairs = [[centres + normal(13, 5, (seed, side)) for side in range(2)] for seed in range(300)]
    aware, unaware = (numpy.array([kid(x, y, who) for x, y in pairs]) for who in (people, 0 * people))
    assert abs(aware.mean()) < 3 * aware.std() / math.sqrt(len(pairs))
    assert unaware.mean() < -10 * unaware.std() / math.sqrt(len(pairs))
    assert math.isnan(kid(centres[::3], centres[::3], people[::3]))


@pytest.mark.parametrize("dimension", [1, 7, 300])
def test_sliced_wasserstein_of_a_shift(dimension):
    x, shift = normal(25, dimension, 0), numpy.random.default_rng(1).standard_normal(dimension)
    exact = numpy.linalg.norm(shift) / math.sqrt(dimension)
    tolerance = 1e-9 if dimension < 256 else 0.1  # fewer directions than dimensions do not see all of it
    assert sliced_wasserstein(x, x[::-1] + shift) == pytest.approx(exact, rel=tolerance)
    assert sliced_wasserstein(x, x[::-1]) == pytest.approx(0, abs=1e-12)


def test_sliced_wasserstein_in_one_dimension_is_that_of_sorted_values():
    assert sliced_wasserstein(numpy.array([[0.0], [4.0]]), numpy.array([[5.0], [2.0]])) == pytest.approx(
        math.sqrt((2**2 + 1**2) / 2)
    )


def test_neighbourhoods_by_their_definitions():
    x, y, k = normal(30, 3, 0), 0.8 * normal(40, 3, 1) + 0.5, 5
    between = numpy.linalg.norm(x[:, None] - y, axis=2)
    ball_x = [sorted(numpy.linalg.norm(x - one, axis=1))[k] for one in x]
    ball_y = [sorted(numpy.linalg.norm(y - one, axis=1))[k] for one in y]
    inside = [[between[i, j] < ball_x[i] for i in range(30)] for j in range(40)]
    assert neighbourhoods(x, y, k) == pytest.approx(
        {
            "precision": sum(map(any, inside)) / 40,
            "recall": sum(any(between[i, j] < ball_y[j] for j in range(40)) for i in range(30)) / 30,
            "density": sum(map(sum, inside)) / (5 * 40),
            "coverage": sum(any(inside[j][i] for j in range(40)) for i in range(30)) / 30,
        }
    )


def test_neighbourhoods_of_sets_that_are_easy():
    x, far = normal(50, 4, 0), 100 + normal(50, 4, 1)
    assert set(neighbourhoods(x, far, 5).values()) == {0.0}
    assert neighbourhoods(x, x, 5) == {"precision": 1.0, "recall": 1.0, "density": 1.0, "coverage": 1.0}
    both, half = numpy.concatenate([x, far]), numpy.concatenate([x, x[::-1] + 1e-3])
    dropped = neighbourhoods(both, half, 5)
    assert dropped["precision"] == 1 and dropped["recall"] == dropped["coverage"] == 0.5


def test_an_outlier_widens_precision_but_hardly_density():
    """The case for which density was made: one real outlier's ball holds all of a far cloud."""
    x, y = normal(100, 2, 0), 20 + normal(100, 2, 1)
    with_outlier = numpy.concatenate([x[:-1], [[60.0, 60.0]]])
    figures = neighbourhoods(with_outlier, y, 5)
    assert figures["precision"] == 1 and figures["density"] == pytest.approx(1 / 5)


def test_rounding_leaves_no_distance_between_equal_points():
    x = numpy.repeat(1e3 + normal(1, 500, 0), 20, axis=0)
    assert squared_distances(x, x).max() == 0 and vendi(x, 1e-3) == pytest.approx(1)


def test_vendi_counts_what_is_different():
    x = 1e3 * normal(12, 5, 0)
    assert vendi(x, 1.0) == pytest.approx(12)
    assert vendi(numpy.repeat(x[:3], 4, axis=0), 1.0) == pytest.approx(3)
    assert vendi(x[:1], 1.0) == pytest.approx(1)
    # two points at one width: eigenvalues (1 +- e^-0.5) / 2
    high, low = ((1 + sign * math.exp(-0.5)) / 2 for sign in (1, -1))
    exact = math.exp(-high * math.log(high) - low * math.log(low))
    assert vendi(numpy.array([[0.0], [2.0]]), 2.0) == pytest.approx(exact)


def test_the_usual_width_is_between_pictures_of_one_person():
    z = numpy.array([[0.0], [3.0], [1000.0], [1004.0], [1008.0]])
    assert usual_width(z, numpy.array([7, 7, 2, 2, 2])) == pytest.approx(4.0)
    assert usual_width(z[:2], numpy.array([1, 2])) == 1.0


def sets(counts, values):
    """{set: labels}, {set: (N, 1) values} with `counts` {set: images of person 0, 1, ...}."""
    labels = {name: numpy.repeat(numpy.arange(len(numbers)), numbers) for name, numbers in counts.items()}
    return labels, {name: values(name, len(people))[:, None] for name, people in labels.items()}


def test_draws_hold_equally_many_of_everybody():
    counts = {"held_out": (5, 8, 0, 3), "generated": (6, 6, 6, 6), "train": (20, 4, 9, 30)}
    labels, _ = sets(counts, lambda name, count: numpy.zeros(count))
    draws = draw_equal(labels, 0)
    for draw in draws.full + draws.halves:
        for name, places in draw.places.items():
            assert (labels[name][places] == draw.people).all() and len(set(places)) == len(places)
    assert all(numpy.bincount(draw.people).tolist() == [5, 4, 0, 3] for draw in draws.full)
    assert {tuple(numpy.bincount(draw.people)) for draw in draws.halves} == {
        (2, 2, 0, 1),
        (3, 2, 0, 1),
        (2, 2, 0, 2),
        (3, 2, 0, 2),
    }
    used = numpy.concatenate([draw.places["train"] for draw in draws.full])
    assert len(set(used)) > len(used) / 5  # not the same ones each time


def spread(values, seed):
    """Half width of the interval of a difference of means, from sets of 120 images of two people."""
    counts = dict.fromkeys(("held_out", "generated", "train"), (60, 60))
    rng = numpy.random.default_rng(seed)
    labels, features = sets(counts, lambda name, count: values(rng, count))
    draws = draw_equal(labels, seed)
    figures = compare(features, draws, lambda x, y, draw: {"kid": float(x.mean() - y.mean())})
    low, high = figures["kid"]["generated"]["interval"]
    return (high - low) / 2


def test_intervals_are_as_wide_as_the_spread_of_independent_pictures():
    half_width = numpy.mean(
        [spread(lambda rng, count: rng.standard_normal(count), seed) for seed in range(12)]
    )
    assert half_width == pytest.approx(1.96 * math.sqrt(2 / 120), rel=0.1)


def test_overlapping_windows_count_less():
    """Of four equal neighbours each, a quarter is independent: intervals are twice as wide."""

    def windows(rng, count):
        return numpy.repeat(rng.standard_normal(count // 4), 4)

    half_width = numpy.mean([spread(windows, seed) for seed in range(12)])
    assert half_width == pytest.approx(2 * 1.96 * math.sqrt(2 / 120), rel=0.12)


def test_the_interval_of_kid_covers_zero_where_nothing_differs():
    covered = 0
    for seed in range(20):
        counts = dict.fromkeys(("held_out", "generated", "train"), (12, 12, 12))
        labels, _ = sets(counts, lambda name, count: numpy.zeros(count))
        rng = numpy.random.default_rng(seed)
        drawn = {name: people[:, None] + rng.standard_normal((36, 4)) for name, people in labels.items()}
        figures = compare(drawn, draw_equal(labels, seed), lambda x, y, draw: {"kid": kid(x, y, draw.people)})
        low, high = figures["kid"]["floor"]["interval"]
        covered += low <= 0 <= high
    assert covered >= 18


def test_values_that_nothing_gives_are_none():
    labels, features = sets(
        dict.fromkeys(("held_out", "generated", "train"), (4, 4)), lambda name, count: numpy.zeros(count)
    )
    figures = compare(features, draw_equal(labels, 0), lambda x, y, draw: {"density": math.nan})
    assert figures["density"]["floor"] == {"value": None, "interval": None, "count": 8} and HALVES > 50


def test_an_interval_that_no_half_gives_is_none():
    """Of two images a person a half has one, which has no pair."""
    labels, features = sets(
        dict.fromkeys(("held_out", "generated", "train"), (2, 2)),
        lambda name, count: numpy.arange(count) + len(name),
    )
    floor = compare(features, draw_equal(labels, 0))["kid"]["floor"]
    assert isinstance(floor["value"], float) and floor["interval"] is None


@pytest.mark.parametrize("people", range(2, 9))
def test_of_one_image_a_person_no_half_need_have_two(people):
    parts = dict.fromkeys(("held_out", "generated", "train"), [1] * people)
    labels, features = sets(parts, lambda name, count: numpy.arange(count) + len(name))
    figures = compare(features, draw_equal(labels, 0))
    assert isinstance(figures["frechet"]["generated"]["value"], float)
    assert figures["kid"]["generated"]["value"] is None  # of pairs of one person
