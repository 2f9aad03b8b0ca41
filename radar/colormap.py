"""Brightness in [0, 1] to colours of any matplotlib map and back.

Going back takes the nearest of the map's 256 colours, so images that went through JPEG can be read too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy
from matplotlib import colormaps

from configs.errors import UserError

ENTRIES = 256
CLOSE_COLOURS, CLOSE_ENTRIES = 4, 10  # colours this near (of 255) must lie this near in the map
# MATLAB's default since 2014, at even steps.
PARULA = (
    (0.208, 0.166, 0.529),
    (0.212, 0.214, 0.627),
    (0.196, 0.265, 0.728),
    (0.125, 0.324, 0.830),
    (0.012, 0.388, 0.882),
    (0.017, 0.427, 0.879),
    (0.050, 0.459, 0.864),
    (0.072, 0.489, 0.847),
    (0.079, 0.520, 0.831),
    (0.064, 0.557, 0.824),
    (0.034, 0.597, 0.820),
    (0.024, 0.629, 0.804),
    (0.023, 0.654, 0.777),
    (0.038, 0.674, 0.744),
    (0.084, 0.693, 0.706),
    (0.145, 0.710, 0.665),
    (0.218, 0.725, 0.619),
    (0.302, 0.738, 0.571),
    (0.395, 0.746, 0.524),
    (0.487, 0.749, 0.484),
    (0.571, 0.749, 0.449),
    (0.647, 0.746, 0.419),
    (0.718, 0.741, 0.391),
    (0.786, 0.736, 0.363),
    (0.851, 0.730, 0.336),
    (0.914, 0.726, 0.306),
    (0.974, 0.731, 0.267),
    (0.999, 0.765, 0.216),
    (0.988, 0.807, 0.179),
    (0.970, 0.848, 0.148),
    (0.959, 0.895, 0.113),
    (0.966, 0.951, 0.076),
    (0.976, 0.983, 0.054),
)
COLOURS_AT_ONCE = 2048  # keeps the distances in the processor's cache


class Inverse(NamedTuple):
    """For the K different colours of a map: (4, K) float32 that makes of (r, g, b, 1) the squared distance
    less |r, g, b|², and the brightness (K,) float32 that each colour stands for.
    """

    distance: numpy.ndarray
    values: numpy.ndarray


def to_rgb(unit: numpy.ndarray, name: str = "jet") -> numpy.ndarray:
    """(..., ) brightness in [0, 1], clipped, to (..., 3) uint8 colours of the map `name`.

    UserError: matplotlib knows no such map.
    """
    entries = numpy.rint(numpy.clip(unit, 0, 1) * (ENTRIES - 1)).astype(numpy.intp)
    return _table(name)[entries]


def from_rgb(rgb: numpy.ndarray, name: str = "jet") -> numpy.ndarray:
    """(..., 3) uint8 colours to (...) float32 brightness in [0, 1]: the nearest colour of the map in RGB.

    Neighbouring entries of one colour (jet has four blues) give their mean. UserError: an unknown map, or
    one that shows far apart values in one colour (flag, twilight, tab10).
    """
    inverse = _inverse(name)
    rgb = numpy.asarray(rgb)
    assert rgb.dtype == numpy.uint8 and rgb.shape[-1] == 3, (rgb.dtype, rgb.shape)
    red, green, blue = numpy.moveaxis(rgb.astype(numpy.int32), -1, 0)
    codes, places = (red << 16 | green << 8 | blue).ravel(), _places(name)
    entries = places[codes]
    if not entries.all():
        new = numpy.unique(codes[entries == 0])
        places[new] = _nearest(new, inverse) + 1
        entries = places[codes]
    return inverse.values[entries - 1].reshape(rgb.shape[:-1])


def _nearest(codes: numpy.ndarray, inverse: Inverse) -> numpy.ndarray:
    """(N,) places in the map of the colours nearest to those of red << 16 | green << 8 | blue (N,)."""
    colours = numpy.stack([codes >> 16, codes >> 8 & 255, codes & 255, codes * 0 + 1], 1, dtype=numpy.float32)
    # whole numbers below 2^24 are exact in float32
    parts = range(0, len(colours), COLOURS_AT_ONCE)
    near = [(colours[first : first + COLOURS_AT_ONCE] @ inverse.distance).argmin(1) for first in parts]
    return numpy.concatenate(near)


def distances_to(colours: numpy.ndarray, name: str) -> numpy.ndarray:
    """(K,) distances of colours (K, 3) uint8 from the nearest colour of the map `name`, of 255."""
    colours = colours.astype(numpy.float32)
    nearest = (numpy.pad(colours, ((0, 0), (0, 1)), constant_values=1) @ _inverse(name).distance).min(1)
    return numpy.sqrt(numpy.maximum(nearest + (colours**2).sum(1), 0))


@lru_cache
def _table(name: str) -> numpy.ndarray:
    """(256, 3) uint8 colours of a map."""
    if name == "parula":
        knots = numpy.linspace(0, 1, len(PARULA))
        entries = numpy.linspace(0, 1, ENTRIES)
        channels = [numpy.interp(entries, knots, channel) for channel in numpy.array(PARULA).T]
        return numpy.rint(255 * numpy.stack(channels, 1)).astype(numpy.uint8)
    if name not in colormaps:
        raise UserError(f"colour map {name!r}: matplotlib knows none of this name; try jet, viridis or gray")
    return colormaps[name](numpy.linspace(0, 1, ENTRIES), bytes=True)[:, :3]


@lru_cache
def _places(name: str) -> numpy.ndarray:
    """(2^24,) uint16: one more than the place in the map of each colour that `from_rgb` has met, else 0. An
    image's colours are mostly those of the images before, and finding its different ones takes a sort. Memory
    is taken where colours are met, 32 MiB at most.
    """
    return numpy.zeros(1 << 24, numpy.uint16)


@lru_cache
def _inverse(name: str) -> Inverse:
    table = _table(name).astype(numpy.float32)
    difference = numpy.linalg.norm(table[:, None] - table, axis=-1)
    apart = numpy.abs(numpy.subtract.outer(numpy.arange(ENTRIES), numpy.arange(ENTRIES)))
    if (apart[difference < CLOSE_COLOURS] > CLOSE_ENTRIES).any():
        raise UserError(
            f"colour map {name!r}: cannot be read back, it shows different values in one "
            "colour; use jet, viridis or gray"
        )
    colours, entry_of, times = numpy.unique(table, axis=0, return_inverse=True, return_counts=True)
    values = numpy.bincount(entry_of.ravel(), weights=numpy.arange(ENTRIES)) / times / (ENTRIES - 1)
    distance = numpy.concatenate([-2 * colours.T, (colours**2).sum(1)[None]])
    return Inverse(distance, values.astype(numpy.float32))
