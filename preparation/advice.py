"""What all recordings say together: notes that many share, velocities of the wrong sign, days to hold out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy

from radar.spectrogram import Spectrogram

OF_ONE_RECORDING = ("file", "person", "condition", "recording")  # columns of labels.csv
SHOWN = 3  # notes of one kind that are told in full
CLEAR_RISE_DB = 3.0  # from the first to the last third of a window
SLOWEST_MPS = 0.2  # of a walker whose direction is beyond doubt
LEAST_RECORDINGS, MAJORITY = 5, 0.8  # which must agree before a sign is doubted


def grouped(notes: Iterable[tuple[str, str]]) -> list[str]:
    """Lines for notes (whose, what), a few of each kind: what they say before the first number or colon."""
    kinds: dict[str, list[str]] = {}
    for whose, note in notes:
        kinds.setdefault(re.split(r"[:\d]", note)[0].strip(), []).append(f"{whose}: {note}")
    lines = []
    for kind, alike in kinds.items():
        more = len(alike) - SHOWN
        lines += alike[:SHOWN]
        lines += [f"and {more} more such notes ({kind})"] if more > 0 else []
    return lines


def direction(windows: Sequence[Spectrogram]) -> int:
    """1 where the echo grows as the walker comes or fades as he goes, -1 where it is the other way round.

    An echo's power goes with the inverse fourth power of range, so that it grows if and only if the radial
    velocity is positive, towards the radar. 0: no window tells, as for people who walk across or on the spot.
    """
    rises = [_rise_and_velocity(window) for window in windows]
    rise, velocity = max(rises, key=lambda pair: abs(pair[0]))
    if abs(rise) < CLEAR_RISE_DB or abs(velocity) < SLOWEST_MPS:
        return 0
    return 1 if rise * velocity > 0 else -1


def _rise_and_velocity(window: Spectrogram) -> tuple[float, float]:
    """Rise (dB) of the strongest echo of each frame, and its velocity (m/s) in the clear half of them."""
    level = window.power_db.max(0)
    third = max(1, level.size // 3)
    clear = level >= numpy.median(level)
    velocity = numpy.median(window.velocity_mps[window.power_db.argmax(0)][clear])
    return float(level[-third:].mean() - level[:third].mean()), float(velocity)


def sign_advice(directions: Sequence[int], conjugate: bool) -> list[str]:
    """A line where most of the recordings that tell say that velocities have the wrong sign; `conjugate`:
    whether the flag of this name was given.
    """
    decided = [one for one in directions if one]
    wrong = decided.count(-1)
    if wrong < LEAST_RECORDINGS or wrong < MAJORITY * len(decided):
        return []
    return [
        f"warning: in {wrong} of {len(directions)} recordings the echo grows while the velocity is away from "
        "the radar, or fades while it is towards it: I and Q are probably swapped, so that all velocities "
        f"have the wrong sign; {'leave --conjugate out' if conjugate else 'give --conjugate'}"
    ]


def hold_out_advice(labels: Sequence[Mapping[str, str]]) -> str:
    """What to add to the command of the split where rows of labels.csv tell of days, rooms or the like: the
    value of most people, then of fewest images, of those whose people are all there in another one, too.
    Empty: there is none.
    """
    for group in [name for name in labels[0] if name not in OF_ONE_RECORDING] if labels else []:
        rows = [(row.get(group, ""), row["file"].partition("/")[0]) for row in labels]
        values: dict[str, set[str]] = {}
        for value, person in rows:
            values.setdefault(person, set()).add(value)
        lonely = {value for value, person in rows if len(values[person]) == 1 or not value}
        testable = Counter(value for value, _ in rows if value not in lonely)
        if testable:
            people = Counter(value for value, _ in set(rows))
            chosen = min(testable, key=lambda value: (-people[value], testable[value]))
            return f", with --hold_out '{group}={chosen}' to test on another {group}"
    return ""
