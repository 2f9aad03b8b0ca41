"""Folders that stage 4 reads: real images as stage 0 splits them, generated ones as stage 3 writes them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy

from configs.errors import UserError
from data.axes import Axes, agreed
from data.folders import Rules
from data.images import ImageRecord, Splits, find_splits
from data.labels import LabelTable, listing


def find_real(folder: Path, leave_out: Sequence[str] = ()) -> Splits:
    """The people of train/, and the images of each part; UserError where a judge could not be tried."""
    splits = find_splits(folder, Rules(leave_out=leave_out))
    if len(splits.labels) < 2 or len(splits.records) < 2:
        raise UserError(
            f"--real {folder}: people: {listing(splits.labels.names)}, parts: {listing(splits.records)}; "
            "expected two people or more, and val or test to try the judge on; see python stage0_prepare.py "
            "split --help"
        )
    return splits


def find_generated(folder: Path, people: LabelTable) -> list[ImageRecord]:
    """What samples.csv lists: file and person of each generated image."""
    path = folder / "samples.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected --generated to be a folder of stage 3")
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [(row.get("file") or "", row.get("user") or "") for row in csv.DictReader(file)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not readable as a table ({error}); run stage 3 again") from error
    others = [name for name, _ in rows if not is_image_path(name)]
    if others:
        raise UserError(f"{path}: {ascii(others[0][:80])} is no name of an image there; run stage 3 again")
    unknown = {user: None for _, user in rows if user not in people.names}
    if unknown or not rows:
        raise UserError(
            f"{path}: people: {listing(unknown) or 'none'}; expected some of {listing(people.names)}; give "
            "the data that the model was trained on as --real"
        )
    return [ImageRecord(folder / name, f"{user}/{PurePosixPath(name).name}", user) for name, user in rows]


def is_image_path(name: str) -> bool:
    """Whether a cell names a file in the folder itself, or in a person's folder there."""
    parts = PurePosixPath(name).parts
    return (
        name.isprintable()
        and len(parts) in (1, 2)
        and "/".join(parts) == name
        and not any(part == ".." or len(part) > 255 for part in parts)
    )


def selecting_training(folder: Path) -> str | None:
    """Digest of the training images of the judge that selected what is in `folder`; None: nobody did."""
    with open(folder / "samples.csv", newline="", encoding="utf-8") as file:
        found = {row.get("selector_training") or None for row in csv.DictReader(file)}
    if len(found) > 1:
        raise UserError(
            f"{folder / 'samples.csv'}: images of several selecting judges, or selected ones among others; "
            "expected one kind, as stage 3 leaves a folder"
        )
    return found.pop()


def axes_of_generated(folder: Path) -> Axes | None:
    """What the generated images tell of their axes; None: nothing. UserError: different ones."""
    path = folder / "samples.csv"
    with open(path, newline="", encoding="utf-8") as file:
        return agreed(*((f"{path}: {row['file']}", Axes.of(row, str(path))) for row in csv.DictReader(file)))


def places_of(some: list[ImageRecord], records: list[ImageRecord]) -> numpy.ndarray:
    wanted = set(some)
    return numpy.flatnonzero([record in wanted for record in records])
