"""Dividing images into train, val and test so that no walk is on two sides.

Neighbouring files are windows of one recording that overlap by up to 75 %; a shuffled split therefore tests
on what was trained on (arXiv 1904.02666 measured 10 to 16 % of accuracy that was not there). Two safe ways:

recordings  whole recordings, told apart by a pattern in the file names, go to one split each
blocks      every user's naturally sorted files are cut into contiguous blocks, train | guard | val | guard |
            test

Guard arithmetic: with 75 % overlap the hop is a quarter window, files k and k+d share 1 - d/4 of their
columns, so k+3 still shares a quarter and k+4 nothing. Dropping `guard` files leaves the nearest kept
neighbours guard+1 apart: 3 is enough.
"""

import json
import math
import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from configs.errors import UserError
from data.atomic import replacing, write_text_if_new
from data.images import SPLIT_NAMES, ImageRecord, Progress, inputs_digest
from data.labels import listing
from data.run_record import lock_folder
from data.tables import csv_text

METHODS = ("blocks", "recordings", "random")
GUARD = "guard"
RANDOM_WARNING = ("random split: overlapping windows of one walk land in both training and validation, so "
                  "every score measured on it is too good; use blocks or a recordings pattern")


class Assignment(NamedTuple):
    """Where one image goes, "train", "val", "test" or "guard" (left out), and its recording or ""."""

    record: ImageRecord
    split: str
    recording: str


@dataclass(frozen=True)
class Split:
    """All assignments in the records' order, the settings behind them, and what the user must be told."""

    assignments: list[Assignment]
    settings: dict[str, object]
    warning: str | None = None

    def counts(self) -> dict[str, int]:
        """Number of images per split name, "guard" included."""
        return dict(Counter(assignment.split for assignment in self.assignments))


def split_records(records: Sequence[ImageRecord], method: str | None = None, recordings: str | None = None,
                  val_fraction: float = 0.15, test_fraction: float = 0.0, guard: int = 3,
                  seed: int = 0) -> Split:
    """Assign every image, user by user, so that each user is in each wanted split.

    method         "blocks", "recordings" or "random"; None means recordings when that pattern is given, else
                   blocks
    recordings     regular expression searched in the file name; its first group (else the whole match) names
                   the recording
    val_fraction   share of a user's kept files, 0 for no such split; test_fraction likewise; both are
                   approached, with at least one file (or recording) in each wanted split
    guard          files dropped between blocks (blocks only)
    seed           picks among recordings of similar length, or shuffles (recordings and random only)

    `records` must be sorted as `list_images` sorts them. UserError: bad settings, files that the pattern
    does not match, or users with too few files or recordings (all of them in one message).
    """
    method = method or ("recordings" if recordings else "blocks")
    _check_settings(method, recordings, val_fraction, test_fraction, guard)
    fractions = {"train": 1 - val_fraction - test_fraction, "val": val_fraction, "test": test_fraction}
    fractions = {name: fractions[name] for name in SPLIT_NAMES if fractions[name] > 0}
    settings = {"method": method, "recordings": recordings, "val_fraction": val_fraction,
                "test_fraction": test_fraction, "guard": guard, "seed": seed}
    users: dict[str, list[ImageRecord]] = {}
    for record in records:
        users.setdefault(record.user, []).append(record)
    if method == "recordings":
        return Split(_by_recording(users, re.compile(recordings), fractions, seed), settings)
    if method == "random":
        return Split(_by_position(users, fractions, 0, seed), settings, RANDOM_WARNING)
    return Split(_by_position(users, fractions, guard, None), settings)


