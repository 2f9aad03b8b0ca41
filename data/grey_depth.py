"""Which value is white in 16-bit grey files: often only 12 or 14 bits of a converter lie there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy
from PIL import Image

from configs.errors import UserError
from data.folders import WHITE, FileRecord

DEPTHS = (8, 10, 12, 14, 16)
DARKER, NEARLY = 3.5, 0.8  # largest values of people so far apart, the lower one so near the top of a depth
SUFFIXES = (".png", ".tif", ".tiff")  # of files that can hold 16 bits


def with_white(records: Sequence[FileRecord]) -> list[FileRecord]:
    """The records with the value that is white in 16-bit grey files: the top of the depth into which the
    largest value of all of them falls.

    A depth is known where its upper half is used, 16 bits from 16384 on. UserError: neither, or people of
    different depths. Files that cannot be read are left to others.
    """
    brightest = _brightest(records)
    if not brightest:
        return list(records)
    largest, example = max(brightest.values())
    darkest = min(brightest, key=lambda user: brightest[user][0])
    dark = brightest[darkest][0]
    if dark * DARKER < largest and any(NEARLY * 2**bits <= dark < 2**bits for bits in DEPTHS[1:]):
        raise UserError(
            f"16-bit grey images: {dark} is the largest value of {darkest}, {largest} that of others, like "
            f"{example}: of two depths, one would be dark; save all of them alike"
        )
    white = next((2**bits - 1 for bits in DEPTHS if 2 ** (bits - 1) <= largest < 2**bits), None)
    white = WHITE if largest >= 2**14 else white
    if white is None:
        raise UserError(
            f"{example}: {largest} is the largest value of all 16-bit grey images, from which "
            f"their depth cannot be told ({', '.join(map(str, DEPTHS))} bits); save them with 8 "
            "bits, or spread over all 16"
        )
    return [replace(record, white=white) for record in records] if white != WHITE else list(records)


def _brightest(records: Sequence[FileRecord]) -> dict[str, tuple[int, str]]:
    """Largest value of each person's 16-bit grey files and where it is; from 2^14 on it need not be known."""
    largest_of: dict[str, tuple[int, str]] = {}
    for record in records:
        if record.path.suffix.lower() in SUFFIXES and largest_of.get(record.user, (0, ""))[0] < 2**14:
            largest = _largest(record), str(record.path)
            if largest[0] >= 0:
                largest_of[record.user] = max(largest, largest_of.get(record.user, largest))
    return largest_of


def _largest(record: FileRecord) -> int:
    """Largest value of a 16-bit grey file, -1 for others."""
    with suppress(Exception), Image.open(record.path) as image:  # as in images.decoded: nearly any kind
        if image.mode == "I" or image.mode.startswith("I;16"):
            values = numpy.asarray(image)
            return int(values.max()) if 0 <= values.min() and values.max() <= WHITE else -1
    return -1
