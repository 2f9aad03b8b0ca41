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

    UserError: an axis or the scale is not known, the values cannot be of this scale, or an axis is not even.
    """
    if sorted(axes) != ["times", "velocities"]:
        raise UserError(f"--layout {','.join(axes)}: a ready matrix has velocities and times")
    values = numpy.asarray(matrix, numpy.float64)
    values = values if axes[0] == "velocities" else values.T
    bins, frames = values.shape
    velocity, time_s = find_velocity(arrays, bins), find_time(arrays, frames)
    if hints.velocity_mps:
        velocity = _middles(*hints.velocity_mps, bins)
    if hints.duration_s:
        time_s = _middles(0.0, hints.duration_s, frames)
    if velocity is None or time_s is None:
        missing = "--velocity_range (of first and last row)" if velocity is None else "--duration in s"
        raise UserError(f"{bins} velocities, {frames} times, but which? give {missing}")
    if hints.scale is None:
        raise UserError(
            f"values of {values.min():.4g} to {values.max():.4g}: give --scale db, power or amplitude"
        )
    if hints.scale != "db" and values.min() < 0:
        raise UserError(
            f"--scale {hints.scale}: values down to {values.min():.4g}; expected --scale db, or 0 and more"
        )
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
            raise UserError(f"{len(axis)} {name}: expected 8 or more at even distances")
    if velocity[0] > velocity[-1]:
        velocity, values = velocity[::-1], values[::-1]
    with numpy.errstate(divide="ignore"):
        power_db = TO_DB[hints.scale](values)
    lowest = power_db[numpy.isfinite(power_db)].min()
    return Spectrogram(numpy.maximum(power_db, lowest).astype(numpy.float32), time_s, velocity)


def _middles(low: float, high: float, count: int) -> numpy.ndarray:
    """Middles of cells between two edges."""
    return low + (numpy.arange(count) + 0.5) * (high - low) / count
