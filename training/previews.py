"""Sample previews while the DiT trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from configs.command_line import is_main_process
from data.pictures import grid, save_png
from tokenizer.vavae import VAVAE
from training.dit_module import DiTModule
from training.randomness import noise_for
from training.sampling import LatentSampler, usual_settings

SAMPLES_PER_USER = 4


class Previews(pl.Callback):
    """Every `every` steps: a grid of a few people drawn by the averaged weights, `previews/step_0001200.png`.

    Only the main process draws; the others wait for it at their next collective, so keep the number of people
    small.
    """

    def __init__(self, vae: VAVAE, folder: Path, every: int, num_users: int, precision: str) -> None:
        self.vae, self.folder, self.every, self.num_users, self.precision = (
            vae,
            Path(folder),
            every,
            num_users,
            precision,
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: DiTModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        target = self.folder / f"step_{step:07d}.png"
        if is_main_process() and step > 0 and step % self.every == 0 and not target.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.draw(pl_module, target)

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
            rows.append(list(self.vae.decode(latents).numpy()))
        save_png(grid(rows, labels.names[:shown], cell=128), target)
