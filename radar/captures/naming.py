"""What the arrays of a file are, by their names: I and Q, axes of time, numbers that describe the radar."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy
from scipy.constants import speed_of_light

from configs.errors import UserError
from radar.captures.contract import Facts, NoCapture

# Names of the two parts, each pair with the real one first; "r", "i" is HDF5's habit.
PARTS = (
    ("i", "q"),
    ("real", "imag"),
    ("re", "im"),
    ("r", "i"),
    ("inphase", "quadrature"),
    ("inphase", "quad"),
    ("real", "imaginary"),
)
CARRIER = {
    "fc",
    "f0",
    "carrier",
    "carrierfrequency",
    "carrierfreq",
    "centerfrequency",
    "centrefrequency",
    "centerfreq",
    "centrefreq",
    "radarfrequency",
    "radarfreq",
    "fcarrier",
}
RATE = {"fs", "sr", "samplerate", "samplingrate", "samplefrequency", "samplingfrequency", "samplingfreq"}
PRF = {"prf", "pulserate", "pulserepetitionfrequency", "chirprate", "slowtimerate", "fslow"}
INTERVAL = {"pri", "prt", "pulserepetitioninterval", "chirpperiod", "chirpinterval"}
BANDWIDTH = {"bandwidth", "sweepbandwidth", "chirpbandwidth", "bw"}
TIME = {"t", "time", "times", "timestamp", "timestamps", "seconds", "slowtime"}
VELOCITY = {"v", "velocity", "velocities", "speed", "speeds"}
HERTZ = (("ghz", 1e9), ("mhz", 1e6), ("khz", 1e3), ("hz", 1.0), ("", 1.0))
SECOND = (("us", 1e-6), ("ms", 1e-3), ("sec", 1.0), ("s", 1.0), ("", 1.0))
SPEED = (("mps", 1.0), ("", 1.0))
Units = tuple[tuple[str, float], ...]  # what a name may end on, and how large it is


def listing(words: Iterable[str], most: int = 8) -> str:
    """Comma-separated, the first few of many."""
    words = [str(word) for word in words]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def find_signal(arrays: Mapping[str, Any], variable: str | None = None) -> tuple[str, tuple[Any, ...]]:
    """Name and parts of the one array that can be the recording: (complex,), (I, Q) or (real,).

    Complex arrays come first, then I and Q by their names, then real arrays that stand alone. `variable`
    names the array, or I and Q ("ch1,ch2"), which may be fields of a record. UserError: several, or no such
    variable; NoCapture: none.
    """
    arrays = {
        name: array for name, array in arrays.items() if size(array) > 1 and array.dtype.kind in "fiucV"
    }
    if variable and "," in variable:
        return variable, tuple(_chosen(arrays, part.strip()) for part in variable.split(",", 1))
    chosen = {name: array for name, array in arrays.items() if variable in (None, name, leaf(name))}
    if not chosen:
        if variable is None:
            raise NoCapture("holds no array of numbers; expected I/Q")
        held = (
            f"it holds {described(arrays)}: name one of these" if arrays else "it holds no array of numbers"
        )
        raise UserError(f"no variable {variable!r}; {held}")
    signals = complexes(chosen) | pairs(chosen)
    if not signals:
        signals = {
            name: (array,)
            for name, array in chosen.items()
            if array.dtype.kind in "fiu" and not is_axis(name)
        }
    if not signals:
        raise UserError(
            f"nothing in it is I/Q by its name: {described(arrays)}; expected complex numbers, "
            "or parts called I and Q or real and imag; --variable a,b takes a as I, b as Q"
        )
    if len(signals) > 1:
        raise UserError(
            f"several arrays may be the recording: {listing(signals)}; choose with --variable, or name "
            "I and Q by --variable a,b"
        )
    return next(iter(signals.items()))


def _chosen(arrays: Mapping[str, Any], part: str) -> Any:
    """The real array, or field of a record, of this name; UserError: none, or several."""
    fields = {
        f"{name}.{field}": array[field] for name, array in arrays.items() for field in array.dtype.names or ()
    }
    every = {name: array for name, array in {**arrays, **fields}.items() if array.dtype.kind in "fiu"}
    matches = [array for name, array in every.items() if part in (name, leaf(name))]
    if len(matches) != 1:
        raise UserError(
            f"{'several variables' if matches else 'no real variable'} {part!r}; it holds {described(every)}"
            ": name two of these, as --variable I,Q"
        )
    return matches[0]


def complexes(arrays: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Complex arrays, and records whose fields are called like the parts of complex numbers."""
    signals: dict[str, tuple[Any, ...]] = {
        name: (array,) for name, array in arrays.items() if array.dtype.kind == "c"
    }
    for name, array in arrays.items():
        for real, imaginary in _paired(array.dtype.names or ()):
            signals[name] = (array[real], array[imaginary])
    return signals


