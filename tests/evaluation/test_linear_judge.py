"""The linear judge: its features of images that are known, its fit beside the solution, what it learns; and
what two kinds of judge say of the same images.
"""

import numpy
import pytest
import torch
from drawn_walks import swings

from data.labels import LabelTable
from evaluation.agreement import agreement_lines, agreement_of
from evaluation.features import ImageSet
from evaluation.linear_judge import BANDS, CADENCES, RIDGES, USUAL_RIDGE, cadence_velocity, train_linear_judge
from radar.colormap import to_rgb

CLASSES = 3
PEOPLE = LabelTable(("ID_1", "ID_2"))


def walks(count, seed):
    return ImageSet(*swings(CLASSES, count, seed), numpy.empty(0), numpy.empty(0))


@pytest.fixture(scope="module")
def sets():
    return {"train": walks(16, 0), "val": walks(8, 1), "test": walks(20, 2)}


@pytest.fixture(scope="module")
def judge(sets):
    return train_linear_judge(sets["train"], sets["val"], CLASSES, "gray")


def test_features_of_one_line_that_comes_and_goes():
    """Rows 6 and 7 swing 3 times by 0.2 about 0.5, row 100 twice: half the swing at their rates, no other."""
    brightness = numpy.zeros((1, 128, 64))
    swing = 2 * numpy.pi * numpy.arange(64) / 64
    brightness[0, 6:8] = 0.5 + 0.2 * numpy.cos(3 * swing + 1)
    brightness[0, 100] = 0.5 + 0.4 * numpy.cos(2 * swing)
    features = cadence_velocity(to_rgb(brightness, "gray"), "gray")[0]
    diagram, profile = features[: BANDS * CADENCES].reshape(BANDS, CADENCES), features[BANDS * CADENCES :]
    expected, rows = numpy.zeros((BANDS, CADENCES)), 128 // BANDS
    expected[6 // rows, 2], expected[100 // rows, 1] = 0.1 * 2 / rows, 0.2 / rows
    assert diagram == pytest.approx(expected, abs=2e-3)
    assert profile == pytest.approx(brightness[0].mean(1), abs=2e-3)


def test_a_shift_in_time_changes_no_feature(judge, sets):
    images = sets["test"].images
    rolled = numpy.roll(images, 23, axis=2)
    assert cadence_velocity(rolled, "gray") == pytest.approx(cadence_velocity(images, "gray"))
    assert judge.predict(rolled) == pytest.approx(judge.predict(images))


def test_it_learns_three_people_and_is_calibrated(judge, sets):
    probabilities = judge.predict(sets["test"].images)
    assert probabilities.shape == (60, CLASSES) and numpy.allclose(probabilities.sum(1), 1)
    assert (probabilities.argmax(1) == sets["test"].labels).mean() >= 0.95
    assert judge.ridge in RIDGES and judge.temperature != 1
    again = train_linear_judge(sets["train"], sets["val"], CLASSES, "gray")
    assert numpy.array_equal(again.predict(sets["test"].images), probabilities)


def test_without_validation_the_usual_ridge_solves_the_regression(sets):
    """Where the regression is solved its gradient is 0: x'(p - y) / N + ridge * weights, and the bias'."""
    train = sets["train"]
    judge = train_linear_judge(train, None, CLASSES, "gray")
    assert (judge.ridge, judge.temperature) == (USUAL_RIDGE, 1.0)
    x = torch.from_numpy((cadence_velocity(train.images, "gray") - judge.mean) / judge.scale)
    left = torch.from_numpy(judge.predict(train.images) - numpy.eye(CLASSES)[train.labels]) / len(x)
    assert (x.T @ left + judge.ridge * judge.weights).abs().max() < 1e-4 > left.sum(0).abs().max()
    assert judge.weights.abs().max() > 0.01


def test_what_both_say_is_told_from_what_one_says():
    network = numpy.array([True, True, False, False, True])
    linear = numpy.array([True, False, True, False, True])
    agreement = agreement_of(network, linear, numpy.array([0, 0, 0, 1, 1]), PEOPLE)
    hits = {name: one["hits"] for name, one in agreement.items()}
    assert hits == {"network": 3, "linear": 3, "both": 2, "network_only": 1, "linear_only": 1, "neither": 1}
    assert agreement["both"]["per_person"]["ID_2"]["share"] == 0.5
    assert agreement["neither"]["interval"][0] < 0.2
    lines = agreement_lines({"agreement": {"real": agreement, "generated": agreement}})
    assert lines[1] == (
        "named right by the convolutional judge only: "
        "real 20% (4% to 62% of 5), generated 20% (4% to 62% of 5)"
    )
    assert len(lines) == 4 and agreement_lines({}) == []
