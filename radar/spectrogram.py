"""The Doppler spectrogram of complex radar echoes (I/Q), simulated or measured, and images of it.

Radial velocity is positive towards the radar; the velocity axis ascends; SI units. A Doppler frequency is
2 v / wavelength (V. C. Chen, The Micro-Doppler Effect in Radar, 2011, chapter 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy
from PIL import Image
from scipy.constants import speed_of_light
from scipy.ndimage import uniform_filter1d
from scipy.signal import ShortTimeFFT, get_window

from configs.errors import UserError
from radar.colormap import to_rgb

FRAMES, HOP, SIZE = 55, 14, 256  # of an image, to its neighbour, and its pixels
CANVAS = 8  # pixels of the canvas for each cell, both ways
LEAST_BURST = 16  # pulses
LEAST_WINDOW = 4  # pulses; fewer tell hardly any velocities apart
FINEST_MPS, FASTEST_MPS = 1e-3, 1e4  # beyond lie slips of units, for which no memory suffices


@dataclass(frozen=True, eq=False)
class Spectrogram:
    """power_db (V, T) float32, time_s (T,) at the middle of each frame, velocity_mps (V,) ascending."""

    power_db: numpy.ndarray
    time_s: numpy.ndarray
    velocity_mps: numpy.ndarray

    @property
    def frames_per_s(self) -> float:
        """Frames a second: what moves faster than half of it cannot be seen in time."""
        return 1 / float(self.time_s[1] - self.time_s[0])

    @property
    def edges(self) -> dict[str, float]:
        """Where an image of it begins and ends, half a cell beyond the outermost middles: s and m/s."""
        names, ends = ("start_s", "end_s", "lowest_mps", "highest_mps"), []
        for axis in (self.time_s, self.velocity_mps):
            half = (axis[1] - axis[0]) / 2
            ends += [float(axis[0] - half), float(axis[-1] + half)]
        return dict(zip(names, ends))


def remove_clutter(iq: numpy.ndarray, prf_hz: float, width_s: float = 0.5) -> numpy.ndarray:
    """`iq` (..., P) less its moving mean over `width_s`: a high-pass that passes 1/width_s fully.

    At 77 GHz half a second takes away velocities below 4 mm/s, at 5.8 GHz below 5 cm/s. A width of the
    signal's length or more takes its mean.
    """
    width = round(width_s * prf_hz)
    if width >= iq.shape[-1]:
        return iq - iq.mean(-1, keepdims=True)
    return iq - uniform_filter1d(iq, max(1, width), axis=-1, mode="mirror")


# Spectrogram


def spectrogram(
    iq: numpy.ndarray,
    carrier_hz: float,
    prf_hz: float,
    window_s: float | None = None,
    num_bins: int = 128,
    frames_per_second: float = 26.0,
    velocity_range: tuple[float, float] | None = None,
) -> Spectrogram:
    """Power over time and radial velocity of `iq` (P,) or (looks, P), summed over looks, in dB.

    A steady echo of power p has 10 log10 p at its velocity. Frames lie a whole number of samples apart, as
    near to `frames_per_second` as that allows; only frames whose window lies within the signal are kept.

    window_s        None: sqrt(wavelength / 2.56 m/s²), 39 ms at 77 GHz, where the resolution of velocity,
                    wavelength / (2 window), equals the torso's change of velocity within the window; at most
                    the transform's length
    velocity_range  lowest and highest velocity in m/s of the `num_bins` bins; None: the whole unambiguous
                    interval around 0. It need not be symmetric: what is beyond the unambiguous velocities
                    wraps around

    UserError: a range wider than the unambiguous one, a window longer than the transform, or a signal
    shorter than the window.
    """
    bins, length, velocity_mps = _velocity_bins(carrier_hz, prf_hz, num_bins, velocity_range)
    samples = _window_samples(iq.shape[-1], length, prf_hz, carrier_hz, window_s)
    hop = max(1, round(prf_hz / frames_per_second))
    transform = ShortTimeFFT(
        get_window("blackman", samples), hop, prf_hz, fft_mode="twosided", mfft=length, scale_to="magnitude"
    )
    frames = slice(-(-transform.m_num_mid // hop), transform.upper_border_begin(iq.shape[-1])[1])
    if frames.stop - frames.start < 2:
        raise UserError(
            f"frames_per_second {frames_per_second:g}: a recording of {iq.shape[-1] / prf_hz:.3g} s has "
            "fewer than two such frames; expected more a second"
        )
    power = numpy.zeros((num_bins, frames.stop - frames.start))
    for look in numpy.atleast_2d(iq):  # one after the other: many looks of a long signal would not fit
        spectrum = transform.stft(look, p0=frames.start, p1=frames.stop)[bins]
        power += spectrum.real**2 + spectrum.imag**2
    return Spectrogram(_decibels(power), numpy.arange(frames.start, frames.stop) * hop / prf_hz, velocity_mps)


def burst_spectrogram(
    iq: numpy.ndarray,
    carrier_hz: float,
    prf_hz: float,
    period_s: float,
    num_bins: int = 128,
    velocity_range: tuple[float, float] | None = None,
) -> Spectrogram:
    """As `spectrogram`, with one frame for each burst of `iq` (bursts, P) or (looks, bursts, P).

    The window is the burst; there are `num_bins` velocities, or more where it tells more apart. UserError: as
    `spectrogram`.
    """
    pulses = iq.shape[-1]
    bins, length, velocity_mps = _velocity_bins(carrier_hz, prf_hz, num_bins, velocity_range)
    if pulses > length:
        num_bins = math.ceil(num_bins * pulses / (length - 1))
        bins, length, velocity_mps = _velocity_bins(carrier_hz, prf_hz, num_bins, velocity_range)
    if pulses < LEAST_BURST:
        raise UserError(
            f"a burst of {pulses} pulses tells as many velocities apart, too few: expected "
            f"{LEAST_BURST} or more; record longer bursts, or give the true number by --burst_samples"
        )
    taper = get_window("blackman", pulses)
    spectrum = numpy.fft.fft(iq * (taper / taper.sum()), length)[..., bins]
    power = (spectrum.real**2 + spectrum.imag**2).reshape(-1, *spectrum.shape[-2:]).sum(0)
    time_s = numpy.arange(iq.shape[-2]) * period_s + (pulses - 1) / 2 / prf_hz
    return Spectrogram(_decibels(power.T), time_s, velocity_mps)


def _velocity_bins(
    carrier_hz: float, prf_hz: float, num_bins: int, velocity_range: tuple[float, float] | None
) -> tuple[numpy.ndarray, int, numpy.ndarray]:
    """Bins of a transform, its length, and their velocities."""
    span = prf_hz * speed_of_light / carrier_hz / 2
    low, high = velocity_range or (-span / 2, span / 2)
    if not 0 < high - low <= span * (1 + 0.5 / num_bins):
        raise UserError(
            f"velocity_range {low:g} to {high:g} m/s: expected more than 0 and at most the "
            f"{span:g} m/s that a PRF of {prf_hz:g} Hz at {carrier_hz:g} Hz tells apart; give two velocities "
            "no farther apart by --velocity_range"
        )
    if (high - low) / num_bins < FINEST_MPS:
        raise UserError(
            f"velocity_range {low:g} to {high:g} m/s: {num_bins} bins would be finer than "
            f"{FINEST_MPS:g} m/s; expected {num_bins * FINEST_MPS:g} m/s or more"
        )
    if max(abs(low), abs(high)) > FASTEST_MPS:
        raise UserError(
            f"velocity_range {low:g} to {high:g} m/s: nobody moves at more than {FASTEST_MPS:g} "
            "m/s; expected what a walker shows, like -2 5"
        )
    length = round(num_bins * span / (high - low))
    bins = round(low / span * length) + numpy.arange(num_bins)
    return bins % length, length, bins * span / length


def _decibels(power: numpy.ndarray) -> numpy.ndarray:
    return (10 * numpy.log10(numpy.maximum(power, numpy.finfo(numpy.float32).tiny))).astype(numpy.float32)


def _window_samples(
    signal: int, length: int, prf_hz: float, carrier_hz: float, window_s: float | None
) -> int:
    if window_s is None:
        samples = min(length, round(math.sqrt(speed_of_light / carrier_hz / 2.56) * prf_hz))
    else:
        samples = max(1, round(window_s * prf_hz))
    if samples < LEAST_WINDOW:
        raise UserError(
            f"a window of {samples} pulses at a PRF of {prf_hz:g} Hz tells hardly any velocities apart; "
            f"expected {LEAST_WINDOW} or more: --window_s {LEAST_WINDOW / prf_hz:.2g}"
        )
    if samples > length:
        raise UserError(
            f"window_s {window_s:g}: expected at most the transform's {length / prf_hz:g} s; "
            "give a smaller --window_s, or a narrower --velocity_range"
        )
    if samples > signal:
        raise UserError(
            f"the signal has {signal} samples, a window needs {samples}: expected at least one "
            "window; give a longer recording or a smaller --window_s"
        )
    return samples


def hop_of(frames: int) -> int:
    """Frames from one window of so many to the next, which shares three quarters with it."""
    return max(1, round(HOP * frames / FRAMES))


def windows(spectrogram: Spectrogram, frames: int = FRAMES) -> list[Spectrogram]:
    """Sliding windows of `frames` frames, `hop_of` them apart; UserError when not even one fits."""
    total = spectrogram.power_db.shape[1]
    if total < frames:
        raise UserError(
            f"the recording has {total} frames, an image needs {frames}: give a longer recording, "
            f"--frames {total}, or more --frames_per_second"
        )
    cuts = [slice(first, first + frames) for first in range(0, total - frames + 1, hop_of(frames))]
    return [
        Spectrogram(spectrogram.power_db[:, cut], spectrogram.time_s[cut], spectrogram.velocity_mps)
        for cut in cuts
    ]


# Images


def to_unit(
    power_db: numpy.ndarray, dynamic_range_db: float = 30.0, percentile: float = 100.0
) -> numpy.ndarray:
    """[peak - dynamic range, peak] to [0, 1], clipped; the peak is a percentile of `power_db`.

    Give one image for a scale of its own, or a recording (and a percentile like 99.9) for a common one.
    """
    peak = numpy.percentile(power_db, percentile)
    return numpy.clip(1 + (power_db - peak) / dynamic_range_db, 0, 1).astype(numpy.float32)


def to_image(
    unit: numpy.ndarray, colour_map: str = "jet", resampling: Image.Resampling = Image.Resampling.NEAREST
) -> Image.Image:
    """(V, T) in [0, 1] to a 256 x 256 RGB image, time to the right, velocity upwards.

    Cells become blocks (or, with another `resampling`, a smooth surface) on a fine canvas, which is then
    scaled down, as plotting libraries do: edges of cells fall between pixels and are blended there.
    """
    cells = Image.fromarray(to_rgb(unit[::-1], colour_map))
    canvas = cells.resize((CANVAS * cells.width, CANVAS * cells.height), resampling)
    return canvas.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
