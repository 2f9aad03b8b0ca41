"""Recordings of radars in a folder tree; `radar.captures` reads them."""

from __future__ import annotations

import os
from pathlib import Path

from configs.errors import UserError
from data.folders import BY_FOLDER, FileRecord, Found, Rules, find_files
from data.grey_depth import with_white
from data.label_files import apply_name, person_folder
from data.labels import listing
from radar.captures import FORMATS, grey

IMAGE_EXTENSIONS = grey.SUFFIXES
RECORDING_EXTENSIONS = tuple(
    dict.fromkeys(suffix for one in FORMATS for suffix in one.suffixes if suffix not in IMAGE_EXTENSIONS)
)


def find_recordings(source: str | os.PathLike, rules: Rules = BY_FOLDER, images: bool = False) -> Found:
    """Recordings in a folder tree and whose they are, as `data.folders.find_files` has it; `stem` names their
    images. With `images`, grey images in dB are recordings, too.

    A single file belongs to the person its folder names, or the one `rules.name` finds in ID_7/rec1.npy.
    FileNotFoundError: no such file or folder. UserError: no recording in it, two with one stem, or as
    `find_files`.
    """
    source = Path(source)
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder; expected recordings like ID_1/rec1.npy")
    if source.is_dir():
        try:
            extensions = RECORDING_EXTENSIONS + IMAGE_EXTENSIONS * images
            entries = find_files(source, extensions, "recording", rules)
        except UserError as error:
            if images or "holds no recording" not in str(error) or not _holds_images(source):
                raise
            raise UserError(
                f"{error}; images are taken as they are by stage0_prepare.py split, grey ones in dB are "
                "drawn anew with --db_range (dB of black and of white)"
            ) from error
    else:
        entries = find_one(source, rules)
    entries = Found(with_white(entries.records), entries.left_out) if images else entries
    stems: dict[str, FileRecord] = {}
    for record in entries.records:
        other = stems.setdefault(stem(record), record)
        if other is not record:
            raise UserError(
                f"{record.path} and {other.path} would write the same images; rename one, or "
                f"--leave_out '{record.relative}'"
            )
    return entries


def _holds_images(folder: Path) -> bool:
    return any(path.suffix.lower() in IMAGE_EXTENSIONS for path in folder.rglob("*"))


def find_one(path: Path, rules: Rules) -> Found:
    """A single file, whatever else its folder holds."""
    if path.suffix.lower() not in RECORDING_EXTENSIONS + IMAGE_EXTENSIONS:
        raise UserError(f"{path}: holds no recording; expected {listing(RECORDING_EXTENSIONS)}")
    relative = "/".join(path.absolute().parts[-2:])
    groups = apply_name([relative], rules.name).get(relative) if rules.name else {}
    if groups is None:
        raise UserError(f"--name {rules.name!r}: does not tell whose {relative} is; change the expression")
    user = person_folder(groups) if groups else path.absolute().parent.name
    return Found([FileRecord(path, relative, user, tuple(groups.items()))])


def stem(record: FileRecord) -> str:
    """Of the paths of a recording's images: ID_7/rec1.npy gives ID_7/rec1, ID_7/day2/rec1.npy gives
    ID_7/day2_rec1.
    """
    return f"{record.user}/{record.name.rpartition('.')[0]}"


def told_groups(record: FileRecord) -> dict[str, str]:
    """Person, recording and what else is known of it, as columns of labels.csv."""
    usual = {"person": record.user, "recording": record.name.rpartition(".")[0]}
    return {**usual, **dict(record.groups)}
