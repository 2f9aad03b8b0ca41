"""The label table: class index <-> folder name <-> the number a user types.

Indices count the folders in natural order (ID_2 before ID_10), so index and folder number differ in general:
ID_1 has index 0. Everything that stores a label stores the table beside it.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from configs.errors import UserError
from configs.json_text import parse_json


def natural_key(name: str) -> tuple:
    """Sorting key under which ID_2 comes before ID_10; upper and lower case sort together, the raw name
    breaks ties."""
    # re.split with a group alternates text, digits, text, …: equal positions always hold equal types.
    parts = re.split(r"([0-9]+)", name)
    return tuple(int(part) if i % 2 else part.casefold() for i, part in enumerate(parts)), name


def listing(items: Iterable[Any], limit: int = 40) -> str:
    """Items as one comma-separated line; beyond `limit` the rest is only counted."""
    names = [str(item) for item in items]
    more = f", … ({len(names)} in all)" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


@dataclass(frozen=True)
class LabelTable:
    """Folder names in natural order; the position of a name is its class index.

    `names` may come in any order and is sorted here. UserError: none, an empty one, or a name given twice.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        assert not isinstance(self.names, str), "names is a sequence of names, not one string"
        names = tuple(sorted(self.names, key=natural_key))
        if not names or not all(names):
            raise UserError(f"label table: expected one folder name or more, none empty, got {list(names)}")
        twice = [name for name, following in zip(names, names[1:]) if name == following]
        if twice:
            raise UserError(f"label table: {listing(twice)} given twice; folder names must be unique")
        object.__setattr__(self, "names", names)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    @cached_property
    def _numbers(self) -> dict[int, list[int]]:
        table: dict[int, list[int]] = {}
        for index in range(len(self)):
            number = self.number(index)
            if number is not None:
                table.setdefault(number, []).append(index)
        return table

    def index(self, name: str) -> int:
        """Class index of a folder name; UserError listing the known names when there is no such folder."""
        if name not in self._indices:
            raise UserError(f"unknown user {name[:80]!r}; known are {listing(self.names)}")
        return self._indices[name]

    def number(self, name_or_index: str | int) -> int | None:
        """The integer at the end of a folder name (ID_7 → 7, person12 → 12), or None where there is none, or
        more numbers than that one: the 1 of S2_T1 is no person's.
        """
        name = self.names[name_or_index] if isinstance(name_or_index, int) else name_or_index
        digits = re.fullmatch(r"[^0-9]*([0-9]+)", name, re.DOTALL)
        return int(digits[1]) if digits else None

    def is_only(self, index: int) -> bool:
        """Whether the folder has a number that no other one has."""
        number = self.number(index)
        return number is not None and len(self._numbers[number]) == 1

    def resolve(self, tokens: Sequence[str | int]) -> list[int]:
        """Class indices for what a user typed, in that order, without repetitions.

        A token is "all", a full folder name, a number (7 is the folder whose number is 7) or a range of
        numbers ("1-5", both ends included, every number must exist). UserError: nothing given, unknown, or
        ambiguous.
        """
        assert not isinstance(tokens, str), "tokens is a sequence, not one string"
        if not tokens:
            raise UserError(f"no user given; name some of {listing(self.names)}, or all")
        indices = [index for token in tokens for index in self._resolve_token(str(token).strip())]
        return list(dict.fromkeys(indices))

    def _resolve_token(self, token: str) -> Sequence[int]:
        if token == "all":
            return range(len(self))
        if token in self._indices:
            return [self._indices[token]]
        span = re.fullmatch(r"([0-9]{1,18})-([0-9]{1,18})", token)
        if span and int(span[1]) > int(span[2]):
            raise UserError(f"user range {token!r} runs backwards; write {span[2]}-{span[1]}")
        if span:  # an unknown number stops at once, so an absurd range costs nothing
            return [self._index_of_number(number, token) for number in range(int(span[1]), int(span[2]) + 1)]
        if re.fullmatch(r"[0-9]{1,18}", token):
            return [self._index_of_number(int(token), token)]
        return [self.index(token)]

    def _index_of_number(self, number: int, token: str) -> int:
        matches = self._numbers.get(number, [])
        if len(matches) > 1:
            choices = " or ".join(self.names[index] for index in matches)
            raise UserError(f"user {number} (from {token!r}) is ambiguous: use the full name, {choices}")
        if not matches:
            several = [name for name in self.names if len(re.findall("[0-9]+", name)) > 1]
            rule = "; names of several numbers are written in full" * bool(several)
            raise UserError(f"unknown user {number} (from {token!r}); known are {listing(self.names)}{rule}")
        return matches[0]

    def to_json(self) -> str:
        """The names as a JSON list, in index order."""
        return json.dumps(list(self.names), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "LabelTable":
        """Inverse of `to_json`. UserError when the text is no list of names in natural order.

        A list in another order is refused rather than sorted: its indices would silently change their
        meaning.
        """
        try:
            names = parse_json(text)
        except ValueError as error:
            raise UserError(f"label table: not JSON ({error}); expected a list of folder names") from error
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"label table: expected a JSON list of folder names, got {text[:80]!r}")
        table = cls(tuple(names))
        if list(table.names) != names:
            raise UserError(
                f"label table: names are not in natural order ({listing(names, 5)}), their "
                "indices are not ours; rebuild the file that holds them"
            )
        return table
