"""Infineon's raw text (IFRT): a header of `# key = value`, then one value a line, frame by frame."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy
from scipy.constants import speed_of_light

from configs.errors import UserError
from radar.captures.contract import Contents, Facts, Format, Hints

DOPPLER, REAL, COMPLEX, INTERLEAVED = 0, 0, 1, 2
HEADING = re.compile(r"#\s*(\w+)\s*=\s*(\S+)")


def load_ifrt(path: Path, hints: Hints) -> Contents:
    """Frames of receivers of chirps of samples; complex frames hold all I, then all Q, of each chirp.

    Doppler frames are bursts of slow time at the sampling rate. UserError: a frame is cut short, or one is
    missing.
    """
    said, numbers, values = {}, [], []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        heading = HEADING.match(line)
        if heading and heading[1] == "Frame_Number":
            numbers.append(int(heading[2]))
        elif heading:
            said[heading[1]] = float(heading[2])
        elif line.strip() and line[0] not in "#I":
            values.append(line)
    receivers, chirps, samples = (
        int(said[key]) for key in ("Num_Rx_Antennas", "Chirps_per_Frame", "Samples_per_Chirp")
    )
    kind = int(said["Data_Format_Enum"])
    shape = len(numbers), receivers, chirps, (1 if kind == REAL else 2), samples
    if len(values) != math.prod(shape):
        raise UserError(
            f"{len(values)} values in {len(numbers)} frames of {math.prod(shape[1:])}: the file is cut short"
            "; copy it again"
        )
    missing = numpy.flatnonzero(numpy.diff(numbers) != 1)
    if missing.size:
        raise UserError(f"frame {numbers[missing[0]] + 1} is missing; cut the recording there")
    array = numpy.array(values, numpy.float64)
    if kind == INTERLEAVED:
        array = array.reshape(*shape[:3], samples, 2).swapaxes(3, 4)
    array = array.reshape(shape)
    parts = {"real": array[..., 0, :]} if kind == REAL else {"I": array[..., 0, :], "Q": array[..., 1, :]}
    low, high = 1e3 * said["Lower_RF_Frequency_kHz"], 1e3 * said["Upper_RF_Frequency_kHz"]
    rate, period = 1e3 * said["Sampling_Frequency_kHz"], said["Frame_Period_sec"]
    if int(said["Modulation_Type_Enum"]) == DOPPLER:
        return Contents(
            {name: part.reshape(len(numbers), receivers, chirps * samples) for name, part in parts.items()},
            Facts((low + high) / 2, rate, None, period),
            ("bursts", "receivers", "pulses"),
        )
    facts = Facts(
        (low + high) / 2,
        1 / said["Pulse_Repetition_Time_sec"] if chirps > 1 else 1 / period,
        None,
        period,
        speed_of_light / 2 / (high - low),
    )
    return Contents(parts, facts, ("frames", "receivers", "chirps", "samples"))


FORMATS = (Format("Infineon text (IFRT)", (".txt",), lambda path, head: head.startswith(b"IFRT"), load_ifrt),)
