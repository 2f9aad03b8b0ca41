"""What every reader of captures gives, what it may be told, and the numbers that can be true of a radar.

A format's module knows bytes: it gives `Contents`, arrays by name and the facts that the file states.
`radar.captures.assembly` makes a `Capture` of them, one way for all formats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy

from configs.errors import UserError

CARRIER_HZ = (0.3e9, 300e9)  # lower ones see no limbs, higher ones are optics
PRF_HZ = (20.0, 1e6)
PERIOD_S = (1e-4, 5.0)  # of bursts: a step takes half a second


class NoCapture(UserError):
    """A file that holds no recording: a calibration, a note, a few numbers."""


@dataclass(frozen=True)
class Facts:
    """What is known of a radar in SI units; None: not stated.

    burst_samples, burst_period_s   of recordings in bursts: pulses of a burst, time from burst to burst
    range_step_m                    of neighbouring range cells
    """

    carrier_hz: float | None = None
    prf_hz: float | None = None
    burst_samples: int | None = None
    burst_period_s: float | None = None
    range_step_m: float | None = None

    def over(self, stated: Facts, notes: list[str]) -> Facts:
        """These where they are known, else what the file states; `notes` tells of contradictions."""
        merged = {}
        for item in fields(self):
            mine, other = getattr(self, item.name), getattr(stated, item.name)
            if None not in (mine, other) and abs(mine - other) > 1e-3 * abs(other):
                notes.append(f"{item.name} {mine:g} was asked for, the file states {other:g}")
            merged[item.name] = other if mine is None else mine
        return Facts(**merged)


@dataclass(frozen=True)
class Hints:
    """What the user says of files that do not say it themselves.

    facts      go before what the file states
    variable   name of the array in a file that holds several
    layout     axes of the array in order, e.g. ("frames", "chirps", "receivers", "samples"); a product
               "chirps*samples=64" is one axis of several, the last one changing fastest
    cfg        the radar's profile, for streams without a header
    folded     draw a real channel's speeds, which have no sign
    balance    estimate and remove the imbalance of I and Q
    cells      range cells of the gate that follows the walker; None: 1.6 m of them, or 8
    conjugate  swap the sign of velocities: receivers whose Q runs the other way
    velocity_mps, duration_s, scale   of a ready matrix: velocities of the first and the last row's edges, its
               length, and whether its values are "db", "power" or "amplitude"
    db_range, white   of whole numbers from 0: dB of 0 and of the largest one, which is 255, or of 16 bits
               `white`
    """

    facts: Facts = field(default_factory=Facts)
    variable: str | None = None
    layout: tuple[str, ...] = ()
    cfg: Path | None = None
    folded: bool = False
    balance: bool = True
    cells: int | None = None
    conjugate: bool = False
    velocity_mps: tuple[float, float] | None = None
    duration_s: float | None = None
    scale: str | None = None
    db_range: tuple[float, float] | None = None
    white: int = 65535


@dataclass(eq=False)
class Contents:
    """What a format's module found: arrays by name (anything with dtype, shape and slices), facts of the
    radar, and the axes where the format itself fixes them.
    """

    arrays: Mapping[str, Any]
    facts: Facts = field(default_factory=Facts)
    axes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    cube: Any = None  # radar.captures.fmcw.Cube in place of arrays: samples of chirps, read by blocks


@dataclass(frozen=True, eq=False)
class Capture:
    """One recording: `iq` complex64 (receivers, ranges, bursts, pulses).

    A continuous recording is one burst. `ranges` are the cells of a gate that follows the walker;
    `range_m` (bursts * pulses,) is where its middle lay, None without range. `folded`: a real channel, whose
    positive and negative velocities cannot be told apart. `notes` are what was concluded, for the user.
    """

    iq: numpy.ndarray
    carrier_hz: float
    prf_hz: float
    burst_period_s: float | None
    range_step_m: float | None = None
    range_m: numpy.ndarray | None = None
    folded: bool = False
    notes: tuple[str, ...] = ()

    @property
    def receivers(self) -> int:
        return self.iq.shape[0]

    @property
    def bursts(self) -> int:
        return self.iq.shape[2]

    @property
    def looks(self) -> numpy.ndarray:
        """(receivers * ranges, pulses), or (receivers * ranges, bursts, pulses) of several bursts."""
        looks = self.iq.reshape(-1, *self.iq.shape[2:])
        return looks[:, 0] if self.bursts == 1 else looks


@dataclass(frozen=True)
class Format:
    """A kind of file. `recognises` looks at the path and its first bytes, `load` reads it; in a folder it is
    sought under `suffixes`. `companions` are the files that `load` reads with it: images are drawn anew when
    one of them changes.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[Path, bytes], bool]
    load: Callable[[Path, Hints], Contents]
    companions: Callable[[Path, Hints], tuple[Path, ...]] = lambda path, hints: ()


def check_carrier(value: float | None, source: str = "") -> float:
    """The carrier in Hz; UserError with the value that was probably meant where no radar has it.

    `source` ("of the file") says whose the value is.
    """
    return _plausible(value, "--carrier", source, CARRIER_HZ, (1e9, 1e6, 1e3))


def check_prf(value: float | None, source: str = "") -> float:
    """Pulses a second; UserError as for the carrier."""
    return _plausible(value, "--prf", source, PRF_HZ, (1e3, 1e6))


def check_period(value: float) -> float:
    """Seconds from burst to burst; UserError as for the carrier."""
    return _plausible(value, "--burst_period", "", PERIOD_S, (1e-3, 1e-6), "s")


def _plausible(
    value: float | None,
    flag: str,
    source: str,
    bounds: tuple[float, float],
    slips: tuple[float, ...],
    unit: str = "Hz",
) -> float:
    expected = f"{bounds[0]:g} to {bounds[1]:g} {unit}"
    if value is None:
        raise UserError(f"the file does not state it: give {flag}, {expected}")
    if not bounds[0] <= value <= bounds[1]:
        meant = [value * slip for slip in slips if bounds[0] <= value * slip <= bounds[1]]
        hint = f"; give {flag} {meant[0]:.12g} if that was meant" if meant else ""
        raise UserError(f"{flag}{source} {value:g}: expected {expected}{hint}")
    return float(value)
