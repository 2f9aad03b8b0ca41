"""A fold of a study, in a folder of its own: its images, their latents, for each seed of the generator what
stages 2 and 3 make of them, and the classifiers' answers, so that a study that was stopped goes on.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from configs.schema import StudyConfig
from configs.stage_process import run_stage
from data.atomic import read_object, write_text
from data.images import open_rgb
from data.physical_augmentation import Physical
from data.progress import progress
from data.split_files import materialise
from data.splits import Assignment, Split
from evaluation.augmentation_study import REFERENCE
from evaluation.classifiers import rolled
from evaluation.generated import find_generated
from evaluation.judge import Judge, reduced
from evaluation.study_arms import (
    ALL,
    ARMS,
    BY_PHYSICS,
    MIXED,
    WITHOUT,
    Pool,
    change_of,
    odds_of,
    train_by_odds,
)
from evaluation.study_designs import Fold, Held, People

WATCHED = 256  # tested images, at most, that are looked at while a classifier learns
Answers = dict[str, dict[str, Any]]  # of each classifier by its name


class Setting(NamedTuple):
    """What all folds of a study share; the rows of axes.csv by an image's path below its part's folder."""

    config: StudyConfig
    people: People
    axes: Mapping[str, Mapping[str, str]]
    physical: Physical | None
    further: Sequence[str]


class Training(NamedTuple):
    """A classifier: its arm, its seed, and whose generator's images it sees, None for an arm without."""

    arm: str
    seed: int
    generator: int | None

    @property
    def name(self) -> str:
        drawn = "" if self.generator is None else f", generator {self.generator}"
        return f"{self.arm}, seed {self.seed}{drawn}"


def arms_of(fold: Fold, setting: Setting) -> list[str]:
    """The arms asked for, with the reference, the one that decides, and of new people the one that has all
    their images; without axes there is none of physical augmentation. Those of real images alone come first:
    their margins sort the generated images.
    """
    lacking = {*BY_PHYSICS} if setting.physical is None else set()
    everything = [ALL] if fold.further else []
    arms = dict.fromkeys([REFERENCE, *(ARMS[word] for word in setting.config.arms), *everything, MIXED])
    return sorted((arm for arm in arms if arm not in lacking), key=lambda arm: arm not in WITHOUT)


def trainings_of(fold: Fold, setting: Setting) -> Iterator[Training]:
    """Every classifier of the fold."""
    config = setting.config
    for arm in arms_of(fold, setting):
        for generator in [None] if arm in WITHOUT else range(config.generator_seeds):
            for seed in range(config.seed, config.seed + config.seeds):
                yield Training(arm, seed, generator)


def answers_of(fold: Fold, setting: Setting, folder: Path) -> Answers:
    """What each classifier says; what is there is not trained again."""
    path = folder / "answers.json"
    way_out = "delete it, and the fold's classifiers are trained again"
    answers: Answers = read_object(path, way_out, values=dict) if path.is_file() else {}
    missing = [one for one in trainings_of(fold, setting) if lacks(one, answers, setting)]
    if missing:
        generators = make_generators(fold, setting, folder)
        work = Work(fold, setting, generators)
        with progress(total=len(missing), description=f"fold {fold.name}", unit="classifier") as bar:
            for (arm, generator), same in groupby(missing, lambda one: (one.arm, one.generator)):
                pool = work.pool(arm, generator)
                for one in same:
                    answers[one.name] = work.answer(one, pool, answers)
                    write_text(path, json.dumps(answers) + "\n")
                    bar.update(1)
    return answers


def lacks(one: Training, answers: Answers, setting: Setting) -> bool:
    """Whether a classifier is to be trained: also where generators came in whose images it has not sorted."""
    if one.arm != REFERENCE or one.name not in answers:
        return one.name not in answers
    return len(answers[one.name]["margins"]) < setting.config.generator_seeds


