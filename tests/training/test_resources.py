"""The account of memory against autograd itself, that of disk against what a run writes."""

import os
import shutil
from collections import namedtuple

import pytest
import torch
from tiny_runs import stage2_settings, write_tiny_latents
from toy_run import refusal_of

import stage2_train_dit as stage2
from models.lightningdit import LightningDiT, LightningDiT_models
from training.resources import (
    BLOCK_BYTES,
    GIB,
    activation_bytes,
    checkpoint_bytes,
    count_parameters,
    free_space,
    largest_batch,
    require_checkpoint_space,
    require_space,
    training_bytes,
)

SMALL = {"hidden_size": 192, "depth": 3, "num_heads": 3, "patch_size": 2, "use_qknorm": True,
         "input_size": 16}
Usage = namedtuple("Usage", "total used free")


def kept_by_autograd(arguments, batch_size, bf16):
    """Bytes that the backward pass of one batch waits for, each storage once, weights aside."""
    net = LightningDiT(**arguments).train()
    own = {value.untyped_storage().data_ptr() for value in (*net.parameters(), *net.buffers())}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    x, t = torch.randn(batch_size, 32, 16, 16), torch.rand(batch_size)
    labels = torch.zeros(batch_size, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            out = net(x, t, labels)
        out.float().square().mean()
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("precision", ["32", "bf16-mixed"])
def test_activations_are_what_autograd_keeps(precision, checkpointed):
    arguments = {**SMALL, "use_checkpoint": checkpointed}
    measured = (kept_by_autograd(arguments, 6, precision != "32")
                - kept_by_autograd(arguments, 2, precision != "32")) / 4
    reckoned = activation_bytes(arguments, 1, precision)
    if checkpointed:  # autograd does not keep yet what it recomputes, one block at a time
        reckoned -= 64 * SMALL["hidden_size"] * BLOCK_BYTES[precision]
    assert reckoned == pytest.approx(measured, rel=0.15)


def test_parameters_and_sizes_are_the_known_ones():
    xl = {**LightningDiT_models["LightningDiT-XL/1"].keywords, "input_size": 16, "num_classes": 1000}
    parameters, tuned = count_parameters(xl, "diffit")
    assert parameters == pytest.approx(675e6, rel=0.005) and tuned < parameters / 100
    assert checkpoint_bytes(xl) == 40 * parameters  # two of 16 bytes a parameter and two of 4
    assert 12.4 * GIB < training_bytes(xl, 0, "32") < 12.7 * GIB
    assert training_bytes(xl, 0, "32", "diffit") < 8.2 * parameters
    batch = largest_batch(xl, 40 * GIB, "bf16-mixed")
    assert training_bytes(xl, batch, "bf16-mixed") <= 36 * GIB < training_bytes(xl, 2 * batch, "bf16-mixed")
    assert largest_batch(xl, 8 * GIB, "bf16-mixed") == 0


def test_a_run_writes_no_more_than_reckoned(tmp_path):
    latents = write_tiny_latents(tmp_path / "latents")
    configs = stage2_settings(latents, tmp_path / "run")
    stage2.run(configs)
    arguments = stage2.model_arguments(configs["model"], stage2.read_latents(latents, "train"))
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
    text = refusal_of(stage2.main, "--latent_dir", latents, "--output_dir", out, "max_steps=2",
                      unchanged=tmp_path)
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
