"""fp16 with a loss scaler, on the CPU: what a skipped step leaves as it is, scale and clipping, giving up.

Lightning's plugin and torch's scaler are the ones that a GPU runs with, and so are optimizer and module;
scales far beyond fp16's range make gradients overflow.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from tiny_runs import (
    TOKENIZER,
    Teacher,
    assert_same,
    read_last,
    stage2_settings,
    tiny_network,
    tiny_payload,
    write_tiny_latents,
)
from torch import Tensor

from configs.errors import UserError
from configs.load import resolve
from data.latents import read_latents
from runtime.seeds import generator
from stages.train_tokenizer import fresh_tokenizer
from training.batches import LatentDataModule, TensorDataModule
from training.dit_module import DiTModule
from training.fit import fit
from training.resumable import ResumableModule
from training.run_files import RunFiles
from training.tokenizer_module import TokenizerModule
from transport import create_transport

SLIM = {"dit": "checkpoints/best.safetensors", "tokenizer": "tokenizer.safetensors"}
# Grows beyond what the gradients stand after every second good step, and comes back in a few.
RESTLESS = {"init_scale": 2.0**26, "growth_interval": 2, "growth_factor": 2.0**16, "backoff_factor": 2.0**-8}
STEPS = 8
TOKENIZER_RUN = {**TOKENIZER, "warmup_steps": 2, "crop": 64, "data_dir": "-", "output_dir": "-"}


def fp16(**scaling: float) -> MixedPrecision:
    """Lightning's arithmetic of 16-mixed, here on the CPU."""
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", **scaling))


@dataclass
class After:
    """What there is after a step."""

    steps: int
    scale: float
    weights: Tensor
    average: Tensor
    moments: Tensor
    rate: float
    gradients: Tensor  # as the optimizer got them


class Watch(pl.Callback):
    """Keeps an `After` of every step."""

    def __init__(self) -> None:
        self.seen: list[After] = []

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        optimizer, scaler = trainer.optimizers[0], getattr(trainer.precision_plugin, "scaler", None)
        values = [state[name] for state in optimizer.state.values() for name in sorted(state)]
        self.seen.append(
            After(
                trainer.global_step,
                scaler.get_scale() if scaler else 1.0,
                flat(module.net.parameters()),
                flat(module.ema.parameters()),
                flat(values) if values else torch.zeros(0),
                optimizer.param_groups[0]["lr"],
                flat(p.grad for p in module.trained_parameters()),
            )
        )


def flat(tensors: Any) -> Tensor:
    return torch.cat([tensor.detach().flatten().clone() for tensor in tensors])


def dit_parts(folder: Path, **changes: Any) -> tuple[ResumableModule, pl.LightningDataModule]:
    latents = folder.parent / "latents"
    if not latents.exists():
        write_tiny_latents(latents)
    config = stage2_settings(latents, folder, **changes)["train"]
    train, net = read_latents(latents, "train"), tiny_network()
    module = DiTModule(
        net, create_transport(), config, tiny_payload(net), config.max_steps, read_latents(latents, "val")
    )
    return module, LatentDataModule(train, config.batch_size, config.max_steps * config.accumulate, 0)


def tokenizer_parts(
    folder: Path, teacher: Any = None, **changes: Any
) -> tuple[ResumableModule, pl.LightningDataModule]:
    config = resolve(("tokenizer",), {"tokenizer": {**TOKENIZER_RUN, **changes}})["tokenizer"]
    images = torch.randint(0, 256, (7, 3, 64, 64), generator=generator("images")).to(torch.uint8)
    net = fresh_tokenizer(config)
    module = TokenizerModule(net, config, config.max_steps, images[5:], teacher)
    length = config.batch_size, config.max_steps * config.accumulate
    return module, TensorDataModule({"images": images[:5]}, *length, 0)


PARTS: dict[str, Callable[..., Any]] = {"dit": dit_parts, "tokenizer": tokenizer_parts}


