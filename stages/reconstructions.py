"""What a tokenizer makes of a few images, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from configs.command_line import say
from configs.schema import ExtractConfig
from data.images import ImageRecord, open_rgb
from data.sheets import grid, save_png
from tokenizer.losses import psnr
from tokenizer.vavae import VAVAE, as_rows, preprocess

SHOWN_IMAGES = 6
LOW_PSNR_DB = 18.0


def show_reconstructions(
    records: Sequence[ImageRecord], vae: VAVAE, geometry: str, path: Path, at_once: int
) -> tuple[Tensor, Tensor]:
    """A few images and what comes back of them, `at_once` in a batch, both uint8 (N,3,S,S), side by side in
    `path`.
    """
    chosen = list(records)[:: max(1, len(records) // SHOWN_IMAGES)][:SHOWN_IMAGES]
    batch = torch.stack([preprocess(open_rgb(record), vae.image_size, geometry) for record in chosen])
    decoded = torch.cat([vae.decode(vae.encode(part).mean) for part in batch.split(at_once)])
    save_png(grid(list(zip(as_rows(batch), as_rows(decoded))), [record.user for record in chosen]), path)
    return batch, decoded


def check_reconstruction(
    records: Sequence[ImageRecord], vae: VAVAE, config: ExtractConfig, path: Path
) -> None:
    """Show a few images beside their reconstructions, and say the PSNR of these and that of a flat image."""
    # One by one: memory of a small card
    batch, decoded = show_reconstructions(records, vae, config.geometry, path, at_once=1)
    flat = batch.float().mean((2, 3), keepdim=True).expand(batch.shape).to(torch.uint8)
    quality, baseline = (float(psnr(batch, other).mean()) for other in (decoded, flat))
    say(
        f"reconstruction of {len(batch)} images: {quality:.1f} dB PSNR (a flat image: {baseline:.1f} "
        f"dB); see {path}"
    )
    if quality < LOW_PSNR_DB or quality < baseline + 3:
        say(
            f"warning: {config.vavae_path} does not suit these images: {quality:.1f} dB PSNR; generated "
            f"images cannot be better than its reconstructions. Look at {path}, check --geometry, or "
            "train a tokenizer with train_tokenizer.py"
        )
