"""Augmentation by what a radar may see of the same walk: another speed, aspect, gain, noise floor, moment.

A walk s times as fast has every velocity times s and every time through s; seen at an angle it has every
radial velocity times the angle's cosine. Gain changes the power above the darkest colour, which is taken for
noise of the receiver, and more noise adds to it; powers are in dB below the brightest colour, and change the
colour; what area averaging did to the colours stays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from data.axes import USUAL_RANGE_DB
from radar.colormap import ENTRIES, from_rgb, to_rgb

SPEEDS = 0.9, 1.1
ASPECTS = 0.87, 1.0  # up to 30 degrees off the radar's line
GAIN_DB = 3.0  # either way
FLOOR_DB = -45.0, -25.0  # noise added, below the brightest colour


class Physical:
    """Calls change images in [-1, 1] (N, 4, V, T), colours and brightness as `with_brightness` gives them, to
    images (N, 3, V, T). `edges`: velocity (m/s) at the lower and at the upper edge; `range_db`: from the
    brightest colour to the darkest one, None: not known.
    """

    def __init__(self, edges: Sequence[float], colour_map: str, range_db: float | None) -> None:
        self.middle = middle_of(edges)
        self.colour_map, self.range_db = colour_map, range_db or USUAL_RANGE_DB
        table = to_rgb(numpy.linspace(0, 1, ENTRIES), colour_map)
        self.colours = torch.from_numpy(table.astype(numpy.float32)) / 127.5 - 1

    def with_brightness(self, images: numpy.ndarray) -> numpy.ndarray:
        """uint8 images (N, V, T, 3) with their brightness as fourth channel."""
        bright = numpy.rint(255 * from_rgb(images, self.colour_map)).astype(numpy.uint8)
        return numpy.concatenate([images, bright[..., None]], axis=-1)

    def __call__(self, x: Tensor) -> Tensor:
        count = len(x)
        speed, aspect = _between(SPEEDS, count), _between(ASPECTS, count)
        x = moved(x, speed, aspect, torch.rand(count), self.middle)
        before = (x[:, 3] + 1) / 2
        gain, floor = _between((-GAIN_DB, GAIN_DB), count), _between(FLOOR_DB, count)
        after = louder(before, gain[:, None, None], floor[:, None, None], self.range_db)
        return (x[:, :3] + self.colour_of(after) - self.colour_of(before)).clamp(-1, 1)

    def colour_of(self, brightness: Tensor) -> Tensor:
        """(N, V, T) in [0, 1] to colours (N, 3, V, T) in [-1, 1]."""
        entries = (brightness.clamp(0, 1) * (ENTRIES - 1)).round().long()
        return self.colours[entries].movedim(-1, 1)


def another_walk(image: Tensor, edges: Sequence[float], draw: torch.Generator) -> Tensor:
    """The walk that an image (3, V, T) uint8 shows, at another speed and aspect by numbers from `draw`.

    A slower one is a part of it. A faster one lacks up to a twentieth at each end, where it goes on round the
    other one, and not amid the image: a generator learns to draw what it sees. `edges` as of `Physical`.
    """
    speed, aspect, start = torch.rand(3, 1, generator=draw)
    speed, aspect = _within(SPEEDS, speed), _within(ASPECTS, aspect)
    room = 1 - speed
    start = torch.where(room > 0, start, 0.5) * room
    x = moved(image[None] / 127.5 - 1, speed, aspect, start, middle_of(edges))
    return ((x[0] + 1) * 127.5).round().byte()


def middle_of(edges: Sequence[float]) -> float:
    """Velocity amid the image over half of what it shows."""
    low, high = edges
    return (high + low) / (high - low)


def moved(x: Tensor, speed: Tensor, aspect: Tensor, start: Tensor, middle: float) -> Tensor:
    """Images (N, C, V, T) of a walk `speed` (N,) times as fast, its radial velocities times `aspect` (N,),
    that begins `start` (N,) of an image later and goes on round its end. `middle`: velocity amid the image
    over half of what it shows. Beyond the image's velocities its edge goes on.
    """
    # Where each row and column comes from, in [-1, 1] and in columns from the left edge
    velocities, times = ((2 * torch.arange(size) + 1) / size - 1 for size in x.shape[2:])
    rows = middle - (middle - velocities) / (speed * aspect)[:, None]
    steps = x.shape[3]
    columns = (speed[:, None] * (times + 1) / 2 + start[:, None]) % 1 * steps
    round_the_end = functional.pad(x, (1, 1, 0, 0), mode="circular")
    across = 2 * (columns + 1) / (steps + 2) - 1
    grid = torch.stack(
        [across[:, None].expand(-1, len(velocities), -1), rows[:, :, None].expand(-1, -1, steps)], dim=-1
    )
    return functional.grid_sample(round_the_end, grid, padding_mode="border", align_corners=False)


def louder(brightness: Tensor, gain_db: Tensor, floor_db: Tensor, range_db: float) -> Tensor:
    """Brightness in [0, 1] (from -range_db, which is noise, to 0 dB) after a gain of what is above the noise,
    and more noise of power `floor_db`.
    """
    noise = 10 ** (-range_db / 10)
    echo = 10 ** (range_db * (brightness - 1) / 10) - noise
    power = echo * 10 ** (gain_db / 10) + noise + 10 ** (floor_db / 10)
    return (1 + 10 * torch.log10(power) / range_db).clamp(0, 1)


def _between(ends: tuple[float, float], count: int) -> Tensor:
    return _within(ends, torch.rand(count))


def _within(ends: tuple[float, float], shares: Tensor) -> Tensor:
    return ends[0] + (ends[1] - ends[0]) * shares
