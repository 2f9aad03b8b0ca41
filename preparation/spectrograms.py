"""From a recording's file to the spectrograms of its images, and these in their folder."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from scipy.constants import speed_of_light

from configs.errors import UserError
from configs.schema import DrawingConfig, SpectrogramConfig
from data.axes import AXES
from data.folders import FileRecord
from data.images import file_digest
from data.run_record import RECORD, check_record, lock_folder
from data.sheets import save_png
from data.tables import read_rows
from preparation.advice import direction
from radar import captures
from radar.captures import Capture, Facts, Hints, check_carrier, check_period, check_prf
from radar.spectrogram import (
    FRAMES,
    SIZE,
    Spectrogram,
    burst_spectrogram,
    remove_clutter,
    spectrogram,
    windows,
)

LEAST_FRAMES = 8
BINS = 128  # of velocity
# Keys that such recordings do not need
NOT_READ = {
    "a ready matrix": (
        *("carrier", "prf", "burst_samples", "burst_period", "cells", "balance", "window_s", "clutter_s"),
    ),
    "a recording in bursts, one spectrum each": ("window_s", "frames_per_second", "clutter_s"),
}
RECORDING = "recording_sha256"  # in each image: what it was drawn from


Reader = Callable[[FileRecord, Hints], Capture | Spectrogram]


def read_file(record: FileRecord, hints: Hints) -> Capture | Spectrogram:
    """The recording in a file, whatever its format."""
    return captures.read(record.path, replace(hints, white=record.white))


def check_pair(section: str, config: DrawingConfig) -> None:
    """UserError for anything but two velocities or none."""
    if len(config.velocity_range) not in (0, 2):
        raise UserError(f"{section}.velocity_range={config.velocity_range}: expected two or none")


class Shown(NamedTuple):
    """Sliding windows of one recording, and what was concluded about it; `direction` as `advice` has it,
    `kind` one of NOT_READ or none.
    """

    windows: list[Spectrogram]
    notes: tuple[str, ...] = ()
    direction: int = 0
    kind: str = ""

    def all_notes(self, given: Collection[str]) -> list[str]:
        """The notes, and one on the keys `given` that recordings of this kind do not read."""
        names = [f"--{name}" for name in NOT_READ.get(self.kind, ()) if name in given]
        return [*self.notes, *([f"{self.kind}: {', '.join(names)} not read"] if names else [])]


def recording_windows(
    record: FileRecord, config: SpectrogramConfig, hints: Hints, read: Reader, whole: bool
) -> Shown:
    """What is shown of one recording, of a ready matrix with `whole` one window; errors name its file."""
    path, capture = record.path, read(record, hints)
    try:
        if isinstance(capture, Spectrogram):
            total = capture.time_s.size
            usual = FRAMES / config.frames_per_second / abs(capture.time_s[1] - capture.time_s[0])
            shown = total if whole else min(total, max(LEAST_FRAMES, round(usual)))
            return Shown(windows(capture, config.frames or shown), kind="a ready matrix")
        shown = whole_spectrogram(capture, config)
        frames = config.frames or (FRAMES if capture.bursts == 1 else min(FRAMES, capture.bursts))
        if frames < LEAST_FRAMES:
            raise UserError(
                f"{frames} bursts are no walk; an image needs {LEAST_FRAMES}: give a longer recording"
            )
        cut = windows(shown, frames)
        kind = "a recording in bursts, one spectrum each" if in_bursts(capture) else ""
        return Shown(cut, capture.notes, 0 if capture.folded else direction(cut), kind)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def hints_of(config: SpectrogramConfig) -> Hints:
    """What the command line says of the files; UserError: numbers that no radar has."""
    numbers = ((check_carrier, config.carrier), (check_prf, config.prf), (check_period, config.burst_period))
    for check, value in numbers:
        if value is not None:
            check(value)
    facts = Facts(config.carrier, config.prf, config.burst_samples, config.burst_period)
    layout = tuple(config.layout.split(",")) if config.layout else ()
    cfg = Path(config.cfg) if config.cfg else None
    return Hints(
        facts,
        config.variable,
        layout,
        cfg,
        folded=config.folded,
        balance=config.balance,
        cells=config.cells,
        conjugate=config.conjugate,
        duration_s=config.duration,
        scale=None if config.scale == "unknown" else config.scale,
        velocity_mps=pair_of(config.velocity_range),
        db_range=pair_of(config.db_range),
    )


def pair_of(given: Sequence[float]) -> tuple[float, float] | None:
    """Lowest and highest velocity, or level, as the schema has them, in a list of two or none."""
    if not given:
        return None
    low, high = given
    return low, high


def in_bursts(capture: Capture) -> bool:
    """Whether pauses of known length divide it."""
    return capture.bursts > 1 and capture.burst_period_s is not None


def whole_spectrogram(capture: Capture, config: SpectrogramConfig) -> Spectrogram:
    """Of the whole recording, one frame a burst where it is in bursts."""
    fastest = capture.prf_hz * speed_of_light / capture.carrier_hz / 4
    shown = pair_of(config.velocity_range) or ((0.0, fastest) if capture.folded else None)
    if capture.folded and shown and shown[0] < 0:
        raise UserError(
            f"velocity_range {shown[0]:g} to {shown[1]:g} m/s: speeds without a sign begin at 0; give "
            f"--velocity_range 0 {max(map(abs, shown)):g}"
        )
    if in_bursts(capture):
        assert capture.burst_period_s is not None
        still = capture.looks - capture.looks.mean(-1, keepdims=True)
        low, high = shown or (-fastest, fastest)
        # As fine as the burst resolves, as far as an image has pixels for it.
        needed = math.ceil(still.shape[-1] * (high - low) / (2 * fastest))
        return burst_spectrogram(
            still,
            capture.carrier_hz,
            capture.prf_hz,
            capture.burst_period_s,
            num_bins=min(SIZE, max(BINS, needed)),
            velocity_range=shown,
        )
    moving = remove_clutter(capture.looks, capture.prf_hz, config.clutter_s)
    return spectrogram(
        moving,
        capture.carrier_hz,
        capture.prf_hz,
        window_s=config.window_s,
        frames_per_second=config.frames_per_second,
        velocity_range=shown,
    )


def forget_unfinished(folder: Path, settings: Mapping[str, Any], dry_run: bool = False) -> None:
    """Make room for other settings where no run has ended: without axes.csv, which is written last, the
    record and the images drawn so far go.
    """
    record = folder / RECORD
    if dry_run or not record.is_file() or (folder / AXES).is_file():
        return
    with lock_folder(folder):
        try:
            check_record(folder, settings)
        except UserError:
            for image in [path for path in folder.glob("*/*.png") if recording_of(path)]:
                image.unlink()
                if not any(image.parent.iterdir()):
                    image.parent.rmdir()
            record.unlink()


def image_name(stem: str, number: int) -> str:
    """Window `number`, from 1, of a recording, below the folder of all images."""
    return f"{stem}_{number:03d}.png"


def place_images(folder: Path, stem: str, images: Sequence[Image.Image], files: Sequence[Path]) -> list[str]:
    """Write the images of one recording that are not there; those that another content of its `files` gave
    are removed first, which the notes returned tell.
    """
    digest = " ".join(map(file_digest, files))
    first = folder / image_name(stem, 1)
    first.parent.mkdir(exist_ok=True)
    of_recording = re.compile(re.escape((folder / stem).name) + r"_\d+\.png")
    present = [path for path in first.parent.iterdir() if of_recording.fullmatch(path.name)]
    stale = [path for path in present if recording_of(path) != digest]
    for path in stale:
        path.unlink()
    for number, image in enumerate(images, start=1):
        if not (folder / image_name(stem, number)).exists():
            save_png(image, folder / image_name(stem, number), {RECORDING: digest})
    said = f"has changed: its {len(stale)} images were removed, {len(images)} drawn anew"
    return [said] if stale else []


def recording_of(image: Path) -> str | None:
    """Digest of the recording that an image was drawn from; None where it says none, or is damaged."""
    try:
        with Image.open(image) as opened:
            return opened.info.get(RECORDING)
    except OSError:
        return None


def rows_of_others(folder: Path, table: str, drawn: Collection[str]) -> list[dict[str, str]]:
    """Rows of an earlier table whose images (its first column) are there and not among those `drawn` now."""
    path = folder / table
    if not path.is_file():
        return []
    rows = read_rows(path, "a table of images", "remove it, or choose another folder")
    named = [(next(iter(row.values())), row) for row in rows]
    return [row for image, row in named if image not in drawn and (folder / image).is_file()]