def pairs(arrays: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Real arrays of one shape whose names differ in the part alone: I and Q, left_re and left_im."""
    real = {name: array for name, array in arrays.items() if array.dtype.kind in "fiu"}
    return {
        f"{first}, {second}": (real[first], real[second])
        for first, second in _paired(real)
        if real[first].shape == real[second].shape
    }


def _paired(names: Iterable[str]) -> list[tuple[str, str]]:
    """(real, imaginary) among the names."""
    words = {name: _words(name) for name in names}
    return [
        (first, second)
        for real, imaginary in PARTS
        for first in words
        for second in words
        if any(
            words[first][place] == real
            and words[second] == (*words[first][:place], imaginary, *words[first][place + 1 :])
            for place in range(len(words[first]))
        )
    ]


def _words(name: str) -> tuple[str, ...]:
    """rec.leftI, rec/left_I and rec.left.i alike: ("rec", "left", "i")."""
    joined = re.sub("in.phase", "inphase", name, flags=re.IGNORECASE)
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", joined)
    return tuple(word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word)


def find_facts(arrays: Mapping[str, Any], fast_time: bool = False) -> Facts:
    """Numbers among the arrays that describe the radar, by name, with their unit in the name (fc_GHz).

    `fast_time`: the array has samples of chirps, so that a sampling rate is not the PRF.
    """
    numbers = {
        name: float(numpy.asarray(array[()] if hasattr(array, "shape") else array).ravel()[0].real)
        for name, array in arrays.items()
        if size(array) == 1 and array.dtype.kind in "fiu"
    }
    carrier, prf = _number(numbers, CARRIER, HERTZ), _number(numbers, PRF if fast_time else PRF | RATE, HERTZ)
    interval, bandwidth = _number(numbers, INTERVAL, SECOND), _number(numbers, BANDWIDTH, HERTZ)
    if prf is None and interval:
        prf = 1 / interval
    step = speed_of_light / 2 / bandwidth if bandwidth and bandwidth > 0 else None
    return Facts(carrier, prf, range_step_m=step)


def _number(numbers: Mapping[str, float], names: set[str], units: Units) -> float | None:
    known = ((value, _unit_of(name, names, units)) for name, value in numbers.items())
    return next((value * unit for value, unit in known if unit), None)


def _unit_of(name: str, names: set[str], units: Units) -> float | None:
    """The unit that stands at the end of one of `names`; None: another name."""
    plain = "".join(_words(leaf(name)))
    factors = (factor for unit, factor in units if plain.endswith(unit) and plain.removesuffix(unit) in names)
    return next(factors, None)


def find_time(arrays: Mapping[str, Any], samples: int) -> numpy.ndarray | None:
    """The time of every sample in seconds, where an array is called so."""
    return _axis(arrays, samples, TIME, SECOND)


def find_velocity(arrays: Mapping[str, Any], bins: int) -> numpy.ndarray | None:
    """The velocity of every row in m/s, where an array is called so."""
    return _axis(arrays, bins, VELOCITY, SPEED)


def _axis(arrays: Mapping[str, Any], length: int, names: set[str], units: Units) -> numpy.ndarray | None:
    for name, array in arrays.items():
        unit = _unit_of(name, names, units)
        if unit and size(array) == length and array.dtype.kind in "fiu":
            return numpy.asarray(array[()], numpy.float64).ravel() * unit
    return None


def is_axis(name: str) -> bool:
    """Whether an array's name is that of an axis of time or velocity."""
    return bool(_unit_of(name, TIME, SECOND) or _unit_of(name, VELOCITY, SPEED))


def leaf(name: str) -> str:
    return re.split(r"[./]", name)[-1]


def size(array: Any) -> int:
    return int(numpy.prod(array.shape, dtype=numpy.int64))


def described(arrays: Mapping[str, Any]) -> str:
    return listing(f"{name} {_kind(array.dtype)} {tuple(array.shape)}" for name, array in arrays.items())


def _kind(dtype: numpy.dtype) -> str:
    return f"({', '.join(dtype.names)})" if dtype.names else str(dtype)
