"""The augmentation study: fair arms, honest intervals, and the right sentence where the answer is known."""

import numpy
import pytest
import torch

from data.labels import LabelTable
from data.physical_augmentation import Physical
from evaluation import augmentation_study, classifiers
from evaluation.augmentation_study import FEW_SHOT, PHYSICAL, REFERENCE, Arm
from evaluation.classifiers import Labelled
from evaluation.judge import SmallJudge
from evaluation.paired_differences import HARMS, HELPS, SAME
from evaluation.report.summary import usefulness

PEOPLE = LabelTable(("ID_1", "ID_2", "ID_10"))


def walks(count, seed):
    """3 * count images of a swinging line at one of six heights, each person's between those of others: of
    few images some heights are missing."""
    rng = numpy.random.default_rng(seed)
    labels = numpy.repeat(numpy.arange(3), count)
    phase = 2 * numpy.pi * (numpy.arange(64) / 16 + rng.random((len(labels), 1)))
    height = labels + 3 * rng.integers(6, size=len(labels))
    line = 20 + 5 * height[:, None] + 2 * numpy.sin(phase)
    power = numpy.exp(-0.5 * ((numpy.arange(128)[:, None] - line[:, None]) / 2) ** 2)
    noisy = 200 * power + 50 * rng.random((len(labels), 128, 64))
    return Labelled(numpy.repeat(noisy[..., None], 3, axis=-1).astype(numpy.uint8), labels)


def noise(count, seed):
    """Images of nothing, with labels at random."""
    rng = numpy.random.default_rng(seed)
    images = rng.integers(0, 250, (3 * count, 128, 64, 3), dtype=numpy.uint8)
    return Labelled(images, rng.permutation(numpy.repeat(numpy.arange(3), count)))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    for module in (augmentation_study, classifiers):
        monkeypatch.setattr(module, "BATCH", 8)
    monkeypatch.setattr(augmentation_study, "LEAST_STEPS", 1)


@pytest.mark.slow  # 48 trainings
def test_more_real_pictures_posing_as_generated_help_those_who_have_few(monkeypatch):
    """Unseen real images are the best that a generator could draw; noise is the worst."""
    monkeypatch.setattr(augmentation_study, "SIZES", (5,))
    monkeypatch.setattr(augmentation_study, "RATIOS", (1.0,))
    real, held_out = walks(24, 0), walks(40, 1)
    figures = augmentation_study.study(real, held_out, walks(24, 2), PEOPLE, seeds=6, epochs=6)
    few = figures["few_shot"]["differences"][0]
    assert figures["few_shot"]["sizes"] == [5, "all"] and few["sentence"] == HELPS and few["value"] > 0.1
    assert figures["verdict"]["arms"]["generated only"]["share"] > 0.9
    useless = augmentation_study.study(real, held_out, noise(24, 3), PEOPLE, seeds=2, epochs=4)
    assert useless["verdict"]["sentence"] != HELPS
    assert all(one["sentence"] != HELPS for one in useless["few_shot"]["differences"])
    assert useless["verdict"]["arms"]["generated only"]["share"] < 0.6


def test_the_sections_have_the_agreed_form(monkeypatch):
    trained = []

    def untrained(pool, num_classes, seed, steps, change):
        trained.append((len(pool.labels), seed, steps, change))
        return SmallJudge(num_classes).eval()

    monkeypatch.setattr(augmentation_study, "train_classifier", untrained)
    physical = Physical((-1.2, 5.2), "jet", None)
    days = {"day": {"same": numpy.arange(4), "other": numpy.arange(4, 15)}}
    figures = augmentation_study.study(
        *(walks(7, 0), walks(3, 1), walks(9, 2), PEOPLE),
        **{"seeds": 2, "seed": 5, "epochs": 3, "grouped": walks(5, 3), "groups": days, "physical": physical},
    )
    arms = [
        "real",
        REFERENCE,
        PHYSICAL,
        f"{FEW_SHOT} x0.5",
        f"{FEW_SHOT} x1",
        f"{FEW_SHOT} x1.3",
        "generated only",
    ]
    assert list(figures["verdict"]["arms"]) == arms and figures["verdict"]["primary"] == arms[4]
    assert set(figures["verdict"]["differences"]) == set(arms) - {REFERENCE}
    assert figures["verdict"]["arms"]["real"]["count"] == 9
    assert figures["verdict"]["arms"]["real"]["per_person"]["ID_10"]["count"] == 3
    for kind, count in (("same", 4), ("other", 11)):
        group = figures["verdict"]["groups"]["day"][kind]
        assert {name: share["count"] for name, share in group["arms"].items()} == dict.fromkeys(arms, count)
        assert set(group["differences"]) == set(arms) - {REFERENCE}
    assert figures["few_shot"]["sizes"] == [5, "all"]
    assert {name: len(curve) for name, curve in figures["few_shot"]["arms"].items()} == {
        REFERENCE: 2,
        FEW_SHOT: 2,
    }
    # all sizes, once for each seed: the whole-data ends of the curve are arms that are there already
    assert len(trained) == 2 * (len(arms) + 2) and {seed for _, seed, _, _ in trained} == {5, 6}
    assert {steps for _, _, steps, _ in trained} == {3 * 3}  # 21 images in batches of 8: for every arm
    assert sorted(count for count, seed, _, _ in trained if seed == 5) == [15, 21, 21, 21, 27, 33, 36, 42, 48]
    changes = [change for *_, change in trained]
    assert changes.count(physical) == 2 and changes.count(classifiers.classic) == len(changes) - 4
    lines = augmentation_study.study_lines(figures)
    assert len(lines) == 1 + 6 + 2 + 1 + 1 and lines[-2].startswith("cannot be said: whether generated")
    assert figures["verdict"]["pieces"] is None


