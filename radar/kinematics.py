"""What a gait spectrogram says about the walk: torso line, envelopes, bandwidth, cadence, periodicity.

Envelopes follow the percentile method of van Dorp & Groen, "Feature-based human motion parameter estimation
with radar" (IET Radar, Sonar & Navigation 2, 2008); cadence is the rate of the likeliest least-squares fit of
harmonics (Quinn & Thomson, "Estimating the frequency of a periodic function", Biometrika 78, 1991), which
resolves the three to five steps of one image finer than a Fourier bin. All of it is blind to the gain and
offset of the image, and mirrors when the image is mirrored in velocity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from scipy.ndimage import correlate1d, median_filter

from radar.colormap import from_rgb

STEP_RATE_HZ = (1.0, 3.0)  # slow strolling to race walking: strides, at half the rate, fall mostly below
USUAL_STEPS_HZ = 2.0  # walks at 1.2 to 1.5 m/s take so many
LEAST_CONTRAST = 0.02  # of the unit scale: what is flatter shows nothing
EXCESS = 0.12  # of the contrast above a column's floor: what is darker counts as noise
TAIL = 0.01  # share of a column's power outside each envelope
JUMP_BINS, JUMP_COST = 8, 0.015  # largest jump of the torso between frames; cost of a jump of one bin
BINS, FRAMES = 128, 55  # to which images are averaged
LEAST_FRAMES = 16  # fewer cannot hold two steps and a harmonic fit


@dataclass(frozen=True)
class Kinematics:
    """One image's measures: lines (T,) and figures in the units of its axes; nan where nothing shows.

    `profile` (V,) is the mean over time of the brightness between the image's floor (0) and peak (1).
    """

    torso_mps: numpy.ndarray
    upper_mps: numpy.ndarray
    lower_mps: numpy.ndarray
    profile: numpy.ndarray
    torso_velocity_mps: float = math.nan
    bandwidth_mps: float = math.nan
    cadence_hz: float = math.nan
    periodicity: float = math.nan


def measure(
    power: numpy.ndarray,
    time_s: numpy.ndarray,
    velocity_mps: numpy.ndarray,
    step_range_hz: tuple[float, float] = STEP_RATE_HZ,
) -> Kinematics:
    """Kinematics of a spectrogram `power` (V, T) in [0, 1], proportional to decibels, at its native grid.

    `time_s` (T,) and `velocity_mps` (V,) ascend in equal steps. With pixels in their place the measures are
    in pixels, and `step_range_hz`, where steps are sought, is in steps per pixel of time.
    """
    power = numpy.nan_to_num(numpy.asarray(power, dtype=numpy.float64))
    bins, frames = power.shape
    assert time_s.shape == (frames,) and velocity_mps.shape == (bins,), "one axis value per row and column"
    floor, peak = numpy.percentile(power, (20, 99.5))
    if peak - floor < LEAST_CONTRAST:
        nothing = numpy.full(frames, numpy.nan)
        return Kinematics(nothing, nothing, nothing, numpy.zeros(bins))
    relative = numpy.clip((power - floor) / (peak - floor), 0.0, 1.2)
    torso, lower, upper = (
        numpy.interp(line, numpy.arange(bins), velocity_mps)
        for line in (torso_bins(relative), *envelope_bins(relative))
    )
    cadence, periodicity = cadence_of(torso, lower, upper, time_s, step_range_hz)
    figures = float(torso.mean()), finite_mean(upper - lower), cadence, periodicity
    return Kinematics(torso, upper, lower, relative.mean(axis=1), *figures)


def from_image(rgb: numpy.ndarray, axes: Sequence[float], colour_map: str = "jet") -> Kinematics:
    """Kinematics of an image (H, W, 3) uint8, time to the right, velocity upwards.

    `axes` are the velocities (m/s) at its lower and upper edge, its length (s), and where they are known the
    frames a second of which it was drawn, which bound the steps that can be told (`visible_steps`). Its
    colours are read back and averaged over the areas of a grid of BINS x FRAMES.
    """
    low, high, duration_s, *frames_per_s = axes
    unit = from_rgb(rgb, colour_map)[::-1].astype(numpy.float64)
    native = _area_weights(BINS, unit.shape[0]) @ unit @ _area_weights(FRAMES, unit.shape[1]).T
    time = (numpy.arange(FRAMES) + 0.5) * duration_s / FRAMES
    velocity = low + (numpy.arange(BINS) + 0.5) / BINS * (high - low)
    return measure(native, time, velocity, visible_steps(*frames_per_s))


def visible_steps(frames_per_s: float = math.inf) -> tuple[float, float]:
    """Steps a second that `frames_per_s` frames show together with their harmonic; an empty range where usual
    walks lie beyond them, of which a slower cadence would be told.
    """
    slowest, fastest = STEP_RATE_HZ
    highest = min(fastest, frames_per_s / 4)
    return slowest, highest if highest >= USUAL_STEPS_HZ else slowest


def torso_bins(relative: numpy.ndarray) -> numpy.ndarray:
    """(T,) fractional bins of the brightest smooth ridge of (V, T) power with its floor at 0 and peak at 1.

    Viterbi's path of most squared power less the squares of its jumps, then mean shift to the ridge's centre.
    """
    brightness = correlate1d(relative, (0.25, 0.5, 0.25), axis=0, mode="nearest") ** 2
    line = _best_path(brightness).astype(numpy.float64)
    positions = numpy.arange(relative.shape[0])[:, None]
    for _ in range(3):
        weights = relative**2 * numpy.exp(-0.5 * ((positions - line) / 1.5) ** 2)
        total = weights.sum(axis=0)
        centre = (weights * positions).sum(axis=0) / numpy.maximum(total, 1e-12)
        line = _bridged(numpy.where(total > 1e-3, centre, numpy.nan), line)
    return line


def _best_path(reward: numpy.ndarray) -> numpy.ndarray:
    """(T,) integer rows of the path through reward (V, T) with the largest sum of rewards less jump costs."""
    bins, frames = reward.shape
    reach = min(JUMP_BINS, bins - 1)
    jumps = numpy.arange(-reach, reach + 1)
    cost = JUMP_COST * jumps**2
    padded = numpy.full(bins + 2 * reach, -numpy.inf)
    within_reach = numpy.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)  # shows what it holds
    origin = numpy.empty((frames, bins), dtype=numpy.int64)
    best = reward[:, 0]
    for frame in range(1, frames):
        padded[reach : reach + bins] = best
        options = within_reach - cost
        choice = options.argmax(axis=1)
        origin[frame] = numpy.arange(bins) + jumps[choice]
        best = options[numpy.arange(bins), choice] + reward[:, frame]
    path = numpy.empty(frames, dtype=numpy.int64)
    path[-1] = best.argmax()
    for frame in range(frames - 1, 0, -1):
        path[frame - 1] = origin[frame, path[frame]]
    return path


def envelope_bins(relative: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(T,) fractional bins below and above which `TAIL` of a column's power lies; nan for a dark column.

    What counts is the power above the column's own floor, so that an interference burst, which lifts a column
    as a whole, does not widen it.
    """
    smooth = correlate1d(relative, (0.25, 0.5, 0.25), axis=0, mode="nearest")
    excess = numpy.clip(smooth - numpy.percentile(smooth, 20, axis=0) - EXCESS, 0.0, None)
    # a bin's power counts from its lower to its upper edge: half a bin beyond its centre
    cumulated = numpy.vstack([numpy.zeros(relative.shape[1]), excess.cumsum(axis=0)])
    edges = numpy.arange(len(cumulated)) - 0.5
    lines = numpy.full((2, relative.shape[1]), numpy.nan)
    for frame in numpy.flatnonzero(cumulated[-1] > EXCESS):
        shares = cumulated[:, frame] / cumulated[-1, frame]
        lines[:, frame] = numpy.interp((TAIL, 1 - TAIL), shares, edges)
    return lines[0], lines[1]