class Work:
    """The images of a fold, and what classifiers make of them."""

    def __init__(self, fold: Fold, setting: Setting, generators: Sequence[Path]) -> None:
        """`generators` are the folders of what each one drew."""
        self.setting = setting
        people, real = setting.people, [*fold.training, *fold.further]
        self.truth = people.labels(fold.tested)
        self.tested = rolled(pixels(fold.tested), setting.config.seed)  # why: see `augmentation_study`
        self.watched = slice(None, None, math.ceil(len(fold.tested) / WATCHED))
        self.real, self.real_labels, self.count = pixels(real), people.labels(real), len(fold.training)
        self.drawn = []
        for folder in generators:
            images = [("", record) for record in find_generated(folder, people.folders).records]
            self.drawn.append((pixels(images), people.labels(images)))

    def pool(self, arm: str, generator: int | None) -> Pool:
        """All images that classifiers of an arm may learn from, with those of one generator."""
        drawn, labels = self.drawn[generator or 0]
        sources = [0] * self.count + [1] * (len(self.real) - self.count) + [2] * len(drawn)
        images, physical = numpy.concatenate([self.real, drawn]), self.setting.physical
        if arm in BY_PHYSICS and physical:
            images = physical.with_brightness(images)
        return Pool(images, numpy.concatenate([self.real_labels, labels]), numpy.array(sources))

    def answer(self, one: Training, pool: Pool, known: Answers) -> dict[str, Any]:
        """Whom the classifier names in each tested image (N,); "curve", its accuracy on some while it learns.

        Of the reference also "margins": of the images of each generator.
        """
        # What it learns from
        setting = self.setting
        margins = numpy.zeros(len(pool.labels))
        if one.generator is not None:
            reference = known[Training(REFERENCE, one.seed, None).name]
            margins[pool.sources == 2] = reference["margins"][one.generator]

        # What it says
        judge, curve = train_by_odds(
            pool,
            odds_of(one.arm, pool, margins),
            len(setting.people.names),
            one.seed,
            setting.config.classifier_steps,
            change_of(one.arm, setting.physical),
            self.share_right,
        )
        named = judge.logits(self.tested).argmax(1)
        said: dict[str, Any] = {"named": named.tolist(), "curve": curve}
        if one.arm == REFERENCE:
            said["margins"] = [margins_by(judge, *drawn).round(3).tolist() for drawn in self.drawn]
        return said

    def share_right(self, judge: Judge) -> float:
        """Of the tested images that are watched."""
        named = judge.logits(self.tested[self.watched]).argmax(1).numpy()
        return float((named == self.truth[self.watched]).mean())


def margins_by(judge: Judge, images: numpy.ndarray, labels: numpy.ndarray) -> numpy.ndarray:
    """(N,) of images (N, 128, 64, 3): the logit of the person asked for less the highest of the others."""
    logits = judge.logits(images).numpy()
    rows = numpy.arange(len(labels))
    asked = logits[rows, labels].copy()
    logits[rows, labels] = -numpy.inf
    return asked - logits.max(1)


def pixels(images: Sequence[Held]) -> numpy.ndarray:
    """uint8 (N, 128, 64, 3)."""
    return numpy.stack([reduced(open_rgb(record)) for _, record in images])


def make_generators(fold: Fold, setting: Setting, folder: Path) -> list[Path]:
    """Run stages 1 to 3 on the fold's images, or stage 3 alone by a model to which these are shown; the
    folders of what was drawn.
    """
    config, images, latents = setting.config, folder / "images", folder / "latent_features"
    parts = [("train", fold.training), ("val", fold.val)]
    if config.dit_checkpoint:
        parts = [("train", shown_images(fold, config.images_per_person))]
    placed = [Assignment(record, part, "") for part, held in parts for _, record in held]
    materialise(Split(placed, {"fold": fold.name}), images, axes=setting.axes)
    seeds = range(config.seed, config.seed + config.generator_seeds)
    folders = {seed: folder / f"generator_{seed}" for seed in seeds}
    if config.dit_checkpoint:
        shown = {"references": images / "train", "margins": config.margins}
        model = {"dit_checkpoint": config.dit_checkpoint, **shown}
        return [drawn_by(model, fold, setting, target, seed) for seed, target in folders.items()]
    stage1 = {
        "data_dir": images,
        "vavae_path": config.vavae_path,
        "output_path": latents,
        "margins": config.margins,
        "axes": config.axes or None,
    }
    run("extraction", "stage1_extract_features.py", stage1, setting)
    drawn = []
    for seed, target in folders.items():
        models = target / "trained_models"
        stage2 = {"latent_dir": latents, "output_dir": models, "seed": seed, "conditions": config.conditions}
        run("training", "stage2_train_dit.py", stage2, setting)
        drawn.append(
            drawn_by({"dit_checkpoint": models / "checkpoints/best.ckpt"}, fold, setting, target, seed)
        )
    return drawn


def shown_images(fold: Fold, count: int) -> list[Held]:
    """What a model of references is shown: all training images of the folders that it shall draw, and `count`
    of each other one, from which it knows what all share.
    """
    shown: list[Held] = []
    seen: Counter[str] = Counter()
    for held in fold.training:
        name = held[1].user
        seen[name] += 1
        if name in fold.drawn or seen[name] <= count:
            shown.append(held)
    return shown


def drawn_by(model: dict[str, Any], fold: Fold, setting: Setting, target: Path, seed: int) -> Path:
    """Run stage 3 by a model; the folder of the images."""
    stage3 = {
        **model,
        "vavae_path": setting.config.vavae_path,
        "output_dir": target / "generated_images",
        "user_ids": list(fold.drawn),
        "num_samples_per_user": fold.number,
        "seed": seed,
    }
    run("generation", "stage3_inference.py", stage3, setting)
    return target / "generated_images"


def run(name: str, script: str, flags: dict[str, Any], setting: Setting) -> None:
    run_stage(name, [script], flags, [*setting.further], math.inf)
