"""Every stage killed with SIGKILL, at signs of progress and at random, and run again ends in the files of
an undisturbed run."""

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
import torch

from tokenizer.autoencoder import AutoencoderKL
from tokenizer.weights import save_slim

PROJECT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow

TINY = "model.depth=1 model.hidden_size=32 model.num_heads=2"
# stage: its command below a work folder, its output folder, three signs of progress to kill at: (glob, count)
STAGES = {
    "simulate": (
        "stage0_prepare.py simulate --output_dir {w}/sim --num_users 3 --samples_per_user 40",
        "sim",
        [("run.json", 1), ("ID_*/*.png", 20), ("ID_3/*.png", 1)],
    ),
    "spectrogram": (
        "stage0_prepare.py spectrogram --input {w}/iq --output_dir {w}/shown --carrier 77e9 --prf 3288",
        "shown",
        [("run.json", 1), ("ID_*/*.png", 20), ("ID_3/*.png", 1)],
    ),
    "split": (
        "stage0_prepare.py split --input_dir {w}/raw --output_dir {w}/split --copy",
        "split",
        [("split.json", 1), ("train/*/*", 30), ("val/*/*", 1)],
    ),
    "extract": (
        "stage1_extract_features.py --data_dir {w}/data --vavae_path {w}/W.safetensors "
        "--output_path {w}/latents --batch_size 1 --precision 32",
        "latents",
        [("", 1), ("*train*", 1), ("latents_stats.pt", 1)],
    ),
    "tokenizer": (
        "train_tokenizer.py --data_dir {w}/data --output_dir {w}/tok --ch 32 --ch_mult 1 --patch_size 16 "
        "--max_steps 12 --validate_every 2 --precision 32",
        "tok",
        [("run.json", 1), ("checkpoints/best.ckpt", 1), ("checkpoints/last.ckpt", 1)],
    ),
    "train": (
        "stage2_train_dit.py --latent_dir {w}/made_latents --output_dir {w}/dit --max_steps 30 "
        "--validate_every 3 --batch_size 8 --precision 32 " + TINY,
        "dit",
        [("run.json", 1), ("checkpoints/best.ckpt", 1), ("training_log.csv", 1)],
    ),
    "sample": (
        "stage3_inference.py --dit_checkpoint {w}/made_dit/checkpoints/best.ckpt "
        "--vavae_path {w}/W.safetensors --output_dir {w}/images --num_samples_per_user 20 --num_steps 4 "
        "--batch_size 2 --precision 32",
        "images",
        [("run.json", 1), ("micro_doppler_user*.png", 3), ("micro_doppler_user*.png", 25)],
    ),
    "evaluate": (
        "stage4_evaluate.py --real {w}/data --generated {w}/made_images --output_dir {w}/report",
        "report",
        [("run.json", 1), ("judge_2.safetensors", 1), ("closest_pairs.png", 1)],
    ),
}
INPUTS = ("iq", "raw", "data", "made_latents", "made_dit", "made_images", "W.safetensors")


def python(command: str, work: Path) -> list[str]:
    """The words of a command whose {w} is `work`."""
    return [sys.executable, *command.format(w=work).split()]


