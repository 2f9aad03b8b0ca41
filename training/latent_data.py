"""Latents in memory, handed to the trainer in batches."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch

from data.latents import LatentSet
from training.batch_stream import BatchStream

SHARE_OF_DEVICE = 0.25


class LatentDataModule(pl.LightningDataModule):
    """Training batches {mean, std, labels, position} from a `LatentSet`; `std` is absent when the set has
    none.

    With upstream's shards one of the plain and the flipped latents is taken, as upstream's loader does.
    """

    def __init__(self, train: LatentSet, batch_size: int, num_batches: int, seed: int) -> None:
        super().__init__()
        self.batch_size, self.num_batches, self.seed = batch_size, num_batches, seed
        parts = {"mean": train.latents, "labels": train.labels, "std": train.latents_std,
                 "flip": train.latents_flip}
        self.tensors = {name: tensor for name, tensor in parts.items() if tensor is not None}

    def fetch(self, indices: torch.Tensor) -> dict[str, Any]:
        """One batch by index: a gather from memory, no files."""
        indices = indices.to(self.tensors["labels"].device, non_blocking=True)
        return {name: tensor[indices] for name, tensor in self.tensors.items()}

    def move_to(self, device: torch.device) -> None:
        """Gather on `device` from now on, where the latents take at most a quarter of its free memory."""
        size = sum(tensor.numel() * tensor.dtype.itemsize for tensor in self.tensors.values())
        if device.type == "cuda" and size <= SHARE_OF_DEVICE * torch.cuda.mem_get_info(device)[0]:
            self.tensors = {name: tensor[:].to(device) for name, tensor in self.tensors.items()}

    def train_dataloader(self) -> BatchStream:
        trainer = self.trainer
        self.move_to(trainer.strategy.root_device)
        return BatchStream(
            self.fetch,
            len(self.tensors["labels"]),
            self.batch_size,
            self.num_batches,
            self.seed,
            trainer.global_rank,
            trainer.world_size,
        )
