"""Recordings of simulated walkers as images: walker, walk, radar and the make of the images put together.

The default setup has the make of published 77 GHz gait images: 55 frames x 128 Doppler bins of 5 cm/s,
about two seconds, from -1.2 to 5.2 m/s, in the jet colour map, scaled up to 256 x 256 in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy
from PIL import Image
from scipy.constants import speed_of_light

from radar.echoes import Radar, iq_signal
from radar.person import Walker
from radar.spectrogram import FRAMES, hop_of, remove_clutter, spectrogram, to_image, to_unit, windows
from radar.walker import Walk, draw_walk, motion

SAMPLE_RATE_HZ = 200.0
SHOWN_MPS = (-1.2, 5.2)  # of people who approach; mirrored for those who walk away
CLUTTER_WIDTH_S = 0.5
PEAK_PERCENTILE = 99.7
COLOUR_MAPS = ("jet", "viridis", "turbo", "inferno", "gray")


@dataclass(frozen=True)
class Setup:
    """How a recording becomes images.

    velocity_mps   lowest and highest velocity shown of people who approach
    resampling     how the native grid is scaled up to the image's pixels
    jpeg_quality   None: images are meant to be stored without loss
    """

    radar: Radar = field(default_factory=Radar)
    velocity_mps: tuple[float, float] = SHOWN_MPS
    num_frames: int = FRAMES
    num_bins: int = 128
    frames_per_second: float = 26.0
    dynamic_range_db: float = 32.0
    colour_map: str = "jet"
    resampling: Image.Resampling = Image.Resampling.NEAREST
    jpeg_quality: int | None = None

    @property
    def frame_s(self) -> float:
        """Time between frames in seconds: a whole number of samples."""
        return max(1, round(self.radar.prf_hz / self.frames_per_second)) / self.radar.prf_hz


@dataclass(frozen=True)
class Window:
    """One image of a recording and what is true in it: its edges (s, m/s) and velocities in m/s."""

    image: Image.Image
    edges: dict[str, float]
    torso_mean_mps: float
    torso_min_mps: float
    torso_max_mps: float
    fastest_mps: float
    slowest_mps: float


def draw_setup(rng: numpy.random.Generator) -> Setup:
    """A radar and a make of images unlike others: carrier, noise, axes, native grid and colours vary."""
    carrier = float(rng.choice([77e9, 60e9, 24e9, 9.8e9, 5.8e9], p=[0.5, 0.1, 0.2, 0.1, 0.1]))
    span = float(rng.uniform(6.4, 10.0))
    bins = int(rng.choice([64, 128, 192, 256], p=[0.1, 0.7, 0.1, 0.1]))
    radar = Radar(
        carrier_hz=carrier,
        prf_hz=2 * span * carrier / speed_of_light,
        looks=int(rng.integers(1, 5)),
        noise_db=float(rng.uniform(-45, -15)),
        scintillation_share=float(rng.uniform(0.3, 0.95)),
        bursts_per_s=float(rng.choice([0.0, 0.5, 2.0])),
    )
    low = float(rng.uniform(-0.5, -0.15)) * span
    return Setup(
        radar,
        velocity_mps=(low, low + span),
        num_frames=FRAMES if rng.random() < 0.4 else int(rng.integers(40, 129)),
        num_bins=bins,
        frames_per_second=float(rng.uniform(20, 40)),
        dynamic_range_db=float(rng.uniform(24, 45)),
        colour_map=str(rng.choice(COLOUR_MAPS, p=[0.7, 0.1, 0.1, 0.05, 0.05])),
        resampling=Image.Resampling.NEAREST if rng.random() < 0.8 else Image.Resampling.BILINEAR,
        jpeg_quality=None if rng.random() < 0.4 else int(rng.integers(70, 96)),
    )


def draw_recording(
    walker: Walker,
    num_windows: int,
    setup: Setup,
    rng: numpy.random.Generator,
    approaching: bool | None = True,
) -> tuple[Walk, Iterator[Window]]:
    """A walk, and its images, each a quarter of an image on; `approaching` None: either way."""
    frames = setup.num_frames + hop_of(setup.num_frames) * (num_windows - 1)
    # A window's length and a frame more, because only whole windows give frames.
    walk = draw_walk(rng, (frames + 1) * setup.frame_s + 0.3, walker.speed_mps, approaching)
    return walk, _images(walker, walk, setup, num_windows, rng)


def _images(
    walker: Walker, walk: Walk, setup: Setup, num_windows: int, rng: numpy.random.Generator
) -> Iterator[Window]:
    moved = motion(walker, walk, SAMPLE_RATE_HZ)
    iq = iq_signal(moved.range_m, moved.cross_section_m2, SAMPLE_RATE_HZ, setup.radar, rng)
    low, high = setup.velocity_mps
    shown = spectrogram(
        remove_clutter(iq, setup.radar.prf_hz, CLUTTER_WIDTH_S),
        setup.radar.carrier_hz,
        setup.radar.prf_hz,
        num_bins=setup.num_bins,
        frames_per_second=setup.frames_per_second,
        velocity_range=(low, high) if walk.approaching else (-high, -low),
    )
    for window in windows(shown, setup.num_frames)[:num_windows]:
        inside = (moved.time_s >= window.time_s[0]) & (moved.time_s <= window.time_s[-1])
        torso, all_parts = moved.torso_velocity_mps[inside], moved.velocity_mps[:, inside]
        unit = to_unit(window.power_db, setup.dynamic_range_db, PEAK_PERCENTILE)
        image = to_image(unit, setup.colour_map, setup.resampling)
        truth = (torso.mean(), torso.min(), torso.max(), all_parts.max(), all_parts.min())
        yield Window(image, window.edges, *map(float, truth))
