"""A split on disk: its files as links or copies, its settings, and its table."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from configs.errors import UserError
from data.atomic import read_object, replacing, write_text_if_new
from data.axes import AXES, carried
from data.cropping import SHEET, contact_sheet, cropped_name
from data.examination import Box
from data.images import ImageRecord, inputs_digest, open_rgb
from data.labels import listing
from data.run_record import lock_folder
from data.sheets import save_png
from data.splits import GUARD, Assignment, Split
from data.tables import csv_text, read_rows

SPLIT_TABLE = "split.csv"
NO_GROUPS = ("path", "user", "split", "file", "person", "condition")  # other columns are groups


def materialise(
    split: Split,
    output_dir: str | os.PathLike,
    link: bool = True,
    inputs: str | None = None,
    bar: tqdm | None = None,
    dry_run: bool = False,
    boxes: Mapping[str, Box] | None = None,
    axes: Mapping[str, Mapping[str, str]] | None = None,
) -> int:
    """Put the images at output_dir/{split}/{user}/{file} and return how many files were placed now.

    With `link`, as hard links, where impossible symbolic links, where impossible copies; else as copies. A
    hard link shares its bytes with the original. Images that `boxes` name by their relative paths are cut
    to these and written as PNG, and shown in SHEET. `axes` are rows of axes.csv, written again
    where every image has one. `inputs` is the records' `inputs_digest`, computed here when None. `bar` shows
    how many are placed.

    `split.json` (settings and inputs) is written first, `split.csv` (path, user, split, groups such as day,
    recording, and the file placed) last, as the mark of completeness. A killed run is finished by running it
    again; a finished one is left alone.
    UserError: the folder lies within the images' folder, or holds another split or files that are not part
    of this one; a dry run looks for no more than that.
    """
    # The plan: each image and its place
    output_dir = Path(output_dir)
    _refuse_inside_source(split, output_dir)
    boxes = boxes or {}
    targets = {
        output_dir / placed_at(item, boxes): item.record for item in split.assignments if item.split != GUARD
    }
    plan = {
        "format": 1,
        **split.settings,
        "inputs": inputs or inputs_digest([item.record for item in split.assignments]),
    }

    # The settings first, then the images, the table last
    with lock_folder(output_dir, dry_run):
        _refuse_other_content(output_dir, plan, targets)
        if dry_run:
            return 0
        write_text_if_new(output_dir / "split.json", json.dumps(plan, indent=1) + "\n")
        placed = 0
        if boxes:
            save_png(contact_sheet([item.record for item in split.assignments], boxes), output_dir / SHEET)
        for target, record in targets.items():
            placed += _placed(record, target, link, boxes.get(record.relative))
            if bar is not None:
                bar.update()
        kept = [item for item in split.assignments if item.split != GUARD]
        table = carried(axes or {}, {item.record.relative: placed_at(item, boxes) for item in kept})
        if table:
            write_text_if_new(output_dir / AXES, table)
        write_text_if_new(output_dir / SPLIT_TABLE, _csv_text(split, boxes))
    return placed


def _refuse_inside_source(split: Split, output_dir: Path) -> None:
    for item in split.assignments[:1]:
        depth = len(PurePosixPath(item.record.relative).parts)
        source = item.record.path.absolute().parents[depth - 1].resolve()
        if source in (output_dir.resolve(), *output_dir.resolve().parents):
            raise UserError(
                f"{output_dir}: lies in the images' folder {source}, where it would be taken "
                "for a user; choose a folder outside it"
            )


def _refuse_other_content(
    output_dir: Path, plan: dict[str, object], targets: dict[Path, ImageRecord]
) -> None:
    plan_path = output_dir / "split.json"
    way_out = "choose another folder, or remove this one"
    if plan_path.is_file():
        existing = read_object(plan_path, way_out)
        differing = [key for key in {**existing, **plan} if existing.get(key) != plan.get(key)]
        if differing:
            changes = listing(
                f"{key} {existing.get(key)!r} there, {plan.get(key)!r} now" for key in differing
            )
            raise UserError(f"{output_dir}: holds another split ({changes}); {way_out}")
        expected = {*targets, plan_path, output_dir / SPLIT_TABLE, output_dir / SHEET, output_dir / AXES}
    else:
        expected = set()  # without its settings nothing here is known to belong to this split
    present = [Path(root, name) for root, _, names in os.walk(output_dir) for name in names if name[0] != "."]
    foreign = sorted(path.relative_to(output_dir).as_posix() for path in present if path not in expected)
    if foreign:
        raise UserError(
            f"{output_dir}: holds files that are not part of this split ({listing(foreign, 5)}); {way_out}"
        )


def _placed(record: ImageRecord, target: Path, link: bool, box: Box | None) -> bool:
    """Whether the image was placed now; one that is there already is left alone."""
    if box:
        if target.is_file():
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        save_png(open_rgb(record).crop(box), target)
        return True
    present = target.is_file() and target.stat().st_size == record.path.stat().st_size
    if present and (link or not target.samefile(record.path)):  # a link makes way for the copy asked for
        return False
    _place(record.path, target, link)
    return True


def _place(source: Path, target: Path, link: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source = source.resolve()
    with replacing(target) as temporary:
        temporary.unlink(missing_ok=True)  # what a killed run left
        for make in (os.link, os.symlink) if link else ():
            try:
                make(source, temporary)
                return
            except OSError:  # another file system, or one without links: the next way
                continue
        shutil.copyfile(source, temporary)


def placed_at(item: Assignment, boxes: Mapping[str, Box]) -> str:
    """The file's path in the folder of the split."""
    name = item.record.name
    name = cropped_name(name) if item.record.relative in boxes else name
    return f"{item.split}/{item.record.user}/{name}"


def read_groups(folder: str | os.PathLike) -> dict[str, dict[str, str]]:
    """What split.csv tells of each file (train/ID_7/a.png): day, session, room, recording, whatever is named
    beside person and condition; nothing where there is no such table. UserError: it cannot be read.
    """
    path = Path(folder) / SPLIT_TABLE
    if not path.is_file():
        return {}
    rows = read_rows(path, "the table of a split", "run stage0_prepare.py split again", "file")
    return {
        row["file"]: {name: value for name, value in row.items() if name not in NO_GROUPS and value}
        for row in rows
    }


def _csv_text(split: Split, boxes: Mapping[str, Box]) -> str:
    rows = []
    for item in split.assignments:
        row = {"path": item.record.relative, "user": item.record.user, "split": item.split}
        file = {"file": placed_at(item, boxes) if item.split != GUARD else ""}
        rows.append(row | dict(item.record.groups) | {"recording": item.recording} | file)
    return csv_text(rows)
