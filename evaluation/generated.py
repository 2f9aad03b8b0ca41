"""Folders of generated images, by stage 3 or any other tool: which files there are, and whose.

samples.csv      stage 3's table: file and user
metadata.csv     (or metadata.jsonl) as Hugging Face's `imagefolder` has it: file_name, below the table's
                 folder, and a column of people; a table a split, if there are several
folders          a person's images in a folder of the person's name, at any depth, as torchvision's
                 `ImageFolder` has it

The same images give the same figures in each form, whatever the order of tables: images are sorted by person
and file name. What stage 3 wrote into a PNG (axes, who selected it) is read there where its table is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from PIL import Image

from configs.errors import UserError
from configs.json_text import parse_json
from data.axes import Axes, agreed
from data.grey_depth import with_white
from data.images import IMAGE_EXTENSIONS, ImageRecord
from data.label_files import PERSON_COLUMNS
from data.labels import LabelTable, listing, natural_key
from data.tree import account, sorted_out, split_word
from evaluation.generated_tables import SAMPLES, Rows, rows_of, tables_of
from sampling.image_sampler import METADATA

COLUMNS = (*PERSON_COLUMNS, "class", "class_name", "class_label", "identity")
UNLISTED, NOBODY = "not in the table", "in no folder of a person of --real"
# What stage 3 and other tools leave beside the images.
SHEETS = ("micro_doppler_grid.png", "demo_samples.png", "figure_*.png")
BESIDE = (*SHEETS, "*.csv", "*.jsonl", "*.npz", "run.json")


class Generated(NamedTuple):
    """The images of one generator in order of person and name, and by reason the paths of all others; the
    axes that they tell, the digest of the training images of the judge that selected them, if one did, and
    images of people in conditions of which training has none. `runs` numbers the trainings of one recipe that
    the records are of, where there are several.
    """

    folder: Path
    records: list[ImageRecord]
    left_out: dict[str, list[str]]
    axes: Axes | None
    selected_by: str | None
    unrecorded: list[ImageRecord]
    runs: tuple[int, ...] = ()

    def account(self) -> str:
        """What was read, and what not."""
        more = f", and {len(self.unrecorded)} of combinations not in training" if self.unrecorded else ""
        runs = f" and {max(self.runs)} more trainings of it" if self.runs else ""
        return f"{self.folder}{runs}: {account(len(self.records), 'generated image', self.left_out)}{more}"


def find_generated(folder: Path, people: LabelTable, unrecorded: Sequence[str] = ()) -> Generated:
    """The images of `people` in `folder`, in whichever form, and those of `unrecorded` names, which no judge
    knows. FileNotFoundError, UserError: none of `people`, people of whom nothing is known, or images of which
    it is not clear whose they are.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"--generated {folder}: no such folder; expected images of stage 3, folders of people, or images "
            "with metadata.csv"
        )
    paths, others = sorted_out(folder, IMAGE_EXTENSIONS, ())
    tables = tables_of(folder, others)
    rows = rows_of(folder, tables)
    known = {*people.names, *unrecorded}
    whose = _by_column(rows, people, tables, known) if rows else None
    reason = UNLISTED if whose else NOBODY
    whose = whose or _by_folder(folder, paths, people, known)
    absent = [path for path in whose if not (folder / path).is_file()]
    if absent:
        raise FileNotFoundError(
            f"{folder / absent[0]}: no such file, though {tables[0]} names it ({len(absent)} of {len(whose)} "
            "are not there); expected the images that the table names"
        )
    others |= {reason: [path for path in paths if path not in whose]}
    left_out = {
        reason: kept
        for reason, files in others.items()
        if (kept := [path for path in files if not any(fnmatch(Path(path).name, glob) for glob in BESIDE)])
    }
    descriptions = rows if tables == [SAMPLES] else {path: _text_of(folder / path) for path in whose}
    new = {path: user for path, user in whose.items() if user not in people.names}
    if len(new) == len(whose):
        raise _unknown(str(folder), dict.fromkeys(new.values()), people)
    judged = {path: user for path, user in whose.items() if path not in new}
    records = with_white(_records(folder, judged, people))
    new_records = with_white(_records(folder, new, LabelTable(tuple(unrecorded)))) if new else []
    axes, selected_by = _axes(folder, descriptions), _selected_by(folder, descriptions)
    return Generated(folder, records, left_out, axes, selected_by, new_records)


