"""A walker in front of a frequency-modulated radar: raw samples of the beat whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy
from scipy.constants import speed_of_light
from scipy.interpolate import CubicSpline

from radar.person import Walker
from radar.walker import Motion, Walk, motion

RATE_HZ = 200.0


@dataclass(frozen=True)
class Chirps:
    """`start_hz` is the frequency at the first sample; bandwidth is that of the samples."""

    start_hz: float = 24e9
    slope_hz_per_s: float = 20e12
    sample_rate_hz: float = 1e6
    samples: int = 32
    prf_hz: float = 1000.0

    @property
    def carrier_hz(self) -> float:
        return self.start_hz + self.slope_hz_per_s * self.samples / self.sample_rate_hz / 2

    @property
    def range_step_m(self) -> float:
        return speed_of_light * self.sample_rate_hz / (2 * self.slope_hz_per_s * self.samples)


def walking(seconds: float = 4.0, speed_mps: float = 1.3, approaching: bool = True) -> Motion:
    start = 2.0 + 1.05 * speed_mps * seconds if approaching else 2.0
    return motion(Walker(speed_mps=speed_mps), Walk(seconds, approaching, start_range_m=start), RATE_HZ)


def pulse_times(chirps: Chirps, moved: Motion) -> numpy.ndarray:
    return numpy.arange(round(moved.time_s[-1] * chirps.prf_hz)) / chirps.prf_hz


def beat(
    chirps: Chirps, moved: Motion, when: numpy.ndarray, receivers: int = 1, seed: int = 0
) -> numpy.ndarray:
    """(pulses, receivers, samples) complex64 with a wall, direct leakage and noise 20 dB below the walker."""
    rng = numpy.random.default_rng(seed)
    ranges = CubicSpline(moved.time_s, moved.range_m.T)(when)
    strength = CubicSpline(moved.time_s, (numpy.sqrt(moved.cross_section_m2) / moved.range_m**2).T)(when)
    strength = strength * numpy.exp(2j * numpy.pi * rng.random(strength.shape[1]))
    scale = numpy.sqrt((numpy.abs(strength) ** 2).sum(1).mean())
    ranges = numpy.append(ranges, numpy.broadcast_to([0.1, 5.1], (len(when), 2)), 1)
    strength = numpy.append(strength, numpy.broadcast_to([10 * scale, 10 * scale], (len(when), 2)), 1)
    signal = numpy.empty((len(when), chirps.samples), numpy.complex64)
    for sample in range(chirps.samples):
        frequency = chirps.start_hz + chirps.slope_hz_per_s * (sample + 0.5) / chirps.sample_rate_hz
        turns = 2 * frequency / speed_of_light * ranges
        signal[:, sample] = (strength * numpy.exp(2j * numpy.pi * (turns % 1))).sum(1)
    steering = numpy.exp(2j * numpy.pi * 0.13 * numpy.arange(receivers))
    noise = rng.standard_normal((len(when), receivers, chirps.samples, 2)) @ numpy.array([1, 1j])
    return (signal[:, None] * steering[:, None] + 0.1 * scale * noise).astype(numpy.complex64)


def torso_range_m(moved: Motion, when: numpy.ndarray) -> numpy.ndarray:
    torso = [index for index, part in enumerate(moved.part) if part == "torso"]
    return numpy.interp(when, moved.time_s, moved.range_m[torso].mean(0))


def torso_velocity_mps(moved: Motion, when: numpy.ndarray) -> numpy.ndarray:
    return numpy.interp(when, moved.time_s, moved.torso_velocity_mps)
