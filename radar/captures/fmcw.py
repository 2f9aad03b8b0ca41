"""Range of frequency-modulated radars: which cells hold the walker, and the slow time of a gate that follows.

A chirp's beat is exp(+i (2 pi k n / N + 4 pi R / wavelength)) of sample n for an echo in range cell k = R /
step (M. A. Richards, Principles of Modern Radar, 2010, chapter 8). Phases are taken at the middle of the
samples, where neighbouring cells agree, so that the wavelength is the one of the sampled part's centre and a
gate may lie between cells. Two passes over blocks of a cube that may be larger than memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy
import scipy.fft
from scipy.ndimage import gaussian_filter1d

from configs.errors import UserError
from radar.captures.layout import to_order
from radar.kinematics import torso_bins

ORDER = ("frames", "chirps", "transmitters", "receivers", "samples")
BLOCK_BYTES = 32 * 2**20
STEP_S, LEAST_STEP = 0.05, 8  # of the range map: a walker moves 10 cm and turns the phase many times
SMOOTH_S = 0.2  # the torso's range has nothing faster that is not noise
GATE_M, GATE_CELLS, MOST_CELLS = 1.6, 8, 32
CLEAR_CELLS = 3.0  # range that must change before it may decide the sign of velocity


class Cube(Protocol):
    """Samples with the axes of ORDER; `block` gives some frames and chirps of them as numbers. `is_range`:
    they were made of range cells.
    """

    shape: tuple[int, ...]
    is_range: bool

    def block(self, frames: slice, chirps: slice) -> numpy.ndarray: ...


class ArrayCube:
    """A cube in memory or a memory-mapped file: (complex,), (I, Q) or (real,) parts with named axes.

    Range cells become samples by an inverse transform, their phases referred to the middle as above by the
    mean step of phase from cell to cell, which depends on who made the cells.
    """

    def __init__(self, parts: Sequence[Any], axes: Sequence[str]) -> None:
        self.pair = axes.index("iq") if "iq" in axes else None
        names = {"pulses": "chirps", "bursts": "frames", "ranges": "samples"}
        if "chirps" not in axes and "pulses" not in axes:  # one chirp a frame
            names |= {"frames": "chirps"}
        self.axes = [names.get(name, name) for name in axes if name != "iq"]
        if len(set(self.axes)) < len(self.axes):
            raise UserError(f"--layout {','.join(axes)}: two axes of one kind; name one of them otherwise")
        if self.pair is not None:
            parts = [
                parts[0].take(index, self.pair)
                if "ranges" in axes
                else parts[0][(slice(None),) * self.pair + (index,)]
                for index in (0, 1)
            ]
        self.parts = [to_order(part, self.axes, ORDER) for part in parts]
        self.shape = self.parts[0].shape
        self.is_range = "ranges" in axes
        self.step: float | None = None
        if self.is_range and self.block(slice(0, 1), slice(0, 1)).dtype.kind != "c":
            raise UserError(
                "range cells without phase hold no velocity; expected complex ones: export them so"
            )
        if self.is_range:
            self.step = self._phase_step()

    def block(self, frames: slice, chirps: slice) -> numpy.ndarray:
        parts = [part[frames, chirps] for part in self.parts]
        if len(parts) == 2:
            values: Any = numpy.empty(parts[0].shape, numpy.complex64)
            values.real, values.imag = parts[0], parts[1]
        else:
            values = numpy.asarray(parts[0], numpy.complex64 if parts[0].dtype.kind == "c" else numpy.float32)
        if not self.is_range or self.step is None:
            return values
        turn = numpy.exp(-1j * self.step * numpy.arange(values.shape[-1]))
        turned = values * numpy.asarray(turn, numpy.complex64)
        return scipy.fft.fftshift(scipy.fft.ifft(turned, axis=-1), axes=-1)

    def _phase_step(self) -> float:
        """Mean step of the phase of what moves from one cell to the next."""
        some = self.block(slice(0, 256), slice(0, 4096))
        some = some - some.mean((0, 1))
        return float(numpy.angle((some[..., 1:] * some[..., :-1].conj()).sum()))


class Followed(NamedTuple):
    """(receivers, cells, bursts, pulses) complex64, and the gate's middle in cells at every pulse."""

    iq: numpy.ndarray
    cells: numpy.ndarray


def follow(
    cube: Cube,
    prf_hz: float,
    bursts: tuple[int, int],
    period_s: float | None,
    range_step_m: float | None,
    cells: int | None,
    notes: list[str],
) -> Followed:
    """The slow time of a gate of range cells around the walker, who is the strongest smooth track of what
    moves.

    `bursts` (bursts, pulses) divides the cube's frames and chirps, `period_s` apart. UserError: an echo of
    nothing that moves, samples that are missing.
    """
    count, length = bursts
    when = numpy.arange(count * length) / prf_hz
    if count > 1 and period_s is not None:
        when += numpy.repeat(numpy.arange(count) * (period_s - length / prf_hz), length)
    step = length if count > 1 else min(length, max(LEAST_STEP, round(STEP_S * prf_hz)))
    power, middles, mean = _range_map(cube, step)
    track = _track(power, when[middles])
    gate = cells or (GATE_CELLS if range_step_m is None else math.ceil(GATE_M / range_step_m))
    gate = min(gate, cells or MOST_CELLS, power.shape[1])
    at = numpy.interp(when, when[middles], track)
    iq = _gated(cube, at, gate, mean)
    iq = iq if cube.is_range else iq.conj()  # a beat turns forward when the echo recedes
    iq = _sign_of_range(iq, at, when, notes)
    notes.append(
        f"walker in range cells {track.min():.1f} to {track.max():.1f} of {power.shape[1]}"
        + (
            f", {track.min() * range_step_m:.2f} to {track.max() * range_step_m:.2f} m"
            if range_step_m
            else ""
        )
        + f"; a gate of {gate} follows"
    )
    return Followed(iq.reshape(iq.shape[0], gate, count, length), at)


