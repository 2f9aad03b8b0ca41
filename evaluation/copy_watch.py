"""Has the model begun to copy? A few latents drawn at every validation beside the training latents."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy
import torch

from configs.schema import FitConfig
from data.latents import LatentSet
from data.row_tensor import RowTensor
from evaluation.memorisation import Nearness, memorised, nearness, usual_left
from models.lightningdit import LightningDiT
from runtime.seeds import generator, noise_for
from sampling.latent_sampler import LatentSampler, usual_settings
from sampling.model_file import DitPayload

MOST_HELD_OUT = 256


class WatchedModule(Protocol):
    """What is read of a training: its averaged network and payload, and where it stands."""

    ema: LightningDiT
    payload: DitPayload
    config: FitConfig
    device: torch.device
    trainer: Any

    def summed(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over ranks."""
        ...


class CopyWatch:
    """Shares of drawn and of held-out latents that are copies, each compared with its own person's training
    latents, at all shifts in time (`evaluation.memorisation`); `count` are drawn, of people who take turns.
    """

    def __init__(self, train: LatentSet, val: LatentSet, count: int, precision: str) -> None:
        self.train, self.val, self.count, self.precision = train, val, count, precision
        self._held_out: float | None = None
        self._usual = math.nan

    def __call__(self, module: WatchedModule) -> dict[str, float]:
        """`memorised` and `memorised_val`, the same on every rank."""
        if self._held_out is None:
            places = torch.linspace(0, len(self.val) - 1, min(len(self.val), MOST_HELD_OUT)).long()
            seen = self._beside_training(module, self.val.latents[places], self.val.labels[places])
            self._usual = usual_left(seen)
            self._held_out = float(memorised(seen, self._usual).sum()) / len(places)
        labels = self.labels(module)
        shape, step = tuple(self.train.latents.shape[1:]), module.trainer.global_step
        shard = range(module.trainer.global_rank, self.count, module.trainer.world_size)
        noise = [noise_for(shape, module.config.seed, "copies", step, j) for j in shard]
        flags = numpy.zeros(0)
        if noise:
            drawn = self._draw(module, torch.stack(noise), labels[shard])
            flags = memorised(self._beside_training(module, drawn, labels[shard]), self._usual)
        copies = module.summed(torch.tensor(float(flags.sum()), device=module.device))
        return {"memorised": float(copies) / self.count, "memorised_val": self._held_out}

    def labels(self, module: WatchedModule) -> torch.Tensor:
        """(count,) people with training latents, in an order that depends on the step alone."""
        people = self.train.labels.unique()
        draw = generator(module.config.seed, "copies", module.trainer.global_step)
        people = people[torch.randperm(len(people), generator=draw)]
        return people[torch.arange(self.count) % len(people)]

    def _draw(self, module: WatchedModule, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Latents as stage 3 draws them by default."""
        settings = usual_settings(module.payload)
        return LatentSampler(module.ema, module.payload, settings, module.device, self.precision)(
            noise, labels
        ).cpu()

    def _beside_training(
        self, module: WatchedModule, latents: torch.Tensor | RowTensor, labels: torch.Tensor
    ) -> Nearness:
        """Of the latents of people with two training latents or more, person by person."""
        parts = []
        for label in labels.unique():
            chosen, known = labels == label, (self.train.labels == label).nonzero().flatten()
            if len(known) > 1:
                pair = (latents[chosen], self.train.latents[known])
                drawn, training = (module.payload.statistics.normalise(z).flatten(1, 2).numpy() for z in pair)
                parts.append(nearness(drawn, training, quiet=True))
        if not parts:
            return Nearness(numpy.zeros((0, 2)), numpy.zeros((0, 2), dtype=int), numpy.zeros(0))
        return Nearness(*map(numpy.concatenate, zip(*parts)))
