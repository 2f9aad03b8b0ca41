"""What stage 4's copy tests find of near-copies planted among new images, and what they call a copy of none.

    python -m benchmarks.bench_copies data_split [other_split ...]
    python -m benchmarks.bench_copies --quick    # of 240 simulated images, no form

A split needs train, val and test: the real images of val stand for a generator that copies nothing, those of
test are held out. A part of them is replaced by near-copies, as `stage4_evaluate.py --planted` does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import stage0_prepare
from benchmarks.form import table
from benchmarks.pictures import write_walks
from benchmarks.turns import report
from configs.command_line import run_script
from configs.errors import UserError
from data.axes import USUAL_RANGE_DB, axes_of_images
from data.images import Splits
from data.split_check import check_split
from evaluation.data_copying import three_samples
from evaluation.estimates import share_of, shown
from evaluation.features import ImageSet, describe, encoder, read, read_with
from evaluation.folders import find_real
from evaluation.measure import beside_training
from evaluation.memorisation import LEFT, luma, memorised, usual_left
from evaluation.planted import beside_their_originals, plant, planted_table
from evaluation.reconstruction import reconstructions
from tokenizer.vavae import VAVAE

LEAST_FOUND, MOST_ALARMS = 0.8, 0.01  # 2 dB of a range of 32 dB is the hardest kind
LEAST_OF_FEW = 0.5  # of 60 images of a person, whose neighbours overlap
HEAD = ("copies", "found", "by the ratio alone")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("splits", nargs="*", type=Path, help="folders as stage0_prepare.py split writes them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="within a minute, of simulated people")
    options = parser.parse_args(argv)
    if not (options.splits or options.quick):
        parser.error("expected folders with train, val and test, or --quick")
    parts, faults = [], []
    with tempfile.TemporaryDirectory() as scratch:
        if not options.splits:
            write_walks(Path(scratch) / "raw", people=4, each=60)
            divide = ["--input_dir", f"{scratch}/raw", "--output_dir", f"{scratch}/simulated"]
            stage0_prepare.main(["split", *divide, "--test_fraction", "0.15"])
        for folder in options.splits or [Path(scratch) / "simulated"]:
            text, wrong = measured(folder, options.seed, LEAST_FOUND if options.splits else LEAST_OF_FEW)
            parts.append(text)
            faults += wrong
    command = f"python -m benchmarks.bench_copies {' '.join(folder.name for folder in options.splits)}"
    body = "\n\n".join([EXPLAINED, *parts])
    sys.exit(report("planted_copies", "Planted copies", command, body, faults, write=not options.quick))


EXPLAINED = (
    "Found: share of the planted images that count as memorised, with 95 % interval; by the ratio alone: as "
    "until 0.3.0, nearest less than a third as far as the second nearest. On the right: in which share of 20 "
    "draws a set is called out of which so many images were replaced by copies, in brackets as *Copies* "
    "rather than *Copies among them*, and the mean z of the three-sample test."
)


def measured(folder: Path, seed: int, least: float = LEAST_FOUND) -> tuple[str, list[str]]:
    """A split's part of the form, and what is wrong: alarms, or less than `least` of a kind found."""
    # Images
    splits = find_real(folder)
    if not {"val", "test"} <= splits.records.keys():
        raise UserError(f"{folder}: parts: {', '.join(splits.records)}; expected train, val and test")
    sets, colour_map, range_db = read_sets(folder, splits)

    # New images
    people, lines = splits.labels, {name: luma(part.images) for name, part in sets.items()}
    near = beside_training(lines)
    usual, held_out = usual_left(near["held_out"]), near["held_out"].distances[:, 0]
    rows, faults = [], []
    for name, neighbours in near.items():
        alarms = share_of(memorised(neighbours, usual))
        distances = neighbours.distances[:, 0], sets[name].labels
        z = three_samples(*distances, held_out, sets["held_out"].labels, people)
        single = [one["z"] for one in z["per_person"].values()]
        said = [f"{z['c_t']:+.1f}", f"{z['z']:+.1f} ({min(single):+.1f} to {max(single):+.1f})"]
        rows.append(
            [
                NEW[name],
                shown(alarms, True),
                f"{(neighbours.left / usual).min():.2f}",
                *(said if name != "held_out" else "--"),
            ]
        )
        faults += [f"{folder.name}: {NEW[name]}: called copies"] * (alarms["share"] > MOST_ALARMS)

    # Copies
    copies = plant(splits.records["train"], colour_map, range_db, seed)
    beside = beside_their_originals(copies, sets["train"].images)
    planted = planted_table(beside, sets, near, people, seed)
    kinds = planted["kinds"]
    faults += [
        f"{folder.name}: {kind}: found too rarely"
        for kind, figures in kinds.items()
        if figures["found"]["share"] < least
    ]
    counts = ", ".join(f"{len(part)} {name}" for name, part in splits.records.items())
    db = f"{range_db:g} dB" if range_db else f"{USUAL_RANGE_DB:g} dB taken for the range of the colours"
    news = table(
        ("new images", "called copies", f"least left ({LEFT:g} is a copy)", "C_T", "z (people)"), rows
    )
    copies = table((*HEAD, *heads_of(kinds)), [row_of(kind, figures) for kind, figures in kinds.items()])
    return f"## {folder.name}\n\n{len(people)} people; {counts}; {db}.\n\n{news}\n\n{copies}", faults


NEW = {
    "held_out": "test",
    "generated": "val, for generated ones",
    "reconstructed": "test through the compact tokenizer",
}


def read_sets(folder: Path, splits: Splits) -> tuple[dict[str, ImageSet], str, float | None]:
    """Images of "train", "held_out", "generated", "reconstructed"; their colour map and its range in dB."""
    colour_map = check_split(splits, str(folder), "refuse").known_map("auto")
    axes = axes_of_images(str(folder), splits.paths(), [])
    parts = {"train": "train", "held_out": "test", "generated": "val"}
    sets = {
        name: read(splits.records[part], splits.labels, axes.scales() if axes else [], colour_map)
        for name, part in parts.items()
    }
    vae = VAVAE.from_file("compact", device=torch.device("cpu"))
    networks, test = {"latents": (encoder(vae), vae.image_size)}, splits.records["test"]
    latents = read_with(networks, test, splits.labels, (), colour_map)[1]["latents"]
    images = reconstructions(vae, latents, test, {})
    sets["reconstructed"] = describe(images, sets["held_out"].labels, (), colour_map)
    return sets, colour_map, axes.range_db if axes else None


def heads_of(kinds: dict[str, Any]) -> list[str]:
    planted = [one["planted"] for one in next(iter(kinds.values()))["sets"]]
    return [f"{one['share']:.0%} ({one['count']})" for one in planted]


def row_of(kind: str, figures: dict[str, Any]) -> list[str]:
    sets = [
        f"{one['some']['share']:.0%} ({one['many']['share']:.0%}), {one['z']:+.1f}" for one in figures["sets"]
    ]
    return [kind, shown(figures["found"], True), shown(figures["by_ratio"]), *sets]


if __name__ == "__main__":
    run_script(main)
