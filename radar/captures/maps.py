"""Ready time-frequency matrices: power over velocity and time that somebody else has computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy

from configs.errors import UserError
from radar.captures.contract import Hints
from radar.captures.naming import find_time, find_velocity
from radar.spectrogram import Spectrogram

SLOWEST_S, FASTEST_MPS = 0.5, 50.0  # beyond, no gait is shown and nobody walks: another unit
TO_DB = {
    "db": lambda values: values,
    "power": lambda values: 10 * numpy.log10(values),
    "amplitude": lambda values: 20 * numpy.log10(values),
}


def ready_map(
    matrix: numpy.ndarray, axes: tuple[str, ...], arrays: Mapping[str, Any], hints: Hints
) -> Spectrogram:
    """`matrix` with axes velocities and times as a spectrogram in dB; its axes are in the file or told.

    UserError: an axis or the scale is not known, the values cannot be of this scale or are no numbers, or an
    axis is not even.
    """
    if sorted(axes) != ["times", "velocities"]:
        raise UserError(
            f"--layout {','.join(axes)}: a ready matrix has velocities and times; give velocities,times, or "
            "times,velocities"
        )
    values = numpy.asarray(matrix, numpy.float64)
    values = values if axes[0] == "velocities" else values.T
    bins, frames = values.shape
    velocity, time_s = find_velocity(arrays, bins), find_time(arrays, frames)
    if hints.velocity_mps:
        velocity = _middles(*hints.velocity_mps, bins)
    if hints.duration_s:
        time_s = _middles(0.0, hints.duration_s, frames)
    scale = hints.scale
    if hints.db_range:
        values, scale = _in_db(matrix.dtype, values, hints), "db"
    missing = [
        flag
        for flag, known in (
            ("--velocity_range (of the edges of first and last row)", velocity is not None),
            ("--duration in s", time_s is not None),
            (f"--scale db, power or amplitude (values of {values.min():.4g} to {values.max():.4g})", scale),
        )
        if not known
    ]
    if velocity is None or time_s is None or scale is None:
        raise UserError(
            f"{bins} velocities, {frames} times, which the file does not describe: give {', '.join(missing)}"
        )
    if scale != "db" and values.min() < 0:
        raise UserError(
            f"--scale {scale}: values down to {values.min():.4g}; expected --scale db, or 0 and more"
        )
    if hints.conjugate:
        velocity = -velocity
    _require_even(velocity, time_s)
    if velocity[0] > velocity[-1]:
        velocity, values = velocity[::-1], values[::-1]
    with numpy.errstate(divide="ignore"):
        power_db = TO_DB[scale](values)
    seen = ~numpy.isneginf(power_db)
    if not seen.any() or not numpy.isfinite(power_db[seen]).all():
        raise UserError("expected finite values that are not all without power; export it again")
    lowest = power_db[seen].min()
    return Spectrogram(numpy.maximum(power_db, lowest).astype(numpy.float32), time_s, velocity)


def _require_even(velocity: numpy.ndarray, time_s: numpy.ndarray) -> None:
    """UserError: an axis is of another unit, or not even."""
    for axis, name in ((velocity, "velocities"), (time_s, "times")):
        steps = numpy.diff(axis)
        if name == "times" and len(axis) > 1 and abs(axis[1] - axis[0]) > SLOWEST_S:
            raise UserError(
                f"times are {abs(axis[1] - axis[0]):.3g} s apart; expected up to {SLOWEST_S:g} s, because a "
                "step takes half a second: give --duration in s "
                f"({1e-3 * abs(axis[-1] - axis[0]):.3g} if these are ms)"
            )
        if name == "velocities" and abs(axis).max() > FASTEST_MPS:
            raise UserError(
                f"velocities up to {abs(axis).max():.4g} m/s; expected up to {FASTEST_MPS:g}: give those of "
                "the first and the last row in m/s by --velocity_range"
            )
        if len(axis) < 8 or not numpy.allclose(steps, steps.mean(), rtol=0.01) or not steps.mean():
            raise UserError(f"{len(axis)} {name}: expected 8 or more at even distances; export it so")


def _in_db(dtype: numpy.dtype, values: numpy.ndarray, hints: Hints) -> numpy.ndarray:
    """Whole numbers from 0 as dB of `hints.db_range`."""
    largest = {"uint8": 255, "uint16": hints.white}.get(dtype.name)
    if largest is None or hints.scale not in (None, "db") or hints.db_range is None:
        raise UserError(
            "--db_range: dB of 0 and of the largest of 8-bit or 16-bit whole numbers; values are "
            f"{dtype.name}" + f", --scale is {hints.scale}" * bool(hints.scale) + "; leave --db_range out"
        )
    low, high = hints.db_range
    return low + (high - low) * values / largest


def _middles(low: float, high: float, count: int) -> numpy.ndarray:
    """Middles of cells between two edges."""
    return low + (numpy.arange(count) + 0.5) * (high - low) / count
