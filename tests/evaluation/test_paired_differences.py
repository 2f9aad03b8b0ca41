"""Intervals of paired differences: exact where a formula is known, and right as often as they say."""

import math

import numpy
import pytest
from scipy import stats

from benchmarks.bench_study import DESIGNS, draw
from data.labels import LabelTable
from evaluation import paired_differences
from evaluation.paired_differences import HARMS, HELPS, SAME, HeldOut, Spread, difference, share

PEOPLE = LabelTable(("ID_1", "ID_2", "ID_10"))
LABELS = numpy.repeat(numpy.arange(3), 40)


def test_of_seeds_alone_the_spread_is_student_s():
    means = numpy.array([0.1, 0.4, 0.2, 0.3, 0.6])
    spread = paired_differences.spread_of(numpy.tile(means[:, None], 120), HeldOut(LABELS))
    assert spread.variance == pytest.approx(means.var(ddof=1) / 5)
    assert spread.degrees == pytest.approx(4)


def test_of_days_alone_the_spread_is_that_of_their_means():
    """Three days of one person, each of one value: the variance of a mean of three."""
    days, values = numpy.repeat([4, 7, 9], 8), numpy.repeat([0.0, 0.5, 1.0], 8)
    spread = paired_differences.spread_of(numpy.tile(values, (6, 1)), HeldOut(days * 0, days))
    assert spread.variance == pytest.approx(0.25 / 3) and spread.degrees == pytest.approx(2)


def test_what_seeds_and_images_share_is_counted_once():
    """Independent noise of every value: seeds, images and both estimate the same variance, 1 / values."""
    rng, labels = numpy.random.default_rng(0), numpy.repeat(numpy.arange(3), 400)
    variances = [
        paired_differences.spread_of(rng.standard_normal((8, 1200)), HeldOut(labels)).variance
        for _ in range(50)
    ]
    # the largest of two is a quarter above
    assert numpy.mean(variances) == pytest.approx(1.25 / 9600, rel=0.2)


def test_generators_seeds_and_images_add_up():
    """Effects of one factor each, of known size: the variance of the mean is the sum over their numbers."""
    generators, seeds = numpy.array([-1.0, 1.0, 0.0]), numpy.array([0.0, 2.0, 0.0, 2.0])
    days = numpy.repeat(numpy.arange(5), 4)
    values = generators[:, None, None] + seeds[:, None] + numpy.sqrt(3) * days
    spread = paired_differences.spread_of(values, HeldOut(days * 0, days))
    assert spread.variance == pytest.approx(1 / 3 + (4 / 3) / 4 + 3 * 2.5 / 5)


def test_overlapping_neighbours_are_no_independent_images():
    """1 / N for independent images, nearly four times that for the mean of each four of them."""
    rng, spreads = numpy.random.default_rng(0), []
    for _ in range(200):
        steps = rng.standard_normal((1, 3 * 43))
        alike = numpy.lib.stride_tricks.sliding_window_view(steps.reshape(3, 43), 4, axis=1).mean(-1) * 2
        rows = (steps[:, :120], alike.reshape(1, 120))
        spreads.append([paired_differences.spread_of(numpy.tile(x, (2, 1)), HeldOut(LABELS)) for x in rows])
    variances = numpy.array([[spread.variance for spread in both] for both in spreads]).mean(0) * 120
    assert variances == pytest.approx([1, 3.7], rel=0.15)
    degrees = numpy.mean([spread.degrees for spread, _ in spreads])
    assert degrees == pytest.approx(15, rel=0.15)  # five cosines of each of three people


def test_satterthwaite_s_degrees_are_those_of_equal_parts():
    assert paired_differences.satterthwaite(3.0, [(1.0, 10.0)] * 3) == pytest.approx(34)
    assert paired_differences.satterthwaite(1.0, [(1.0, 7.0)]) == pytest.approx(7)
    assert paired_differences.satterthwaite(0.0, [(0.0, 7.0), (0.0, 3.0)]) == 10


@pytest.mark.parametrize("hits", [0, 3, 50, 100])
def test_of_independent_images_the_interval_is_wilson_s(hits):
    """Where all are alike nothing varies, and four hundred images count as a hundred."""
    value = hits / 100
    spread = Spread(value * (1 - value) / 100, 1e9, 400)
    interval = paired_differences.score_interval(value, spread, lambda x: x * (1 - x), (0.0, 1.0))
    ends = stats.binomtest(hits, 100).proportion_ci(method="wilson")
    assert interval == pytest.approx([ends.low, ends.high], abs=1e-6)


def test_of_gains_alone_the_interval_is_that_of_a_count():
    """9 of 100 independent pairs gain, none loses: the score interval of a Poisson count."""
    interval = paired_differences.score_interval(
        0.09,
        Spread(0.09 / 100, 1e9, 100),
        lambda x: paired_differences.discordance(x, 0.09, 0.0),
        (-1.0, 1.0),
    )
    middle, half = 9 + 1.96**2 / 2, 1.96 * math.sqrt(9 + 1.96**2 / 4)
    assert interval == pytest.approx([(middle - half) / 100, (middle + half) / 100], abs=1e-5)


