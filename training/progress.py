"""Progress of a training: a bar on a terminal, a line every half minute elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar

from configs.command_line import say
from data.progress import SECONDS_BETWEEN_LINES


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
