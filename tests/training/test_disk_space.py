"""The account of disk against what a run writes."""

import os
import shutil
from collections import namedtuple

import pytest
from tiny_runs import stage2_settings, write_tiny_latents
from toy_run import refusal_of

import stage2_train_dit as stage2
from data.latents import read_latents
from models.lightningdit import LightningDiT_models
from runtime.disk import GIB, free_space, require_space
from training.budget import checkpoint_bytes, count_parameters, require_checkpoint_space
from training.start import model_arguments

SMALL = {
    "hidden_size": 192,
    "depth": 3,
    "num_heads": 3,
    "patch_size": 2,
    "use_qknorm": True,
    "input_size": 16,
}
Usage = namedtuple("Usage", "total used free")


def test_parameters_and_sizes_are_the_known_ones():
    xl = {**LightningDiT_models["LightningDiT-XL/1"].keywords, "input_size": 16, "num_classes": 1000}
    parameters, tuned = count_parameters(xl, "difffit")
    assert parameters == pytest.approx(675e6, rel=0.005) and tuned < parameters / 100
    assert checkpoint_bytes(xl) == 40 * parameters  # two of 16 bytes a parameter and two of 4


def test_a_run_writes_no_more_than_reckoned(tmp_path):
    latents = write_tiny_latents(tmp_path / "latents")
    configs = stage2_settings(latents, tmp_path / "run")
    stage2.run(configs)
    arguments = model_arguments(configs["model"], read_latents(latents, "train"))
    folder = tmp_path / "run/checkpoints"
    written = sum({os.stat(path).st_ino: path.stat().st_size for path in folder.iterdir()}.values())
    assert written < checkpoint_bytes(arguments) + 100_000  # and the names, which only tiny files feel
    two = checkpoint_bytes(arguments) - 8 * count_parameters(arguments)[0]
    assert (folder / "last.ckpt").stat().st_size == pytest.approx(two / 2, abs=60_000)


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    latents = write_tiny_latents(tmp_path / "latents")
    out = tmp_path / "not" / "there"
    assert free_space(out) == shutil.disk_usage(tmp_path).free
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**6, 0, 10**4))
    text = refusal_of(
        stage2.main, "--latent_dir", latents, "--output_dir", out, "max_steps=2", unchanged=tmp_path
    )
    assert "0.00 GiB are free, its checkpoints may take" in text and not out.exists()
    with pytest.raises(OSError, match="images may take 1.00 GiB; free some space"):
        require_space(out, GIB, "images")
    require_space(out, 10**4, "images")


def test_files_of_the_run_itself_are_not_counted_twice(tmp_path, monkeypatch):
    arguments = {**SMALL, "depth": 1}
    needed = checkpoint_bytes(arguments)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 0, needed - 1000))
    with pytest.raises(OSError):
        require_checkpoint_space(tmp_path, arguments)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/best.ckpt").write_bytes(bytes(600))
    os.link(tmp_path / "checkpoints/best.ckpt", tmp_path / "checkpoints/last.ckpt")
    with pytest.raises(OSError):
        require_checkpoint_space(tmp_path, arguments)
    (tmp_path / "checkpoints/best.safetensors").write_bytes(bytes(400))
    require_checkpoint_space(tmp_path, arguments)
