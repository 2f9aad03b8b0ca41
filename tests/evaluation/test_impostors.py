"""Generators that cheat in a known way, on simulated walkers, are called out in whichever form their images
come; real images are not.
"""

import csv
import json
from typing import NamedTuple

import numpy
import pytest
from PIL import Image, ImageFilter

from data.labels import LabelTable
from evaluation.distances import frechet
from evaluation.evaluate import compare
from evaluation.features import ImageSet, common_scale, describe, read
from evaluation.generated import find_generated
from evaluation.judge import Judge, train_judge
from evaluation.linear_judge import LinearJudge, train_linear_judge
from evaluation.measure import measure, measure_each, units_of
from evaluation.planted import encoded
from evaluation.report.summary import answers, sentences, standing
from radar.colormap import from_rgb, to_rgb
from radar.echoes import Radar
from radar.person import Walker
from radar.recording import Setup, draw_recording

PEOPLE = LabelTable(("ID_1", "ID_2", "ID_3"))
AXES = (-1.225, 5.175, 2.11)
WALKERS = (
    Walker(speed_mps=0.9, height_m=1.6),
    Walker(speed_mps=1.2, arm_swing=0.3),
    Walker(speed_mps=1.35, height_m=1.9),
)
RECORDINGS = {"train": 6, "val": 1, "held_out": 4, "unseen": 4}
WINDOWS = 4


class Walks(NamedTuple):
    raw: dict[str, list[Image.Image]]
    sets: dict[str, ImageSet]
    judge: Judge
    linear: LinearJudge


@pytest.fixture(scope="module")
def walks():
    """Images of three people, every part from recordings of its own, and judges of both kinds."""
    setup, raw, sets = Setup(radar=Radar(looks=1)), {}, {}
    for number, (part, recordings) in enumerate(RECORDINGS.items()):
        raw[part] = [
            window.image
            for label, walker in enumerate(WALKERS)
            for recording in range(recordings)
            for window in draw_recording(
                walker, WINDOWS, setup, numpy.random.default_rng((number, label, recording))
            )[1]
        ]
        sets[part] = described(raw[part], numpy.repeat(range(len(WALKERS)), recordings * WINDOWS))
    train, val = sets["train"], sets["val"]
    judge = train_judge(
        train.images, train.labels, len(PEOPLE), 0, val=(val.images, val.labels), epochs=8, batch_size=12
    )
    return Walks(raw, sets, judge, train_linear_judge(train, val, len(PEOPLE)))


def described(pictures, labels):
    return describe(pictures, labels, AXES)


def handed_in(folder, pictures, labels):
    """The set that stage 4 reads of these images, the same in every form, and the images' numbers in it."""
    users = [PEOPLE.names[label] for label in labels]
    for number, (picture, user) in enumerate(zip(pictures, users)):
        for path in (
            f"samples/{number:03d}.png",
            f"people/{user}/{number:03d}.png",
            f"hub/train/x/{number:03d}.png",
        ):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            picture.save(folder / path)
    with open(folder / "samples/samples.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [("file", "user"), *((f"{at:03d}.png", user) for at, user in enumerate(users))]
        )
    rows = [{"file_name": f"x/{at:03d}.png", "label": int(label)} for at, label in enumerate(labels)]
    (folder / "hub/train/metadata.jsonl").write_text("\n".join(map(json.dumps, rows[::-1])))
    generated = [find_generated(folder / form, PEOPLE) for form in ("samples", "people", "hub")]
    first, *others = (read(one.records, PEOPLE, AXES, "jet") for one in generated)
    for other in others:
        assert all(numpy.array_equal(*pair, equal_nan=True) for pair in zip(first[:4], other[:4]))
    return first, numpy.array([int(record.path.stem) for record in generated[0].records])


def evaluated(walks, generated):
    """Metrics and what is said of them: person, new, physical, diverse, near, useful."""
    sets = {"train": walks.sets["train"], "held_out": walks.sets["held_out"], "generated": generated}
    measured = measure(sets, [walks.judge], PEOPLE, units_of(True), linear=walks.linear)
    metrics = {"chance": 1 / 3, "held_out": "test", **measured}
    return metrics, sentences(metrics)