def train(kind: str, folder: Path, arithmetic: Precision | None, **changes: Any) -> list[After]:
    """A run of `kind` as its script starts it, from the files up."""
    module, data = PARTS[kind](folder, **{"max_steps": STEPS, "validate_every": STEPS, **changes})
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    monitor = "val_loss" if kind == "dit" else "val_psnr"
    files = RunFiles(
        folder,
        SLIM[kind],
        module.config.validate_every,
        module.total_steps,
        5,
        monitor,
        higher_is_better=kind == "tokenizer",
    )
    watch = Watch()
    fit(module, data, files, module.config, [watch], arithmetic)
    return watch.seen


@pytest.fixture(scope="module", params=SLIM)
def run(request, tmp_path_factory) -> tuple[str, Path, list[After]]:
    """Kind, folder and steps of a run of which the scaler skips many steps."""
    folder = tmp_path_factory.mktemp(request.param) / "run"
    return request.param, folder, train(request.param, folder, fp16(**RESTLESS))


def skipped(steps: list[After]) -> list[bool]:
    """Of all steps but the first: those after which the scale has fallen."""
    return [after.scale < before.scale for before, after in itertools.pairwise(steps)]


# Skipped steps


def test_a_skipped_step_moves_neither_weights_nor_moments_average_or_rate(run):
    _, _, steps = run
    assert {True, False} == set(skipped(steps))
    for before, after in itertools.pairwise(steps):
        overflowed = not bool(after.gradients.isfinite().all())
        assert overflowed == (after.scale < before.scale)
        for name in ("weights", "moments", "average"):
            assert torch.equal(getattr(before, name), getattr(after, name)) == overflowed, name
        assert after.steps == before.steps + 1


def test_rate_and_warm_ups_count_the_steps_that_were_taken(run):
    kind, folder, steps = run
    peak, learnt, average = steps[-1].rate, 0, None
    module, _ = PARTS[kind](folder, max_steps=STEPS)
    average = flat(module.ema.parameters())
    for after, overflowed in zip(steps, [True, *skipped(steps)], strict=True):
        learnt += not overflowed
        assert after.rate == pytest.approx(peak * min(1, (learnt + 1) / 3))
        decay = min(module.config.ema_decay, learnt / (learnt + 9))
        if not overflowed:
            average = decay * average + (1 - decay) * after.weights
        torch.testing.assert_close(after.average, average, rtol=1e-4, atol=1e-6)
    last = read_last(folder)
    assert learnt >= 4 and (last["ema_updates"], last["global_step"]) == (learnt, STEPS)
    assert all(int(state["step"]) == learnt for state in last["optimizer_states"][0]["state"].values())


def test_what_was_skipped_is_said(tmp_path, capsys):
    steps = train("dit", tmp_path / "run", fp16(init_scale=2.0**40, backoff_factor=2.0**-15), max_steps=6)
    count = 1 + sum(skipped(steps))
    assert 1 < count < 6
    assert "step 6/6: train_loss " in (said := capsys.readouterr().out)
    assert f", {count} steps skipped by the loss scaler\n" in said
    train("dit", tmp_path / "whole", None, max_steps=6)
    assert "skipped" not in capsys.readouterr().out


# Resuming


@pytest.mark.parametrize("cut", [3, 6])
def test_a_run_and_its_continuation_are_the_run_at_once_with_its_scale(run, tmp_path, cut):
    kind, folder, steps = run
    parts = [
        train(kind, tmp_path / "run", fp16(**RESTLESS), max_steps=cut),
        train(kind, tmp_path / "run", fp16(), max_steps=STEPS),
    ]
    assert [after.scale for part in parts for after in part] == [after.scale for after in steps]
    assert_same([after.weights for part in parts for after in part], [after.weights for after in steps])
    assert parts[1][0].scale != 2.0**16


def test_a_run_goes_on_in_other_arithmetic_and_back(tmp_path):
    others = (fp16(init_scale=256.0), None, fp16(init_scale=256.0), MixedPrecision("bf16-mixed", "cpu"))
    for number, arithmetic in enumerate(others):
        seen = train("dit", tmp_path / "run", arithmetic, max_steps=3 * number + 3, validate_every=3)
        assert [after.steps for after in seen] == [3 * number + 1, 3 * number + 2, 3 * number + 3]
    assert read_last(tmp_path / "run")["ema_updates"] == 12


