"""The real images that stage 4 reads, as stage 0 splits them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy

from configs.errors import UserError
from data.folders import Rules
from data.images import ImageRecord, Splits, find_splits
from data.labels import listing


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


def places_of(some: list[ImageRecord], records: list[ImageRecord]) -> numpy.ndarray:
    wanted = set(some)
    return numpy.flatnonzero([record in wanted for record in records])
