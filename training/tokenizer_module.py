"""Fitting a tokenizer of the VA-VAE family to images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from configs.schema import TokenizerConfig
from tokenizer.autoencoder import AutoencoderKL
from tokenizer.losses import psnr, reconstruction_loss, ssim
from tokenizer.vavae import to_float
from tokenizer.weights import save_slim
from training.batch_stream import BatchStream
from training.resumable import ResumableModule


class TokenizerModule(ResumableModule):
    """LightningModule around an AutoencoderKL; `val` are uint8 images (N,3,H,W), perhaps none."""

    def __init__(self, net: AutoencoderKL, config: TokenizerConfig, total_steps: int, val: Tensor) -> None:
        super().__init__(net.to(memory_format=torch.channels_last), config, total_steps)
        self.val = val

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        x = to_float(batch["images"]).contiguous(memory_format=torch.channels_last)
        posterior = self.net.encode(x)
        shape = (len(x) * self.trainer.world_size, *posterior.mean.shape[1:])
        noise = torch.randn(shape, generator=self.batch_generator(batch["position"]), device=self.device)
        reconstruction = self.net.decode(posterior.mean + posterior.std * self.own_slice(noise))
        terms = reconstruction_loss(
            x, reconstruction, posterior, self.config.l1_weight, self.config.l2_weight, self.config.kl_weight
        )
        self.count_loss(terms["loss"])
        return terms["loss"]

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """PSNR (dB), SSIM and KL (nats an image) of the averaged weights on all validation images, decoding
        posterior means.
        """
        if not len(self.val):
            return {}
        totals = torch.zeros(4, dtype=torch.float64, device=self.device)
        size, rank, world = self.config.batch_size, self.trainer.global_rank, self.trainer.world_size
        for first in range(rank * size, len(self.val), world * size):
            x = to_float(self.val[first : first + size].to(self.device)).contiguous(
                memory_format=torch.channels_last
            )
            with self.trainer.precision_plugin.forward_context():
                posterior = self.ema.encode(x)
                reconstruction = self.ema.decode(posterior.mean).float().clamp(-1, 1)
            parts = [
                psnr(x, reconstruction),
                ssim(x, reconstruction),
                posterior.kl(),
                torch.ones(len(x), device=self.device),
            ]
            totals += torch.stack([part.double().sum() for part in parts])
        means = self.summed(totals)
        return {name: float(means[i] / means[3]) for i, name in enumerate(("val_psnr", "val_ssim", "val_kl"))}

    def export(self, path: Path) -> None:
        save_slim(self.ema, path, dtype=torch.float16)


class ImageDataModule(pl.LightningDataModule):
    """Training batches {images, position} from uint8 images (N,3,H,W) in memory."""

    def __init__(self, images: Tensor, batch_size: int, num_batches: int, seed: int) -> None:
        super().__init__()
        self.images, self.batch_size, self.num_batches, self.seed = images, batch_size, num_batches, seed

    def train_dataloader(self) -> BatchStream:
        trainer = self.trainer
        return BatchStream(
            lambda chosen: {"images": self.images[chosen]},
            len(self.images),
            self.batch_size,
            self.num_batches,
            self.seed,
            trainer.global_rank,
            trainer.world_size,
        )