def together(runs: Sequence[Generated], people: LabelTable) -> Generated:
    """The images of several trainings of one recipe as those of one generator, in order of person, training,
    name. UserError: they tell different axes, or one was selected otherwise.
    """
    first, *others = runs
    if not others:
        return first
    if len({one.selected_by for one in runs}) > 1:
        raise UserError(
            f"--generated {first.folder}: of one name with {others[0].folder}, but selected by other judges, "
            "or by none; name them differently"
        )

    def numbered(run: int, records: Sequence[ImageRecord]) -> list[ImageRecord]:
        """The records, whose paths tell the run, too."""
        return [replace(one, relative=f"{one.user}/run{run}_{one.name}") for one in records]

    pairs = [(run, record) for run, one in enumerate(runs) for record in numbered(run, one.records)]
    pairs.sort(key=lambda pair: people.index(pair[1].user))
    left_out: dict[str, list[str]] = {}
    for one in runs:
        for reason, paths in one.left_out.items():
            left_out.setdefault(reason, []).extend(paths)
    return Generated(
        first.folder,
        [record for _, record in pairs],
        left_out,
        agreed(*((str(one.folder), one.axes) for one in runs)),
        first.selected_by,
        [record for run, one in enumerate(runs) for record in numbered(run, one.unrecorded)],
        tuple(run for run, _ in pairs),
    )


def _records(folder: Path, whose: Mapping[str, str], people: LabelTable) -> list[ImageRecord]:
    """In order of person and file name; a name that a person has twice is told by its folders, too."""
    names = Counter((user, PurePosixPath(path).name) for path, user in whose.items())

    def relative(path: str, user: str) -> str:
        name = PurePosixPath(path).name
        return f"{user}/{name if names[user, name] == 1 else path.replace('/', '_')}"

    def place(item: tuple[str, str]) -> tuple:
        path, user = item
        return people.index(user), natural_key(PurePosixPath(path).name), natural_key(path)

    ordered = sorted(whose.items(), key=place)
    return [ImageRecord(folder / path, relative(path, user), user) for path, user in ordered]


# Columns


def _by_column(
    rows: Rows, people: LabelTable, tables: Sequence[str], known: set[str]
) -> dict[str, str] | None:
    """The person of each image by the first column of `known` names, else by one of whole numbers; None:
    there is no such column, and folders must tell.
    """
    columns = [name for name in COLUMNS if any(row.get(name) for row in rows.values())]
    if tables == [SAMPLES]:
        columns = ["user"]
    if not columns:
        return None
    values = {name: [row.get(name, "") for row in rows.values()] for name in columns}
    naming = [name for name in columns if set(values[name]) <= known]
    for name in naming[1:]:
        pairs = zip(rows, values[naming[0]], values[name])
        apart = next((f"{path}: {one} or {other}" for path, one, other in pairs if one != other), None)
        if apart:
            raise UserError(
                f"{tables[0]}: columns {naming[0]} and {name} name different people ({apart}); keep one"
            )
    numbers = [name for name in columns if all(map(_is_number, values[name]))]
    if naming:
        users = values[naming[0]]
    elif numbers:
        users = _by_number(values[numbers[0]], people, f"{tables[0]}: column {numbers[0]}")
    else:
        unknown = [value or "nobody" for value in values[columns[0]] if value not in known]
        raise _unknown(tables[0], dict.fromkeys(unknown), people)
    whose = dict(zip(rows, users))
    for path, user in whose.items():
        if {*PurePosixPath(path).parts[:-1]} & known - {user}:
            raise UserError(
                f"{tables[0]}: {path} is of {user} by the table, of another by its folder; mend the table, "
                "or remove it to go by folders"
            )
    return whose