def test_real_pictures_posing_as_generated_pass_everything(walks, tmp_path):
    metrics, said = evaluated(walks, handed_in(tmp_path, walks.raw["unseen"], walks.sets["unseen"].labels)[0])
    person, new, physical, diverse, near, useful, limits = said
    words = {question: answer["word"] for question, answer in answers(metrics).items()}
    assert words.pop("useful") == "not known" and words.pop("physical") != "poor"
    assert set(words.values()) == {"good"}
    assert person.startswith("The person: ") and new.startswith("New: ") and physical.startswith("Physical: ")
    assert diverse.startswith("Diverse: ") and near.startswith("As a set they cannot be told"), said
    assert useful.startswith("Useful: not tried") and limits.startswith("Cannot be said: ")
    assert metrics["generated"]["memorised"]["hits"] == 0 and abs(metrics["data_copying"]["z"]) < 3
    for distances in metrics["distances"].values():
        for name in ("frechet", "sliced_wasserstein", "precision", "coverage"):
            assert standing(distances[name]["generated"], distances[name]["floor"]) == 0
        assert min(distances[name]["generated"]["value"] for name in ("precision", "coverage")) > 0.5


def test_a_copycat_is_called_out_though_nothing_else_tells_it_from_real(walks, tmp_path):
    """Training images, half of them shifted in time."""
    rng = numpy.random.default_rng(0)
    chosen = rng.permutation(len(walks.raw["train"]))[:36]
    pictures = [numpy.asarray(walks.raw["train"][at]) for at in chosen]
    shifted = [numpy.roll(one, int(rng.integers(256)) * (at % 2), axis=1) for at, one in enumerate(pictures)]
    labels = walks.sets["train"].labels[chosen]
    copies, numbers = handed_in(tmp_path, list(map(Image.fromarray, shifted)), labels)
    metrics, said = evaluated(walks, copies)
    assert metrics["generated"]["memorised"]["share"] == 1 and metrics["real"]["memorised"]["share"] < 0.1
    assert said[1].startswith("Copies: ") and said[0].startswith("The person: ")
    assert answers(metrics)["new"]["word"] == "poor"
    for distances in metrics["distances"].values():
        assert distances["frechet"]["generated"]["value"] < distances["frechet"]["floor"]["interval"][1]
        assert standing(distances["kid"]["generated"], distances["kid"]["floor"]) == 0
    first = metrics["closest_pairs"][0]
    assert first["ratio"] < 0.05 and chosen[numbers[first["generated"]]] == first["train"]
    features = {"train": walks.sets["train"], "exact": walks.sets["train"].at(chosen)}
    spaces = common_scale({name: walks.judge.features(part.images) for name, part in features.items()})
    assert frechet(spaces["exact"], spaces["train"][chosen]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("rolled", [0, 101])
def test_a_copycat_cannot_hide_behind_twins(walks, rolled):
    """Every training image is there twice, the second time re-encoded."""
    train = walks.sets["train"]
    twins = described(
        [Image.fromarray(encoded(numpy.asarray(one))) for one in walks.raw["train"]], train.labels
    )
    twice = walks._replace(sets={**walks.sets, "train": train.beside(twins)})
    copies = [
        Image.fromarray(numpy.roll(numpy.asarray(one), rolled, axis=1)) for one in walks.raw["train"][:36]
    ]
    metrics, said = evaluated(twice, described(copies, train.labels[:36]))
    assert metrics["generated"]["memorised"]["share"] == 1 and said[1].startswith("Copies: ")
    assert metrics["real"]["memorised"]["hits"] == 0
    assert metrics["data_copying"]["z"] < -3


def test_a_generator_that_blends_two_of_a_person_is_called_out(walks):
    pictures = [numpy.asarray(one).astype(float) for one in walks.raw["train"]]
    labels = walks.sets["train"].labels
    pairs = [(at, at + 9) for at in range(len(labels) - 9) if labels[at] == labels[at + 9]]
    blends = [Image.fromarray(((pictures[a] + pictures[b]) / 2).astype(numpy.uint8)) for a, b in pairs]
    metrics, said = evaluated(walks, described(blends, labels[[a for a, _ in pairs]]))
    assert metrics["generated"]["memorised"]["share"] > 0.9 and said[1].startswith("Copies: ")


def test_a_generator_that_ignores_identity_fails_the_judge(walks, tmp_path):
    labels = numpy.random.default_rng(0).permutation(walks.sets["unseen"].labels)
    mixed, _ = handed_in(tmp_path, walks.raw["unseen"], labels)
    metrics, said = evaluated(walks, mixed)
    assert said[0].startswith("Not the person: ") and said[1].startswith("New: ")
    assert answers(metrics)["person"]["word"] == "poor"
    assert metrics["generated"]["judged_right"]["share"] < 0.6 < metrics["real"]["judged_right"]["share"]
    by_two = metrics["agreement"]
    assert by_two["generated"]["both"]["share"] < 0.5 < 0.8 < by_two["real"]["both"]["share"]
    velocity = metrics["kinematics_distance"]["torso_velocity"]
    assert max(velocity["per_person"].values()) > 2 * max(velocity["per_person_floor"].values())


def test_a_generator_of_the_mean_fails_diversity(walks, tmp_path):
    pictures = []
    for label in range(len(PEOPLE)):
        images = [walks.raw["train"][at] for at in numpy.flatnonzero(walks.sets["train"].labels == label)]
        mean = numpy.mean([from_rgb(numpy.asarray(picture)) for picture in images], axis=0)
        pictures.append(Image.fromarray(to_rgb(mean)))
    means, _ = handed_in(
        tmp_path, [picture for picture in pictures for _ in range(12)], numpy.arange(36) // 12
    )
    metrics, said = evaluated(walks, means)
    assert said[3].startswith("Not diverse: ") and answers(metrics)["varied"]["word"] == "poor"
    for space, diversity in metrics["diversity"].items():
        assert list(diversity["vendi"]["generated"].values()) == pytest.approx([1, 1, 1])
        assert min(diversity["vendi"]["real"].values()) > 1.5
        assert metrics["distances"][space]["coverage"]["generated"]["value"] < 0.3
        assert metrics["distances"][space]["recall"]["generated"]["value"] < 0.3


def test_two_generators_of_known_order_are_ranked(walks):
    """Real walks against the same with noise and blur, both beside the same held-out ones."""
    rng, pictures = numpy.random.default_rng(0), []
    for picture in walks.raw["unseen"]:
        blurred = numpy.asarray(picture.filter(ImageFilter.GaussianBlur(3))).astype(float)
        noisy = blurred + rng.normal(scale=12, size=blurred.shape)
        pictures.append(Image.fromarray(noisy.clip(0, 255).astype(numpy.uint8)))
    sets = {name: walks.sets[name] for name in ("train", "held_out")}
    sets |= {"noisy": described(pictures, walks.sets["unseen"].labels), "good": walks.sets["unseen"]}
    measured = measure_each(sets, [walks.judge], PEOPLE, units_of(True), ("noisy", "good"))
    for name in ("noisy", "good"):
        alone = {**{kind: sets[kind] for kind in ("train", "held_out")}, "generated": sets[name]}
        of_one = measure(alone, [walks.judge], PEOPLE, units_of(True))
        assert of_one == measured.shared | measured.sections[name]
    compared = compare(measured, sets, PEOPLE, 0)
    (pair,) = compared["pairs"]
    assert compared["count"] == 48 and compared["generators"] == pair["generators"] == ["noisy", "good"]
    test = pair["tests"]["radar"]
    assert test["closer"] == "good" and test["p"] <= test["adjusted_p"] < 0.05 and test["interval"][0] > 0
    assert pair["sentence"].startswith("good is closer to held-out images than noisy by ")
    assert compared["summary"] == [pair["sentence"]]


def test_too_few_pictures_give_no_distances_and_that_is_said(walks, tmp_path):
    few, _ = handed_in(tmp_path, [walks.raw["unseen"][at] for at in (0, 16, 20)], [0, 1, 1])
    metrics, said = evaluated(walks, few)
    assert "distances" not in metrics and "any distance (too few images" in said[-1]
    assert len(said) == 6 and "somebody has 1 generated image" in said[-1]
    assert said[3].startswith("Variety cannot be measured") and said[4].startswith("Useful: not tried")