def test_discordant_answers_are_as_likely_as_can_be():
    assert paired_differences.discordance(0.05, 0.15, 0.1) == pytest.approx(0.25)
    assert paired_differences.discordance(0.3, 0.1, 0.0) == pytest.approx(0.3)  # not less than the difference
    shares = numpy.linspace(1e-6, 0.4, 400001)  # of lost ones, where 0.1 more are gained
    best = shares[numpy.argmax(0.2 * numpy.log(shares + 0.1) + 0.1 * numpy.log(shares) - 2 * shares)]
    assert paired_differences.discordance(0.1, 0.2, 0.1) == pytest.approx(2 * best + 0.1, abs=1e-5)
    assert paired_differences.discordance(-0.1, 0.1, 0.2) == pytest.approx(2 * best + 0.1, abs=1e-5)


def test_signs_are_flipped_in_every_way():
    flip = paired_differences.sign_flip_test
    assert flip(numpy.ones(5)) == 2 / 2**5 and flip(-numpy.arange(1.0, 9)) == 2 / 2**8
    assert flip(numpy.zeros(6)) == 1 and flip(numpy.array([1.0, -1, 1, -1])) == 1
    assert flip(numpy.array([1.0, 2, 4])) == 2 / 8 and flip(numpy.array([-1.0, 2, 4])) == 4 / 8
    assert flip(numpy.ones(30)) == flip(numpy.ones(30)) < 0.001


def test_what_would_have_been_seen():
    """2.8 standard errors (Bloom 1995), more with few degrees of freedom; nobody sees more than all."""
    seen = paired_differences.detectable
    assert seen(Spread(0.0001, 1e9, 500), 0.999) == pytest.approx(0.0280, abs=1e-4)
    reach = stats.t.ppf(0.975, 7) + stats.t.ppf(0.8, 7)
    assert seen(Spread(0.0001, 7, 500), 0.999) == pytest.approx(reach * 0.01, rel=1e-3)
    # where answers never differed, a gain is all the difference there is
    assert seen(Spread(0.0, 7, 500), 0.0) == pytest.approx(reach**2 * 4 / 500)
    assert seen(Spread(0.0, 7, 8), 0.0) == 1


def judged(better, seeds=6):
    """What is said where `better` (N,) more of each image's trainings are right, the same for every seed."""
    return difference(numpy.tile(better, (seeds, 1)), HeldOut(LABELS), PEOPLE)


def test_the_sentence_needs_images_and_seeds_to_agree():
    rng = numpy.random.default_rng(0)
    gain = numpy.where(LABELS == 0, 1.0, 0.0) * (rng.random(120) < 0.5)
    figures = judged(gain)
    said = {name: person["sentence"] for name, person in figures["per_person"].items()}
    assert figures["sentence"] == HELPS and said == {"ID_1": HELPS, "ID_2": SAME, "ID_10": SAME}
    assert judged(-gain)["sentence"] == HARMS
    chance = rng.permutation(numpy.repeat([-1.0, 0, 1], 40))
    assert judged(chance)["sentence"] == SAME
    # five seeds cannot agree by more than chance may
    few = judged(gain, seeds=5)
    assert few["interval"][0] > 0 and few["sign_flip"] == 0.0625 and few["sentence"] == SAME
    assert few["detectable"] is None and paired_differences.limit_of(5) and not paired_differences.limit_of(6)
    # one lucky seed of eight: every image gains, yet other seeds might not
    lucky = numpy.zeros((8, 120))
    lucky[0] = 1
    figures = difference(lucky, HeldOut(LABELS), PEOPLE)
    assert figures["interval"][0] < 0 and figures["sentence"] == SAME
    assert figures["by_seed"] == [1, 0, 0, 0, 0, 0, 0, 0] and figures["sign_flip"] == 1
    few = difference(numpy.ones((8, 7)), HeldOut(numpy.zeros(7, dtype=int)), PEOPLE)
    assert few["sentence"] == SAME  # seven images of one walk prove nothing


def test_what_could_not_be_measured_has_a_size():
    same = difference(numpy.zeros((8, 3000)), HeldOut(numpy.repeat(numpy.arange(3), 1000)), PEOPLE)
    assert same["equal_within"] == 0.03 and same["interval"][1] < 0.03
    assert paired_differences.in_words(same).startswith(f"{SAME} (equal within ±3 points; 1.")
    assert paired_differences.in_words(same).endswith(" points would have been seen)")
    assert "none could have been seen" in paired_differences.in_words({**same, "detectable": None})
    assert paired_differences.in_words({**same, "sentence": HELPS}) == HELPS


def test_a_share_stays_within_its_bounds():
    right = numpy.ones((8, 120), dtype=bool)
    assert share(right, HeldOut(LABELS))["interval"][1] == 1 and share(right, HeldOut(LABELS))["count"] == 120
    assert 0.85 < share(right, HeldOut(LABELS))["interval"][0] < 0.95  # of thirty walks that show four each


def test_intervals_hold_and_no_effect_is_no_help():
    """Of 300 simulated studies 95 % of the intervals hold, give or take three standard errors."""
    design, held, helps = DESIGNS["31 people, 18 images"], 0, 0
    for seed in range(300):
        delta, tested = draw(design, numpy.random.default_rng(seed))
        conclusion = paired_differences.conclude(delta, tested)
        low, high = conclusion["interval"]
        held += low <= 0 <= high
        helps += conclusion["sentence"] == HELPS
    error = math.sqrt(300 * 0.95 * 0.05)
    assert abs(held - 285) <= 3 * error and helps <= 15
