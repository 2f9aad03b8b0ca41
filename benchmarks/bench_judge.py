"""Stage 4's judge trained in bf16 beside fp32: seconds, accuracy, and how far their answers agree.

    python -m benchmarks.bench_judge data_split --seeds 3
    python -m benchmarks.bench_judge --quick    # of simulated walkers, no form

Both train by `evaluation.judge.train_judge` from the same seeds on the split's training images, in turn, and
name its test images. Judges of two seeds in fp32 show how far luck alone lets answers differ. The exit
status is 1 where a probability is not finite.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

import stage0_prepare
from benchmarks.form import table
from benchmarks.pictures import write_walks
from benchmarks.turns import report
from configs.command_line import run_script, say
from data.images import Splits, open_rgb
from evaluation.folders import find_real
from evaluation.judge import Judge, SmallJudge, reduced, train_judge

EPOCHS, QUICK_EPOCHS = 24, 1  # bf16 is emulated, and slow, on a processor without it


class HalfJudge(SmallJudge):
    """The judge with its convolutions and products in bf16."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return super().forward(x).float()


ARITHMETICS: dict[str, type[SmallJudge]] = {"fp32": SmallJudge, "bf16": HalfJudge}


class Images(NamedTuple):
    """Images (N, V, T, 3) uint8 as the judge takes them, and int64 labels (N,)."""

    pixels: numpy.ndarray
    labels: numpy.ndarray


class Trained(NamedTuple):
    seconds: float
    probabilities: numpy.ndarray  # (N, people) of the tested images


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("split", nargs="?", type=Path, help="folder as stage0_prepare.py split writes it")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each, 2 or more (default 3)")
    parser.add_argument("--quick", action="store_true", help="within a minute, of simulated walkers")
    options = parser.parse_args([token for token in argv if token != "--debug"])
    if not options.quick and (not options.split or options.seeds < 2):
        parser.error("expected a folder with train and test and two --seeds or more, or --quick")
    body, faults = quick() if options.quick else compared(options.split, options.seeds, EPOCHS)
    command = shlex.join(["python", "-m", "benchmarks.bench_judge", *argv])
    sys.exit(report("judge", "A judge in bf16", command, body, faults, write=not options.quick))


def quick() -> tuple[str, list[str]]:
    with tempfile.TemporaryDirectory() as scratch:
        write_walks(Path(scratch) / "raw", people=4, each=12)
        folders = ["--input_dir", f"{scratch}/raw", "--output_dir", f"{scratch}/split"]
        stage0_prepare.main(["split", *folders, "--test_fraction", "0.25"])
        return compared(Path(scratch) / "split", 2, QUICK_EPOCHS)


def compared(folder: Path, seeds: int, epochs: int) -> tuple[str, list[str]]:
    """The table of both arithmetics, and what is wrong."""
    splits = find_real(folder)
    train, test = (read(splits, part) for part in ("train", "test"))
    for build in ARITHMETICS.values():  # the first steps of a process take longer
        train_one(train, test, len(splits.labels), 0, 1, build)
    trained: dict[str, list[Trained]] = {name: [] for name in ARITHMETICS}
    for seed in range(seeds):
        for name, build in ARITHMETICS.items():
            trained[name].append(train_one(train, test, len(splits.labels), seed, epochs, build))
            say(f"{name}, seed {seed}: {trained[name][-1].seconds:.0f} s")
    base = statistics.median(one.seconds for one in trained["fp32"])
    rows = [row(name, runs, trained["fp32"], test.labels, base) for name, runs in trained.items()]
    head = ("judge", "seconds", "times as fast", "named right", "same answer as fp32, same seed", "luck")
    faults = [
        f"{name}, seed {seed}: a probability is not finite"
        for name, runs in trained.items()
        for seed, one in enumerate(runs)
        if not numpy.isfinite(one.probabilities).all()
    ]
    return f"{len(train.labels)} images to train on, {len(test.labels)} tested\n\n{table(head, rows)}", faults


def row(
    name: str, runs: Sequence[Trained], plain: Sequence[Trained], labels: numpy.ndarray, base: float
) -> tuple[str, ...]:
    """A line of the table: "luck" is the agreement of two seeds of one arithmetic."""
    seconds = statistics.median(one.seconds for one in runs)
    answers = [one.probabilities.argmax(1) for one in runs]
    right = ", ".join(f"{100 * (answer == labels).mean():.1f} %" for answer in answers)
    same = [(answer == one.probabilities.argmax(1)).mean() for answer, one in zip(answers, plain)]
    luck = [(one == other).mean() for one, other in combinations(answers, 2)]
    shares = (f"{100 * statistics.mean(map(float, each)):.1f} %" for each in (same, luck))
    return (name, f"{seconds:.0f}", f"{base / seconds:.2f}", right, *shares)


def train_one(
    train: Images, test: Images, people: int, seed: int, epochs: int, build: type[SmallJudge]
) -> Trained:
    started = time.perf_counter()
    judge: Judge = train_judge(train.pixels, train.labels, people, seed, epochs=epochs, build=build)
    return Trained(time.perf_counter() - started, judge.predict(test.pixels))


def read(splits: Splits, part: str) -> Images:
    """The images of a part as the judge takes them."""
    records = splits.records[part]
    labels = [splits.labels.index(record.user) for record in records]
    pixels = numpy.stack([reduced(open_rgb(record)) for record in records])
    return Images(pixels, numpy.array(labels, dtype=numpy.int64))


if __name__ == "__main__":
    run_script(main)
