"""What is in the images? Colour map, margins of a figure, line of zero velocity: looked at, not assumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy
from numpy.polynomial import Polynomial
from PIL import Image
from scipy.ndimage import median_filter

from configs.errors import UserError
from data.folders import WHITE
from data.images import ImageRecord, by_user, open_rgb
from radar.colormap import distances_to, from_rgb

MAPS = ("jet", "turbo", "parula", "viridis", "plasma", "inferno", "magma", "cividis", "hot", "gray")
# Mean and 90 % quantile of the distances (of 255) from a map to its images' pixels are below these; measured
# jet through JPEG with halved colour reaches 18 and 56.
NEAR, OUTER = 24.0, 80.0
COLOURLESS = 8.0  # the same for gray: unlike photographs in pale colours
SAMPLED = 40  # side of the grid of pixels looked at
LOOKED_AT = 60  # images of a set
DIFFERS = 12  # of 255: from the margin's colour
PLAIN_SHARE = 0.95  # of the border's pixels that have one colour where there is a margin
FULL = 0.97  # share of both sides from which on the plot counts as the whole image
STEP, STEADY = 0.08, 0.8  # how far a line at zero velocity stands out, and in which share of moments
# A track in range: how bright, how thick (at half of its brightness), how near to a smooth curve, and how far
# it goes, as shares of the whole; the usual spectrogram of a walk is thicker, and sways by 0.005 and more.
BRIGHT, THIN, SMOOTH, FAR = 0.3, 0.07, 0.004, 0.1
LIKE_RANGE = 0.25  # share of a set's images from which on it is told
LEAST_SIDE = 24  # pixels; coarser grids show no gait
Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True)
class Finding:
    """One image: the map whose colours it has (None: none of `MAPS`), the plot area inside margins (None: all
    of it), whether a colour bar stands beside it.
    """

    colour_map: str | None
    box: Box | None
    colour_bar: bool


@dataclass(frozen=True)
class Examination:
    """What images have in common; `zero_line` is a share of the height from the top, None: not seen."""

    count: int
    sizes: Counter[tuple[int, int]]
    colour_maps: Counter[str | None]
    margins: tuple[str, ...]  # names of the images with margins
    colour_bars: int
    zero_line: float | None
    white: int = WHITE  # in 16-bit grey files
    plain: int = 0  # images of one colour
    like_range: int = 0  # images that look like maps of range over time

    @property
    def colour_map(self) -> str | None:
        """The map of most images."""
        return self.colour_maps.most_common(1)[0][0] if self.colour_maps else None

    @property
    def several_maps(self) -> bool:
        return len(self.colour_maps) > 1

    def maps(self) -> str:
        """Each map and how many images have it."""
        counted = self.colour_maps.most_common()
        return ", ".join(f"{name or 'none that is known'} ({n})" for name, n in counted)

    def known_map(self, given: str) -> str:
        """The colour map `given`, or for "auto" that of the images; UserError where these have none that is
        known, or several.
        """
        if given != "auto":
            return given
        if len(self.colour_maps) != 1 or self.colour_map is None:
            raise UserError(
                f"--colour_map auto: {self.count} real images looked at have the colours of "
                f"{self.maps() or 'nothing that can be read'}; expected one of "
                f"{', '.join(MAPS)} in all of them; name the map by --colour_map"
            )
        return self.colour_map

    def lines(self) -> list[str]:
        """For people to read."""
        sizes = ", ".join(f"{w}x{h} ({n})" for (w, h), n in self.sizes.most_common(3))
        zero = "not seen" if self.zero_line is None else f"a line at {self.zero_line:.0%} of the height"
        margins = f"around {len(self.margins)}, {self.colour_bars} colour bars" if self.margins else "none"
        lines = [
            f"looked at {self.count} images: {sizes} pixels; colour map: {self.maps()}; "
            f"margins: {margins}; zero velocity: {zero}"
        ]
        if self.white != WHITE:
            lines.append(f"16-bit files hold {self.white.bit_length()} bits: {self.white} is white")
        small = sum(count for size, count in self.sizes.items() if min(size) < LEAST_SIDE)
        if small or self.plain:
            lines.append(
                f"warning: {small} of them are under {LEAST_SIDE} pixels wide or high, {self.plain} of one "
                "colour: nobody walks there"
            )
        if self.like_range >= max(1, LIKE_RANGE * self.count):
            lines.append(
                f"warning: {self.like_range} of them look like maps of range over time (several steady "
                "lines, or one thin and smooth track), not of velocity: are these spectrograms?"
            )
        if self.colour_maps[None]:
            lines.append(
                f"warning: {self.colour_maps[None]} of them have the colours of no known map "
                f"({', '.join(MAPS)}): are these spectrograms?"
            )
        if self.several_maps:
            lines.append(
                "warning: images of several colour maps: a classifier may learn the map instead of "
                "the person; export all of them in one way"
            )
        return lines


def examine_files(records: Sequence[ImageRecord]) -> Examination:
    """Look at up to LOOKED_AT images, of every person alike; those that cannot be read are left to others."""
    opened = []
    for record in sampled(records):
        with suppress(UserError, OSError):
            opened.append((record.relative, open_rgb(record)))
    return replace(examine(opened), white=records[0].white if records else WHITE)


def sampled(records: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Records at even steps of each person's, LOOKED_AT in all, but at least one of each person, and of each
    size in pixels: a figure among plain images is mostly larger.
    """
    people = by_user(records)
    sizes: dict[tuple[int, int], ImageRecord] = {}
    for record in records:
        with suppress(Exception), Image.open(record.path) as image:  # nearly any kind, as in images.decoded
            sizes.setdefault(image.size, record)
    each = max(1, LOOKED_AT // max(1, len(people)))
    chosen = [one for images in people.values() for one in images[:: -(-len(images) // each)]]
    return list(dict.fromkeys([*chosen, *list(sizes.values())[:LOOKED_AT]]))


def examine(images: Sequence[tuple[str, Image.Image]]) -> Examination:
    """Look at named RGB images."""
    findings = [(name, image, look_at(image)) for name, image in images]
    values = [
        _values(image.crop(one.box) if one.box else image, one.colour_map)
        for _, image, one in findings
        if one.colour_map
    ]
    steps = [_steps(line) for line in values]
    return Examination(
        len(findings),
        Counter(image.size for _, image, _ in findings),
        Counter(one.colour_map for _, _, one in findings),
        tuple(name for name, _, one in findings if one.box),
        sum(one.colour_bar for _, _, one in findings),
        _zero_line(numpy.mean(steps, axis=0)) if steps else None,
        like_range=sum(_several_lines(line[0]) or _is_track(unit) for line, unit in zip(steps, values)),
        plain=sum(numpy.ptp(numpy.asarray(image), axis=(0, 1)).max() <= DIFFERS for _, image, _ in findings),
    )


def look_at(image: Image.Image) -> Finding:
    """Examine one RGB image."""
    pixels = numpy.asarray(image)
    box, colour_bar = plot_area(pixels)
    inside = pixels if box is None else pixels[box[1] : box[3], box[0] : box[2]]
    return Finding(colour_map_of(inside), box, colour_bar)


def colour_map_of(pixels: numpy.ndarray) -> str | None:
    """The map of `MAPS` nearest to pixels (H, W, 3) uint8; None where all are far away."""
    rows, columns = (max(1, side // SAMPLED) for side in pixels.shape[:2])
    seen = pixels[::rows, ::columns].reshape(-1, 3)
    away = {name: distances_to(seen, name) for name in MAPS}
    nearest = min(away, key=lambda name: away[name].mean())
    far = away[nearest].mean() > (COLOURLESS if nearest == "gray" else NEAR)
    return None if far or numpy.quantile(away[nearest], 0.9) > OUTER else nearest


def plot_area(pixels: numpy.ndarray) -> tuple[Box | None, bool]:
    """The area (left, top, right, bottom) inside the plain margins of a drawn figure (H, W, 3), None without
    margins; and whether a narrower area, a colour bar, stands beside it.
    """
    plain = _margin_colour(pixels)
    if plain is None:
        return None, False
    drawn = (numpy.abs(pixels.astype(int) - plain) > DIFFERS).any(-1)
    columns = _runs(drawn.mean(0))
    if not columns:
        return None, False
    left, right = max(columns, key=lambda run: run[1] - run[0])
    rows = _runs(drawn[:, left:right].mean(1))
    top, bottom = max(rows, key=lambda run: run[1] - run[0])
    height, width = drawn.shape
    if right - left >= FULL * width and bottom - top >= FULL * height:
        return None, False
    if plain.min() < 200 and drawn[top:bottom, left:right].mean() < FULL:  # it may be the floor's colour
        return None, False
    return _without_frame(pixels, (left, top, right, bottom)), len(columns) > 1


def _margin_colour(pixels: numpy.ndarray) -> numpy.ndarray | None:
    """The colour of the margins: white or light grey, as paper is and the floor of no common map, along one
    side at least; or any one colour along all four.
    """
    sides = [side.astype(int) for side in (pixels[:, 0], pixels[-1], pixels[:, -1], pixels[0])]
    plain = [numpy.median(side, axis=0) for side in sides]
    flat = [
        (numpy.abs(side - colour).max(1) <= DIFFERS).mean() >= PLAIN_SHARE
        for side, colour in zip(sides, plain)
    ]
    for colour, is_flat in zip(plain, flat):
        if is_flat and colour.min() >= 200 and numpy.ptp(colour) <= 8:
            return colour
    return plain[0] if all(flat) and numpy.ptp(plain, axis=0).max() <= DIFFERS else None


def _runs(shares: numpy.ndarray) -> list[tuple[int, int]]:
    """Begins and ends of the stretches that are drawn at least half as much as the fullest line."""
    full = numpy.concatenate([[False], shares >= max(0.5 * shares.max(), 0.05), [False]])
    edges = numpy.flatnonzero(full[1:] != full[:-1])
    return [(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2])]


def _without_frame(pixels: numpy.ndarray, box: Box) -> Box:
    """The box less the lines of its frame: dark and colourless, at most three on each side."""
    left, top, right, bottom = box
    inside = pixels[top:bottom, left:right].astype(int)
    dark = (inside.max(-1) < 110) & (inside.max(-1) - inside.min(-1) < 24)
    lines = [
        (
            dark[i].mean() > 0.6,
            dark[-1 - i].mean() > 0.6,
            dark[:, i].mean() > 0.6,
            dark[:, -1 - i].mean() > 0.6,
        )
        for i in range(min(3, *dark.shape))
    ]
    above, below, before, after = (sum(side) for side in zip(*lines))
    return int(left + before), int(top + above), int(right - after), int(bottom - below)


def _values(image: Image.Image, colour_map: str) -> numpy.ndarray:
    """(128, 64) brightness, from the top."""
    return from_rgb(numpy.asarray(image.resize((64, 128), Image.Resampling.BOX)), colour_map)


def _steps(values: numpy.ndarray) -> numpy.ndarray:
    """(2, 128) shares of the moments in which each velocity, from the top, is far brighter, or far darker,
    than the velocities three rows above and below.
    """
    around = numpy.pad(values, ((3, 3), (0, 0)), mode="edge")
    above, below = values - around[:-6], values - around[6:]
    bright, dark = numpy.minimum(above, below) > STEP, numpy.maximum(above, below) < -STEP
    return numpy.stack([bright.mean(1), dark.mean(1)])


def _several_lines(bright: numpy.ndarray) -> bool:
    """Whether lines stand out steadily at two places: walls; of velocities only zero is steady."""
    rows = numpy.flatnonzero(bright >= STEADY)
    return len(rows) > 1 and bool((numpy.diff(rows) > 4).any())


def _is_track(values: numpy.ndarray) -> bool:
    """Whether the brightest cell of each moment moves on a smooth curve, as a walker's range does while the
    torso's velocity sways with each step.
    """
    seen = values[:, values.max(0) >= BRIGHT]
    if seen.shape[1] < values.shape[1] / 2:
        return False
    ridge = median_filter(seen.argmax(0).astype(float), 5)
    moments = numpy.linspace(-1, 1, len(ridge))
    curve = Polynomial.fit(moments, ridge, 3)(moments)
    thick = (seen > seen.max(0) / 2).mean()
    away = numpy.median(numpy.abs(ridge - curve))
    return bool(thick < THIN and away < SMOOTH * len(values) and numpy.ptp(curve) > FAR * len(values))


def _zero_line(steps: numpy.ndarray) -> float | None:
    """Where one row stands out steadily in all images, as a share of the height; a torso's line wanders."""
    row = int(steps.max(0).argmax())
    return (row + 0.5) / steps.shape[1] if steps[:, row].max() >= STEADY else None