def test_arms_without_generated_images_are_trained_once_for_all_generators(monkeypatch):
    pools = []

    def untrained(pool, num_classes, seed, steps, change):
        pools.append(pool)
        torch.manual_seed(seed + len(pool.labels) + int(pool.images[0].sum()) % 1000)
        return SmallJudge(num_classes).eval()

    monkeypatch.setattr(augmentation_study, "train_classifier", untrained)
    real, held_out, settings = walks(7, 0), walks(3, 1), {"seeds": 2, "epochs": 3, "grouped": walks(5, 3)}
    settings["groups"] = {"day": {"same": numpy.arange(4), "other": numpy.arange(4, 15)}}
    alone = [augmentation_study.study(real, held_out, walks(9, 2 + k), PEOPLE, **settings) for k in (0, 1)]
    each, shared = len(pools) // 2, {}
    pools.clear()
    for k, expected in enumerate(alone):
        figures = augmentation_study.study(real, held_out, walks(9, 2 + k), PEOPLE, **settings, shared=shared)
        assert figures == expected
    assert len(shared) == 2 * 3  # real, with classic augmentation, and five of these a person; two seeds
    assert len(pools) == 2 * each - len(shared)


@pytest.mark.parametrize(
    ("plain", "classic", "mixed", "said"),
    [(0.25, 0.5, 1, HELPS), (0.5, 0.5, 0.5, SAME), (1, 0.5, 0.75, SAME), (0.25, 1, 0.5, HARMS)],
)
def test_help_must_exceed_the_better_of_both_real_arms(monkeypatch, plain, classic, mixed, said):
    """Classifiers that are right on a given share of the held-out images."""
    real, held_out, generated = walks(8, 0), walks(40, 1), walks(8, 2)

    class Known:
        def __init__(self, share):
            right = numpy.arange(len(held_out.labels)) % 4 < 4 * share
            self.answers = numpy.where(right, held_out.labels, (held_out.labels + 1) % 3)

        def logits(self, images):
            return torch.nn.functional.one_hot(torch.from_numpy(self.answers), 3)

    def known(pool, num_classes, seed, steps, change):
        augment = change is classifiers.classic
        return Known(mixed if len(pool.labels) > 24 else classic if augment else plain)

    monkeypatch.setattr(augmentation_study, "train_classifier", known)
    verdict = augmentation_study.study(real, held_out, generated, PEOPLE, seeds=6)["verdict"]
    assert verdict["sentence"] == said and verdict["arms"]["real"]["share"] == pytest.approx(plain)
    assert (
        f"it {said} to add generated ones: {100 * (mixed - classic):+.1f}"
        in usefulness({"verdict": verdict}).sentence
    )
    better = max(plain, classic)
    assert verdict["beyond_best_real"]["value"] == pytest.approx(mixed - better)
    assert verdict["differences"][verdict["primary"]]["value"] == pytest.approx(mixed - classic)


def test_arms_are_capped_by_what_is_there():
    assert [arm.ratio for arm in augmentation_study.arms_of(9).values()] == [0, 0, 0.5, 1, 2, 2]
    assert list(augmentation_study.arms_of(0.3)) == ["real", REFERENCE, f"{FEW_SHOT} x0.3", "generated only"]
    assert augmentation_study.arms_of(9)["generated only"].real == 0
    assert PHYSICAL in augmentation_study.arms_of(9, physical=True)


