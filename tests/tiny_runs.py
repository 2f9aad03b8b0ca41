"""Tiny latents and settings with which the whole of stage 2 runs in a second on one core."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import reference_weights_
from pytorch_lightning import Callback
from pytorch_lightning.plugins.precision import Precision
from saved_latents import write_latents

import stage2_train_dit
import training.fit
from configs.load import resolve
from data.labels import LabelTable
from data.latent_stats import LatentStatistics
from data.latents import LatentSet, read_latents
from models.lightningdit import LightningDiT
from runtime.seeds import generator
from sampling.model_file import DitPayload
from training.dit_module import DiTModule
from transport import create_transport

USERS = ("ID_1", "ID_2", "ID_10")
CHANNELS, SIDE = 4, 4
MODEL = {"preset": "LightningDiT-S/2", "depth": 1, "hidden_size": 32, "num_heads": 2, "patch_size": 1}
TRAIN = {
    "batch_size": 4,
    "max_steps": 6,
    "validate_every": 3,
    "lr": 1e-2,
    "warmup_steps": 2,
    "precision": "32",
    "accelerator": "cpu",
    "watch_copies": 0,
}
TOKENIZER = {  # keys of the smallest of the family, and of its training
    **{"ch": 32, "ch_mult": [1], "patch_size": 16, "num_res_blocks": 1, "embed_dim": 4, "shortcut": False},
    **{"batch_size": 2, "lr": 1e-3, "lr_decay": "constant", "precision": "32", "accelerator": "cpu"},
}
CONTENTS = {"tokenizer_digest": "d" * 64, "inputs_digest": "i" * 64, "preprocessing": {"geometry": "stretch"}}


def write_tiny_latents(
    folder: Path, num_train: int = 22, num_val: int = 7, users: tuple[str, ...] = USERS
) -> Path:
    """A latents folder as stage 1 leaves it: a few people, 4 x 4 x 4 latents, their statistics."""
    for split, count in (("train", num_train), ("val", num_val)):
        if count:
            draw = generator(split)
            latents = 3 + 2 * torch.randn(count, CHANNELS, SIDE, SIDE, generator=draw)
            std = 0.1 + torch.rand(latents.shape, generator=draw)
            labels, paths = torch.arange(count) % len(users), [f"{split}/{i}.png" for i in range(count)]
            write_latents(folder, split, latents, std, labels, LabelTable(users), paths, CONTENTS)
    statistics = LatentStatistics.from_latents(read_latents(folder, "train").latents)
    statistics.save(folder / "latents_stats.pt")
    return folder


def stage2_settings(latents: Path, output: Path, **changes: Any) -> dict[str, Any]:
    """Sections for `stage2_train_dit.run`; a change named model_x or transport_x goes to that section."""
    layers = {
        "train": {**TRAIN, "latent_dir": str(latents), "output_dir": str(output)},
        "model": dict(MODEL),
        "transport": {},
    }
    for name, value in changes.items():
        section, _, key = name.partition("_")
        if section in ("model", "transport"):
            layers[section][key] = value
        else:
            layers["train"][name] = value
    return resolve(("train", "model", "transport"), layers)


def train(latents: Path, output: Path, **changes: Any) -> None:
    """Stage 2, whole, with such settings."""
    stage2_train_dit.run(stage2_settings(latents, output, **changes))


def train_with(callback: Callback, latents: Path, output: Path, **changes: Any) -> None:
    """The same with a callback more."""
    fit = training.fit.fit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.fit, "fit", lambda *most: fit(*most[:-1], [*most[-1], callback]))
        train(latents, output, **changes)


def tiny_network(**changes: Any) -> LightningDiT:
    """A small LightningDiT filled by the golden rule, so that no part of it is zero."""
    arguments = {
        "input_size": SIDE,
        "patch_size": 1,
        "in_channels": CHANNELS,
        "hidden_size": 32,
        "depth": 1,
        "num_heads": 2,
        "num_classes": len(USERS),
        "use_qknorm": True,
        **changes,
    }
    return reference_weights_(LightningDiT(**arguments))


def tiny_payload(net: LightningDiT, **transport: Any) -> DitPayload:
    """A payload for `net`, with statistics that few decimals do not write exactly."""
    mean = torch.linspace(-1, 2, net.in_channels).view(1, -1, 1, 1) / 3
    return DitPayload(
        net.config,
        transport,
        LabelTable(USERS),
        LatentStatistics(mean, mean.abs() + 0.7),
        "d" * 64,
        {"geometry": "stretch"},
        {"seed": 0},
    )


def tiny_module(
    net: LightningDiT,
    val: LatentSet | None = None,
    rank: int = 0,
    world_size: int = 1,
    transport: dict[str, Any] | None = None,
    **changes: Any,
) -> DiTModule:
    """A DiTModule as rank `rank` of `world_size` would see it, without a trainer's loops."""
    config = stage2_settings(Path("latents"), Path("out"), **changes)["train"]
    payload = tiny_payload(net)
    module = DiTModule(net, create_transport(**(transport or {})), config, payload, config.max_steps, val)
    module.trainer = SimpleNamespace(
        global_rank=rank, world_size=world_size, global_step=1, precision_plugin=Precision()
    )
    return module.train()


def tiny_batch(count: int = 6, position: int = 0) -> dict[str, Any]:
    draw = generator("batch", position)
    shape = (count, CHANNELS, SIDE, SIDE)
    return {
        "mean": torch.randn(shape, generator=draw),
        "std": torch.rand(shape, generator=draw),
        "labels": torch.arange(count) % len(USERS),
        "position": position,
    }


class Teacher:
    """Features of images that a foundation model might give: mean colours of patches, twice."""

    channels = 6

    def to(self, device: Any) -> "Teacher":
        return self

    def __call__(self, x: torch.Tensor, side: int) -> torch.Tensor:
        small = torch.nn.functional.adaptive_avg_pool2d(x, side)
        return torch.cat([small, small**2], 1)


def read_last(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def assert_same(one: Any, other: Any) -> None:
    """Equal to the last bit, through containers."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype and torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for pair in zip(one, other):
            assert_same(*pair)
    else:
        assert one == other


def assert_interrupted_is_at_once(settings: Callable[[Path], dict[str, Any]], folder: Path) -> None:
    """Trains by `settings(output folder)` into `whole`, and in two parts into `parts`; both are one run."""
    whole, parts = (settings(folder / name) for name in ("whole", "parts"))
    stage2_train_dit.run(whole)
    for steps in (3, TRAIN["max_steps"]):
        parts["train"].max_steps = steps
        stage2_train_dit.run(parts)
    assert_same_run(folder / "whole", folder / "parts")


def assert_same_run(one: Path, other: Path, slim_name: str = "checkpoints/best.safetensors") -> None:
    """Two folders of one run: the same best weights and log by the byte, the same state to go on from."""
    for name in (slim_name, "training_log.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    states = read_last(one), read_last(other)
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "ema_updates", "global_step", "callbacks"):
        assert_same(states[0][key], states[1][key])
