"""Seconds and peak memory of every stage by number of images.

    python -m benchmarks.bench_scale [--images 1000 10000] [--stages 0 1 2 3 4] [--drawn 100 400]

Stage 0 simulates and divides the images of ten people, stage 1 encodes them with the compact tokenizer, stage
2 trains configs/microdoppler_xs.yaml for a few steps, stage 3 draws with its defaults, and stage 4 compares
val, as if it were generated, with the rest; each is its own process. Above 10,000 images are the same ones
again, as other people's, and the tokenizer is a tiny one: what is measured is all that surrounds it. With
--work nothing is thrown away or made twice, what the stages said is kept, too, and no form is written.
"""

from __future__ import annotations

import argparse
import json
import os
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
from data.progress import progress
from tokenizer.autoencoder import AutoencoderKL
from tokenizer.weights import save_slim

PEOPLE, MOST_SIMULATED, PER_RECORDING, STEPS = 10, 10_000, 25, 20
XS, TOKENIZER = ("--config", "configs/microdoppler_xs.yaml"), ("--vavae_path", "compact")
SIMULATE = ("stage0_prepare.py", "simulate")
SPLIT = ("stage0_prepare.py", "split", "--test_fraction", 0.15)
EXTRACT = "stage1_extract_features.py"
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
    own: int
    resident: int


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", nargs="+", type=int, default=[1000, 10_000], metavar="COUNT")
    parser.add_argument("--stages", nargs="+", type=int, default=[0, 1, 2, 3, 4], choices=range(5))
    parser.add_argument("--drawn", nargs="+", type=int, default=[100, 400], help="images of stage 3")
    parser.add_argument("--work", type=Path, help="folder that keeps everything (default: none is kept)")
    options = parser.parse_args([token for token in argv if token != "--debug"])
    if any(count > MOST_SIMULATED and count % MOST_SIMULATED for count in options.images):
        parser.error(f"--images: expected multiples of {MOST_SIMULATED} above it")
    with tempfile.TemporaryDirectory() as scratch:
        work = (options.work or Path(scratch)).resolve()
        rows = [row for count in progress(sorted(options.images)) for row in stages(work, count, options)]
    columns = ("stage", "images", "in all", "processor time", "an image", "own memory", "resident")
    command = shlex.join(["python", "-m", "benchmarks.bench_scale", *argv])
    title = "Time and memory of every stage by number of images"
    body = table(columns, [cells(row) for row in rows])
    sys.exit(report("scale", title, command, body, [], write=not options.work))


def cells(row: Row) -> list[str]:
    memory = [f"{value / 2**20:.0f} MiB" for value in (row.own, row.resident)]
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

    # Images
    simulated = min(count, MOST_SIMULATED) // PEOPLE
    sizes = ["--num_users", PEOPLE, "--samples_per_user", simulated]
    sizes += ["--recordings_per_user", max(1, simulated // PER_RECORDING)]
    first = work / f"raw{simulated * PEOPLE}"
    stage("stage 0 simulate", simulated * PEOPLE, first, *SIMULATE, *sizes, "--output_dir", first)
    if not raw.is_dir():
        repeat(first, raw, count // MOST_SIMULATED)
    stage("stage 0 split", count, split, *SPLIT, "--input_dir", raw, "--output_dir", split)

    # Latents, training, drawing
    if {1, 2, 3} & {*options.stages}:
        tokenizer = TOKENIZER if count <= MOST_SIMULATED else ("--vavae_path", tiny_tokenizer(work))
        folders = ["--data_dir", split, "--output_path", latents]
        stage("stage 1", count, latents, EXTRACT, *folders, *tokenizer)
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


def tiny_tokenizer(folder: Path) -> Path:
    """A file of one that costs next to nothing: random weights, one level, latents of 32 x 16 x 16."""
    torch.manual_seed(0)
    model = AutoencoderKL(ch=32, ch_mult=(1,), num_res_blocks=1, attn_resolutions=(), patch_size=16)
    save_slim(model, folder / "tiny.safetensors")
    return folder / "tiny.safetensors"


def processor_seconds() -> float:
    """Of all processes that this one started and that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def repeat(source: Path, out: Path, times: int) -> None:
    """The people of `source` again and again under other numbers, their files linked."""
    for person in sorted(source.glob("ID_*")):
        for turn in range(times):
            folder = out / f"ID_{int(person.name[3:]) + turn * PEOPLE}"
            folder.mkdir(parents=True)
            for path in person.iterdir():
                os.link(path, folder / path.name)


if __name__ == "__main__":
    run_script(main)
