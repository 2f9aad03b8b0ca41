"""All recordings of a folder tree as images with axes.csv and labels.csv; what is left out is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any

from configs.command_line import say
from configs.dry_run import tell_plan
from configs.errors import UserError
from configs.keys import identity
from configs.schema import DrawingConfig, SpectrogramConfig
from data.atomic import write_text_if_new
from data.axes import AXES, axes_row
from data.folders import FileRecord, Found
from data.label_files import LABELS
from data.progress import progress
from data.run_record import claim_folder
from data.tables import csv_text
from data.tree import account
from preparation.advice import grouped, hold_out_advice, sign_advice
from preparation.bad_recordings import BadRecordings
from preparation.recordings import stem, told_groups
from preparation.spectrograms import (
    Reader,
    forget_unfinished,
    hints_of,
    image_name,
    place_images,
    read_file,
    recording_windows,
    rows_of_others,
)
from radar import spectrogram as doppler
from radar.captures import companions


def draw_recordings(
    files: Found,
    config: SpectrogramConfig,
    section: str,
    asked: DrawingConfig,
    read: Reader = read_file,
    whole: bool = False,
) -> None:
    """ID_7/rec1.npy as ID_7/rec1_001.png, ... in the output folder; again: what is new or has changed.

    `asked` is what the command line said in its `section`, by which the folder is known; `read` reads a
    recording, `whole` makes one image of a ready matrix.
    UserError: a recording that cannot be read, or a person of whom nothing can be.
    """
    # What is to be drawn
    folder, axes, labels, directions = Path(config.output_dir), [], [], []
    of_recordings: list[tuple[str, str]] = []
    count, bad, hints = 0, BadRecordings(config), hints_of(config)
    read_with = {record.path: companions(record.path, hints) for record in files.records}
    wanted, left_out = without_companions(files, read_with)

    # Drawing, recording by recording
    with ExitStack() as claim:
        for record in progress(wanted, description="reading", unit="rec"):
            if bad.enough():
                break
            try:
                shown = recording_windows(record, config, hints, read, whole)
            except (UserError, OSError) as error:
                left_out.setdefault(bad.add(record, error), []).append(record.relative)
                continue
            bad.read.add(record.user)
            if bad.refused:
                continue
            of_recordings += [(str(record.path), note) for note in shown.all_notes(asked.given)]
            directions.append(shown.direction)
            units = [doppler.to_unit(window.power_db, config.dynamic_range_db) for window in shown.windows]
            images = [doppler.to_image(unit, config.colour_map) for unit in units]
            if not count:  # only now, so that settings that cannot work claim nothing
                forget_unfinished(folder, identity(asked), config.dry_run)
                claim.enter_context(claim_folder(folder, identity(asked), "**/*.png", config.dry_run))
            count += 1
            if not config.dry_run:
                changed = place_images(folder, stem(record), images, [record.path, *read_with[record.path]])
                of_recordings += [(str(record.path), note) for note in changed]
            for number, window in enumerate(shown.windows, start=1):
                name = image_name(stem(record), number)
                axes.append(axes_row(name, window.edges, config.dynamic_range_db, window.frames_per_s))
                labels.append({"file": name} | told_groups(record))
        bad.refuse()

        say(account(count, "recording", left_out))
        for line in [*grouped(of_recordings), *sign_advice(directions, config.conjugate)]:
            say(line)
        if config.dry_run:
            reads, does = [f"{config.input}: recordings"], f"draw {len(axes)} images"
            return tell_plan({section: asked}, reads=reads, writes=[folder], does=does)
        kept = write_tables(folder, axes, labels)
    tell_kept(folder, kept, config)
    tell_next(folder, labels)


def without_companions(
    files: Found, read_with: Mapping[Path, Sequence[Path]]
) -> tuple[list[FileRecord], dict[str, list[str]]]:
    """The recordings of their own, and what is left out but for the files that are read with one of these."""
    beside = {part: record for record in files.records for part in read_with[record.path]}
    read = {
        str(PurePosixPath(record.relative).with_name(part.name))
        for part, record in beside.items()
        if part.parent == record.path.parent
    }
    left_out = {
        reason: [path for path in paths if path not in read] for reason, paths in files.left_out.items()
    }
    wanted = [record for record in files.records if record.path not in beside]
    return wanted, {reason: paths for reason, paths in left_out.items() if paths}


def tell_next(folder: Path, labels: list[dict[str, Any]]) -> None:
    """Say how many images were drawn, and the command that divides them."""
    say(
        f"wrote {len(labels)} images to {folder}; next: python stage0_prepare.py split --input_dir {folder} "
        f"--output_dir data_split{hold_out_advice(labels)}"
    )


def write_tables(folder: Path, axes: list[dict[str, Any]], labels: list[dict[str, Any]]) -> list[dict]:
    """axes.csv and labels.csv of what was drawn and of what is there of others; axes of the latter."""
    kept = rows_of_others(folder, AXES, {row["path"] for row in axes})
    others = rows_of_others(folder, LABELS, {row["file"] for row in labels})
    write_text_if_new(folder / AXES, csv_text([*axes, *kept]))
    write_text_if_new(folder / LABELS, csv_text([*labels, *others]))
    return kept


def tell_kept(folder: Path, kept: list[dict[str, str]], config: SpectrogramConfig) -> None:
    """Which images of other recordings are kept."""
    if kept:
        say(
            f"{folder}: {len(kept)} images of recordings that are not in {config.input} are kept, the first "
            f"is {kept[0]['path']}; remove them if they are not wanted"
        )
