"""Latents in memory, handed to the trainer in batches."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch

from data.latents import LatentSet
from training.batch_stream import BatchStream


class LatentDataModule(pl.LightningDataModule):
    """Training batches {mean, std, labels, position} from a `LatentSet`; `std` is absent when the set has
    none.

    With upstream's shards one of the plain and the flipped latents is taken, as upstream's loader does.
    """

    def __init__(self, train: LatentSet, batch_size: int, num_batches: int, seed: int) -> None:
        super().__init__()
        self.train, self.batch_size, self.num_batches, self.seed = train, batch_size, num_batches, seed

    def fetch(self, indices: torch.Tensor) -> dict[str, Any]:
        """One batch by index: a gather from memory, no files."""
        batch = {"mean": self.train.latents[indices], "labels": self.train.labels[indices]}
        if self.train.latents_std is not None:
            batch["std"] = self.train.latents_std[indices]
        if self.train.latents_flip is not None:
            batch["flip"] = self.train.latents_flip[indices]
        return batch

    def train_dataloader(self) -> BatchStream:
        trainer = self.trainer
        return BatchStream(
            self.fetch,
            len(self.train.labels),
            self.batch_size,
            self.num_batches,
            self.seed,
            trainer.global_rank,
            trainer.world_size,
        )
