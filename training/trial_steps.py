"""Steps on trial: what `--precision auto` measures before a training, on networks that are then gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from configs.schema import FitConfig
from data.kept_values import KeptValues
from runtime.devices import autocast, candidate_precisions, resolve_devices, resolve_precision
from runtime.precision import RECORD, choose
from training.ema import update_ema_
from training.resumable import ResumableModule

Trial = tuple[ResumableModule, dict[str, Any]]  # a module whose weights are nobody's, and a batch for it


def training_arithmetic(
    folder: Path,
    config: FitConfig,
    steps: float,
    trial: Callable[[], Trial],
    candidates: Callable[[torch.device], tuple[str, ...]] = candidate_precisions,
) -> str:
    """The precision of a run of `steps` steps such as those of `trial()`: the one asked for, or for `auto`
    the one that the run in `folder` was begun with on such a device, else the fastest of the `candidates`
    (`runtime.precision`).
    """
    device = torch.device(resolve_devices(config.accelerator, config.devices)[0])
    if config.precision != "auto":
        return resolve_precision(config.precision, device)
    names, store = candidates(device), KeptValues(folder / RECORD)
    return choose("training", lambda: step_of(*trial(), device), names, device, steps, store)


def step_of(module: ResumableModule, batch: dict[str, Any], device: torch.device) -> Callable[[str], None]:
    """A function that takes one optimizer step of `module` on `batch` in a named arithmetic: loss, gradients,
    clipping, AdamW and average, as the run takes it on one device.
    """
    module.to(device).train()
    trainer: Any = SimpleNamespace(global_rank=0, world_size=1, global_step=1)
    module.trainer = trainer
    setattr(module, "log", lambda *arguments, **keywords: None)  # noqa: B010, for the type checker
    optimizer, config = module.configure_optimizers()["optimizer"], module.config
    batch = {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}
    scaler = torch.amp.GradScaler(device.type)

    def step(precision: str) -> None:
        scaled = precision == "16-mixed"
        with autocast(device, precision):
            loss: Any = module.training_step(batch, 0)
        (scaler.scale(loss) if scaled else loss).backward()
        if config.gradient_clip:
            if scaled:
                scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(module.trained_parameters(), config.gradient_clip)
        scaler.step(optimizer) if scaled else optimizer.step()
        if scaled:
            scaler.update()
        optimizer.zero_grad()
        update_ema_(module.ema, module.net, 1, config.ema_decay)

    return step