def _blocks(cube: Cube, step: int) -> Iterator[tuple[int, numpy.ndarray]]:
    """First pulse and (pulses, transmitters, receivers, samples) of blocks of whole steps."""
    frames, chirps = cube.shape[:2]
    most = max(step, BLOCK_BYTES // (8 * math.prod(cube.shape[2:])) // step * step)
    if frames > 1 and chirps <= most:
        several = max(1, most // chirps // max(1, step // chirps) * max(1, step // chirps))
        for first in range(0, frames, several):
            yield first * chirps, _flat(cube.block(slice(first, first + several), slice(None)))
        return
    for frame in range(frames):
        for first in range(0, chirps, most):
            part = cube.block(slice(frame, frame + 1), slice(first, first + most))
            yield frame * chirps + first, _flat(part)


def _flat(block: numpy.ndarray) -> numpy.ndarray:
    return block.reshape(-1, *block.shape[2:])


def _range_map(cube: Cube, step: int) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Power (T, R) of what moves within each step, the pulse in its middle, and the mean chirp."""
    window = numpy.hanning(cube.shape[-1] + 2)[1:-1].astype(numpy.float32)
    rows, middles, pulses = [], [], 0
    total: Any = 0.0
    for first, block in _blocks(cube, step):
        if not numpy.isfinite(block).all():
            raise UserError("expected finite samples; record or export it again")
        heard = numpy.asarray(block.any(axis=(1, 3)))
        empty = numpy.flatnonzero(~heard.all(1))
        if empty.size:
            raise UserError(
                f"chirp {first + empty[0]} holds zeros only: packets were lost; record it again, "
                "or cut the file there"
            )
        total = total + block.sum(0, dtype=numpy.complex128)
        pulses += len(block)
        for start in range(0, max(1, len(block) - step // 2), step):
            part = block[start : start + step]
            moving = (part - part.mean(0)) * window
            profile = scipy.fft.fft(moving, axis=-1, workers=-1)
            rows.append((profile.real**2 + profile.imag**2).sum((0, 1, 2)))
            middles.append(first + start + (len(part) - 1) // 2)
    power = numpy.array(rows)
    if not numpy.iscomplexobj(block):
        power = power[:, : cube.shape[-1] // 2]
    mean = (total / pulses).astype(numpy.complex64)
    return power, numpy.array(middles), mean if numpy.iscomplexobj(block) else mean.real


def _track(power: numpy.ndarray, when: numpy.ndarray) -> numpy.ndarray:
    """(T,) range in cells of the strongest smooth ridge of (T, R)."""
    power_db = 10 * numpy.log10(power.T + numpy.finfo(numpy.float32).tiny)
    floor, peak = numpy.percentile(power_db, (50, 99.9))
    if peak - floor < 3:
        raise UserError(
            f"nothing in it moves: no range cell is more than {peak - floor:.1f} dB above the others; give "
            "another --layout or --cfg if somebody walks there"
        )
    track = torso_bins(numpy.clip((power_db - floor) / (peak - floor), 0, 1.2))
    if len(track) < 3:
        return track
    return gaussian_filter1d(track, SMOOTH_S / float(numpy.median(numpy.diff(when))), mode="nearest")


def _gated(cube: Cube, at: numpy.ndarray, gate: int, mean: numpy.ndarray) -> numpy.ndarray:
    """(transmitters * receivers, gate, pulses) complex64 of the cells around `at`, which moves."""
    samples = cube.shape[-1]
    middle = samples // 2 if cube.is_range else (samples - 1) / 2
    place = (numpy.arange(samples) - middle) / samples
    offsets = numpy.arange(gate) - (gate - 1) / 2
    window = numpy.hanning(samples + 2)[1:-1]
    steering = window[:, None] * numpy.exp(-2j * numpy.pi * place[:, None] * offsets)
    iq = numpy.empty((math.prod(cube.shape[2:4]), gate, len(at)), numpy.complex64)
    for first, block in _blocks(cube, 1):
        turns = numpy.multiply.outer(at[first : first + len(block)], place)
        turned = numpy.exp(-2j * numpy.pi * turns).astype(numpy.complex64)[:, None, None]
        cells = ((block - mean) * turned).reshape(-1, samples) @ steering.astype(numpy.complex64)
        iq[..., first : first + len(block)] = cells.reshape(len(block), -1, gate).transpose(1, 2, 0)
    return iq


def _sign_of_range(
    iq: numpy.ndarray, at: numpy.ndarray, when: numpy.ndarray, notes: list[str]
) -> numpy.ndarray:
    """`iq` whose Doppler shift is positive when the range falls; mirrored, and told, where it was not."""
    if numpy.ptp(at) < CLEAR_CELLS:
        return iq
    turn = (iq[..., 1:] * iq[..., :-1].conj()).sum((0, 1))
    towards = -numpy.diff(at) / numpy.maximum(numpy.diff(when), 1e-12)
    agree = float((numpy.angle(turn) * numpy.abs(turn) * towards).sum())
    if agree >= 0:
        return iq
    notes.append("velocities were mirrored: range and Doppler shift disagreed on the direction")
    return iq.conj()
