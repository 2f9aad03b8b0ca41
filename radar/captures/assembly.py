"""From what a file holds to a `Capture`: names, axes, facts, physics; one way for all formats."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
from scipy.ndimage import median_filter

from configs.errors import UserError
from radar.captures.balance import balanced, tell_saturation
from radar.captures.contract import (
    Capture,
    Contents,
    Facts,
    Hints,
    NoCapture,
    check_carrier,
    check_period,
    check_prf,
)
from radar.captures.fmcw import ORDER, ArrayCube, Cube, follow
from radar.captures.layout import SLOW, name_axes, slow_axes, to_order
from radar.captures.maps import ready_map
from radar.captures.naming import find_facts, find_signal, find_time
from radar.spectrogram import Spectrogram

LEAST_PULSES, LEAST_S = 128, 0.25  # fewer or shorter is a calibration or one frame, not a walk
SEAM = 4.5  # standard errors; noise reaches it once in 300,000 lengths


def assemble(path: Path, contents: Contents, hints: Hints) -> Capture | Spectrogram:
    """The one recording of a file; UserError says what is missing or wrong, and the way out."""
    notes = list(contents.notes)
    parts: tuple[Any, ...]
    axes: tuple[str, ...]
    if contents.cube is not None:
        name, parts, axes, shape = path.stem, (), ORDER, contents.cube.shape
    else:
        name, parts = find_signal(contents.arrays, hints.variable)
        is_iq = len(parts) == 2 or parts[0].dtype.kind == "c"
        if parts[0].size < LEAST_PULSES and not hints.layout:
            raise NoCapture(f"{name} holds {parts[0].size} numbers; a walk has thousands")
        axes, shape = name_axes(parts[0], hints.layout, contents.axes, is_iq)
        if hints.layout and axes == ("pulses",) and len(hints.layout) > 1:
            notes.append(f"a vector of I/Q, for which --layout {','.join(hints.layout)} is not needed")
    lengths = dict(zip(axes, shape))
    if "velocities" in lengths or "times" in lengths:
        return ready_map(parts[0].reshape(shape), axes, contents.arrays, hints)
    facts = _facts(contents, hints, lengths, notes)
    pulses = math.prod(lengths[axis] for axis in slow_axes(lengths))
    if pulses < LEAST_PULSES:
        raise NoCapture(f"{name} has {pulses} pulses; a walk has thousands")
    carrier = check_carrier(facts.carrier_hz, "" if hints.facts.carrier_hz else " of the file")
    prf = check_prf(facts.prf_hz, "" if hints.facts.prf_hz else " of the file")
    bursts = lengths.get("bursts") or (lengths.get("frames", 1) if "chirps" in lengths else 1)
    seconds = max(pulses / prf, bursts * (facts.burst_period_s or 0.0) * (bursts > 1))
    if seconds < LEAST_S:
        raise NoCapture(
            f"{pulses} pulses at {prf:g} Hz last {seconds:.3g} s; expected {LEAST_S:g} s or "
            "more, because a step takes half a second"
        )
    if "samples" in lengths or "ranges" in lengths:
        cube = contents.cube or ArrayCube([part.reshape(shape) for part in parts], axes)
        return _followed(cube, (carrier, prf), facts, hints, notes)
    iq, folded = _complex([part.reshape(shape) for part in parts], axes, hints.folded)
    iq = to_order(iq, [axis for axis in axes if axis != "iq"], ("receivers", "ranges", *SLOW))
    iq = iq.reshape(*iq.shape[:2], *_burst_shape(bursts, pulses // bursts, prf, facts))
    _check(iq, facts)
    tell_saturation(iq, notes)
    if folded and hints.conjugate:
        notes.append("one real channel, whose speeds have no sign: --conjugate not read")
    if hints.balance and not folded:
        iq = balanced(iq[:, 0], prf, notes)[:, None]
    iq = numpy.ascontiguousarray(iq.conj() if hints.conjugate else iq, numpy.complex64)
    return Capture(
        iq,
        carrier,
        prf,
        facts.burst_period_s if iq.shape[2] > 1 else None,
        facts.range_step_m,
        folded=folded,
        notes=tuple(notes),
    )


def _followed(
    cube: Cube, radar: tuple[float, float], facts: Facts, hints: Hints, notes: list[str]
) -> Capture:
    """The gate that follows the walker through the range cells of chirps; `radar` is carrier and PRF."""
    carrier, prf = radar
    frames, chirps = cube.shape[:2]
    bursts = _burst_shape(frames, chirps, prf, facts)
    period = facts.burst_period_s
    followed = follow(cube, prf, bursts, period, facts.range_step_m, hints.cells, notes)
    iq = followed.iq.conj() if hints.conjugate else followed.iq
    where = followed.cells * facts.range_step_m if facts.range_step_m else None
    return Capture(
        iq, carrier, prf, period if bursts[0] > 1 else None, facts.range_step_m, where, notes=tuple(notes)
    )


def _facts(contents: Contents, hints: Hints, lengths: Mapping[str, int], notes: list[str]) -> Facts:
    """What the user says before what the format states before what numbers and times in the file state."""
    stated = contents.facts.over(find_facts(contents.arrays, "samples" in lengths), notes)
    if len(lengths) == 1 and "pulses" in lengths:
        time_s = find_time(contents.arrays, lengths["pulses"])
        if time_s is not None:
            stated = timing(time_s).over(stated, notes)
    return hints.facts.over(stated, notes)


def timing(time_s: numpy.ndarray) -> Facts:
    """PRF, and bursts where the same pause returns, of the times of pulses; UserError: a gap."""
    steps = numpy.diff(time_s)
    step = float(numpy.median(steps))
    if not numpy.isfinite(steps).all() or step <= 0:
        raise UserError("the times do not ascend; export it again")
    late = numpy.flatnonzero(steps > 1.5 * step)
    # Means over many steps, because times are often written with few digits.
    rate = 1 / float(numpy.mean(steps[steps <= 1.5 * step]))
    if late.size == 0:
        return Facts(prf_hz=rate)
    length = int(late[0]) + 1
    period = float(time_s[length] - time_s[0])
    seams = numpy.arange(length, time_s.size, length)
    if numpy.array_equal(late + 1, seams) and numpy.allclose(
        time_s[seams], time_s[0] + period * numpy.arange(1, seams.size + 1), atol=2 * step
    ):
        return Facts(prf_hz=rate, burst_samples=length, burst_period_s=period)
    raise UserError(
        f"time jumps by {steps[late[0]]:.3g} s after sample {length} (usually {step:.3g} s): "
        "samples are missing; cut the recording there"
    )


def _complex(parts: list[Any], axes: tuple[str, ...], folded: bool) -> tuple[numpy.ndarray, bool]:
    """The samples as complex numbers, and whether they are a real channel's."""
    if len(parts) == 2:
        return numpy.asarray(parts[0], numpy.float32) + 1j * numpy.asarray(parts[1], numpy.float32), False
    array = numpy.asarray(parts[0])
    if array.dtype.kind == "c":
        return array, False
    if "iq" in axes:
        array = numpy.moveaxis(array, axes.index("iq"), -1)
        if array.shape[-1] != 2:
            raise UserError(f"--layout: the axis iq has length {array.shape[-1]}; expected 2 (I, Q)")
        return array[..., 0].astype(numpy.float32) + 1j * array[..., 1].astype(numpy.float32), False
    if not folded:
        raise UserError(
            "one real channel cannot tell approaching from receding, so no two-sided spectrogram "
            "is drawn; --folded draws its speeds"
        )
    return array.astype(numpy.complex64), True


