"""Disks that fill up, folders that vanish or cannot be written, two runs at once: one line, nothing lost."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from test_kills import contents
from toy_run import EXACT, TINY_MODEL, Toy, output_of, refusal_of, words

import preparation.simulation
import stage0_prepare
import stage1_extract_features
import stage2_train_dit
import stage3_inference
import training.run_files
from tokenizer.vavae import VAVAE

PROJECT = Path(stage0_prepare.__file__).parent


class Stage(NamedTuple):
    """A stage, and its command for an output folder."""

    main: Callable[[list[str]], None]
    arguments: Callable[[Toy, Path], list[Any]]


TRAIN = "--precision 32 --max_steps 4 --validate_every 1 accelerator=cpu"
DRAW = "--num_samples_per_user 2 --num_steps 1 --batch_size 2"
STAGES = {
    "simulate": Stage(
        stage0_prepare.main,
        lambda toy, out: [f"simulate --output_dir {out} --num_users 2 --samples_per_user 4"],
    ),
    "split": Stage(
        stage0_prepare.main, lambda toy, out: [f"split --input_dir {toy.images} --output_dir {out} --copy"]
    ),
    "extract": Stage(stage1_extract_features.main, lambda toy, out: [*toy.extraction, "--output_path", out]),
    "train": Stage(
        stage2_train_dit.main,
        lambda toy, out: [f"--latent_dir {toy.latents} --output_dir {out} {TRAIN}", *TINY_MODEL],
    ),
    "draw": Stage(
        stage3_inference.main, lambda toy, out: [*toy.networks, f"--output_dir {out} {DRAW}", *EXACT]
    ),
}


def mount(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture
def disk(tmp_path):
    """A folder that is a disk of its own, whose size `mount` sets; skips where mounting is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not (shutil.which("mount") and mount(folder, "size=64m")):
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def bytes_in(folder: Path) -> int:
    """What its files take on a disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("share", [0.3, pytest.param(0.9, marks=pytest.mark.slow)])
def test_a_full_disk_costs_nothing_that_was_written(name, share, toy, tmp_path, disk):
    stage, whole = STAGES[name], tmp_path / "whole"
    output_of(stage.main, *stage.arguments(toy, whole))
    assert mount(disk, f"remount,size={int(share * bytes_in(whole)) // 4096 * 4096}")
    out = disk / "out"
    said = refusal_of(stage.main, *stage.arguments(toy, out))
    assert str(disk) in said
    expected, left = contents(whole), contents(out)  # reading them fails where one is half written
    late = {"run.json", "split.json", "training_log.csv", "training_report.png"}
    changing = {item for item in left if item.startswith("checkpoints/")} | late
    assert not {item for item in left if "/." in f"/{item}"}, "something was left half-way"
    assert {item: left[item] for item in left if item not in changing}.items() <= expected.items()
    assert mount(disk, "remount,size=64m")
    output_of(stage.main, *stage.arguments(toy, out))
    assert contents(out) == expected


@pytest.mark.parametrize("name", STAGES)
def test_a_disk_that_cannot_be_written(name, toy, disk):
    stage = STAGES[name]
    assert mount(disk, "remount,ro")
    said = refusal_of(stage.main, *stage.arguments(toy, disk / "out"), unchanged=disk)
    assert "Read-only file system" in said and str(disk) in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("name", STAGES)
def test_a_folder_that_cannot_be_written(name, toy, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    stage = STAGES[name]
    said = refusal_of(stage.main, *stage.arguments(toy, tmp_path / "locked/out"), unchanged=tmp_path)
    assert "Permission denied" in said and str(tmp_path) in said


@pytest.mark.parametrize(
    ("name", "owner", "function"),
    [
        ("extract", VAVAE, "encode"),
        ("train", training.run_files, "draw_report"),
        ("draw", VAVAE, "decode"),
        ("simulate", preparation.simulation, "simulate_user"),
    ],
)
def test_a_folder_that_vanishes_meanwhile(name, owner, function, toy, tmp_path, monkeypatch):
    stage, real = STAGES[name], getattr(owner, function)

    def then_it_is_gone(*arguments, **keywords):
        shutil.rmtree(tmp_path / "out")
        return real(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(owner, function, then_it_is_gone)
        said = refusal_of(stage.main, *stage.arguments(toy, tmp_path / "out"))
    assert str(tmp_path / "out") in said
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    output_of(stage.main, *stage.arguments(toy, tmp_path / "out"))


@pytest.mark.slow
def test_two_runs_into_one_folder(toy, tmp_path):
    arguments = words(STAGES["train"].arguments(toy, tmp_path / "out"))
    first = subprocess.Popen(
        [sys.executable, "stage2_train_dit.py", *arguments, "max_steps=1000000"],
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 300
        while not (tmp_path / "out/checkpoints/last.ckpt").exists():
            assert first.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        said = refusal_of(stage2_train_dit.main, *arguments)
        assert "another process is writing into it; wait for its end" in said and first.poll() is None
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    output_of(stage2_train_dit.main, *arguments)  # death opened the folder
