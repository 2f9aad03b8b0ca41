"""Statistics of spectrogram pictures in two folders side by side, e.g. measured and simulated ones.

    python -m benchmarks.compare_pictures raw simulated --axes -1.2 5.2 2.1
    python -m benchmarks.compare_pictures --quick    # of simulated walks whose velocity is known

Each folder has a sub-folder per person. Every figure is the median over pictures, with the 10 % and 90 %
quantiles. The exit status of --quick is 1 where the torso's velocity is not the simulated one.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from pathlib import Path

import numpy
import torch
from PIL import Image

from benchmarks.form import table
from benchmarks.pictures import high_frequency_energy, write_walks
from benchmarks.turns import report
from configs.command_line import run_script, say
from data.images import find_images, open_rgb
from data.progress import progress
from radar.colormap import from_rgb
from radar.kinematics import from_image
from tokenizer.vavae import preprocess, to_float

TOLERANCE_MPS = 0.1  # four rows of an image
FLOOR = 0.02  # of the colour map's range: what looks like the background


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--axes", nargs=3, type=float, help="lowest, highest m/s; duration s")
    parser.add_argument("--pictures", type=int, default=200, help="read from each folder (default 200)")
    parser.add_argument("--quick", action="store_true", help="within a minute, of simulated walks")
    options = parser.parse_args([token for token in argv if token != "--debug"])
    if options.quick:
        sys.exit(report("pictures", "", "", *simulated(), write=False))
    if len(options.folders) != 2 or not options.axes:
        parser.error("expected two folders and --axes, or --quick")
    given = options.axes, options.pictures
    say(beside({folder.name: statistics_of(folder, *given) for folder in options.folders}))


def beside(sets: dict[str, dict[str, list[float]]]) -> str:
    """The table: a column for each set of pictures."""
    rows = []
    for name in next(iter(sets.values())):
        cells = (numpy.nanquantile(figures[name], (0.5, 0.1, 0.9)) for figures in sets.values())
        rows.append([name, *("{:.2f} ({:.2f} to {:.2f})".format(*cell) for cell in cells)])
    return table(("figure", *sets), rows)


def simulated() -> tuple[str, list[str]]:
    """The table of simulated walks, and what of them is not as simulated."""
    with tempfile.TemporaryDirectory() as scratch:
        write_walks(Path(scratch), people=4, each=6)
        with open(Path(scratch) / "truth.csv", newline="", encoding="utf-8") as file:
            truth = list(csv.DictReader(file))
        edges = [float(truth[0][name]) for name in ("lowest_mps", "highest_mps", "start_s", "end_s")]
        axes = [*edges[:2], edges[3] - edges[2]]
        measured = [
            figures_of(preprocess(Image.open(Path(scratch) / row["path"]).convert("RGB")), axes)
            for row in truth
        ]
    figures = {name: [row[name] for row in measured] for name in measured[0]}
    true = numpy.array([float(row["torso_mean_mps"]) for row in truth])
    error = float(numpy.median(numpy.abs(figures["torso velocity (m/s)"] - true)))
    wrong = f"torso velocity differs by {error:.2f} m/s from the simulated one"
    return beside({"simulated": figures}), [wrong] * (not error <= TOLERANCE_MPS)


def statistics_of(folder: Path, axes: list[float], count: int) -> dict[str, list[float]]:
    """Values per picture of every figure, over pictures evenly spaced among all."""
    records = find_images(folder).records
    records = records[:: max(1, len(records) // count)]
    images = (preprocess(open_rgb(r)) for r in progress(records, description=folder.name))
    rows = [figures_of(image, axes) for image in images]
    return {name: [row[name] for row in rows] for name in rows[0]}


def figures_of(image: torch.Tensor, axes: list[float]) -> dict[str, float]:
    """Figures of one picture, uint8 (3,256,256)."""
    rgb = image.permute(1, 2, 0).numpy()
    unit = from_rgb(rgb, "jet")
    moved = from_image(rgb, axes)
    swing = numpy.diff(numpy.nanpercentile(moved.torso_mps, (5, 95)))
    return {
        "share of the picture at the floor": float((unit <= FLOOR).mean()),
        "mean level above the floor": float(unit[unit > FLOOR].mean()),
        "high-frequency energy": float(high_frequency_energy(to_float(image[None]))),
        "torso velocity (m/s)": moved.torso_velocity_mps,
        "torso undulation, 5 to 95 % (m/s)": float(swing[0]),
        "upper envelope, 95 % (m/s)": float(numpy.nanpercentile(moved.upper_mps, 95)),
        "lower envelope, 5 % (m/s)": float(numpy.nanpercentile(moved.lower_mps, 5)),
        "bandwidth (m/s)": moved.bandwidth_mps,
        "cadence (steps/s)": moved.cadence_hz,
        "periodicity": moved.periodicity,
    }


if __name__ == "__main__":
    run_script(main)
