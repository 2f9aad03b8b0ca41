"""People in conditions: folders such as ID_7_backpack taken apart into a person and a condition."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from configs.errors import UserError
from data.labels import LabelTable, listing, natural_key
from data.latents import LatentSet

NONE = -1  # the number of no condition


@dataclass(frozen=True)
class Conditions:
    """What every label of a table means: a person in a condition, or in none.

    `pairs[label]` is [person, condition], numbers from 0; NONE for no condition. Networks take them as
    `combinations`.
    """

    labels: LabelTable
    pairs: list[list[int]]

    @classmethod
    def from_folders(cls, table: LabelTable, pattern: str) -> Conditions:
        """Every person in every condition and in none, recorded or not, from the folders in `table`.

        What `pattern`, a regular expression, finds at the end (or everywhere at the start) of a folder's name
        is the condition, the rest the person: with _[a-z]+$ the folders ID_7_normal, ID_7_backpack and
        ID_8_normal give ID_7, ID_8 (in no condition), ID_8_backpack (not recorded), and themselves.

        UserError: no expression, no folder with a condition, or names that cannot be told apart afterwards.
        """
        matches = _matches(table, pattern)
        first = all(match.start() == 0 for match in matches.values())
        conditions = sorted({match[0] for match in matches.values()}, key=natural_key)
        people = {
            name[: matches[name].start()] + name[matches[name].end() :] if name in matches else name
            for name in table.names
        }
        names = {}
        for person, name in enumerate(sorted(people, key=natural_key)):
            for number, condition in enumerate(["", *conditions], start=NONE):
                names[condition + name if first else name + condition] = [person, number]
        clear = names.keys() >= set(table.names) and len(names) == len(people) * (1 + len(conditions))
        if "" in people or not clear:
            left = listing(sorted(map(repr, people)), 5)
            raise UserError(
                f"--conditions {pattern!r}: takes {listing(conditions, 5)} out of the names and "
                f"leaves {left}, which are no people; let it find the condition alone, at their end"
            )
        labels = LabelTable(tuple(names))
        return cls(labels, [names[name] for name in labels.names])

    def person_alone(self) -> list[int]:
        """Of each label: the label of its person in no condition."""
        alone = {person: label for label, (person, condition) in enumerate(self.pairs) if condition == NONE}
        return [alone[person] for person, _ in self.pairs]

    def names(self) -> list[str]:
        """Of each label: what its name has beside its person's, as _backpack; "" in no condition."""
        whole = list(zip(self.labels.names, (self.labels.names[label] for label in self.person_alone())))
        if all(name.startswith(person) for name, person in whole):
            return [name.removeprefix(person) for name, person in whole]
        return [name.removesuffix(person) for name, person in whole]

    def relabel(self, latents: LatentSet) -> LatentSet:
        """The same latents under these labels, which name all their people."""
        place = torch.tensor([self.labels.index(name) for name in latents.label_table.names])
        return replace(latents, labels=place[latents.labels], label_table=self.labels)


def count_people(labels: int, pairs: Sequence[Sequence[int]] | None) -> str:
    """Of a model with so many labels, which mean `pairs` or people alone: "31 people in 3 conditions"."""
    if not pairs:
        return f"{labels} people"
    people, conditions = ({pair[part] for pair in pairs} - {NONE} for part in (0, 1))
    return f"{len(people)} people in {len(conditions)} conditions"


def _matches(table: LabelTable, pattern: str) -> dict[str, re.Match]:
    """What `pattern` finds in the folders' names, where it finds something."""
    try:
        searched = {name: re.search(pattern, name) for name in table.names}
    except re.error as error:
        raise UserError(f"--conditions {pattern!r}: not a regular expression ({error})") from error
    matches = {name: match for name, match in searched.items() if match and match[0]}
    if not matches:
        raise UserError(
            f"--conditions {pattern!r}: found in none of the folders {listing(table.names, 5)}; "
            "give a regular expression of the part that names the condition"
        )
    return matches
