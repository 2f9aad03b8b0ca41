"""What is concluded from classifiers' answers that are made up, so that the truth is known."""

import json
from pathlib import Path

import numpy
import pytest

from configs.load import resolve
from data.images import ImageRecord
from data.labels import LabelTable
from data.physical_augmentation import Physical
from evaluation.paired_differences import HARMS, HELPS, SAME
from evaluation.study_arms import ALL, MIXED, ONLY, PHYSICAL, PHYSICAL_MIXED, REFERENCE, WEIGHTED, WITHOUT
from evaluation.study_designs import Fold, People
from evaluation.study_figures import figures_of_study, study_table
from evaluation.study_fold import Setting, arms_of, lacks, trainings_of

NAMES = LabelTable(("ID_1", "ID_2", "ID_3", "ID_4"))
PEOPLE = People({name: name for name in NAMES.names}, NAMES, NAMES)
IMAGES = 40


def setting(**given):
    shared = {"design": "new-person", "real": "data", "vavae_path": "W", "arms": ["classic", "generated"]}
    config = resolve(("study",), {"study": {**shared, **given}})["study"]
    return Setting(config, PEOPLE, {}, None, [])


def fold(counted):
    tested = [
        ("test", ImageRecord(Path(name, f"{i}.png"), f"{name}/{i}.png", name))
        for name in NAMES.names
        for i in range(IMAGES)
    ]
    return Fold("_".join(counted), [], [], tested[:1], tested, counted, counted, 1)


def answers(one, accuracy, given, others=0.9):
    """Of a fold, with the accuracy of each arm on the people who count; who is wrong says ID_4, or ID_1."""
    rng, said = numpy.random.default_rng(len(one.name)), {}
    truth = numpy.array([NAMES.index(record.user) for _, record in one.tested])
    new = numpy.array([record.user in one.counted for _, record in one.tested])
    luck = rng.random(len(truth))  # of an image, alike for all
    for training in trainings_of(one, given):
        level = numpy.where(new, accuracy[training.arm], others)
        right = 0.7 * luck + 0.3 * rng.random(len(truth)) < level * 0.85
        named = numpy.where(right, truth, numpy.where(truth == 3, 0, 3))
        said[training.name] = {"named": named.tolist(), "curve": [0.2, 0.5, 0.8, 0.9, level.mean()]}
        if training.arm == REFERENCE:
            said[training.name]["margins"] = [[1.0, 2.0, -1.0, 3.0]] * given.config.generator_seeds
    return said


def figures_of(accuracy, **given):
    study = setting(**given)
    folds = [fold(("ID_1", "ID_2")), fold(("ID_3",))]
    return figures_of_study(folds, [answers(one, accuracy, study) for one in folds], study, {})


HELPFUL = {REFERENCE: 0.4, MIXED: 0.6, ALL: 0.95}


@pytest.mark.parametrize(
    ("mixed", "sentence"), [(0.6, HELPS), (0.4, SAME), (0.15, HARMS)], ids=["helps", "same", "harms"]
)
@pytest.mark.parametrize("generators", [1, 3])
def test_what_the_people_who_count_gain_is_told(mixed, sentence, generators):
    figures = figures_of({**HELPFUL, MIXED: mixed}, generator_seeds=generators)
    verdict = figures["verdict"]
    assert verdict["sentence"] == sentence and verdict["arms"][MIXED]["count"] == 3 * IMAGES
    assert figures["people"] == ["ID_1", "ID_2", "ID_3"] == [*verdict["arms"][ALL]["per_person"]]
    assert study_table(figures)[-2].startswith("Generated images: classifiers of the real ones name 75% of")
    json.dumps(figures)


def test_the_gap_is_the_part_of_what_all_real_images_add():
    figures = figures_of(HELPFUL)
    shares = {arm: figure["share"] for arm, figure in figures["verdict"]["arms"].items()}
    wanted = (shares[MIXED] - shares[REFERENCE]) / (shares[ALL] - shares[REFERENCE])
    assert figures["gap_closed"]["value"] == pytest.approx(wanted)
    low, high = figures["gap_closed"]["interval"]
    assert low < wanted < high
    assert figures_of({**HELPFUL, ALL: 0.2})["gap_closed"]["value"] is None  # nothing is missing


def test_the_others_are_told_apart():
    """ID_4 counts in no fold, and the new ones of one fold not in the other."""
    others = figures_of(HELPFUL)["others"]
    assert others["arms"][REFERENCE]["count"] == (2 + 3) * IMAGES and others["difference"]["sentence"] == SAME


def test_confusions_sum_to_the_wrong_answers():
    figures = figures_of(HELPFUL)
    for arm in (REFERENCE, MIXED):
        for name, wrong in figures["confusions"][arm].items():
            right = figures["verdict"]["arms"][arm]["per_person"][name]["share"]
            assert sum(wrong.values()) == pytest.approx(1 - right) and set(wrong) <= {"ID_4"}


def test_other_arms_that_help_are_named():
    config = {"arms": ["generated", "weighted", "only"]}
    figures = figures_of({**HELPFUL, WEIGHTED: 0.7, ONLY: 0.4}, **config)
    (line,) = [line for line in figures["summary"] if line.startswith("Helping: ")]
    assert line.startswith(f"Helping: {WEIGHTED} +") and ONLY not in line and MIXED not in line


def test_what_generated_images_add_beside_physical_augmentation_is_told():
    config = {"arms": ["physical", "physical_generated"]}
    study = setting(**config)._replace(physical=Physical((-1.2, 5.2), "jet", None))
    folds = [fold(("ID_1", "ID_2", "ID_3"))]
    accuracy = {**HELPFUL, PHYSICAL: 0.6, PHYSICAL_MIXED: 0.8}
    figures = figures_of_study(folds, [answers(folds[0], accuracy, study)], study, {})
    beside, shares = figures["beside_physical"], figures["verdict"]["arms"]
    assert beside["value"] == pytest.approx(shares[PHYSICAL_MIXED]["share"] - shares[PHYSICAL]["share"])
    assert beside["sentence"] == HELPS and any(
        line.startswith("Beside physical") for line in figures["summary"]
    )


def test_arms_that_still_learn_are_named():
    assert any(
        line.startswith("Not at their end: all real + classic") for line in figures_of(HELPFUL)["summary"]
    )


def test_generators_are_a_level_of_the_classifiers_that_see_them():
    study = setting(generator_seeds=3, seeds=2)
    trainings = [*trainings_of(fold(("ID_1",)), study)]
    assert [sum(one.arm == arm for one in trainings) for arm in (REFERENCE, ALL, MIXED)] == [2, 2, 6]
    assert [one.arm in WITHOUT for one in trainings] == [True] * 4 + [False] * 6


def test_classifiers_of_real_images_come_back_for_a_further_generator():
    one, study, more = fold(("ID_1",)), setting(seeds=2), setting(seeds=2, generator_seeds=2)
    known = answers(one, dict.fromkeys(arms_of(one, study), 0.5), study)

    def missing(given):
        return {training.name for training in trainings_of(one, given) if lacks(training, known, given)}

    assert not missing(study)
    reference = {f"{REFERENCE}, seed {seed}" for seed in (0, 1)}
    assert missing(more) == reference | {f"{MIXED}, seed {seed}, generator 1" for seed in (0, 1)}