def cadence_of(
    torso: numpy.ndarray,
    lower: numpy.ndarray,
    upper: numpy.ndarray,
    time_s: numpy.ndarray,
    step_range_hz: tuple[float, float] = STEP_RATE_HZ,
) -> tuple[float, float]:
    """Steps per second and periodicity in [0, 1], from the lines (T,) of the torso and of the swinging legs.

    The legs are the envelope farther from the torso. Steps are where, within `step_range_hz`, a single
    sinusoid fits both lines and the lines repeat: a stride of two uneven steps repeats but is no single
    sinusoid, a step's harmonic may fit but does not repeat. The rate is then refined together with its
    harmonics and the stride's odd ones. Periodicity is the mean autocorrelation at the lag of one step.
    nan for both where too little is seen, and for the steps alone where nothing repeats.
    """
    if len(time_s) < LEAST_FRAMES:
        return numpy.nan, numpy.nan
    legs = upper if finite_mean(upper - torso) > finite_mean(torso - lower) else lower
    lines = [_without_trend(line) for line in (torso, legs) if numpy.isfinite(line).mean() > 0.5]
    lines = [line / line.std() for line in lines if line.std() > 1e-6]  # more than rounding
    if not lines:
        return numpy.nan, numpy.nan
    step_s = (time_s[-1] - time_s[0]) / (len(time_s) - 1)
    low = max(step_range_hz[0], 1.5 / (step_s * len(time_s)))
    high = min(step_range_hz[1], 0.25 / step_s)  # the harmonic, too, must lie below half the frame rate
    if not low < high:
        return numpy.nan, numpy.nan
    stacked = numpy.stack(lines, axis=1)
    similarity = _autocorrelation(stacked)

    def repeats(rates: numpy.ndarray) -> numpy.ndarray:
        return numpy.interp(1 / (rates * step_s), numpy.arange(len(similarity)), similarity).clip(0.0, 1.0)

    coarse = numpy.linspace(low, high, 81)
    rate = coarse[(_likelihood(stacked, step_s, coarse, (1.0,)) * repeats(coarse)).argmax()]
    near = numpy.linspace(max(low, 0.88 * rate), min(high, 1.12 * rate), 97)  # every 0.25 %
    rate = near[_likelihood(stacked, step_s, near, (0.5, 1.0, 1.5, 2.0, 3.0)).argmax()]
    periodicity = float(repeats(rate))
    return float(rate) if periodicity > 0 else numpy.nan, periodicity


