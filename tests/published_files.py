"""Files of the published layout at true size, from seeded weights: python tests/published_files.py FOLDER"""

import sys
from pathlib import Path

import torch
from conftest import reference_weights_

from data.latent_stats import LatentStatistics
from models.lightningdit import LightningDiT_models
from preparation.download import PUBLISHED
from tokenizer.autoencoder import AutoencoderKL

FOUNDATION_VALUES = 467_000_000  # float32: brings the tokenizer's file to its 2.15 GB


def write_published(
    folder: Path, preset: str = "LightningDiT-XL/1", foundation_values: int = FOUNDATION_VALUES
) -> None:
    """vavae, lightningdit-xl-800ep and latents-stats under their published names.

    `foundation_values` numbers stand for the foundation model, which lies beside the autoencoder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vae = reference_weights_(AutoencoderKL(embed_dim=32, ch_mult=(1, 1, 2, 2, 4)))
    extra = {"foundation_model.weight": torch.zeros(foundation_values), "loss.logvar": torch.zeros(())}
    torch.save({"state_dict": {**vae.state_dict(), **extra}}, folder / PUBLISHED["vavae"].file)
    net = reference_weights_(LightningDiT_models[preset](num_classes=1000))
    torch.save({"ema": net.state_dict()}, folder / PUBLISHED["lightningdit-xl-800ep"].file)
    statistics = LatentStatistics(torch.zeros(1, 32, 1, 1), torch.ones(1, 32, 1, 1))
    statistics.save(folder / PUBLISHED["latents-stats"].file)


if __name__ == "__main__":
    write_published(Path(sys.argv[1]))
