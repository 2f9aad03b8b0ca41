"""Seconds and memory of stages 1 and 3 against the number of images, and by two processes against one.

    python -m benchmarks.bench_pipeline [--images 250 1000] [--quick]

The tokenizer is the compact one and the network a toy, so that what is measured is all that surrounds them.
Memory is what the processes hold themselves; files that they map are the system's to drop. The exit status is
1 where images are missing, two processes give other bytes than one, or memory grows with the images.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.form import table
from benchmarks.pictures import PEOPLE, write_pictures
from benchmarks.turns import report
from configs.command_line import run_script
from data.labels import LabelTable
from data.latent_stats import LatentStatistics
from data.latents import read_metadata
from data.progress import progress
from models.lightningdit import LightningDiT
from sampling.model_file import DitPayload, write_slim
from tokenizer.vavae import VAVAE

PROJECT = Path(__file__).resolve().parents[1]
MOST_GROWTH = 1.25
LAUNCHED = {"LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


class Held(NamedTuple):
    """Bytes of processes: of their own, and with the files that they map, which the system may drop."""

    anonymous: int
    resident: int


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", nargs="+", type=int, default=[250, 1000], metavar="COUNT")
    parser.add_argument("--quick", action="store_true", help="within a minute: 24 and 48 images")
    options = parser.parse_args([token for token in argv if token != "--debug"])
    counts = [24, 48] if options.quick else sorted(options.images)
    with tempfile.TemporaryDirectory() as work:
        body, faults = measure(Path(work), counts)
    command = shlex.join(["python", "-m", "benchmarks.bench_pipeline", *argv])
    title = "Cost and memory by number of images"
    sys.exit(report("pipeline", title, command, body, faults, write=not options.quick))


def measure(work: Path, counts: list[int]) -> tuple[str, list[str]]:
    """The table, and what is wrong."""
    write_network(work / "net.safetensors")
    rows, faults, peaks = [], [], {}
    for count in progress(counts, description="counts"):
        write_pictures(work / f"data{count}" / "train", count)
        for stage in (1, 3):
            first = count == counts[0]
            outputs = [work / f"stage{stage}_{count}_{n}" for n in ((1, 2) if first else (1,))]
            for processes, folder in enumerate(outputs, start=1):
                seconds, peak = run(command(work, stage, count, folder, processes))
                rows.append(
                    (
                        f"stage {stage}",
                        f"{count}",
                        f"{processes}",
                        f"{seconds:.1f} s",
                        f"{seconds / count * 1000:.0f} ms",
                        f"{peak.anonymous / 2**20:.0f} MiB",
                    )
                )
                if not complete(stage, folder, count):
                    faults.append(f"stage {stage}: not all of {count} images in {folder.name}")
                if processes == 1:
                    peaks[stage, count] = peak.anonymous
            if first and contents(outputs[0]) != contents(outputs[1]):
                faults.append(f"stage {stage}: two processes wrote other bytes than one")
    for stage in (1, 3):
        if peaks[stage, counts[-1]] > MOST_GROWTH * peaks[stage, counts[0]]:
            faults.append(f"stage {stage}: memory grows with the number of images")
    columns = ("stage", "images", "processes", "in all", "an image", "memory at its largest")
    return table(columns, rows), faults


def write_network(path: Path) -> None:
    """A network of one narrow block with random weights, for the compact tokenizer's latents."""
    vae = VAVAE.from_file("compact")
    torch.manual_seed(0)
    net = LightningDiT(hidden_size=64, depth=1, num_heads=4, patch_size=2, num_classes=PEOPLE)
    statistics = LatentStatistics(torch.zeros(1, 32, 1, 1), torch.ones(1, 32, 1, 1))
    labels = LabelTable([f"ID_{i + 1}" for i in range(PEOPLE)])
    write_slim(path, net.state_dict(), DitPayload(net.config, {}, labels, statistics, vae.digest, {}, {}))


def command(work: Path, stage: int, count: int, out: Path, processes: int) -> list[str]:
    shared = ["--vavae_path", "compact", "--devices", str(processes)]
    if stage == 1:
        return [
            "stage1_extract_features.py",
            "--data_dir",
            f"{work}/data{count}",
            "--output_path",
            str(out),
            *shared,
        ]
    return [
        "stage3_inference.py",
        "--dit_checkpoint",
        f"{work}/net.safetensors",
        "--output_dir",
        str(out),
        "--num_samples_per_user",
        str(count // PEOPLE),
        "--sampler",
        "euler",
        "--num_steps",
        "2",
        *shared,
    ]


def run(arguments: list[str], log: Path | None = None) -> tuple[float, Held]:
    """Seconds, and the most bytes that the process and its children held together; it must succeed. What it
    says is kept in `log`.
    """
    # As many threads in every process: products that are cut otherwise round otherwise.
    kept = {"OMP_NUM_THREADS": "1", **os.environ}
    kept = {name: value for name, value in kept.items() if name not in LAUNCHED}
    started = time.perf_counter()
    with open(log, "w+b") if log else tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=PROJECT, env=kept, stdout=said, stderr=said
        )
        peak = Held(0, 0)
        while process.poll() is None:
            peak = Held(*map(max, peak, held_by(process.pid)))
            time.sleep(0.05)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{arguments[0]} ended badly: {said.read().decode()[-2000:]}")
    return time.perf_counter() - started, peak


def held_by(pid: int) -> Held:
    """What a process and its children hold, but for those that still share its memory because they have not
    begun their own program; 0 where the system does not tell.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        children = [child for child in children if program(int(child)) != program(pid)]
    except OSError:
        return Held(0, 0)
    kib = [status.partition(f"{name}:")[2].split()[:1] or ["0"] for name in ("RssAnon", "VmRSS")]
    held = [Held(*(int(value) * 1024 for (value,) in kib)), *(held_by(int(child)) for child in children)]
    return Held(*map(sum, zip(*held)))


def program(pid: int) -> bytes:
    """What the system told a process's program as it began: addresses that no other run has."""
    return Path(f"/proc/{pid}/auxv").read_bytes()


def complete(stage: int, folder: Path, count: int) -> bool:
    if stage == 1:
        return (read_metadata(folder, "train") or {}).get("num_samples") == count
    return len(list(folder.glob("micro_doppler_user*.png"))) == count // PEOPLE * PEOPLE


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


if __name__ == "__main__":
    run_script(main)