def finish(arguments: list[str]) -> None:
    done = subprocess.run(arguments, cwd=PROJECT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def kill_at(arguments: list[str], folder: Path, pattern: str, count: int) -> None:
    """Start the command and SIGKILL it once `count` files match; it must not have ended before."""
    process = subprocess.Popen(
        arguments, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        seen = folder.exists() if not pattern else len(list(folder.glob(pattern))) >= count
        if seen:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return
        time.sleep(0.001)
    status = process.poll()
    if status is None:
        os.killpg(process.pid, signal.SIGKILL)
    raise AssertionError(f"{pattern}: expected within 300 s; the command ended with status {status}")


def contents(folder: Path) -> dict[str, str]:
    """Relative name → digest of everything that counts; logs of single starts and curves are left out."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or "lightning_logs" in path.parts or path.name == "config.yaml":
            continue
        content = path.read_bytes()
        if path.name == "metrics.json":  # all but the time that it took
            content = json.dumps({**json.loads(content), "seconds": None}).encode()
        if path.name == "report.html":
            content = re.sub(rb"(seconds [^<]*</th><td>)[\d.]+", rb"\1", content)
        files[name] = checkpoint_digest(path) if path.suffix in (".ckpt", ".pt") else digest(content)
    return files


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def checkpoint_digest(path: Path) -> str:
    """Digest of every tensor in a checkpoint, whatever Lightning's own counters say."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    parts = [checkpoint.get("state_dict", checkpoint), checkpoint.get("optimizer_states", [])]
    tensors = []

    def collect(value: object) -> None:
        if isinstance(value, torch.Tensor):
            tensors.append(value.contiguous().numpy().tobytes())
        elif isinstance(value, dict):
            for item in value.values():
                collect(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                collect(item)

    collect(parts)
    assert tensors
    return digest(b"".join(tensors))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """What the stages read: I/Q, simulated images, a split, a tokenizer, latents, a model and its images."""
    work = tmp_path_factory.mktemp("inputs")
    for user in (1, 2, 3):
        (work / f"iq/ID_{user}").mkdir(parents=True)
        noise = numpy.random.default_rng(user).standard_normal((3288 * 24, 2)) @ numpy.array([1, 1j])
        numpy.save(work / f"iq/ID_{user}/rec1.npy", noise)
    finish(
        python("stage0_prepare.py simulate --output_dir {w}/raw --num_users 3 --samples_per_user 40", work)
    )
    finish(python("stage0_prepare.py split --input_dir {w}/raw --output_dir {w}/data", work))
    torch.manual_seed(0)
    save_slim(AutoencoderKL(ch=32, ch_mult=(1,), patch_size=16, num_res_blocks=1), work / "W.safetensors")
    extract = "stage1_extract_features.py --data_dir {w}/data --vavae_path {w}/W.safetensors "
    finish(python(extract + "--output_path {w}/made_latents --precision 32", work))
    train = "stage2_train_dit.py --latent_dir {w}/made_latents --output_dir {w}/made_dit "
    finish(python(train + "--max_steps 4 --precision 32 " + TINY, work))
    draw = "stage3_inference.py --dit_checkpoint {w}/made_dit/checkpoints/best.ckpt "
    draw += "--vavae_path {w}/W.safetensors --output_dir {w}/made_images --num_steps 1 --precision 32"
    finish(python(draw, work))
    return work


@pytest.mark.parametrize("stage", STAGES)
def test_killed_three_times_ends_in_the_same_files(stage, inputs, tmp_path):
    command, output, moments = STAGES[stage]
    for name in INPUTS:
        (tmp_path / name).symlink_to(inputs / name)
    folder, arguments = tmp_path / output, python(command, tmp_path)
    finish(arguments)
    undisturbed = contents(folder)
    assert undisturbed
    for pattern, count in moments:
        folder.rename(tmp_path / f"done_{time.monotonic_ns()}")
        kill_at(arguments, folder, pattern, count)
        finish(arguments)
        assert contents(folder) == undisturbed, f"killed at {pattern} x {count}"


KILLS = 4  # of each, at random; nine times four
RUNNER = (
    "run_complete_pipeline.py --demo --quick --output_dir {w}/out --precision 32 simulate.samples_per_user=8 "
    "train.max_steps=6 train.validate_every=2 train.accelerator=cpu sample.num_steps=1 " + TINY
)


def run_for(arguments: list[str], seconds: float) -> bool:
    """True when the command was killed after so long, False when it had ended, well, before."""
    process = subprocess.Popen(
        arguments, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    assert process.returncode == 0, errors[-2000:]
    return False


@pytest.mark.parametrize("stage", [*STAGES, "runner"])
def test_killed_again_and_again_it_ends_in_the_same_files(stage, inputs, tmp_path):
    """Each start goes on from what the last kill left, until it ends; then from nothing, until the kills are
    enough."""
    for name in INPUTS:
        (tmp_path / name).symlink_to(inputs / name)
    command, output = (RUNNER, "out") if stage == "runner" else STAGES[stage][:2]
    arguments, folder = python(command, tmp_path), tmp_path / output
    started = time.monotonic()
    finish(arguments)
    duration, undisturbed = time.monotonic() - started, contents(folder)
    folder.rename(tmp_path / "undisturbed")
    draw, kills = random.Random(stage), 0
    while kills < KILLS:
        if run_for(arguments, duration * draw.uniform(0.2, 1.0)):
            kills += 1
        else:
            assert contents(folder) == undisturbed
            folder.rename(tmp_path / f"done_{time.monotonic_ns()}")
    finish(arguments)
    assert contents(folder) == undisturbed
