"""Captures of radars as people have them: `read` a file into I/Q with its carrier, PRF and axes by name.

One module a format, chosen by what is in the file, never by its suffix. Names decide what an array is,
never its position or size; what a file does not say is asked for by the flag that says it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from configs.errors import UserError
from radar.captures import ancortek, arrays, grey, infineon, text, ti, wav
from radar.captures.assembly import assemble
from radar.captures.contract import (
    Capture,
    Contents,
    Facts,
    Format,
    Hints,
    NoCapture,
    check_carrier,
    check_period,
    check_prf,
)
from radar.spectrogram import Spectrogram

__all__ = [
    "FORMATS",
    "Capture",
    "Contents",
    "Facts",
    "Hints",
    "NoCapture",
    "check_carrier",
    "check_period",
    "check_prf",
    "companions",
    "find_format",
    "read",
    "read_as",
]

# The first that recognises a file reads it.
FORMATS = (
    *arrays.FORMATS,
    *grey.FORMATS,
    *wav.FORMATS,
    *infineon.FORMATS,
    *ancortek.FORMATS,
    *text.FORMATS,
    *ti.FORMATS,
)
NO_HINTS = Hints()
HEAD = 4096  # bytes that a format may look at


def read(path: str | Path, hints: Hints = NO_HINTS) -> Capture | Spectrogram:
    """The recording in a file and its `companions`, or the ready spectrogram that it holds.

    FileNotFoundError: no such file. NoCapture: it holds no recording. UserError: it cannot be read, or it
    does not say what the hints must say; one line that names the file.
    """
    path = Path(path)
    chosen = find_format(path)
    if chosen is None:
        raise NoCapture(f"{path}: no known format; expected {', '.join(one.name for one in FORMATS)}")
    return read_as(path, chosen.name, chosen.load, hints)


def read_as(
    path: Path, name: str, load: Callable[[Path, Hints], Contents], hints: Hints
) -> Capture | Spectrogram:
    """What `load` reads in a file of the format `name`; errors as of `read`."""
    try:
        contents = load(path, hints)
    except UserError as error:
        raise type(error)(f"{path}: {error}") from error
    except Exception as error:  # the readers raise nearly anything on damaged bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read as {name} ({reason}); export it again") from error
    try:
        return assemble(path, contents, hints)
    except UserError as error:
        raise type(error)(f"{path}: {error}") from error


def find_format(path: Path) -> Format | None:
    """The format of a file by its content; None: none that is known."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such recording")
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if not head:
        raise UserError(f"{path}: empty (0 bytes); copy or export it again")
    return next((one for one in FORMATS if one.recognises(path, head)), None)


def companions(path: Path, hints: Hints = NO_HINTS) -> tuple[Path, ...]:
    """Files that are read together with this one and are no recordings of their own: rec1_IM.txt of
    rec1_RE.txt, the profile of a stream. None of a file that cannot be read: `read` says why.
    """
    try:
        chosen = find_format(path)
    except (OSError, UserError):
        return ()
    return chosen.companions(path, hints) if chosen else ()
