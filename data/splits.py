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

import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from configs.errors import UserError
from data.images import ImageRecord, by_user
from data.labels import listing, natural_key
from data.tree import SPLIT_NAMES

GUARD = "guard"
SCOPES = ("date", "day", "room", "session")  # a recording's name is its own within these
RANDOM_WARNING = (
    "random split: overlapping windows of one walk land in both training and validation, so "
    "every score measured on it is too good; use blocks or a recordings pattern"
)


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


def split_records(
    records: Sequence[ImageRecord],
    method: str | None = None,
    recordings: str | None = None,
    val_fraction: float = 0.15,
    test_fraction: float = 0.0,
    guard: int = 3,
    seed: int = 0,
    hold_out: Sequence[str] = (),
    same: Mapping[str, str] | None = None,
) -> Split:
    """Assign every image, user by user, so that each user is in each wanted split.

    method         "blocks", "recordings" or "random"; None means recordings when that pattern is given, else
                   blocks
    recordings     regular expression searched in the file name; its first group (else the whole match) names
                   the recording; None with the method "recordings": the record's groups name it
    val_fraction   share of a user's kept files, 0 for no such split; test_fraction likewise; both are
                   approached, with at least one file (or recording) in each wanted split
    guard          files dropped between blocks (blocks only)
    seed           picks among recordings of similar length, or shuffles (recordings and random only)
    hold_out       groups ("day=220110") whose images are the test split; the rest is divided as without them
    same           path of each image that repeats another → path of that one, on whose side it goes; two
                   recordings that share an image count as one

    `records` must be sorted as `find_images` sorts them. UserError: bad settings, files that the pattern
    does not match, or users with too few files or recordings (all of them in one message).
    """
    method = method or ("recordings" if recordings else "blocks")
    settings: dict[str, object] = {
        "method": method,
        "recordings": recordings,
        "val_fraction": val_fraction,
        "test_fraction": test_fraction,
        "guard": guard,
        "seed": seed,
        **({"hold_out": sorted(hold_out)} if hold_out else {}),
    }
    _check_settings(method, recordings, val_fraction, test_fraction, hold_out)
    fractions = {"train": 1 - val_fraction - test_fraction, "val": val_fraction, "test": test_fraction}
    fractions = {name: fractions[name] for name in SPLIT_NAMES if fractions[name] > 0}
    pattern = re.compile(recordings) if recordings else None

    # What is not held out is divided, copies beside their originals
    rest = _not_held_out(records, hold_out)
    kept = {record.relative for record in rest}
    same = {copy: first for copy, first in (same or {}).items() if {copy, first} <= kept}
    if method == "recordings":
        placed = _by_recording(rest, pattern, fractions, seed, same)
    elif method == "random":
        placed = _by_position(rest, fractions, 0, same, seed)
    else:
        placed = _by_position(rest, fractions, guard, same)
    known = {item.record: item for item in placed}
    assignments = [
        known.get(record) or Assignment(record, "test", _recording_name(record, pattern) or "")
        for record in records
    ]
    return Split(assignments, settings, RANDOM_WARNING if method == "random" else None)


def _check_settings(
    method: str, recordings: str | None, val_fraction: float, test_fraction: float, hold_out: Sequence[str]
) -> None:
    if recordings and method != "recordings":
        raise UserError(
            f"method {method!r} with recordings {recordings!r}: a pattern and the method "
            "'recordings' go together; leave one out"
        )
    if val_fraction + test_fraction >= 1:
        raise UserError(
            f"val_fraction {val_fraction} + test_fraction {test_fraction}: nothing is left for "
            "training; lower them"
        )
    try:
        re.compile(recordings or "")
    except re.error as error:
        raise UserError(f"recordings {recordings!r}: not a regular expression ({error})") from error
    if hold_out and test_fraction:
        raise UserError(
            f"test_fraction {test_fraction} with hold_out {' '.join(hold_out)}: the images held "
            "out are the test split; give one of the two"
        )


def _by_position(
    records: Sequence[ImageRecord],
    fractions: dict[str, float],
    guard: int,
    same: Mapping[str, str],
    shuffle_seed: int | None = None,
) -> list[Assignment]:
    users = by_user(record for record in records if record.relative not in same)
    need = len(fractions) + guard * (len(fractions) - 1)
    short = [f"{user} has {len(files)}" for user, files in users.items() if len(files) < need]
    if short:
        between = f" with {guard} guard files between two splits" if guard else ""
        raise UserError(
            f"too few images: {listing(short)}, but {listing(fractions)}{between} need at "
            f"least {need} a user; add images, give a lower --guard or --test_fraction 0, or "
            "--leave_out these people"
        )
    side: dict[str, str] = {}
    for user, files in users.items():
        names = _block_names(len(files), fractions, guard)
        if shuffle_seed is not None:
            random.Random(f"{shuffle_seed}:{user}").shuffle(names)
        side |= {record.relative: name for record, name in zip(files, names)}
    return [
        Assignment(record, side[same.get(record.relative, record.relative)], _recording_name(record) or "")
        for record in records
    ]


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


