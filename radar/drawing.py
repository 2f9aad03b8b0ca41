"""Drawn spectrogram-like pictures of toy walkers: enough structure to try the pipeline on, no physics.

A picture has the make of a 77 GHz gait spectrogram: a dark floor, a bright torso line, arcs of legs and arms
at the walking cadence, speckle, the jet colour map, and a native grid of 55 frames x 128 Doppler bins scaled
up to 256 x 256.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy
from matplotlib import colormaps
from PIL import Image

FRAMES, BINS, SIZE = 55, 128, 256
FRAMES_PER_SECOND = 18.0
HOP = 14  # frames between neighbouring windows: three quarters of a window are shared


@dataclass(frozen=True)
class DrawnWalker:
    """What makes a toy walker recognisable; velocities as shares of the largest velocity shown."""

    torso_velocity: float
    cadence_hz: float
    leg_reach: float
    arm_reach: float
    sway: float
    leg_brightness: float
    arm_brightness: float
    torso_width: float


def draw_walker(seed: int, user: int) -> DrawnWalker:
    """The walker that belongs to (seed, user), the same every time."""
    rng = numpy.random.default_rng((seed, user))
    ranges = (
        (0.15, 0.5),
        (0.8, 2.2),
        (0.2, 0.5),
        (0.05, 0.3),
        (0.01, 0.06),
        (0.35, 0.8),
        (0.2, 0.6),
        (0.02, 0.05),
    )
    return DrawnWalker(*(float(rng.uniform(low, high)) for low, high in ranges))


def draw_recording(walker: DrawnWalker, num_windows: int, rng: numpy.random.Generator) -> list[Image.Image]:
    """Overlapping windows of one walk, each a 256 x 256 RGB picture; time to the right, velocity upwards."""
    frames = FRAMES + HOP * (num_windows - 1)
    power = draw_power(walker, frames, rng)
    windows = (power[:, first : first + FRAMES] for first in range(0, frames - FRAMES + 1, HOP))
    return [to_picture(window) for window in windows]


def draw_power(walker: DrawnWalker, frames: int, rng: numpy.random.Generator) -> numpy.ndarray:
    """(128, frames) brightness in [0, 1]: ridges of torso, two legs and two arms under speckle."""
    seconds = numpy.arange(frames) / FRAMES_PER_SECOND
    phase = 2 * numpy.pi * walker.cadence_hz / 2 * seconds + rng.uniform(0, 2 * numpy.pi)
    direction = rng.choice((-1.0, 1.0))
    torso = walker.torso_velocity * (1 + 0.1 * rng.standard_normal()) + walker.sway * numpy.sin(2 * phase)
    ridges = [(torso, 1.0, walker.torso_width)]
    for offset in (0.0, numpy.pi):
        swing = (
            numpy.clip(numpy.sin(phase + offset), 0, None) ** 2
        )  # a foot stands still, then overtakes the body
        ridges.append(
            (torso * (1 - 0.8 * (swing < 0.05)) + walker.leg_reach * swing, walker.leg_brightness, 0.035)
        )
        ridges.append((torso + walker.arm_reach * numpy.sin(phase + offset), walker.arm_brightness, 0.025))
    velocity = numpy.linspace(1, -1, BINS)[:, None]
    power = sum(
        b * numpy.exp(-0.5 * ((velocity - direction * track) / width) ** 2) for track, b, width in ridges
    )
    speckle = rng.gamma(4.0, 0.25, power.shape)
    return numpy.clip(0.05 * rng.random(power.shape) + 0.85 * power * speckle**0.5, 0, 1)


def to_picture(power: numpy.ndarray) -> Image.Image:
    """(bins, frames) in [0, 1] to a 256 x 256 RGB picture in the jet colour map."""
    rgb = (colormaps["jet"](power)[..., :3] * 255).astype(numpy.uint8)
    return Image.fromarray(rgb).resize((SIZE, SIZE), Image.Resampling.NEAREST)
