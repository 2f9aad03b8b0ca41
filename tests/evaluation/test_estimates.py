"""Shares and means against closed forms and published intervals."""

import numpy
import pytest

from data.labels import LabelTable
from evaluation.estimates import figures, share_difference, share_of, shown


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17, 1998, pp. 857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_the_published_ones(hits, count, low, high):
    share = share_of(numpy.arange(count) < hits)
    assert share["interval"] == pytest.approx([low, high], abs=5e-5)
    assert (share["hits"], share["count"], share["share"]) == (hits, count, hits / count)


def test_wilson_s_limits_solve_the_equation_they_come_from():
    """At each limit p the share seen is 1.96 standard errors sqrt(p (1 - p) / n) away."""
    for hits, count in ((3, 10), (40, 41), (7, 400), (5, 5)):
        for limit in share_of(numpy.arange(count) < hits)["interval"]:
            error = (limit * (1 - limit) / count) ** 0.5
            assert abs(hits / count - limit) == pytest.approx(1.959964 * error, rel=1e-6)


def test_figures_in_all_and_per_person():
    people = LabelTable(("ID_1", "ID_2", "ID_3"))
    labels = numpy.array([0, 2, 0, 2, 2])
    shares = figures(numpy.array([True, False, True, True, False]), labels, people)
    assert (shares["hits"], shares["count"], shares["share"]) == (3, 5, 0.6)
    assert {name: share["share"] for name, share in shares["per_person"].items()} == {
        "ID_1": 1.0,
        "ID_3": pytest.approx(1 / 3),
    }
    assert shown(shares, interval=True) == "60% (23% to 88% of 5)" and shown(None) == "-"

    means = figures(numpy.array([1.0, numpy.nan, 3.0, numpy.nan, numpy.nan]), labels, people)
    assert means["per_person"]["ID_1"] == {
        "mean": 2.0,
        "standard_error": pytest.approx(1.0),
        "count": 2,
        "interval": pytest.approx([2 - 12.706, 2 + 12.706], abs=1e-3),
    }
    assert means["per_person"]["ID_3"] == {"mean": None, "standard_error": None, "interval": None, "count": 0}
    assert shown(means["per_person"]["ID_1"]) == "2.00" and shown(means["per_person"]["ID_3"]) == "-"


def test_the_difference_of_two_shares_is_newcombes():
    """His example (a): 56 of 70 and 48 of 80, method 10."""
    difference = share_difference(
        *(share_of(numpy.arange(count) < hits) for hits, count in ((56, 70), (48, 80)))
    )
    assert difference["value"] == pytest.approx(0.2)
    assert difference["interval"] == pytest.approx([0.0524, 0.3339], abs=1e-4)