def test_pools_hold_the_same_real_pictures_with_and_without_generated():
    real, generated = walks(10, 0), walks(12, 1)
    seen = [{image.tobytes() for image in part.images} for part in (real, generated)]

    def members(arm, seed=0):
        pool = augmentation_study.pool_of(arm, real, generated, seed)
        parts = [{image.tobytes() for image in pool.images} & images for images in seen]
        assert len(pool.labels) == sum(map(len, parts))
        return pool.labels, *parts

    labels, alone, none = members(Arm(4))
    assert list(numpy.bincount(labels)) == [4, 4, 4] and not none
    mixed_labels, real_part, added = members(Arm(4, 0.5))
    assert real_part == alone and list(numpy.bincount(mixed_labels)) == [9, 9, 9] and len(added) == 15
    assert added == {
        image.tobytes() for start in (0, 12, 24) for image in generated.images[start : start + 5]
    }
    assert members(Arm(4), seed=1)[1] != alone and len(members(Arm(0, 1.0))[1]) == 0
    assert members(Arm(None, 2.0))[1:] == (seen[0], seen[1])  # twelve a person is all there is


def test_the_same_seed_trains_the_same_classifier():
    pool, before = walks(4, 0), torch.get_rng_state()
    classic, plain, physical = classifiers.classic, torch.nn.Identity(), Physical((-1.2, 5.2), "jet", None)
    bright = pool._replace(images=physical.with_brightness(pool.images))
    first, again, other, *changed = (
        augmentation_study.train_classifier(labelled, 3, seed, 2, change).state_dict()["head.2.weight"]
        for labelled, seed, change in (
            *((pool, 0, classic), (pool, 0, classic), (pool, 1, classic)),
            *((pool, 0, plain), (bright, 0, physical)),
        )
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not any(torch.equal(first, weights) for weights in changed)
    assert torch.equal(before, torch.get_rng_state())


def test_classic_augmentation_keeps_most_of_the_picture():
    torch.manual_seed(0)
    x = torch.zeros(200, 3, 32, 16)
    x[:, :, 10:20] = 1
    y = classifiers.classic(x)
    assert y.shape == x.shape and not torch.equal(y, classifiers.classic(x))
    changed = ((y - x).abs() > 0.35).float().mean((1, 2, 3))
    assert changed.max() < 2 * classifiers.MASKED + 0.05 and (changed > 0.02).float().mean() > 0.5


def test_each_picture_is_rolled_around_in_time_by_its_own_amount():
    images = noise(8, 0).images
    rolled = classifiers.rolled(images, 3)
    shifts = [
        [k for k in range(64) if (numpy.roll(image, k, axis=1) == other).all()]
        for image, other in zip(images, rolled)
    ]
    assert all(len(one) == 1 for one in shifts) and len({one[0] for one in shifts}) > 10
    assert (classifiers.rolled(images, 3) == rolled).all() and (classifiers.rolled(images, 4) != rolled).any()


def test_a_phase_of_the_cut_does_not_pass_for_a_person():
    """Three people who differ only in where their images begin."""
    rng = numpy.random.default_rng(0)
    labels = numpy.repeat(numpy.arange(3), 24)
    phase = 2 * numpy.pi * (numpy.arange(64) / 48 + labels[:, None] / 3)
    line = 60 + 20 * numpy.sin(phase)
    power = numpy.exp(-0.5 * ((numpy.arange(128)[:, None] - line[:, None]) / 4) ** 2)
    grey = (200 * power + 50 * rng.random((len(labels), 128, 64))).astype(numpy.uint8)
    pictures = Labelled(numpy.repeat(grey[..., None], 3, axis=-1), labels)
    judge = augmentation_study.train_classifier(pictures, 3, 0, 60, torch.nn.Identity())

    def right(images):
        return (judge.logits(images).argmax(1).numpy() == labels).mean()

    assert right(pictures.images) > 0.9
    assert right(classifiers.rolled(pictures.images, 0)) < 0.65


def test_classifiers_learn_from_one_training_of_the_generator_at_a_time(monkeypatch):
    """One of two trainings draws people under the next one's name: its classifiers are wrong."""
    good, bad = walks(12, 2), walks(12, 4)
    both = Labelled(
        numpy.concatenate([good.images, bad.images]), numpy.concatenate([good.labels, (bad.labels + 1) % 3])
    )
    runs = numpy.repeat([0, 1], len(good.labels))
    monkeypatch.setattr(augmentation_study, "LEAST_STEPS", 60)
    monkeypatch.setattr(augmentation_study, "SIZES", ())
    verdict = augmentation_study.study(walks(12, 0), walks(8, 1), both, PEOPLE, seeds=2, epochs=1, runs=runs)[
        "verdict"
    ]
    assert verdict["generators"] == 2
    assert 0.2 < verdict["arms"]["generated only"]["share"] < 0.8  # between the right ones and the wrong ones
    low, high = verdict["differences"]["generated only"]["interval"]
    assert high - low > 0.5  # two generators that differ so much say little of a third one
