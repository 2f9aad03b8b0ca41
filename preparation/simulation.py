"""Walkers whose truth is known, as images with a table of it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

from configs.command_line import say
from configs.dry_run import tell_plan
from configs.keys import identity
from configs.schema import SimulateConfig
from data.atomic import replacing, write_text_if_new
from data.axes import AXES, axes_row
from data.progress import progress
from data.run_record import claim_folder
from data.sheets import save_png
from data.tables import csv_text
from radar.person import DRAWN_GAITS, draw_walker, in_gait
from radar.recording import Setup, draw_recording, draw_setup


def simulate(config: SimulateConfig) -> None:
    """Simulate walkers into ID_1, ID_2, ...; file names carry the recording (rec1_004.png). truth.csv has a
    row per image with everything that is known of it, axes.csv their axes.
    """
    folder = Path(config.output_dir)
    gaits = list(dict.fromkeys([*config.gaits, *list(DRAWN_GAITS)[: config.drawn_gaits]]))
    rows, axes, total = [], [], config.num_users * len(gaits) * config.samples_per_user
    with claim_folder(folder, identity(config), "ID_*", config.dry_run):
        if config.dry_run:
            return tell_plan(
                {"simulate": config},
                reads=[],
                writes=[folder],
                does=f"simulate {total} images of {config.num_users} people",
            )
        with progress(total=total, description="walking", unit="img") as bar:
            for user in range(1, config.num_users + 1):
                for gait in gaits:
                    person = f"ID_{user}_{gait}" if len(gaits) > 1 else f"ID_{user}"
                    truth, edges = simulate_user(folder / person, user, gait, config, bar)
                    rows += truth
                    axes += edges
        write_text_if_new(folder / "truth.csv", csv_text(rows))
        write_text_if_new(folder / AXES, csv_text(axes))
    say(
        f"wrote {folder}; next: python stage0_prepare.py split --input_dir {folder} --output_dir data_split "
        r"--recordings 'rec(\d+)'"
    )


def simulate_user(
    folder: Path, user: int, gait: str, config: SimulateConfig, bar: Any
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """All recordings of one person in one gait, and their rows of truth.csv and axes.csv; files that are
    there are left alone.
    """
    folder.mkdir(exist_ok=True)
    walker = in_gait(draw_walker(numpy.random.default_rng((config.seed, user))), gait)
    recordings = min(config.recordings_per_user, config.samples_per_user)
    rows, axes = [], []
    for recording, share in enumerate(numpy.array_split(range(config.samples_per_user), recordings), start=1):
        # Another walk in each gait; the plain one as without any.
        rng = numpy.random.default_rng((config.seed, user, recording, *gait.encode() * (gait != "normal")))
        setup = draw_setup(rng) if config.varied else Setup()
        walk, windows = draw_recording(walker, len(share), setup, rng, None if config.varied else True)
        for number, window in enumerate(windows, start=1):
            suffix = "png" if setup.jpeg_quality is None else "jpg"
            path = folder / f"rec{recording}_{number:03d}.{suffix}"
            name = f"{folder.name}/{path.name}"
            if not path.exists():
                save_image(window.image, path, setup.jpeg_quality)
            axes.append(axes_row(name, window.edges, setup.dynamic_range_db, 1 / setup.frame_s))
            rows.append(
                {
                    "path": name,
                    "user": folder.name,
                    "recording": recording,
                    "gait": gait,
                    **known(window),
                    "cadence_hz": walker.cadence_hz,
                    **known(walker),
                    **known(walk),
                    **known(setup),
                }
            )
            bar.update(1)
    return rows, axes


def save_image(image: Image.Image, path: Path, jpeg_quality: int | None = None) -> None:
    """Write a PNG, or a JPEG of the given quality, whole or not at all."""
    if jpeg_quality is None:
        return save_png(image, path)
    with replacing(path) as temporary:
        image.save(temporary, format="JPEG", quality=jpeg_quality)


def known(part: Any) -> dict[str, Any]:
    """The fields of a part of a simulated recording (a dataclass), those of parts within it included, as
    cells of a table.
    """
    cells: dict[str, Any] = {}
    for item in fields(part):
        value = getattr(part, item.name)
        if is_dataclass(value):
            cells |= known(value)
        elif isinstance(value, dict):
            cells |= value
        elif item.name not in ("image", "velocity_mps"):  # of every image; in its edges
            listed = " ".join(map(str, value)) if isinstance(value, tuple) else value
            cells[item.name] = getattr(listed, "name", listed)  # an enumeration's
    return cells
