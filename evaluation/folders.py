"""The folders that stage 4 reads: real images as stage 0 splits them, and each generator's by its name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy

from configs.command_line import say
from configs.errors import UserError
from configs.schema import StudyConfig, SweepConfig
from data.axes import given_axes
from data.folders import Rules
from data.images import ImageRecord, Splits, find_splits
from data.labels import listing
from data.split_check import check_split

ALONE = "generated"  # the name of a generator that is compared with no other
RESERVED = ("train", "held_out", "real", "reconstructed")  # names of other sets of images


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


def open_real(config: SweepConfig | StudyConfig) -> tuple[Splits, str]:
    """The real images that a command measures by, what was read of them being said, and their colour map.
    Errors of `given_axes`, `find_real` and `check_split`.
    """
    given_axes(config.axes)  # refused before images are read
    splits = find_real(Path(config.real), config.leave_out)
    say(splits.account())
    seen = check_split(splits, config.real, config.margins)
    return splits, seen.known_map(config.colour_map)


def named_folders(given: Sequence[str]) -> dict[str, list[Path]]:
    """Folders of generated images by the name of their generator: "generated" of one alone; of several the
    NAME of NAME=FOLDER, else the first part of their paths, from the end, that tells them apart. A NAME given
    to several folders is one recipe, trained from several seeds.

    UserError: a folder given twice, a name given that another folder has without, or that can be none.
    """
    pairs = [text.split("=", 1) if "=" in text and not Path(text).exists() else ["", text] for text in given]
    parts = [Path(os.path.abspath(folder)) for _, folder in pairs]
    twice = next((folder for (_, folder), path in zip(pairs, parts) if parts.count(path) > 1), None)
    if twice:
        raise UserError(f"--generated: {twice} is given twice; expected different folders")
    usual = _apart([folder for name, folder in pairs if not name])
    names = {name for name, _ in pairs if name}
    if len(pairs) == 1 or not usual and len(names) == 1:
        return {ALONE: [Path(folder) for _, folder in pairs]}
    unnamed = iter(usual)
    named: dict[str, list[Path]] = {}
    for given_name, folder in pairs:
        name = given_name or next(unnamed)
        named.setdefault(name, []).append(Path(folder))
        if not given_name and name in names:
            raise UserError(f"--generated: two are called {name}; name them by --generated A=FOLDER B=FOLDER")
        if name in RESERVED or Path(name).name != name or name.startswith(".") or not name.isprintable():
            raise UserError(
                f"--generated: {ascii(name)} can be no generator's name; name it by --generated NAME=FOLDER"
            )
    return named


def _apart(folders: Sequence[str]) -> list[str]:
    """A name for each of different folders."""
    parts = [Path(os.path.abspath(folder)).parts[::-1] for folder in folders]
    for depth in range(max(map(len, parts), default=0)):
        names = [path[depth] if depth < len(path) else "" for path in parts]
        if len(set(names)) == len(names):
            return names
    return ["_".join(path[:-1][::-1]) for path in parts]


def places_of(some: list[ImageRecord], records: list[ImageRecord]) -> numpy.ndarray:
    wanted = set(some)
    return numpy.flatnonzero([record in wanted for record in records])