def _by_recording(
    records: Sequence[ImageRecord],
    pattern: re.Pattern | None,
    fractions: dict[str, float],
    seed: int,
    same: Mapping[str, str],
) -> list[Assignment]:
    named = {record.relative: _recording_name(record, pattern) for record in records}
    of_file = {relative: name for relative, name in named.items() if name is not None}
    unmatched = [relative for relative in named if relative not in of_file]
    if unmatched:
        given = f"recordings {pattern.pattern!r} matches nothing in" if pattern else "no recording is told of"
        raise UserError(
            f"{given} {listing(unmatched, 5)}; expected a recording of every file: change the pattern"
        )
    of_file = _joined(of_file, same)
    sizes = {
        user: Counter(of_file[record.relative] for record in files)
        for user, files in by_user(records).items()
    }
    short = [f"{user} has {len(counts)}" for user, counts in sizes.items() if len(counts) < len(fractions)]
    if short:
        raise UserError(
            f"too few recordings: {listing(short)}, but {listing(fractions)} need at least "
            f"{len(fractions)} a user; change --recordings, give --test_fraction 0, or use blocks"
        )
    chosen = {user: _share_recordings(counts, fractions, f"{seed}:{user}") for user, counts in sizes.items()}
    return [
        Assignment(record, chosen[record.user][of_file[record.relative]], of_file[record.relative])
        for record in records
    ]


def _joined(of_file: dict[str, str], same: Mapping[str, str]) -> dict[str, str]:
    """The recordings of files, those that share an image under the name of one."""
    name = {recording: recording for recording in of_file.values()}
    for copy, first in same.items():
        old, new = name[of_file[copy]], name[of_file[first]]
        name = {recording: new if now == old else now for recording, now in name.items()}
    return {path: name[recording] for path, recording in of_file.items()}


def _recording_name(record: ImageRecord, pattern: re.Pattern | None = None) -> str | None:
    """The recording that the file's name, or without a pattern the record's groups, tell; of a recording of
    the same name on another day it is told apart by the day.
    """
    if pattern is None:
        groups = dict(record.groups)
        named = [groups[name] for name in SCOPES if name in groups]
        return "/".join([*named, groups["recording"]]) if groups.get("recording") else None
    match = pattern.search(record.path.name)
    return (match[1] if pattern.groups else match[0]) or None if match else None


def enough_recordings(records: Sequence[ImageRecord], parts: int, hold_out: Sequence[str] = ()) -> bool:
    """Whether the groups of every image tell its recording, and each person has `parts` of them or more."""
    users = by_user(_not_held_out(records, hold_out)).values()
    known = [{_recording_name(record) for record in files} for files in users]
    return all(len(names) >= parts and None not in names for names in known)


def _not_held_out(records: Sequence[ImageRecord], hold_out: Sequence[str]) -> list[ImageRecord]:
    """The images of no group that is held out; UserError: none of somebody."""
    pairs = _pairs(records, hold_out)
    rest = [record for record in records if pairs.isdisjoint(record.groups)]
    lost = {record.user for record in records} - {record.user for record in rest}
    if lost:
        raise UserError(
            f"hold_out {' '.join(hold_out)}: leaves nothing to train on of "
            f"{listing(sorted(lost, key=natural_key))}; hold out less, or go on without these "
            "people by --leave_out"
        )
    return rest


def _pairs(records: Sequence[ImageRecord], hold_out: Sequence[str]) -> set[tuple[str, str]]:
    """(group, value) of each "day=220110"; UserError where no image is of it."""
    known: dict[str, set[str]] = {}
    for record in records:
        for name, value in record.groups:
            known.setdefault(name, set()).add(value)
    pairs = {(text.partition("=")[0], text.partition("=")[2]) for text in hold_out}
    for name, value in sorted(pairs):
        if value not in known.get(name, ()):
            expected = listing(sorted(known[name], key=natural_key), 8) if name in known else listing(known)
            raise UserError(
                f"hold_out {name}={value}: no image is of it; expected {expected or 'groups'}, "
                "which are told by --name '(?P<day>…)' or a table"
            )
    return pairs


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