def _likelihood(
    lines: numpy.ndarray, step_s: float, rates: numpy.ndarray, multiples: tuple[float, ...]
) -> numpy.ndarray:
    """(R,) log likelihoods, to scale, of lines (T, L) as a trend and sinusoids at multiples of rates (R,)."""
    ramp = numpy.linspace(-1, 1, len(lines))
    omega = 2 * numpy.pi * step_s * numpy.multiply.outer(rates, multiples)
    phase = omega[..., None] * numpy.arange(len(lines))
    trend = numpy.broadcast_to(numpy.stack([ramp**0, ramp]), (len(rates), 2, len(lines)))
    basis = numpy.concatenate([numpy.cos(phase), numpy.sin(phase), trend], axis=1)
    gram = basis @ basis.transpose(0, 2, 1) + 1e-6 * len(lines) * numpy.eye(basis.shape[1])
    projection = basis @ lines
    explained = (projection * numpy.linalg.solve(gram, projection)).sum(axis=1) / (lines**2).sum(axis=0)
    return -numpy.log(numpy.maximum(1 - explained, 1e-4)).sum(axis=1)


def _autocorrelation(lines: numpy.ndarray) -> numpy.ndarray:
    """Mean over the lines (T, L) of the correlation of a line with itself a lag later, lags 0 to 2T/3."""
    lags = range(len(lines) * 2 // 3)
    pairs = [(lines[: len(lines) - lag], lines[lag:]) for lag in lags]
    energies = [numpy.sqrt((now**2).sum(0) * (later**2).sum(0)).clip(1e-12) for now, later in pairs]
    return numpy.array([((a * b).sum(0) / e).mean() for (a, b), e in zip(pairs, energies)])


def _without_trend(line: numpy.ndarray) -> numpy.ndarray:
    """The line (T,) with its gaps bridged, single-frame outliers and straight-line trend removed."""
    frames = numpy.arange(len(line))
    calm = median_filter(_bridged(line, line), 3, mode="nearest")
    return calm - numpy.polyval(numpy.polyfit(frames, calm, 1), frames)


def _bridged(line: numpy.ndarray, otherwise: numpy.ndarray) -> numpy.ndarray:
    """The line (T,) with straight lines over its nan, or `otherwise` where it has nothing else."""
    frames, seen = numpy.arange(len(line)), numpy.isfinite(line)
    return numpy.interp(frames, frames[seen], line[seen]) if seen.any() else otherwise


def _area_weights(cells: int, pixels: int) -> numpy.ndarray:
    """(cells, pixels) weights that average `pixels` equal pixels over `cells` equal cells."""
    edges = numpy.linspace(0, pixels, cells + 1)
    first, last = edges[:-1, None], edges[1:, None]
    pixel = numpy.arange(pixels)
    overlap = numpy.minimum(last, pixel + 1) - numpy.maximum(first, pixel)
    return numpy.clip(overlap, 0, None) * cells / pixels


def finite_mean(values: numpy.ndarray) -> float:
    """Mean of what is finite; nan where nothing is."""
    finite = values[numpy.isfinite(values)]
    return float(finite.mean()) if finite.size else numpy.nan
