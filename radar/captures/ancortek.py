"""Ancortek's text (.dat): carrier in Hz, sweep in ms, samples of a sweep, bandwidth in Hz, then the beat's
samples as a+bi, one number a line.
"""

from __future__ import annotations

from pathlib import Path

import numpy
from scipy.constants import speed_of_light

from configs.errors import UserError
from radar.captures.contract import CARRIER_HZ, Contents, Facts, Format, Hints

HEADER = 4  # numbers before the first sample


def load_ancortek(path: Path, hints: Hints) -> Contents:
    """Chirps of complex samples, one every sweep. UserError: cut short, or no frequency sweep."""
    words = path.read_text(encoding="ascii").replace("i", "j").split()
    carrier, sweep_ms, length, bandwidth = map(float, words[:HEADER])
    if bandwidth <= 0:
        raise UserError(
            f"a bandwidth of {bandwidth:g} Hz is of no frequency sweep; expected more than 0: save what has "
            "no sweep as I/Q, in a format of docs/data.md"
        )
    values = numpy.array(words[HEADER:], numpy.complex128)
    if values.size % int(length):
        raise UserError(
            f"{values.size} samples are no whole sweeps of {length:g}: the file is cut short; copy it again"
        )
    facts = Facts(carrier, 1e3 / sweep_ms, range_step_m=speed_of_light / 2 / bandwidth)
    samples = values.astype(numpy.complex64).reshape(-1, int(length))
    return Contents({"beat": samples}, facts, ("chirps", "samples"))


def _recognises(path: Path, head: bytes) -> bool:
    """Four plain numbers that such a radar can state, and a complex one."""
    words = head.decode("ascii", "replace").split(maxsplit=HEADER + 1)[: HEADER + 1]
    try:
        carrier, sweep_ms, length, bandwidth = map(float, words[:HEADER])
        is_beat = words[HEADER][-1] in "ij" and complex(words[HEADER].replace("i", "j")) is not None
    except (ValueError, IndexError):
        return False
    stated = CARRIER_HZ[0] <= carrier <= CARRIER_HZ[1] and sweep_ms > 0 and 0 <= bandwidth < carrier
    return is_beat and stated and length >= 2 and length.is_integer()


FORMATS = (Format("Ancortek text (.dat)", (".dat",), _recognises, load_ancortek),)
