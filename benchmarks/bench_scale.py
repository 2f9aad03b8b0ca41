"""Seconds and peak memory of every stage by number of images.

    python -m benchmarks.bench_scale [--images 1000 10000] [--stages 0 1 2 3 4] [--drawn 100 400]

Stage 0 simulates and divides the images of ten people, stage 1 encodes them with the compact tokenizer, stage
2 trains configs/microdoppler_xs.yaml for a few steps, stage 3 draws with its defaults, and stage 4 compares
val, as if it were generated, with the rest; each is its own process. With `--stages 2` alone the latents are
random ones, as many as asked for. With --work nothing is thrown away or made twice, what the stages said is
kept, too, and no form is written.
"""

from __future__ import annotations

import argparse
import json
import resource
import shlex
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.bench_pipeline import run
from benchmarks.form import table
from benchmarks.turns import report
from configs.command_line import run_script
from data.labels import LabelTable
from data.latent_files import ROWS_AT_ONCE, LatentFiles
from data.latent_stats import LatentStatistics, write_statistics
from data.latents import read_latents
from data.progress import progress

PEOPLE, PER_RECORDING, HELD_OUT, STEPS = 10, 25, 0.15, 20
XS, TOKENIZER = ("--config", "configs/microdoppler_xs.yaml"), ("--vavae_path", "compact")
SIMULATE = ("stage0_prepare.py", "simulate")
SPLIT = ("stage0_prepare.py", "split", "--test_fraction", HELD_OUT)
EXTRACT = ("stage1_extract_features.py", *TOKENIZER)
TRAIN = ("stage2_train_dit.py", *XS, "--max_steps", STEPS, f"train.validate_every={STEPS}")
DRAW = ("stage3_inference.py", *XS, *TOKENIZER)
EVALUATE = ("stage4_evaluate.py",)


class Row(NamedTuple):
    """What one process cost: seconds by the clock and of processors, bytes of its own, and bytes with the
    files that it maps.
    """

    stage: str
    images: int
    seconds: float
    worked: float
    anonymous: int
    resident: int


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", nargs="+", type=int, default=[1000, 10_000], metavar="COUNT")
    parser.add_argument("--stages", nargs="+", type=int, default=[0, 1, 2, 3, 4], choices=range(5))
    parser.add_argument("--drawn", nargs="+", type=int, default=[100, 400], help="images of stage 3")
    parser.add_argument("--work", type=Path, help="folder that keeps everything (default: none is kept)")
    options = parser.parse_args([token for token in argv if token != "--debug"])
    with tempfile.TemporaryDirectory() as scratch:
        work = (options.work or Path(scratch)).resolve()
        rows = [row for count in progress(sorted(options.images)) for row in stages(work, count, options)]
    columns = ("stage", "images", "in all", "processor time", "an image", "own memory", "resident")
    command = shlex.join(["python", "-m", "benchmarks.bench_scale", *argv])
    title = "Time and memory of every stage by number of images"
    body = table(columns, [cells(row) for row in rows])
    sys.exit(report("scale", title, command, body, [], write=not options.work))


def cells(row: Row) -> list[str]:
    memory = [f"{value / 2**20:.0f} MiB" for value in (row.anonymous, row.resident)]
    times = [f"{row.seconds:.0f} s", f"{row.worked:.0f} s", f"{row.worked / row.images * 1000:.1f} ms"]
    return [row.stage, f"{row.images}", *times, *memory]


def stages(work: Path, count: int, options: argparse.Namespace) -> list[Row]:
    """The rows of one number of images: what is asked for, and what that needs."""
    raw, split, latents, model = (work / f"{name}{count}" for name in ("raw", "split", "latents", "model"))
    work.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []

    def stage(name: str, images: int, out: Path, *arguments: object) -> None:
        log = out.with_name(f"{out.name}.log")
        known = log.with_suffix(".json")
        if not known.is_file():
            spent = processor_seconds()
            seconds, held = run([str(argument) for argument in arguments], log)
            known.write_text(json.dumps([name, images, seconds, processor_seconds() - spent, *held]))
        if int(name.split()[1]) in options.stages:
            rows.append(Row(*json.loads(known.read_text())))

    # Images and latents
    if {*options.stages} == {2}:
        if not latents.is_dir():
            write_random_latents(latents, count)
    else:
        sizes = ["--num_users", PEOPLE, "--samples_per_user", count // PEOPLE]
        sizes += ["--recordings_per_user", max(1, count // PEOPLE // PER_RECORDING)]
        stage("stage 0 simulate", count, raw, *SIMULATE, *sizes, "--output_dir", raw)
        stage("stage 0 split", count, split, *SPLIT, "--input_dir", raw, "--output_dir", split)
        if {1, 2, 3} & {*options.stages}:
            stage("stage 1", count, latents, *EXTRACT, "--data_dir", split, "--output_path", latents)

    # Training and drawing
    if {2, 3} & {*options.stages}:
        stage("stage 2", count, model, *TRAIN, "--latent_dir", latents, "--output_dir", model)
    if 3 in options.stages and count == min(options.images):
        trained = model / "checkpoints" / "best.safetensors"
        for drawn in options.drawn:
            out, each = work / f"drawn{drawn}", drawn // PEOPLE
            sizes = ["--num_samples_per_user", each, "--output_dir", out]
            stage("stage 3", each * PEOPLE, out, *DRAW, "--dit_checkpoint", trained, *sizes)

    # Evaluation
    if 4 in options.stages:
        folders = ["--real", split, "--generated", split / "val", "--output_dir", work / f"report{count}"]
        stage("stage 4", count, work / f"report{count}", *EVALUATE, *folders)
    return rows


def write_random_latents(folder: Path, count: int) -> None:
    """Latents of 32 x 16 x 16 as stage 1 writes them, of parts as SPLIT has them."""
    people, draw = LabelTable([f"ID_{number + 1}" for number in range(PEOPLE)]), torch.Generator()
    contents = {"tokenizer_digest": "-", "inputs_digest": "-", "preprocessing": {"geometry": "stretch"}}
    for part, share in (("train", 1 - 2 * HELD_OUT), ("val", HELD_OUT), ("test", HELD_OUT)):
        labels = torch.arange(round(share * count)) % PEOPLE
        paths = [f"{part}/{number}.png" for number in range(len(labels))]
        files = LatentFiles(folder, part, (32, 16, 16), labels, people, paths, contents)
        with files.written():
            for first, rows in enumerate(labels.split(ROWS_AT_ONCE)):
                latents = torch.randn(len(rows), 32, 16, 16, generator=draw)
                files.put(first * ROWS_AT_ONCE, latents, 0.1 * latents.abs())
    write_statistics(folder, LatentStatistics.from_latents(read_latents(folder, "train").latents), None)


def processor_seconds() -> float:
    """Of all processes that this one started and that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


if __name__ == "__main__":
    run_script(main)