def _check_settings(method: str, recordings: str | None, val_fraction: float, test_fraction: float,
                    guard: int) -> None:
    if method not in METHODS:
        raise UserError(f"method {method!r}: expected one of {listing(METHODS)}")
    if (method == "recordings") != bool(recordings):
        raise UserError(f"method {method!r} with recordings {recordings!r}: a pattern and the method "
                        "'recordings' go together; give both or neither")
    for name, value in (("val_fraction", val_fraction), ("test_fraction", test_fraction)):
        if not 0 <= value < 1:
            raise UserError(f"{name} {value}: expected a share from 0 to below 1")
    if val_fraction + test_fraction >= 1:
        raise UserError(f"val_fraction {val_fraction} + test_fraction {test_fraction}: nothing is left for "
                        "training; lower them")
    if guard < 0:
        raise UserError(f"guard {guard}: expected a number of files, 0 or more")
    try:
        re.compile(recordings or "")
    except re.error as error:
        raise UserError(f"recordings {recordings!r}: not a regular expression ({error})") from error


def _by_position(users: dict[str, list[ImageRecord]], fractions: dict[str, float], guard: int,
                 shuffle_seed: int | None) -> list[Assignment]:
    need = len(fractions) + guard * (len(fractions) - 1)
    short = [f"{user} has {len(files)}" for user, files in users.items() if len(files) < need]
    if short:
        between = f" with {guard} guard files between two splits" if guard else ""
        raise UserError(f"too few images: {listing(short)}, but {listing(fractions)}{between} need at "
                        f"least {need} a user; add images, drop the test split, lower guard, or "
                        "leave these users out")
    assignments = []
    for user, files in users.items():
        names = _block_names(len(files), fractions, guard)
        if shuffle_seed is not None:
            random.Random(f"{shuffle_seed}:{user}").shuffle(names)
        assignments += [Assignment(record, name, "") for record, name in zip(files, names)]
    return assignments


def _block_names(count: int, fractions: dict[str, float], guard: int) -> list[str]:
    """Split name of each of `count` consecutive files: train | guard | val | guard | test."""
    kept = count - guard * (len(fractions) - 1)
    held_out = {name: max(1, math.floor(fractions[name] * kept + 0.5)) for name in list(fractions)[1:]}
    while sum(held_out.values()) >= kept:  # rounding up must not starve training
        held_out[max(held_out, key=held_out.__getitem__)] -= 1
    names = ["train"] * (kept - sum(held_out.values()))
    for name, size in held_out.items():
        names += [GUARD] * guard + [name] * size
    return names


def _by_recording(users: dict[str, list[ImageRecord]], pattern: re.Pattern, fractions: dict[str, float],
                  seed: int) -> list[Assignment]:
    of_file = {record.relative: _recording_name(record, pattern)
               for files in users.values() for record in files}
    unmatched = [relative for relative, name in of_file.items() if name is None]
    if unmatched:
        raise UserError(f"recordings {pattern.pattern!r} matches nothing in {listing(unmatched, 5)}; "
                        "expected a recording in every file name: change the pattern")
    sizes = {user: Counter(of_file[record.relative] for record in files) for user, files in users.items()}
    short = [f"{user} has {len(counts)}" for user, counts in sizes.items() if len(counts) < len(fractions)]
    if short:
        raise UserError(f"too few recordings: {listing(short)}, but {listing(fractions)} need at least "
                        f"{len(fractions)} a user; change the pattern, drop the test split, or use blocks")
    chosen = {user: _share_recordings(counts, fractions, f"{seed}:{user}") for user, counts in sizes.items()}
    return [Assignment(record, chosen[user][of_file[record.relative]], of_file[record.relative])
            for user, files in users.items() for record in files]


def _recording_name(record: ImageRecord, pattern: re.Pattern) -> str | None:
    match = pattern.search(record.path.name)
    return (match[1] if pattern.groups else match[0]) or None if match else None


def _share_recordings(sizes: Counter, fractions: dict[str, float], seed: str) -> dict[str, str]:
    """Recording → split: long ones first, each to the split that still lacks most files.

    Lengths within about 25 % count as equal and are taken in seeded order, so that the seed decides who is
    held out.
    """
    order = sorted(sizes)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda name: -round(math.log(sizes[name], 1.25)))
    lacking = {split: fraction * sizes.total() for split, fraction in fractions.items()}
    chosen: dict[str, str] = {}
    for done, name in enumerate(order):
        empty = [split for split in fractions if split not in chosen.values()]
        open_splits = empty if len(order) - done <= len(empty) else list(fractions)
        chosen[name] = max(open_splits, key=lacking.__getitem__)
        lacking[chosen[name]] -= sizes[name]
    return chosen


