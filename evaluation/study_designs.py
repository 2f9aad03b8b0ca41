"""Designs of studies that train the generator, too: from which images it and the classifiers learn, and on
which the classifiers are tried. Nobody's tested image is near one that they learn from.

same-budget       the first K images of each person train both, all others of the person are tested
new-person        new people with their first K images beside all others with everything; in turn
other-day         all of train, and perhaps the first images of a day (session, room) that train lacks of the
                  person; the day's other images are tested
unseen-condition  people in conditions; every person lacks one condition, whose images are tested
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy

from configs.errors import UserError
from data.conditions import NONE, Conditions
from data.images import ImageRecord, Splits
from data.labels import LabelTable, listing, natural_key
from data.splits import SCOPES
from data.tree import SPLIT_NAMES
from evaluation.groups import OTHER, group_images
from evaluation.groups import PARTS as HELD_OUT
from evaluation.selection import GUARD

Held = tuple[str, ImageRecord]  # the part of the split that an image is in, and the image


class Fold(NamedTuple):
    """One generator (of each seed) and its classifiers: the images from which both learn and by which the
    generator's weights are chosen (`val`); more real ones for the arm that has all; the tested ones; the
    people whose tested images count; the folders that are drawn, and how many images of each.
    """

    name: str
    training: list[Held]
    val: list[Held]
    further: list[Held]
    tested: list[Held]
    counted: tuple[str, ...]
    drawn: tuple[str, ...]
    number: int


class People(NamedTuple):
    """Whom each folder shows, the people and all folders that can be drawn."""

    of_folder: dict[str, str]
    names: LabelTable
    folders: LabelTable

    def labels(self, images: Sequence[Held]) -> numpy.ndarray:
        """Whom images show (N,)."""
        return numpy.array([self.names.index(self.of_folder[record.user]) for _, record in images], dtype=int)

    @classmethod
    def of(cls, folders: LabelTable, pattern: str | None) -> People:
        """Each folder a person, or with `pattern` a person in a condition; errors of `Conditions`."""
        if pattern is None:
            return cls({name: name for name in folders.names}, folders, folders)
        combined = Conditions.from_folders(folders, pattern)
        alone = combined.person_alone()
        of_folder = {name: combined.labels.names[alone[i]] for i, name in enumerate(combined.labels.names)}
        return cls(of_folder, LabelTable(tuple(dict.fromkeys(of_folder.values()))), combined.labels)


def images_of(splits: Splits) -> dict[str, dict[str, list[Held]]]:
    """Images by folder and part, in time order."""
    images: dict[str, dict[str, list[Held]]] = {
        name: {part: [] for part in SPLIT_NAMES} for name in splits.labels.names
    }
    for part, records in splits.records.items():
        for record in records:
            images[record.user][part].append((part, record))
    return images


def same_budget(splits: Splits, people: People, count: int, drawn: int | None) -> list[Fold]:
    """UserError: a folder that has not `count` images in train, or none beyond."""
    training, tested, short = [], [], []
    for name, parts in images_of(splits).items():
        rest = sum(parts.values(), [])[count + GUARD :]
        short += [f"{name} has {len(parts['train'])}"] * (len(parts["train"]) < count or not rest)
        training += parts["train"][:count]
        tested += rest
    refuse_short(short, f"{count} or more, and more than {count + GUARD} in all ({GUARD} are kept apart)")
    names = splits.labels.names
    return [Fold("all", training, [], [], tested, people_in(tested, people), names, drawn or count)]


def new_person(
    splits: Splits, people: People, count: int, new: int, folds: int | None, drawn: int | None
) -> list[Fold]:
    """A fold for `new` people at a time, each person once, with the first `count` images of each of their
    folders; the first `folds` of them.

    UserError: a folder that has not more than `count` images in train; nobody to be known.
    """
    images, held = images_of(splits), held_out_part(splits)
    short = [
        f"{name} has {len(parts['train'])}" for name, parts in images.items() if len(parts["train"]) <= count
    ]
    refuse_short(short, f"{count + 1} or more")
    names = splits.labels.names
    persons = tuple(dict.fromkeys(people.of_folder[name] for name in names))
    if new >= len(persons):
        raise UserError(f"study.new_people={new}: expected fewer than the {len(persons)} people of --real")
    groups = [persons[first : first + new] for first in range(0, len(persons), new)]
    made = []
    for group in groups[:folds]:
        joining = tuple(name for name in names if people.of_folder[name] in group)
        known = [name for name in names if name not in joining]
        usual = math.ceil(sum(len(images[name]["train"]) for name in known) / len(known))
        training = [
            one for name in names for one in images[name]["train"][: count if name in joining else None]
        ]
        val = [one for name in known for one in images[name]["val"]] if held == "test" else []
        further = [one for name in joining for one in images[name]["train"][count:]]
        tested = [one for name in names for one in images[name][held]]
        lacking = max(1, usual - count)
        made.append(Fold("_".join(group), training, val, further, tested, group, joining, drawn or lacking))
    return made


def other_day(
    splits: Splits, table: Mapping[str, Mapping[str, str]], people: People, known: int, drawn: int | None
) -> list[Fold]:
    """By the first of SCOPES that `table` (as `data.split_files.read_groups` has it) knows: another recording
    of the same day is no other day. The first `known` images of each folder of the other day are learnt from.

    UserError: no image of another day, or none beyond the known ones.
    """
    records = splits.records
    held = [(part, record) for part in HELD_OUT for record in records.get(part, ())]
    groups = group_images(table, records)
    scopes = [groups[name].places for name in SCOPES if name in groups]
    others = [places[OTHER] for places in scopes if OTHER in places]
    if not others:
        raise UserError(
            "study.design=other-day: requires tested images of a day, session or room that training lacks "
            f"(split.csv names {listing(groups) or 'none'}); make some by stage0_prepare.py split --hold_out"
        )
    of_day: dict[str, list[Held]] = {}
    for place in others[0]:
        of_day.setdefault(held[place][1].user, []).append(held[place])
    first = [one for images in of_day.values() for one in images[:known]]
    tested = [one for images in of_day.values() for one in images[known + GUARD * (known > 0) :]]
    if not tested:
        raise UserError(
            f"study.day_images={known}: expected fewer, so that images of the other day are left to test; of "
            f"its folders the largest has {max(map(len, of_day.values()))}, and {GUARD} are kept apart"
        )
    training = [*(("train", record) for record in records["train"]), *first]
    names = tuple(dict.fromkeys(record.user for _, record in training))
    of_other = {one for images in of_day.values() for one in images}
    val = [one for one in held if one[0] == "val" and one not in of_other]
    counted = people_in(tested, people)
    return [Fold("all", training, val, [], tested, counted, names, drawn or mean_count(training))]


def unseen_condition(splits: Splits, people: People, pattern: str | None, drawn: int | None) -> list[Fold]:
    """Each person lacks another condition in turn, of those recorded of the person and of somebody else who
    keeps it.

    UserError: without `pattern`, or nobody can lack one.
    """
    if pattern is None:
        raise UserError("study.design=unseen-condition: requires --conditions, as stage 2 takes them")
    images = images_of(splits)
    recorded = [name for name in splits.labels.names if images[name]["train"]]
    pairs = dict(zip(people.folders.names, Conditions.from_folders(splits.labels, pattern).pairs))
    in_condition = [name for name in recorded if pairs[name][1] != NONE]
    kept = Counter(pairs[name][1] for name in in_condition)  # how many people's training has a condition
    of_person: dict[str, list[str]] = {}
    for name in in_condition:
        of_person.setdefault(people.of_folder[name], []).append(name)
    lacking = set()
    for place, person in enumerate(sorted(of_person, key=natural_key)):
        folders = of_person[person]
        in_turn = [folders[(place + further) % len(folders)] for further in range(len(folders))]
        chosen = next((name for name in in_turn if kept[pairs[name][1]] > 1), None)
        if chosen and len(folders) > 1:
            lacking.add(chosen)
            kept[pairs[chosen][1]] -= 1
    if not lacking:
        raise UserError(
            "study.design=unseen-condition: requires people of two conditions or more, one of which is "
            f"recorded of somebody else, too; found {listing(in_condition, 8) or 'nobody in a condition'}"
        )
    training = [one for name in images if name not in lacking for one in images[name]["train"]]
    val = [one for name in images if name not in lacking for one in images[name]["val"]]
    tested = [one for name in images if name in lacking for one in sum(images[name].values(), [])]
    names = tuple(sorted(lacking, key=natural_key))
    counted = people_in(tested, people)
    return [Fold("all", training, val, [], tested, counted, names, drawn or mean_count(training))]


def held_out_part(splits: Splits) -> str:
    return "test" if splits.records.get("test") else "val"


def people_in(images: Iterable[Held], people: People) -> tuple[str, ...]:
    return tuple(sorted({people.of_folder[record.user] for _, record in images}, key=natural_key))


def mean_count(images: Sequence[Held]) -> int:
    """Images of a folder, in the mean."""
    return math.ceil(len(images) / len({record.user for _, record in images}))


def refuse_short(short: Sequence[str], expected: str) -> None:
    if short:
        raise UserError(
            f"study.images_per_person: {listing(short, 5)} images in train; expected {expected}; give "
            "fewer, or --leave_out these people"
        )