def _burst_shape(bursts: int, pulses: int, prf: float, facts: Facts) -> tuple[int, int]:
    """(bursts, pulses) of what lies as bursts already, or was joined; one burst where no pause is."""
    length, period = facts.burst_samples, facts.burst_period_s
    if bursts > 1 and pulses == 1:  # one chirp a frame
        return 1, bursts
    if bursts > 1:
        length = pulses
    if length is None:
        if period is not None:
            raise UserError("--burst_period needs --burst_samples: how many pulses has a burst?")
        return 1, pulses
    total = bursts * pulses
    if total % length:
        raise UserError(
            f"{total} pulses are not whole bursts of {length}: the file is cut short, or another "
            "--burst_samples is true; copy it again, or give that one"
        )
    if period is None:
        raise UserError(
            f"bursts of {length} pulses: how long from one to the next? give --burst_period in s "
            f"({length / prf:.4g} when they follow without a pause)"
        )
    period = check_period(period)
    if period < length / prf * (1 - 1e-3):
        raise UserError(
            f"--burst_period {period:g}: a burst of {length} pulses at {prf:g} Hz lasts "
            f"{length / prf:.4g} s; expected as much or more"
        )
    return (1, total) if period < length / prf * (1 + 1e-3) else (total // length, length)


def _check(iq: numpy.ndarray, facts: Facts) -> None:
    """Samples that can be a recording's, and no bursts that nobody told of."""
    with numpy.errstate(over="ignore"):
        kept = numpy.asarray(iq, numpy.complex64)
    if not numpy.isfinite(kept).all() or not kept.any():
        raise UserError("expected finite samples that are not all 0; record or export it again")
    length = seam(iq) if iq.shape[2] == 1 and facts.burst_samples is None else None
    if length:
        raise UserError(
            f"the signal jumps after every {length} samples: bursts were joined, and a "
            "spectrogram over the seams draws streaks; give their length and distance in time, "
            f"--burst_samples {length} --burst_period"
        )


def seam(iq: numpy.ndarray) -> int | None:
    """Length of bursts that were joined, seen by the jumps between them; None without.

    A jump is what a straight line through the two samples before misses, relative to what it misses nearby.
    Of the lengths that divide the signal, the one whose multiples stand out most from the rest; their mean
    logarithm must lie SEAM standard errors above the usual.
    """
    signal = iq.reshape(-1, iq.shape[-1])
    signal = signal[numpy.abs(signal).var(-1).argmax()]
    missed = numpy.abs(numpy.diff(signal, 2)) + 1e-30
    excess = numpy.log(missed / numpy.maximum(median_filter(missed, 33), 1e-30)).clip(-2, 4)
    excess = (excess - excess.mean()) / max(float(excess.std()), 1e-30)
    scores = {
        length: excess[length - 2 :: length].mean() * math.sqrt(signal.size // length - 1)
        for length in range(16, min(4096, signal.size // 7) + 1)
        if signal.size % length == 0
    }
    best = max(scores, key=scores.__getitem__, default=None)
    return best if best and scores[best] > SEAM else None
