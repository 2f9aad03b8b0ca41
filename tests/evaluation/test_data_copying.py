"""The three-sample test against a sum by hand and SciPy's own; copies are seen, independent draws are not."""

import math

import numpy
import pytest
from scipy.stats import mannwhitneyu, norm

from data.labels import LabelTable
from evaluation.data_copying import COPYING, lean_line, rank_test, three_samples

PEOPLE = LabelTable(("ID_1", "ID_2", "ID_3"))


def test_a_sum_by_hand():
    """1, 3, 4 among 2, 5, 6, 7: of 12 pairs the first is larger in 2; expected 6, variance 12 * 8 / 12."""
    statistic = rank_test(numpy.array([1.0, 3, 4]), numpy.array([2.0, 5, 6, 7]))
    assert statistic == (2 - 6, 8) and statistic.z == pytest.approx(-4 / math.sqrt(8))


@pytest.mark.parametrize("decimals", [1, 8])
def test_p_values_are_scipy_s_with_and_without_ties(decimals):
    rng = numpy.random.default_rng(0)
    x, y = rng.random(30).round(decimals), (rng.random(45) + 0.1).round(decimals)
    tested = mannwhitneyu(x, y, alternative="less", method="asymptotic", use_continuity=False)
    assert norm.cdf(rank_test(x, y).z) == pytest.approx(tested.pvalue, rel=1e-9)


def test_equal_values_say_nothing():
    assert rank_test(numpy.ones(3), numpy.ones(4)).z == 0 == rank_test(numpy.ones(1), numpy.ones(1)).z


def test_people_are_cells():
    """ID_1 is as by hand, ID_2 the other way round; ID_3 has no held-out image."""
    one, other = numpy.array([1.0, 3, 4]), numpy.array([2.0, 5, 6, 7])
    figures = three_samples(
        numpy.concatenate([one, 100 + other, [0.0]]),
        numpy.array([0] * 3 + [1] * 4 + [2]),
        numpy.concatenate([other, 100 + one]),
        numpy.array([0] * 4 + [1] * 3),
        PEOPLE,
    )
    z = -4 / math.sqrt(8)
    assert figures["z"] == 0 and figures["c_t"] == pytest.approx((4 * z - 3 * z) / 7)
    assert figures["per_person"] == {
        "ID_1": {"z": pytest.approx(z), "generated": 3, "held_out": 4},
        "ID_2": {"z": pytest.approx(-z), "generated": 4, "held_out": 3},
    }
    assert "lowest ID_1 -1.4" in lean_line(figures)


def test_nobody_in_common():
    figures = three_samples(numpy.ones(2), numpy.zeros(2, int), numpy.ones(2), numpy.ones(2, int), PEOPLE)
    assert figures == {"z": None, "c_t": None, "per_person": {}} and "nobody" in lean_line(figures)


@pytest.mark.parametrize("seed", range(5))
def test_independent_draws_are_not_taken_for_copies_but_half_copies_are(seed):
    rng = numpy.random.default_rng(seed)
    training, held_out, drawn = rng.standard_normal((3, 150, 12))
    copies = drawn.copy()
    copies[::2] = training[::2] + 0.1 * rng.standard_normal((75, 12))
    labels = numpy.arange(150) % 3

    def z_of(points):
        near, real = (
            numpy.linalg.norm(some[:, None] - training, axis=2).min(1) for some in (points, held_out)
        )
        return three_samples(near, labels, real, labels, PEOPLE)["z"]

    assert abs(z_of(drawn)) < 3 and z_of(copies) < COPYING
