"""Images that are there twice: equal files, or the same image encoded, scaled or exported again, rolled in
time, or mirrored in time, velocity or both.

Two images are nearly equal when the correlation of their brightness, without each velocity's mean over time,
is ALIKE or more at the best circular shift in time, of one of them as it is or mirrored. Windows of one walk
that share three quarters of their columns mostly stay below it, windows of different walks far below, and so
do mirrored windows of one walk.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy
from PIL import Image

from configs.errors import UserError
from data.examination import colour_map_of, plot_area
from data.folders import FileRecord
from data.images import open_rgb
from data.labels import listing
from data.progress import progress
from data.tree import leave_out_flag
from radar.colormap import from_rgb

ALIKE = 0.93
SIDE = 64
BLOCK = 2048  # images that are compared with as many at once: 100 MB
FINER = 4  # shifts are tried to a quarter of a column
FLAT = 1e-3  # deviation of brightness (of 1) below which an image tells nothing


def signatures(records: Sequence[FileRecord], by_map: bool) -> numpy.ndarray:
    """Spectra in time (1, N, 64, 33) complex64 of norm 1 as a whole signal, `by_map` (2, N, 64, 33): the
    second ones of what the colours stand for; 0 for images of one colour, and for those that cannot be read,
    which stage 1 tells of. Of a figure only the plot area counts: axes and colour bars are the same on all.
    """
    ways = (False, True)[: 1 + by_map]

    def of(record: FileRecord) -> numpy.ndarray:
        try:
            image = open_rgb(record)
            box, _ = plot_area(numpy.asarray(image))
            return numpy.stack([signature(image.crop(box) if box else image, way) for way in ways])
        except (UserError, OSError):
            return numpy.zeros((len(ways), SIDE, SIDE // 2 + 1), numpy.complex64)

    spectra = numpy.empty((len(ways), len(records), SIDE, SIDE // 2 + 1), numpy.complex64)
    with ThreadPoolExecutor(4) as pool:
        bar = progress(pool.map(of, records), total=len(records), description="seeking copies", unit="img")
        for place, one in enumerate(bar):
            spectra[:, place] = one
    return spectra


def signature(image: Image.Image, by_map: bool = False) -> numpy.ndarray:
    """One image's spectrum (64, 33): brightness of 64 x 64 cells without each row's mean; `by_map`: what the
    colours stand for in the image's own colour map, where it has one.
    """
    name = colour_map_of(numpy.asarray(image)) if by_map else None
    if name:
        values = from_rgb(numpy.asarray(image.resize((2 * SIDE, 2 * SIDE))), name)
        cells = values.reshape(SIDE, 2, SIDE, 2).mean((1, 3))
    else:
        shown = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
        cells = numpy.asarray(shown, numpy.float32) / 255
    moving = cells - cells.mean(1, keepdims=True)
    spectrum = numpy.fft.rfft(moving).astype(numpy.complex64)
    return spectrum / numpy.linalg.norm(_weighed(spectrum)) if moving.std() > FLAT else 0 * spectrum


def _weighed(spectrum: numpy.ndarray) -> numpy.ndarray:
    """So that sums over the half spectrum are those over the whole one (Parseval)."""
    weights = numpy.full(spectrum.shape[-1], 2, numpy.float32)
    weights[0] = weights[-1] = 1
    return spectrum * numpy.sqrt(weights)


def alike(some: numpy.ndarray, others: numpy.ndarray, least: float = ALIKE) -> list[tuple[int, int, float]]:
    """(place in `some`, place in `others`, correlation) of all pairs that are nearly equal; where `others` is
    `some`, each pair once, the earlier place first.

    The product of the magnitudes is an upper bound of the correlation at any shift: one matrix product for
    each two blocks leaves few pairs to try.
    """
    itself, correlations = others is some, dict[tuple[int, int], float]()
    starts = itertools.product(range(0, len(some), BLOCK), range(0, len(others), BLOCK))
    blocks = [pair for pair in starts if not itself or pair[0] <= pair[1]]
    shown = progress(blocks, description="comparing", unit="block") if len(blocks) > 1 else blocks
    for first, second in shown:
        flat, part = _magnitudes(some[first : first + BLOCK]), others[second : second + BLOCK]
        for seen in (part, part[:, ::-1]):  # as it is, and mirrored in velocity
            for row, column in numpy.argwhere(flat @ _magnitudes(seen).T >= least).tolist():
                pair = row + first, column + second
                if itself and pair[0] >= pair[1]:
                    continue
                mirrored_in_time = seen[column].conj()
                best = max(correlate(some[pair[0]], one) for one in (seen[column], mirrored_in_time))
                if best >= least:
                    correlations[pair] = max(best, correlations.get(pair, best))
    return [(row, column, best) for (row, column), best in sorted(correlations.items())]


def _magnitudes(spectra: numpy.ndarray) -> numpy.ndarray:
    return numpy.abs(_weighed(spectra)).reshape(len(spectra), -1)


def correlate(one: numpy.ndarray, other: numpy.ndarray) -> float:
    """Largest correlation over circular shifts in time of two signatures."""
    product = (one * other.conj()).sum(0)
    product[-1] /= 2  # half the cells' rate: among finer points it stands for two frequencies
    return float(numpy.fft.irfft(product, n=FINER * SIDE).max() * FINER * SIDE)


def _pairs(some: Sequence[FileRecord], others: Sequence[FileRecord], by_map: bool) -> list[tuple[int, int]]:
    """Places of all nearly equal images; where `others` is `some`, as of `alike`."""
    first = signatures(some, by_map)
    second = first if others is some else signatures(others, by_map)
    matches = [alike(one, one if second is first else other) for one, other in zip(first, second)]
    return sorted({(row, column) for pairs in matches for row, column, _ in pairs})


def firsts(records: Sequence[FileRecord], by_map: bool = False) -> dict[str, str]:
    """Path of each image that repeats an earlier one of the same person → path of the first of these;
    `by_map`: also those that show the same in the colours of another map.

    UserError: one image stands under two people.
    """
    pairs = _pairs(records, records, by_map)
    across = [(row, column) for row, column in pairs if records[row].user != records[column].user]
    if across:
        shown = _equations(records, records, across)
        second = {column for _, column in across}
        kept = {record.user for place, record in enumerate(records) if place not in second}
        users = dict.fromkeys(records[place].user for place in sorted(second))
        lost = [user for user in users if user not in kept]
        rest = [records[place].relative for place in sorted(second) if records[place].user in kept]
        raise UserError(
            f"{len(across)} images stand under two people: {shown}; whose they are must be "
            f"clear: remove one of each, or go on without the second ones by {leave_out_flag(lost, rest)}"
        )
    first: dict[int, int] = {}
    for row, column in pairs:
        first.setdefault(column, first.get(row, row))
    return {records[copy].relative: records[original].relative for copy, original in first.items()}


def refuse_leaks(
    train: Sequence[FileRecord], held_out: Sequence[FileRecord], advice: str, by_map: bool = False
) -> None:
    """UserError where images are held out that are, equal or nearly so (`by_map` as of `firsts`), among the
    training ones.
    """
    if not held_out:
        return
    pairs = _pairs(held_out, train, by_map)
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