def _unknown(where: str, unknown: Iterable[str], people: LabelTable) -> UserError:
    return UserError(
        f"{where}: people: {listing(unknown, 8) or 'none'}; expected some of {listing(people.names)}; give "
        "the data that the model was trained on as --real (of people in conditions also --conditions)"
    )


# Numbers


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _by_number(values: Sequence[str], people: LabelTable, where: str) -> list[str]:
    """The people that whole numbers stand for: the number in a person's name, or the place among the names in
    natural order (as here) or in plain order (ID_1, ID_10, ID_2, as torchvision and Hugging Face sort).
    UserError: they can be read in two ways, or in none.
    """
    numbers = {people.number(name): name for name in people.names}
    unclear = len(numbers) < len(people)  # one number is two people's, or two have none
    tables: dict[str, dict[int | None, str]] = {
        "the number in the name": {} if unclear else numbers,
        "the place": dict(enumerate(people.names)),
        "the place in plain order": dict(enumerate(sorted(people.names))),
    }
    distinct = [int(value) for value in dict.fromkeys(values)]
    readings = {
        how: [table[number] for number in distinct]
        for how, table in tables.items()
        if all(number in table for number in distinct)
    }
    if not readings:
        raise _unknown(where, dict.fromkeys(values), people)
    first, *others = readings
    for how in others:
        for number, one, other in zip(distinct, readings[first], readings[how]):
            if one != other:
                raise UserError(
                    f"{where}: {number} is {one} by {first}, {other} by {how}; write the people's names, "
                    f"like {one}, in place of numbers"
                )
    names = dict(zip(distinct, readings[first]))
    return [names[int(value)] for value in values]


# Folders


def _by_folder(folder: Path, paths: Sequence[str], people: LabelTable, known: set[str]) -> dict[str, str]:
    """The person of each image by the folders that it lies in; images of nobody are not among them."""
    above = {path: PurePosixPath(path).parts[:-1] for path in paths}
    whose = {}
    for path, folders in above.items():
        users = [name for name in dict.fromkeys(folders) if name in known]
        if len(users) > 1:
            raise UserError(
                f"{folder / path}: lies in folders of {listing(users)}; expected one of them, or "
                "metadata.csv that tells whose it is"
            )
        if users:
            whose[path] = users[0]
    classes = {
        path: next((name for name in names if not split_word(name)), "") for path, names in above.items()
    }
    if not whose and paths and all(map(_is_number, classes.values())):
        users = _by_number(list(classes.values()), people, f"{folder}: folder names")
        return dict(zip(paths, users))
    if not whose:
        listed = listing(dict.fromkeys(name or "no folder" for name in classes.values()), 8)
        raise UserError(
            f"--generated {folder}: {len(paths)} images in {listed}; expected folders named as in --real "
            f"({listing(people.names, 5)}), samples.csv of stage 3, or metadata.csv with file_name and person"
            if paths
            else f"--generated {folder}: holds no image; expected images of stage 3 or of another tool"
        )
    return whose


# What images tell of themselves


def _text_of(path: Path) -> dict[str, Any]:
    """What stage 3 wrote into a PNG; nothing in other files."""
    try:
        with Image.open(path) as image:
            return dict(parse_json(image.info.get(METADATA, "{}")))
    except Exception:  # Pillow raises nearly anything; a bad image is refused where it is read
        return {}


def _axes(folder: Path, rows: Mapping[str, Mapping[str, Any]]) -> Axes | None:
    """UserError: images tell different ones."""
    return agreed(*((str(folder / path), Axes.of(row, str(folder / path))) for path, row in rows.items()))


def _selected_by(folder: Path, rows: Mapping[str, Mapping[str, Any]]) -> str | None:
    digests = {row.get("selector_training") or None for row in rows.values()}
    if len(digests) > 1:
        raise UserError(
            f"{folder}: images of several selecting judges, or selected ones among others; expected one "
            "kind, as stage 3 leaves a folder"
        )
    return digests.pop() if digests else None
