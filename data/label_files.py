"""What file names and tables tell of a file: person, condition, recording, day, or what else is named."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from configs.errors import UserError
from data.labels import listing

LABELS = "labels.csv"  # read where it lies beside the people's folders
FILE_COLUMNS = ("file", "path", "file_name", "filename", "image")
PERSON_COLUMNS: tuple[str, ...] = ("person", "user", "subject", "participant", "label")
PERSON_COLUMNS += tuple(f"{name}{end}" for name in PERSON_COLUMNS[:4] for end in ("_id", " id", "id"))
Groups = Mapping[str, str]

# Names


def apply_name(paths: Iterable[str], pattern: str) -> dict[str, dict[str, str]]:
    """Groups that `pattern`, a regular expression with (?P<person>…), finds in each path.

    Paths in which it finds nothing are left out, and so are irregular ones: where the found text ends within
    a word (E of E0, D of Draw) though in most paths it ends with one, or within a number. UserError: no
    expression, or one without a group called person.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--name {pattern!r}: not a regular expression ({error})") from error
    if "person" not in compiled.groupindex:
        raise UserError(
            f"--name {pattern!r}: tells no person; expected a group (?P<person>…), and perhaps "
            "(?P<condition>…), (?P<recording>…), (?P<day>…)"
        )
    matches = {path: match for path in paths if (match := compiled.search(path)) and match["person"]}
    ends = {path: _ends_in_words(path, match) for path, match in matches.items()}
    usual = Counter(ends.values()).most_common(1)
    return {
        path: {name: value for name, value in match.groupdict().items() if value}
        for path, match in matches.items()
        if ends[path] == usual[0][0] and not _cuts_number(path, match)
    }


def _ends_in_words(path: str, match: re.Match) -> tuple[bool, bool]:
    """Whether the found text begins, and ends, amid letters and digits."""
    before, after = path[: match.start()][-1:], path[match.end() :][:1]
    return before.isalnum() and match[0][0].isalnum(), after.isalnum() and match[0][-1].isalnum()


def _cuts_number(path: str, match: re.Match) -> bool:
    before, after = path[: match.start()][-1:], path[match.end() :][:1]
    return before.isdigit() and match[0][:1].isdigit() or after.isdigit() and match[0][-1:].isdigit()


# Tables


def read_labels(table: Path, paths: Sequence[str]) -> tuple[dict[str, dict[str, str]], list[dict[str, str]]]:
    """Groups of each of `paths` that the table names, and the rows that name no file of them.

    CSV with commas, semicolons or tabs and a header: one of FILE_COLUMNS, one of PERSON_COLUMNS, further
    columns are groups of their own name. Two columns without a header, the first of which names files, are
    file and person. A file may be named by its path below the folder, or by the end of it (img_1.png), with
    or without its suffix, where that is one file's, or by a longer path (/home/ann/data/ID_1/img_1.png).
    UserError, naming the table: no such columns, a file
    named twice, or by an end that several have.
    """
    ends, whole = _by_end(paths), set(paths)
    rows = _rows(table, ends)
    groups_of: dict[str, dict[str, str]] = {}
    unmatched = []
    for row in rows:
        candidates = _candidates(_plain(row["file"]), ends, whole)
        groups = {name: value for name, value in row.items() if name != "file" and value}
        if len(candidates) > 1:
            raise UserError(
                f"{table}: {row['file']} may be {listing(candidates, 3)}; write the path below the folder"
            )
        if not candidates:
            unmatched.append(row)
        elif groups_of.setdefault(candidates[0], groups) != groups:
            raise UserError(f"{table}: names {row['file']} twice, with different values; keep one row")
    return groups_of, unmatched


def _candidates(file: str, ends: Mapping[str, list[str]], whole: set[str]) -> list[str]:
    """The paths that a table's file may be: an end of a path, or a path of another machine that ends with
    one.
    """
    parts = file.split("/")
    tails = ("/".join(parts[first:]) for first in range(1, len(parts)))
    return ends.get(file) or next(([tail] for tail in tails if tail in whole and "/" in tail), [])


def _plain(file: str) -> str:
    return PurePosixPath(file.replace("\\", "/")).as_posix()


def _by_end(paths: Iterable[str]) -> dict[str, list[str]]:
    """Every end of a path, with and without suffix, and the paths that have it; a whole path is its own
    alone.
    """
    ends: dict[str, list[str]] = {}
    for path in paths:
        parts = path.split("/")
        for first in range(1, len(parts)):
            ends.setdefault("/".join(parts[first:]), []).append(path)
        for first in range(len(parts)):
            ends.setdefault(PurePosixPath(*parts[first:]).with_suffix("").as_posix(), []).append(path)
    return ends | {path: [path] for path in paths}


def _rows(table: Path, ends: Mapping[str, object]) -> list[dict[str, str]]:
    """The table's rows with the columns file and person, and those of the groups."""
    lines = _lines(table)
    header = [cell.strip().casefold() for cell in lines[0]]
    file = next((name for name in FILE_COLUMNS if name in header), None)
    person = next((name for name in PERSON_COLUMNS if name in header), None)
    if file and person:
        names = ["file" if name == file else "person" if name == person else name for name in header]
        dropped = {*FILE_COLUMNS, *PERSON_COLUMNS, "split", ""} - {"file", "person"}
        lines = lines[1:]
    elif len(header) == 2 and _plain(lines[0][0].strip()) in ends:
        names, dropped = ["file", "person"], set()
    else:
        raise UserError(
            f"{table}: columns {listing(lines[0], 8)}; expected a header with file and person, "
            "and perhaps condition, recording, day"
        )
    rows = [{name: cell.strip() for name, cell in zip(names, line) if name not in dropped} for line in lines]
    bare = [number for number, row in enumerate(rows, 1) if not (row.get("file") and row.get("person"))]
    if bare:
        raise UserError(f"{table}: rows {listing(bare, 5)} without a file or a person; complete them")
    return rows


def _lines(table: Path) -> list[list[str]]:
    if not table.is_file():
        raise FileNotFoundError(f"--labels {table}: no such file; expected a table with file and person")
    try:
        text = table.read_text(encoding="utf-8-sig")
        first = text.lstrip().partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        lines = [line for line in csv.reader(text.splitlines(), delimiter=delimiter) if any(line)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table}: not readable as a table ({error}); save it as CSV in UTF-8") from error
    if not lines:
        raise UserError(f"{table}: is empty; expected a table with file and person")
    return lines


# People


def person_folder(groups: Groups) -> str:
    """The name in the label table: the person, with a condition person_condition."""
    return "_".join(filter(None, (groups["person"], groups.get("condition"))))


def check_groups(whose: Mapping[str, Groups]) -> None:
    """UserError for values that can be no part of a file name, and for two people who would get one
    folder.
    """
    people: dict[str, tuple[str, str | None]] = {}
    for path, groups in whose.items():
        unsuitable = [
            value for value in groups.values() if not value.isprintable() or set(value) & set("/\\")
        ]
        folder = person_folder(groups)
        if unsuitable or folder.startswith("."):
            raise UserError(
                f"{path}: {ascii((unsuitable or [folder])[0])} can be no part of a folder's name; "
                "change the table or the expression of --name"
            )
        pair = groups["person"], groups.get("condition")
        if people.setdefault(folder, pair) != pair:
            raise UserError(
                f"{path}: person and condition {pair} and {people[folder]} would share the "
                f"folder {folder}; rename one in a table given by --labels"
            )
