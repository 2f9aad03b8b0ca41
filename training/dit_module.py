"""Fitting the LightningDiT: the flow-matching loss on normalised latents, and a readable validation loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from configs.schema import TrainConfig
from data.latents import LatentSet
from data.progress import progress
from models.lightningdit import LightningDiT
from runtime.compiling import compile_blocks_
from runtime.seeds import noise_for
from sampling.model_file import PAYLOAD_KEY, DitPayload, write_slim
from training.fine_tuning import freeze_
from training.resumable import ResumableModule
from transport import Transport

TIME_BINS = 5
MANY = 256  # batches of a validation, which then shows its progress
GOLDEN_RATIO = 0.6180339887498949


class DiTModule(ResumableModule):
    """LightningModule around a LightningDiT and a Transport.

    Args:
        net: the network to train; `payload` describes it and travels in every file written.
        val: validation latents, or None.
        watch: further figures of the averaged network at a validation (`evaluation.copy_watch.CopyWatch`).
    """

    def __init__(
        self,
        net: LightningDiT,
        transport: Transport,
        config: TrainConfig,
        payload: DitPayload,
        total_steps: int,
        val: LatentSet | None,
        watch: Callable[[Any], dict[str, float]] | None = None,
    ) -> None:
        freeze_(net, config.tune)
        super().__init__(net, config, total_steps)
        self.transport, self.payload, self.val, self.watch = transport, payload, val, watch
        self._statistics = payload.statistics
        if config.compile:
            compile_blocks_(net)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        draw = self.batch_generator(batch["position"])
        x1 = self.draw_latents(batch, draw)
        x0 = self.normal_like(x1, draw)
        count = len(x1) * self.trainer.world_size
        t = self.slice_of_rank(self.draw_times(count, draw))
        drop = self.draw_dropped_labels(len(x1), draw)
        loss = self.losses(self.net, x0, x1, t, self.people_of(batch, draw), drop).mean()
        self.count_loss(loss)
        return loss

    def people_of(self, batch: dict[str, Any], draw: torch.Generator) -> Tensor:
        """What says whose the latents are, as the network takes it: (B,) labels."""
        return batch["labels"]

    def draw_times(self, count: int, draw: torch.Generator) -> Tensor:
        """Training times of `count` samples, as `losses` takes them."""
        return self.transport.draw_times(count, draw)

    def losses(
        self, net: LightningDiT, x0: Tensor, x1: Tensor, t: Tensor, y: Tensor, drop: Tensor | None = None
    ) -> Tensor:
        """(N,) losses of `net` on noise x0 and latents x1 (N,C,H,W) at times t (N,), labels y (N,)."""
        return total_loss(self.transport.training_losses(net, x1, {"y": y, "drop": drop}, x0=x0, t=t))

    def draw_latents(self, batch: dict[str, Any], draw: torch.Generator) -> Tensor:
        """(B,C,H,W) normalised latents: new posterior draws each time, or means."""
        latents, std = batch["mean"], batch.get("std") if self.config.sample_posterior else None
        noise = self.normal_like(latents, draw) if std is not None else None
        if "flip" in batch:
            plain = self.uniform(len(latents), draw)[:, None, None, None] < 0.5
            latents = torch.where(plain, latents, batch["flip"])
            # The spread of a mirrored image's posterior is taken to be the mirrored spread.
            std = None if std is None else torch.where(plain, std, std.flip(-1))
        if std is not None:
            latents = latents + std * noise
        return self._normalised(latents)

    def _normalised(self, latents: Tensor) -> Tensor:
        """By the payload's statistics, which are moved to the latents' device once, not at every step."""
        if self._statistics.mean.device != latents.device:
            self._statistics = self._statistics.to(latents.device)
        return self._statistics.normalise(latents)

    def draw_dropped_labels(self, count: int, draw: torch.Generator) -> Tensor | None:
        """(count, 1) bool, or (count, 2) where labels have two parts, each dropped on its own."""
        probability = self.payload.model["class_dropout_prob"]
        if probability == 0:
            return None
        parts = range(self.net.y_embedder.num_parts)
        return torch.stack([self.uniform(count, draw) for _ in parts], dim=1) < probability

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Loss of the averaged network with fixed noise and times: `val_loss`, by t-bin, by person.

        Sample j always has the same noise and the same time, in bin j mod 5; so the curve moves only with the
        network.
        """
        if self.val is None:
            return {}
        users, bins = len(self.payload.labels), TIME_BINS
        sums = torch.zeros(2, users, bins, dtype=torch.float64)
        rank, size = self.trainer.global_rank, self.config.batch_size
        starts = range(rank * size, len(self.val.labels), self.trainer.world_size * size)
        shown = progress(starts, description="validating", unit="batch") if len(starts) > MANY else starts
        for first in shown:
            chosen = torch.arange(first, min(first + size, len(self.val.labels)))
            losses = self._validation_losses(chosen).double().cpu()
            where = (self.val.labels[chosen], chosen % bins)
            sums[0].index_put_(where, losses, accumulate=True)
            sums[1].index_put_(where, torch.ones_like(losses), accumulate=True)
        means = validation_means(self.summed(sums.to(self.device)).cpu(), self.payload.labels.names)
        return means | (self.watch(self) if self.watch else {})

    def _validation_losses(self, chosen: Tensor) -> Tensor:
        """(n,) losses of validation samples `chosen`."""
        assert self.val is not None
        x1 = self._normalised(self.val.latents[chosen].to(self.device))
        shape = tuple(x1.shape[1:])
        x0 = torch.stack([noise_for(shape, self.config.seed, "validation", int(j)) for j in chosen]).to(
            self.device
        )
        low, high = self.transport.train_interval
        inside = (chosen // TIME_BINS * GOLDEN_RATIO) % 1.0
        t = low + (high - low) * ((chosen % TIME_BINS) + inside) / TIME_BINS
        labels = self.val.labels[chosen].to(self.device)
        with self.trainer.precision_plugin.forward_context():
            return self.losses(self.ema, x0, x1, t.float().to(self.device), labels)

    def export(self, path: Path) -> None:
        write_slim(path, self.ema.state_dict(), self.payload)

    def description(self) -> dict[str, Any]:
        return {**super().description(), PAYLOAD_KEY: self.payload.to_json()}


def total_loss(terms: dict[str, Tensor]) -> Tensor:
    """(N,) regression loss plus, where it is on, the cosine term."""
    return terms["loss"] + terms["cos_loss"] if "cos_loss" in terms else terms["loss"]


def validation_means(sums: Tensor, users: tuple[str, ...]) -> dict[str, float]:
    """Means from sums and counts (2, users, bins): overall, by t-bin, by person; entries without samples are
    left out.
    """
    metrics = {"val_loss": float(sums[0].sum() / sums[1].sum())}
    for index in range(sums.shape[2]):
        if sums[1, :, index].sum() > 0:
            name = f"val_loss_t{index / sums.shape[2]:.1f}_{(index + 1) / sums.shape[2]:.1f}"
            metrics[name] = float(sums[0, :, index].sum() / sums[1, :, index].sum())
    for index, user in enumerate(users):
        if sums[1, index].sum() > 0:
            metrics[f"val_loss_user_{user}"] = float(sums[0, index].sum() / sums[1, index].sum())
    return metrics
