"""Fitting a tokenizer of the VA-VAE family to images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from configs.schema import TokenizerConfig
from runtime.seeds import generator
from tokenizer.alignment import FoundationTeacher, adaptive_weight, alignment_loss
from tokenizer.autoencoder import AutoencoderKL
from tokenizer.losses import psnr, reconstruction_loss, ssim
from tokenizer.vavae import to_float
from tokenizer.weights import save_slim
from training.resumable import ResumableModule


class TokenizerModule(ResumableModule):
    """LightningModule around an AutoencoderKL; `val` are uint8 images (N,3,H,W), perhaps none.

    `teacher` turns images (B,3,H,W) in [-1, 1] into features (B,C,h,w) that the latents are aligned with.
    """

    def __init__(
        self,
        net: AutoencoderKL,
        config: TokenizerConfig,
        total_steps: int,
        val: Tensor,
        teacher: FoundationTeacher | None = None,
    ) -> None:
        super().__init__(net.to(memory_format=torch.channels_last), config, total_steps)
        self.val = val
        self._teacher = [] if teacher is None else [teacher]  # in a list, so that it is not saved
        if teacher is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(generator(config.seed, "further weights").initial_seed())
                self.linear_proj = torch.nn.Conv2d(net.config["embed_dim"], teacher.channels, 1)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        config, draws = self.config, self.batch_generator(batch["position"])
        x = to_float(self.random_crops(batch["images"], draws))
        x = x.contiguous(memory_format=torch.channels_last)
        posterior = self.net.encode(x)
        z = posterior.mean + posterior.std * self.normal_like(posterior.mean, draws)
        recon = self.net.decode(z)
        weights = config.l1_weight, config.l2_weight, config.kl_weight
        loss = reconstruction_loss(x, recon, posterior, *weights)
        if self._teacher:
            loss = loss + self.alignment(x, z, loss)
        self.count_loss(loss)
        return loss

    def random_crops(self, images: Tensor, draws: torch.Generator) -> Tensor:
        """A square of `crop` pixels from each image (N,3,H,W), anywhere; the whole images without one."""
        side = self.config.crop
        if side is None:
            return images
        within = torch.arange(side, device=images.device)
        rows, columns = (
            (self.uniform(len(images), draws) * (size - side + 1)).long()[:, None] + within
            for size in images.shape[2:]
        )
        image = torch.arange(len(images), device=images.device)[:, None, None]
        return images.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)

    def alignment(self, x: Tensor, z: Tensor, main: Tensor) -> Tensor:
        """The weighted loss of images x (B,3,H,W) and latents z against the foundation model's features."""
        teacher = self._teacher[0].to(x.device)
        terms = alignment_loss(self.linear_proj(z), teacher(x, z.shape[-1]))
        aligned = torch.stack(list(terms.values())).sum()
        weight = adaptive_weight(main, aligned, self.net.encoder.conv_out.weight, self.loss_scale())
        return self.config.align_weight * weight * aligned

    def trained_parameters(self) -> list[torch.nn.Parameter]:
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

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
