"""Previews show the average's samples, come when asked, and leave the training as it is; progress is told."""

from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import torch
from conftest import reference_weights_
from PIL import Image
from saved_latents import write_latents
from tiny_runs import CONTENTS, USERS, assert_same_run, stage2_settings

import stage2_train_dit
from data.labels import LabelTable
from data.latent_stats import LatentStatistics
from data.progress import progress
from runtime.seeds import generator
from tokenizer.autoencoder import AutoencoderKL
from tokenizer.weights import digest, save_slim
from training import callbacks as progress_module
from training.callbacks import ProgressLines


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A tokenizer W.safetensors and latents that bear its digest."""
    folder = tmp_path_factory.mktemp("previews")
    vae = reference_weights_(AutoencoderKL(embed_dim=4, ch=32, ch_mult=(1,), num_res_blocks=1, patch_size=16))
    save_slim(vae, folder / "W.safetensors", dtype=torch.float16)
    latents = torch.randn(12, 4, 16, 16, generator=generator("latents"))
    metadata = {**CONTENTS, "tokenizer_digest": digest(vae)}
    write_latents(
        folder,
        "train",
        latents,
        labels=torch.arange(12) % 3,
        label_table=LabelTable(USERS),
        metadata=metadata,
    )
    LatentStatistics.from_latents(latents).save(folder / "latents_stats.pt")
    return folder


def train(folder: Path, output: Path, **changes) -> None:
    settings = {"max_steps": 4, "validate_every": 1, "model_patch_size": 4, **changes}
    stage2_train_dit.run(stage2_settings(folder, output, **settings))


def test_previews_come_when_asked_and_do_not_disturb_the_training(folder, tmp_path):
    shown = {"vavae_path": str(folder / "W.safetensors"), "preview_every": 2, "preview_users": 2}
    train(folder, tmp_path / "shown", **shown)
    train(folder, tmp_path / "bare")
    assert_same_run(tmp_path / "shown", tmp_path / "bare")
    previews = sorted((tmp_path / "shown" / "previews").iterdir())
    assert [path.name for path in previews] == ["step_0000002.png", "step_0000004.png"]
    pixels = numpy.asarray(Image.open(previews[0]))
    assert pixels.shape[0] < pixels.shape[1] and pixels[:, 150:].std() > 1  # two rows of four, and not blank


def test_a_preview_by_another_tokenizer_is_refused(folder, tmp_path):
    other = AutoencoderKL(embed_dim=4, ch=32, ch_mult=(1,), num_res_blocks=1, patch_size=16)
    save_slim(other, tmp_path / "other.safetensors", dtype=torch.float16)
    with pytest.raises(ValueError, match="other.safetensors: not the tokenizer of these latents") as caught:
        train(folder, tmp_path / "run", vavae_path=str(tmp_path / "other.safetensors"))
    assert "\n" not in str(caught.value)


def test_lines_tell_step_loss_rate_and_the_time_left(monkeypatch, capsys):
    clock = iter((100.0, 110.0, 140.0))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    lines, trainer = ProgressLines(), SimpleNamespace(global_step=50, max_steps=250)
    lines.on_train_start(trainer, None)
    for step in (60, 130):
        trainer.global_step = step
        lines.on_train_batch_end(trainer, None, {"loss": torch.tensor(0.5)}, None, 0)
    assert capsys.readouterr().out == "step 130/250  loss 0.5000  2.00 steps/s  about 1 min left\n"


def test_progress_hands_everything_through(capsys):
    assert list(progress(range(5), description="counting", unit="img")) == list(range(5))
    assert "counting" in capsys.readouterr().err
