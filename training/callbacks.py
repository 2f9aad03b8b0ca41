"""What is watched while a training runs: throughput, sample previews, progress."""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.throughput import get_available_flops
from pytorch_lightning.callbacks import TQDMProgressBar

from configs.command_line import is_main_process, say
from data.progress import SECONDS_BETWEEN_LINES
from data.sheets import grid, save_png
from runtime.precision import DTYPES, measured_rate, now
from runtime.seeds import noise_for
from sampling.latent_sampler import LatentSampler, usual_settings
from tokenizer.vavae import VAVAE, as_rows
from training.dit_module import DiTModule
from training.loggers import log_picture


def peak_rate(device: torch.device, precision: str) -> tuple[float, str]:
    """Operations a second at a resolved precision, and where the figure comes from: the card's published peak
    where Lightning knows it, else a measurement.
    """
    dtype = DTYPES.get(precision, torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = get_available_flops(device, dtype)
    return (float(known), "published peak") if known else (measured_rate(device, dtype), "measured product")


class Throughput(pl.Callback):
    """Logs `images_per_second`, `mfu` (of one device) and `loader_wait` (share of the time) and says their
    medians at the end. Measured between log points; validations and previews lie between two measurements.

    `flops` are those of one sample's training, `every` the steps between validations.
    """

    def __init__(self, flops: int, every: int, precision: str) -> None:
        self.flops, self.every, self.precision = flops, every, precision
        self.started: float | None = None
        self.loader: Any = None
        self.rows: list[dict[str, float]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.peak, self.source = peak_rate(pl_module.device, self.precision)

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        if self.started is None:
            self.started, self.batches, self.loader = now(module.device), 0, trainer.train_dataloader
            self.waited, self.step = self.loader.seconds, trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.batches += 1
        step = trainer.global_step
        if step > self.step and (step % pl_module.config.log_every == 0 or step % self.every == 0):
            assert self.started is not None
            self._report(trainer, now(pl_module.device) - self.started, len(batch["labels"]))
            self.started = None

    def _report(self, trainer: pl.Trainer, seconds: float, batch_size: int) -> None:
        rate = self.batches * batch_size / seconds
        row = {
            "images_per_second": rate * trainer.world_size,
            "mfu": rate * self.flops / self.peak,
            "loader_wait": (self.loader.seconds - self.waited) / seconds,
        }
        self.rows.append(row)
        for logger in trainer.loggers:
            logger.log_metrics(row, step=trainer.global_step)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.rows:
            medians = {name: statistics.median(row[name] for row in self.rows) for name in self.rows[0]}
            say(
                f"throughput: {medians['images_per_second']:.1f} images/s, {medians['mfu']:.0%} of "
                f"{self.peak / 1e12:.3g} TFLOP/s ({self.source}), waited for data "
                f"{medians['loader_wait']:.1%} of the time"
            )


SAMPLES_PER_USER = 4


@dataclass(eq=False)
class Previews(pl.Callback):
    """Every `every` steps: a grid of a few people drawn by the averaged weights, `previews/step_0001200.png`.

    Only the main process draws; the others wait for it at their next collective, so keep the number of people
    small.
    """

    vae: VAVAE
    folder: Path
    every: int
    num_users: int
    precision: str

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        target = self.folder / f"step_{step:07d}.png"
        if is_main_process() and step > 0 and step % self.every == 0 and not target.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.draw(pl_module, target)
            log_picture(trainer.loggers, "preview", target, step)

    def draw(self, module: DiTModule, target: Path) -> None:
        """Draw `SAMPLES_PER_USER` images of the first people into `target`."""
        labels = module.payload.labels
        shown = min(self.num_users, len(labels))
        settings = usual_settings(module.payload)
        draw = LatentSampler(module.ema, module.payload, settings, module.device, self.precision)
        rows = []
        for index in range(shown):
            shape = (module.net.config["in_channels"], *[module.net.config["input_size"]] * 2)
            noise = torch.stack(
                [noise_for(shape, module.config.seed, "preview", index, k) for k in range(SAMPLES_PER_USER)]
            )
            latents = draw(noise, torch.full((SAMPLES_PER_USER,), index))
            rows.append(list(as_rows(self.vae.decode(latents))))
        save_png(grid(rows, labels.names[:shown], cell=128), target)


class ProgressLines(pl.Callback):
    """A line with step, loss, rate and remaining time every half minute, for logs and notebooks."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.started = self.printed = time.monotonic()
        self.first_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now, done = time.monotonic(), trainer.global_step - self.first_step
        if now - self.printed < SECONDS_BETWEEN_LINES or not done:
            return
        self.printed = now
        rate = done / (now - self.started)
        minutes = (trainer.max_steps - trainer.global_step) / rate / 60
        say(
            f"step {trainer.global_step}/{trainer.max_steps}  loss {float(outputs['loss']):.4f}  "
            f"{rate:.2f} steps/s  "
            f"about {minutes:.0f} min left"
        )


class RunBar(TQDMProgressBar):
    """Lightning's bar; the run is one long epoch for Lightning, so the bar is named after what it shows."""

    def init_train_tqdm(self) -> Any:
        bar = super().init_train_tqdm()
        bar.set_description("Training")
        return bar

    def on_train_epoch_start(self, trainer: pl.Trainer, *arguments: Any) -> None:
        super().on_train_epoch_start(trainer, *arguments)
        self.train_progress_bar.set_description("Training")


def progress_callback() -> pl.Callback:
    """The bar for terminals, lines for everything else."""
    return RunBar(refresh_rate=5) if sys.stderr.isatty() else ProgressLines()
