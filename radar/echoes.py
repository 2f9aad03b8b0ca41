"""Complex radar echoes (I/Q) of moving scatterers, simulated.

Radial velocity is positive towards the radar; SI units. The phase of an echo from range R is
-4 pi R / wavelength (V. C. Chen, The Micro-Doppler Effect in Radar, 2011, chapter 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy
from scipy.constants import speed_of_light
from scipy.interpolate import CubicSpline
from scipy.signal import lfilter

VELOCITY_SPAN_MPS = 6.4  # 128 bins of 5 cm/s
BURST_S = 0.04
KNOT_S = 0.01  # amplitudes change linearly between knots this far apart
KNOTS_AT_ONCE = 64  # keeps the work of a block in the processor's cache


@dataclass(frozen=True)
class Radar:
    """A continuous-wave (or one-range-cell) radar; levels in dB are powers relative to the mean echo power.

    prf_hz               samples a second; 0: what makes the unambiguous velocities span 6.4 m/s
    looks                receive channels or range cells whose powers are summed; every scatterer has its own
                         phase in each
    noise_db, clutter_db thermal noise and the echo of static objects; -inf for none
    scintillation_s      decorrelation time of the fluctuating part of a scatterer's amplitude (at least 10 ms
                         are resolved), and that part's share of its power
    bursts_per_s         interference: noise of all velocities for BURST_S, its level in dB drawn evenly from
                         the 30 dB below `burst_db`
    """

    carrier_hz: float = 77e9
    prf_hz: float = 0.0
    looks: int = 4
    noise_db: float = -25.0
    clutter_db: float = 20.0
    scintillation_s: float = 0.03
    scintillation_share: float = 0.7
    bursts_per_s: float = 0.3
    burst_db: float = 0.0

    def __post_init__(self) -> None:
        if not self.prf_hz:
            object.__setattr__(self, "prf_hz", 2 * VELOCITY_SPAN_MPS / self.wavelength_m)

    @property
    def wavelength_m(self) -> float:
        return speed_of_light / self.carrier_hz


def iq_signal(
    range_m: numpy.ndarray,
    cross_section_m2: numpy.ndarray,
    sample_rate_hz: float,
    radar: Radar,
    rng: numpy.random.Generator,
) -> numpy.ndarray:
    """Echo (looks, P) complex64, at the radar's PRF, of S scatterers given over time, each (S, T).

    Amplitudes follow the radar equation, sqrt(cross section) / range², so that 1 m² at 1 m has power 1.
    Ranges are interpolated by cubic splines; their phase is taken modulo a turn in float64, the exponential
    in float32.
    """
    num_samples = int(round((range_m.shape[1] - 1) / sample_rate_hz * radar.prf_hz, 6)) + 1
    block = max(1, round(KNOT_S * radar.prf_hz))
    num_blocks = -(-num_samples // block)
    seconds = numpy.arange(range_m.shape[1]) / sample_rate_hz
    turns = CubicSpline(seconds, (-2 / radar.wavelength_m * range_m).T)
    knots = numpy.arange(num_blocks + 1) * block / radar.prf_hz
    amplitude = CubicSpline(seconds, (numpy.sqrt(cross_section_m2) / range_m**2).T)(knots)
    gains = _gains(amplitude.clip(0), block / radar.prf_hz, radar, rng)
    ramp = (numpy.arange(block, dtype=numpy.float32) / block)[:, None]
    echo = numpy.empty((num_blocks, block, radar.looks), numpy.complex64)
    for first in range(0, num_blocks, KNOTS_AT_ONCE):
        part = slice(first, min(first + KNOTS_AT_ONCE, num_blocks))
        samples = numpy.arange(part.start * block, part.stop * block) / radar.prf_hz
        phasors = _phasors(turns(samples)).reshape(-1, block, range_m.shape[0])
        before, after = phasors @ gains[part], phasors @ gains[part.start + 1 : part.stop + 1]
        echo[part] = before + ramp * (after - before)
    echo = numpy.ascontiguousarray(echo.reshape(-1, radar.looks)[:num_samples].T)
    return _disturbed(echo, radar, rng)


def _phasors(turns: numpy.ndarray) -> numpy.ndarray:
    angle = (2 * numpy.pi * (turns - numpy.rint(turns))).astype(numpy.float32)
    phasors = numpy.empty(turns.shape, numpy.complex64)
    phasors.real, phasors.imag = numpy.cos(angle), numpy.sin(angle)
    return phasors


def _gains(
    amplitude: numpy.ndarray, knot_s: float, radar: Radar, rng: numpy.random.Generator
) -> numpy.ndarray:
    """Complex amplitudes (knots, S, looks): a steady phasor mixed with a Gaussian AR(1) process.

    This is a Rician fluctuation with an exponential correlation; both parts have the mean power of
    `amplitude` (knots, S).
    """
    knots, scatterers = amplitude.shape
    steady = numpy.exp(2j * numpy.pi * rng.random((scatterers, radar.looks)))
    drive = _complex_normal(rng, (knots, scatterers, radar.looks))
    memory = math.exp(-knot_s / radar.scintillation_s)
    drive[1:] *= math.sqrt(1 - memory**2)  # the first one starts the process at its lasting variance
    fluctuating = lfilter([1.0], [1.0, -memory], drive, axis=0)
    share = radar.scintillation_share
    mixed = math.sqrt(1 - share) * steady + math.sqrt(share) * fluctuating
    return (amplitude[:, :, None] * mixed).astype(numpy.complex64)


def _disturbed(echo: numpy.ndarray, radar: Radar, rng: numpy.random.Generator) -> numpy.ndarray:
    """`echo` (looks, P) with static clutter, thermal noise and bursts."""
    looks, num_samples = echo.shape
    rms = math.sqrt(numpy.mean(numpy.abs(echo) ** 2))
    noise, clutter, burst = (
        rms * 10 ** (level / 20) for level in (radar.noise_db, radar.clutter_db, radar.burst_db)
    )
    static = clutter * numpy.exp(2j * numpy.pi * rng.random((looks, 1)))
    echo = echo + static.astype(numpy.complex64) + noise * _complex_normal(rng, echo.shape)
    for first in rng.integers(num_samples, size=rng.poisson(radar.bursts_per_s * num_samples / radar.prf_hz)):
        hit = echo[:, first : first + max(1, round(BURST_S * radar.prf_hz))]
        hit += burst * 10 ** rng.uniform(-1.5, 0) * _complex_normal(rng, hit.shape)
    return echo


def _complex_normal(rng: numpy.random.Generator, shape: tuple[int, ...]) -> numpy.ndarray:
    """Circular complex64 normals of mean power 1."""
    pairs = rng.standard_normal((*shape, 2), dtype=numpy.float32) * numpy.float32(math.sqrt(0.5))
    return pairs.view(numpy.complex64)[..., 0]