# Scale and clipping


@pytest.mark.parametrize("kind", SLIM)
@pytest.mark.parametrize("clip", [0.0, 1e-3, 1e6])
def test_the_optimizer_gets_the_gradients_of_fp32_clipped_or_not(kind, clip, tmp_path):
    settings = {"gradient_clip": clip, "max_steps": 1, "validate_every": 1}
    (exact,) = train(kind, tmp_path / "fp32", None, **settings)
    (scaled,) = train(kind, tmp_path / "fp16", fp16(init_scale=128.0), **settings)
    assert scaled.scale == 128 and relative(scaled.gradients, exact.gradients) < 2e-2
    assert clip != 1e-3 or float(exact.gradients.norm()) == pytest.approx(1e-3, rel=1e-3)
    for moment in ("exp_avg", "exp_avg_sq"):
        one, other = (
            flat(
                state[moment] for state in read_last(tmp_path / name)["optimizer_states"][0]["state"].values()
            )
            for name in ("fp16", "fp32")
        )
        assert relative(one, other) < 4e-2, moment


def test_accumulated_gradients_are_clipped_once_and_unscaled(tmp_path):
    settings = {"gradient_clip": 1e-3, "max_steps": 2, "accumulate": 3}
    exact, scaled = (
        train("dit", tmp_path / str(n), arithmetic, **settings)
        for n, arithmetic in enumerate((None, fp16(init_scale=128.0)))
    )
    for one, other in zip(exact[2::3], scaled[2::3], strict=True):  # after each third batch, a step
        assert relative(other.gradients, one.gradients) < 2e-2


@pytest.mark.parametrize("size", [1.0, 1e-4])
def test_an_alignment_weighs_what_it_weighs_in_fp32(size):
    """Also beside a loss whose gradients fp16 alone takes for zero, as it does those of a mean over many
    images' pixels.
    """
    weighed = [float(alignment_term(arithmetic, size)) for arithmetic in (Precision(), fp16())]
    assert weighed[0] > 0 and weighed[1] == pytest.approx(weighed[0], rel=1e-2)


def alignment_term(arithmetic: Precision, size: float) -> Tensor:
    """The alignment's weighted part of a loss, beside `size` times the mean error."""
    module, _ = tokenizer_parts(Path("-"), Teacher(), max_steps=2)
    module.trainer = SimpleNamespace(precision_plugin=arithmetic)
    x = torch.randn(2, 3, 64, 64, generator=generator("x"))
    with arithmetic.forward_context():
        z = module.net.encode(x).mean
        recon = module.net.decode(z)
        return module.alignment(x, z, size * (recon.float() - x).abs().mean()).detach()


def test_an_alignment_whose_weight_overflows_is_a_skipped_step(tmp_path):
    steps = train("tokenizer", tmp_path / "run", fp16(**RESTLESS), teacher=Teacher(), max_steps=6)
    assert {True, False} == {bool(after.gradients.isfinite().all()) for after in steps}
    assert steps[-1].weights.isfinite().all()


def relative(value: Tensor, exact: Tensor) -> float:
    return float((value - exact).norm() / exact.norm())


# Giving up


@pytest.mark.parametrize("kind", SLIM)
@pytest.mark.parametrize(("length", "taken", "every"), [(50, 30, 20), (5, 5, 3)])
def test_a_run_that_finds_no_scale_ends_with_one_line(kind, length, taken, every, tmp_path):
    hopeless = fp16(init_scale=2.0**40, backoff_factor=0.99)
    with pytest.raises(UserError) as caught:
        train(kind, tmp_path / "run", hopeless, max_steps=length, validate_every=every)
    message = str(caught.value)
    assert f"no loss scale gave finite gradients in {taken} steps" in message and "\n" not in message
    assert "--precision 32" in message
    last = read_last(tmp_path / "run")
    assert last["ema_updates"] == 0 and last["global_step"] == every