# On disk


def materialise(split: Split, output_dir: str | os.PathLike, link: bool = True, inputs: str | None = None,
                progress: Progress | None = None, dry_run: bool = False) -> int:
    """Put the images at output_dir/{split}/{user}/{file} and return how many files were placed now.

    With `link`, as hard links, where impossible symbolic links, where impossible copies; else as copies. A
    hard link shares its bytes with the original. `inputs` is the records' `inputs_digest`, computed here when
    None.

    `split.json` (settings and inputs) is written first, `split.csv` (path, user, split, recording) last, as
    the mark of completeness. A killed run is finished by running it again; a finished one is left alone.
    UserError: the folder lies within the images' folder, or holds another split or files that are not part
    of this one; a dry run looks for no more than that.
    """
    output_dir = Path(output_dir)
    if output_dir.is_file():
        raise UserError(f"{output_dir}: is a file, expected a folder to write into; choose another")
    _refuse_inside_source(split, output_dir)
    targets = {output_dir / item.split / item.record.user / item.record.path.name: item.record.path
               for item in split.assignments if item.split != GUARD}
    plan = {"format": 1, **split.settings,
            "inputs": inputs or inputs_digest([item.record for item in split.assignments])}
    with lock_folder(output_dir, dry_run):
        _refuse_other_content(output_dir, plan, targets)
        if dry_run:
            return 0
        write_text_if_new(output_dir / "split.json", json.dumps(plan, indent=1) + "\n")
        placed = 0
        for done, (target, source) in enumerate(targets.items(), start=1):
            if not (target.is_file() and target.stat().st_size == source.stat().st_size):
                _place(source, target, link)
                placed += 1
            if progress is not None:
                progress(done, len(targets))
        write_text_if_new(output_dir / "split.csv", _csv_text(split))
    return placed


def _refuse_inside_source(split: Split, output_dir: Path) -> None:
    for item in split.assignments[:1]:
        depth = len(PurePosixPath(item.record.relative).parts)
        source = item.record.path.absolute().parents[depth - 1].resolve()
        if source in (output_dir.resolve(), *output_dir.resolve().parents):
            raise UserError(f"{output_dir}: lies in the images' folder {source}, where it would be taken "
                            "for a user; choose a folder outside it")


def _refuse_other_content(output_dir: Path, plan: dict[str, object], targets: dict[Path, Path]) -> None:
    plan_path = output_dir / "split.json"
    way_out = "choose another folder, or remove this one"
    if plan_path.is_file():
        try:
            there = dict(json.loads(plan_path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, RecursionError) as error:
            raise UserError(f"{plan_path}: not readable as the settings of a split; {way_out}") from error
        differing = [key for key in {**there, **plan} if there.get(key) != plan.get(key)]
        if differing:
            changes = listing(f"{key} {there.get(key)!r} there, {plan.get(key)!r} now" for key in differing)
            raise UserError(f"{output_dir}: holds another split ({changes}); {way_out}")
        expected = {*targets, plan_path, output_dir / "split.csv"}
    else:
        expected = set()  # without its settings nothing here is known to belong to this split
    found = [Path(root, name) for root, _, names in os.walk(output_dir) for name in names if name[0] != "."]
    strangers = sorted(path.relative_to(output_dir).as_posix() for path in found if path not in expected)
    if strangers:
        raise UserError(f"{output_dir}: holds files that are not part of this split "
                        f"({listing(strangers, 5)}); {way_out}")


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


def _csv_text(split: Split) -> str:
    return csv_text([{"path": record.relative, "user": record.user, "split": name, "recording": recording}
                     for record, name, recording in split.assignments])
