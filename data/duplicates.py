"""Images that are there twice: equal files, or the same image encoded, scaled or exported again, or rolled in
time.

Two images are nearly equal when the correlation of their brightness, without each velocity's mean over time,
is ALIKE or more at the best circular shift in time. Windows of one walk that share three quarters of their
columns stay below it, windows of different walks far below.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy
from PIL import Image

from configs.errors import UserError
from data.examination import plot_area
from data.folders import FileRecord
from data.images import open_rgb
from data.labels import listing
from data.tree import leave_out_flag

ALIKE = 0.93
SIDE = 64
FINER = 4  # shifts are tried to a quarter of a column
FLAT = 1e-3  # deviation of brightness (of 1) below which an image tells nothing


def signatures(records: Sequence[FileRecord], num_workers: int = 4) -> numpy.ndarray:
    """Spectra in time (N, 64, 33) complex64 of norm 1 as a whole signal; 0 for images of one colour, and for
    those that cannot be read, which stage 1 tells of. Of a figure only the plot area counts: axes and colour
    bars are the same on all.
    """

    def of(record: FileRecord) -> numpy.ndarray:
        try:
            image = open_rgb(record)
            box, _ = plot_area(numpy.asarray(image))
            return signature(image.crop(box) if box else image)
        except (UserError, OSError):
            return numpy.zeros((SIDE, SIDE // 2 + 1), numpy.complex64)

    with ThreadPoolExecutor(num_workers) as pool:
        return numpy.stack([*pool.map(of, records)])


def signature(image: Image.Image) -> numpy.ndarray:
    """One image's spectrum (64, 33): brightness of 64 x 64 cells without each row's mean."""
    cells = numpy.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), numpy.float32) / 255
    moving = cells - cells.mean(1, keepdims=True)
    spectrum = numpy.fft.rfft(moving).astype(numpy.complex64)
    return spectrum / numpy.linalg.norm(_weighed(spectrum)) if moving.std() > FLAT else 0 * spectrum


def _weighed(spectrum: numpy.ndarray) -> numpy.ndarray:
    """So that sums over the half spectrum are those over the whole one (Parseval)."""
    weights = numpy.full(spectrum.shape[-1], 2, numpy.float32)
    weights[0] = weights[-1] = 1
    return spectrum * numpy.sqrt(weights)


def alike(some: numpy.ndarray, others: numpy.ndarray, least: float = ALIKE) -> list[tuple[int, int, float]]:
    """(place in `some`, place in `others`, correlation) of all pairs that are nearly equal.

    The product of the magnitudes is an upper bound of the correlation at any shift: one matrix product leaves
    few pairs to try.
    """
    flat = [numpy.abs(_weighed(one)).reshape(len(one), -1) for one in (some, others)]
    found = []
    for first in range(0, len(some), 512):
        rows, columns = numpy.nonzero(flat[0][first : first + 512] @ flat[1].T >= least)
        for row, column in zip(rows + first, columns):
            correlation = correlate(some[row], others[column])
            if correlation >= least:
                found.append((int(row), int(column), correlation))
    return found


def correlate(one: numpy.ndarray, other: numpy.ndarray) -> float:
    """Largest correlation over circular shifts in time of two signatures."""
    product = (one * other.conj()).sum(0)
    product[-1] /= 2  # half the cells' rate: among finer points it stands for two frequencies
    return float(numpy.fft.irfft(product, n=FINER * SIDE).max() * FINER * SIDE)


def firsts(records: Sequence[FileRecord]) -> dict[str, str]:
    """Path of each image that repeats an earlier one of the same person → path of the first of these.

    UserError: one image stands under two people.
    """
    spectra = signatures(records)
    pairs = sorted((row, column) for row, column, _ in alike(spectra, spectra) if row < column)
    strangers = [(row, column) for row, column in pairs if records[row].user != records[column].user]
    if strangers:
        shown = _equations(records, records, strangers)
        second = {column for _, column in strangers}
        kept = {record.user for place, record in enumerate(records) if place not in second}
        users = dict.fromkeys(records[place].user for place in sorted(second))
        lost = [user for user in users if user not in kept]
        rest = [records[place].relative for place in sorted(second) if records[place].user in kept]
        raise UserError(
            f"{len(strangers)} images stand under two people: {shown}; whose they are must be "
            f"clear: remove one of each, or go on without the second ones by {leave_out_flag(lost, rest)}"
        )
    first: dict[int, int] = {}
    for row, column in pairs:
        first.setdefault(column, first.get(row, row))
    return {records[copy].relative: records[original].relative for copy, original in first.items()}


def refuse_leaks(train: Sequence[FileRecord], held_out: Sequence[FileRecord], advice: str) -> None:
    """UserError where images are held out that are, equal or nearly so, among the training ones."""
    if not held_out:
        return
    pairs = [(row, column) for row, column, _ in alike(signatures(held_out), signatures(train))]
    if pairs:
        count = len({row for row, _ in pairs})
        shown = _equations(held_out, train, pairs)
        raise UserError(
            f"{count} of {len(held_out)} held-out images are training images too, equal or "
            f"nearly (held-out = training): {shown}; what is measured on them is too good: "
            f"{advice}"
        )


def _equations(
    some: Sequence[FileRecord], others: Sequence[FileRecord], pairs: Sequence[tuple[int, int]]
) -> str:
    return listing([f"{some[row].relative} = {others[column].relative}" for row, column in pairs], 3)
