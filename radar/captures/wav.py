"""Sound files: two channels are I and Q, one is a real channel; the sampling rate is the PRF."""

from __future__ import annotations

from pathlib import Path

from scipy.io import wavfile

from configs.errors import UserError
from radar.captures.contract import Contents, Facts, Format, Hints


def load_wav(path: Path, hints: Hints) -> Contents:
    rate, samples = wavfile.read(path)
    facts = Facts(prf_hz=float(rate))
    if samples.ndim == 1:
        return Contents({"channel": samples}, facts, ("pulses",))
    if samples.shape[1] != 2:
        raise UserError(f"{samples.shape[1]} channels; expected two (I, Q) or one: export these alone")
    notes = ("left is taken as I, right as Q, as is usual",)
    return Contents({"I": samples[:, 0], "Q": samples[:, 1]}, facts, ("pulses",), notes)


FORMATS = (
    Format(".wav", (".wav",), lambda path, head: head[:4] == b"RIFF" and head[8:12] == b"WAVE", load_wav),
)
