"""samples.npz: the drawn images in one file, as the usual evaluators take a generator's set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy

from configs.command_line import say
from configs.errors import UserError
from data.image_array import read_labels, write_image_array
from data.images import open_rgb
from data.progress import progress
from sampling.image_sampler import Wanted, people_of

NAME = "samples.npz"


def write_npz(folder: Path, images: Sequence[Wanted], side: int) -> None:
    """Write `images` of `folder`, each (side, side, 3), into samples.npz, unless it holds them already, and
    say so.

    They stand in turns, the first image of every label, then the second: ADM's Inception Score takes parts of
    5,000 in the order of the file, and each part shall hold all labels. The files are the record of what is
    drawn, so that a run that was stopped goes on from them.
    """
    path = folder / NAME
    ordered = sorted(images, key=lambda image: image.number)  # stable: within a turn the order asked for
    files = [folder / image.name for image in ordered]
    labels = numpy.array([image.label for image in ordered])
    if not holds(path, labels, files):
        pixels = (numpy.asarray(open_rgb(file)) for file in progress(files, description=NAME, unit="img"))
        write_image_array(path, pixels, (len(files), side, side, 3), labels)
    say(f"{path}: {len(images)} images of {people_of(images)} people (arr_0) and their labels (arr_1)")


def holds(path: Path, labels: numpy.ndarray, files: Sequence[Path]) -> bool:
    """Whether `path` has these labels and is younger than every one of the files."""
    if not path.is_file():
        return False
    written = path.stat().st_mtime_ns
    try:
        same = numpy.array_equal(read_labels(path), labels)
    except UserError:  # damaged: written again
        return False
    return same and all(file.stat().st_mtime_ns < written for file in files)
