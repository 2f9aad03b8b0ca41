"""Statistics of spectrogram pictures in two folders side by side, e.g. measured and simulated ones.

    python -m benchmarks.compare_pictures raw simulated --axes -1.2 5.2 2.1

Each folder has a sub-folder per person. Every figure is the median over pictures, with the 10 % and 90 %
quantiles.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy
import torch

from benchmarks.pictures import high_frequency_energy
from configs.command_line import run_script, say
from data.images import find_images, open_rgb
from data.progress import progress
from radar.colormap import from_rgb
from radar.kinematics import from_image
from tokenizer.vavae import preprocess, to_float

FLOOR = 0.02  # of the colour map's range: what looks like the background


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs=2, type=Path)
    parser.add_argument("--axes", nargs=3, type=float, required=True, help="lowest, highest m/s; duration s")
    parser.add_argument("--pictures", type=int, default=200, help="read from each folder (default 200)")
    options = parser.parse_args(argv)
    tables = [statistics_of(folder, options.axes, options.pictures) for folder in options.folders]
    say("| figure | " + " | ".join(folder.name for folder in options.folders) + " |\n|---|---|---|")
    for name in tables[0]:
        cells = (numpy.nanquantile(table[name], (0.5, 0.1, 0.9)) for table in tables)
        say(f"| {name} | " + " | ".join("{:.2f} ({:.2f} to {:.2f})".format(*cell) for cell in cells) + " |")


def statistics_of(folder: Path, axes: list[float], count: int) -> dict[str, list[float]]:
    """Values per picture of every figure, over pictures evenly spaced among all."""
    records = find_images(folder).records
    records = records[:: max(1, len(records) // count)]
    images = (preprocess(open_rgb(r)) for r in progress(records, description=folder.name))
    rows = [figures_of(image, axes) for image in images]
    return {name: [row[name] for row in rows] for name in rows[0]}


def figures_of(image: torch.Tensor, axes: list[float]) -> dict[str, float]:
    """Figures of one picture, uint8 (3,256,256)."""
    low, high, duration = axes
    rgb = image.permute(1, 2, 0).numpy()
    unit = from_rgb(rgb, "jet")
    moved = from_image(rgb, duration_s=duration, velocity_low=low, velocity_high=high)
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
