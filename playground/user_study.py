"""A user study: real and generated images blind and in random order, and answers that a reload keeps.

Two questions: is this image real or generated, and which of two images is the person of three others. All
images of the second question are of one kind, so that generated ones are compared with what real ones allow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from configs.command_line import say
from configs.errors import UserError
from configs.keys import identity
from configs.schema import PlaygroundConfig
from data.atomic import write_text
from data.images import ImageRecord, Splits, inputs_digest, open_rgb
from data.labels import listing
from data.tables import aligned, csv_text, read_rows
from evaluation.folders import find_real
from evaluation.generated import Generated, find_generated
from playground.detection import GENERATED, HEAD, KIND, REAL, WHICH, table

LEFT, RIGHT = "left", "right"
REFERENCES = 3  # images of the person who is asked for
ANSWERS = "answers.csv"


@dataclass(frozen=True)
class Trial:
    """A question about one image, `left`, or two; images by their names in `Material.images`."""

    question: str
    person: str
    kind: str
    left: str
    right: str
    truth: str
    references: tuple[str, ...] = ()  # images of the person of training

    @property
    def options(self) -> tuple[str, str]:
        return (REAL, GENERATED) if self.question == KIND else (LEFT, RIGHT)


class Material(NamedTuple):
    """Images by name, and names by person: of training, held-out and generated ones."""

    images: dict[str, ImageRecord]
    training: dict[str, list[str]]
    shown: dict[str, dict[str, list[str]]]  # of each kind

    @classmethod
    def of(cls, splits: Splits, generated: Generated) -> Material:
        """UserError: fewer than two people of whom there are images of all three sorts."""
        parts = {f"real/{part}": records for part, records in splits.records.items()}
        parts[GENERATED] = generated.records
        images = {f"{part}/{one.relative}": one for part, records in parts.items() for one in records}
        training = _by_person(images, "real/train/")
        learnt = {name for names in training.values() for name in names}
        held_out = _by_person({name: one for name, one in images.items() if name not in learnt}, "real/")
        shown = {REAL: held_out, GENERATED: _by_person(images, f"{GENERATED}/")}
        people = [
            name for name in splits.labels.names if all(name in one for one in (training, *shown.values()))
        ]
        if len(people) < 2:
            raise UserError(
                f"--study {generated.folder}: people with images there, in train/ and in val/ or test/ of "
                f"--real: {listing(people) or 'none'}; expected two or more"
            )
        kept = {kind: {person: names_of[person] for person in people} for kind, names_of in shown.items()}
        return cls(images, {person: training[person] for person in people}, kept)


def _by_person(images: Mapping[str, ImageRecord], start: str) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name, record in images.items():
        if name.startswith(start):
            names.setdefault(record.user, []).append(name)
    return names


# Trials


def make_trials(material: Material, count: int, seed: int) -> list[Trial]:
    """`count` real and as many generated images of each question, people in turns, in random order: first all
    of one question, then all of the other. UserError: there are fewer images.
    """
    rng = numpy.random.default_rng(seed)
    # One order for all, so that few trials are of the same people.
    order = rng.permutation([*material.training]).tolist()
    alone, pairs = [], []
    for kind, names_of in material.shown.items():
        ordered = {person: names_of[person] for person in order}
        alone += [Trial(KIND, person, kind, name, "", kind) for person, name in turns(ordered, count, rng)]
        for person, name in turns(ordered, count, rng):
            other = str(rng.choice([one for one in ordered if one != person]))
            names = name, str(rng.choice(ordered[other]))
            truth = (LEFT, RIGHT)[rng.integers(2)]
            left, right = names if truth == LEFT else names[::-1]
            known = rng.permutation(material.training[person])[:REFERENCES]
            pairs.append(Trial(WHICH, person, kind, left, right, truth, tuple(known.tolist())))
    return [part[place] for part in (alone, pairs) for place in rng.permutation(len(part))]


def turns(
    names_of: Mapping[str, Sequence[str]], count: int, rng: numpy.random.Generator
) -> list[tuple[str, str]]:
    """`count` people with an image each, none twice, as evenly many of each person as there are."""
    mixed = {person: rng.permutation(names).tolist() for person, names in names_of.items()}
    rounds = range(max(map(len, mixed.values())))
    pairs = [(person, names[turn]) for turn in rounds for person, names in mixed.items() if turn < len(names)]
    if len(pairs) < count:
        raise UserError(
            f"--trials {count}: requires {count} held-out real images and {count} generated ones, found "
            f"{len(pairs)} of a kind; give fewer"
        )
    return pairs[:count]


# Answers


class Answers:
    """What was answered to the first of `trials`, in a table that each answer writes anew.

    UserError: the table is of other trials.
    """

    def __init__(self, path: Path, trials: Sequence[Trial]) -> None:
        self.path, self.trials = path, trials
        self.rows: list[dict[str, Any]] = []
        way_out = "remove it, or choose another --output_dir"
        if path.is_file():
            self.rows = [*read_rows(path, "the answers of a study", way_out, "answer")]
        known = [row_of(number, trial) for number, trial in enumerate(trials, 1)]
        if [{**row, "answer": ""} for row in self.rows] != known[: len(self.rows)] or any(
            row["answer"] not in trial.options for row, trial in zip(self.rows, trials)
        ):
            raise UserError(f"{path}: not the answers of this study; {way_out}")

    @property
    def next(self) -> int | None:
        """The place of the first trial without an answer; None at the end."""
        return len(self.rows) if len(self.rows) < len(self.trials) else None

    def add(self, place: int, answer: str) -> None:
        """Keep an answer; one to a trial that has one already, as from a second tab, is dropped."""
        if place == self.next:
            rows = [*self.rows, {**row_of(place + 1, self.trials[place]), "answer": answer}]
            write_text(self.path, csv_text(rows))
            self.rows = rows

    def account(self) -> str:
        """The figures at the end, before it how far the study is."""
        if self.next is None:
            return "\n".join(aligned([HEAD, *table(self.rows)], left=True))
        return f"{len(self.rows)} of {len(self.trials)} questions answered; figures come with the last answer"


def row_of(number: int, trial: Trial) -> dict[str, str]:
    """A row of the table without its answer."""
    cells = asdict(trial)
    del cells["references"]
    return {"trial": str(number), **cells, "answer": ""}


# The command


def open_study(config: PlaygroundConfig) -> tuple[Material, list[Trial], dict[str, Any]]:
    """Images, trials, and what the study's folder is known by. Errors of `find_real`, `find_generated`,
    `Material.of`, `make_trials` and `open_rgb`; UserError: --real is not given.
    """
    assert config.study
    if not config.real:
        raise UserError(f"--study {config.study}: requires --real, the folder of real images beside them")
    splits = find_real(Path(config.real), config.leave_out)
    say(splits.account())
    try:
        generated = find_generated(Path(config.study), splits.labels)
    except (UserError, FileNotFoundError) as error:
        raise UserError(str(error).replace("--generated", "--study")) from error
    say(generated.account())
    material = Material.of(splits, generated)
    say(f"people of the study: {listing(material.training)}")
    real = [inputs_digest(part) for part in splits.records.values()]
    contents = {"real": real, "study": inputs_digest(generated.records)}
    trials = make_trials(material, config.trials, config.seed)
    for name in {name for one in trials for name in (one.left, one.right, *one.references) if name}:
        open_rgb(material.images[name])  # refused before the first question
    return material, trials, identity(config, **contents)
