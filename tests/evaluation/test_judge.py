"""The judge on people that are easy, and on none: what it learns, what it cannot, and that it can be kept."""

import numpy
import pytest
import torch
from drawn_walks import swings
from PIL import Image

from data.labels import LabelTable
from evaluation.judge import (
    SmallJudge,
    augmented,
    calibration_error,
    cross_entropy,
    fit_temperature,
    load_judge,
    reduced,
    train_judge,
)

CLASSES = 3


@pytest.fixture(scope="module")
def sets():
    return {"train": swings(CLASSES, 16, 0), "val": swings(CLASSES, 8, 1), "test": swings(CLASSES, 20, 2)}


@pytest.fixture(scope="module")
def judge(sets):
    return train_judge(*sets["train"], CLASSES, 0, val=sets["val"], epochs=8, batch_size=8)


def accuracy(judge, images, labels):
    return (judge.predict(images).argmax(1) == labels).mean()


def test_the_judge_learns_three_people(judge, sets):
    assert accuracy(judge, *sets["test"]) >= 0.95
    probabilities = judge.predict(sets["test"][0])
    assert probabilities.shape == (60, CLASSES) and numpy.allclose(probabilities.sum(1), 1)


def test_a_shifted_walk_is_the_same_person(judge, sets):
    images, labels = sets["test"]
    assert accuracy(judge, numpy.roll(images, 23, axis=2), labels) >= 0.95


def test_with_shuffled_labels_held_out_pictures_stay_at_chance(sets):
    images, _ = sets["train"]
    unrelated = numpy.arange(len(images)) % CLASSES  # a third of each in every class: nothing to learn
    judge = train_judge(images, unrelated, CLASSES, 0, epochs=8, batch_size=8)
    pictures, labels = sets["test"]
    # Right answers under every renaming of the classes come to exactly 1 in all, so the best is what counts.
    renamed = [accuracy(judge, pictures, (labels + turn) % CLASSES) for turn in range(CLASSES)]
    assert max(renamed) <= 0.7
    assert cross_entropy(judge.logits(pictures), labels) > 0.8 * numpy.log(CLASSES)


def test_the_same_seed_gives_the_same_judge_and_leaves_the_generator_alone(sets):
    before = torch.get_rng_state()
    made = [train_judge(*sets["train"], CLASSES, seed, val=sets["val"], epochs=1) for seed in (3, 3, 4)]
    first, again, other = (judge.state_dict() for judge in made)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.2.weight"], other["head.2.weight"])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_best_epoch_is_kept(sets):
    """Labels of validation turned round: the longer the training, the worse, so an early epoch must win."""
    images, labels = sets["val"]
    wrong = (labels + 1) % CLASSES
    kept = train_judge(*sets["train"], CLASSES, 0, val=(images, wrong), epochs=8, batch_size=8)
    last = train_judge(*sets["train"], CLASSES, 0, epochs=8, batch_size=8)
    assert cross_entropy(kept.logits(images), wrong) < 0.7 * cross_entropy(last.logits(images), wrong)


def test_temperature_mends_exaggerated_logits():
    """Labels drawn from softmax(z), logits 3 z: the temperature is 3, and no other is better."""
    generator = torch.Generator().manual_seed(0)
    truth = 1.5 * torch.randn(4000, 4, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(truth.softmax(1), 1, generator=generator)[:, 0].numpy()
    temperature = fit_temperature(3 * truth, labels)
    assert temperature == pytest.approx(3, rel=0.06)
    assert cross_entropy(3 * truth, labels, temperature) < cross_entropy(3 * truth, labels) - 0.1
    assert cross_entropy(3 * truth, labels, temperature) <= cross_entropy(3 * truth, labels, 3.0) + 1e-4
    assert fit_temperature(truth, labels) == pytest.approx(1, rel=0.06)


def test_training_calibrates_on_validation(judge, sets):
    images, labels = sets["val"]
    logits, temperature = judge.logits(images), judge.temperature.item()
    assert temperature == pytest.approx(fit_temperature(logits, labels)) and temperature != 1
    assert cross_entropy(logits, labels, temperature) < cross_entropy(logits, labels)
    assert numpy.allclose(judge.predict(images), (logits / temperature).softmax(1))


def test_calibration_error_of_a_known_table():
    """15 bins: 0.62 and 0.65 share one (right once), 0.97 has its own (right), 0.5 a third (wrong)."""
    confidence = numpy.array([0.62, 0.65, 0.97, 0.5])
    probabilities = numpy.stack([confidence, 1 - confidence], axis=1)
    expected = (abs(0.62 + 0.65 - 1) + abs(0.97 - 1) + abs(0.5 - 0)) / 4
    assert calibration_error(probabilities, numpy.array([0, 1, 0, 1])) == pytest.approx(expected)
    sure = numpy.eye(2)[[0, 1, 1]]
    assert calibration_error(sure, numpy.array([0, 1, 1])) == 0
    assert calibration_error(sure, numpy.array([1, 0, 0])) == 1


def test_features_are_what_the_last_layer_sees(judge, sets):
    images = sets["test"][0][:5]
    features = torch.from_numpy(judge.features(images))
    assert features.shape == (5, 1024)
    assert torch.allclose(judge.head[2](features).double(), judge.logits(images), atol=1e-4)


def test_a_saved_judge_is_the_same(judge, sets, tmp_path):
    people = LabelTable(("ID_2", "ID_10", "ID_1"))
    judge.save(tmp_path / "judge.safetensors", people)
    again, names = load_judge(tmp_path / "judge.safetensors")
    assert names == people
    assert numpy.array_equal(again.predict(sets["test"][0]), judge.predict(sets["test"][0]))
    assert [path.name for path in tmp_path.iterdir()] == ["judge.safetensors"]


def test_pictures_are_reduced_by_averaging_areas():
    rng = numpy.random.default_rng(0)
    picture = rng.integers(0, 256, (256, 256, 3), dtype=numpy.uint8)
    expected = picture.reshape(128, 2, 64, 4, 3).mean((1, 3))
    assert numpy.abs(reduced(Image.fromarray(picture)) - expected).max() <= 1


def test_augmentation_rolls_in_time_and_scales_light_only():
    x = torch.rand(40, 3, 8, 16) - 0.5
    y = augmented(x)
    gains, shifts = set(), set()
    for one, other in zip(x + 1, y + 1):
        ratios = torch.stack([other / one.roll(shift, -1) for shift in range(16)]).flatten(1)
        shift = int((ratios.amax(1) - ratios.amin(1)).argmin())
        assert ratios[shift].amax() - ratios[shift].amin() < 1e-4
        gains.add(float(ratios[shift].mean())), shifts.add(shift)
    assert len(shifts) > 8 and min(gains) < 0.97 and max(gains) > 1.03
    assert 0.899 < min(gains) and max(gains) < 1.101


def test_the_size_is_what_the_module_says():
    assert 0.3e6 < sum(value.numel() for value in SmallJudge(10).parameters()) < 0.5e6
