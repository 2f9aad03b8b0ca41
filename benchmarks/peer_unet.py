"""diffusers' UNet2DModel in LightningDiT's place: what training and drawing ask of a network."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from runtime.seeds import generator

ABSENT = "diffusers is not installed (requirements-bench.txt): no rows of the UNet."
CHANNELS = (64, 96, 128)  # on 16 x 16, 8 x 8 and 4 x 4 positions: 3.9 M parameters, microdoppler_xs has 4.2 M


def installed() -> bool:
    try:
        import diffusers  # noqa: F401
    except ImportError:
        return False
    return True


class UNet(nn.Module):
    """The velocity (N, C, S, S) at latents (N, C, S, S), times (N,) in [0, 1] and labels (N,).

    Three levels, with attention on all but the finest, diffusers' default order of blocks; time and class add
    up in each residual block. `arguments` are LightningDiT's, of which sizes of latents and classes count.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        from diffusers import UNet2DModel

        super().__init__()
        self.config, self.in_channels = dict(arguments), arguments["in_channels"]
        self.null_class = arguments["num_classes"]
        self.y_embedder = SimpleNamespace(num_parts=1)  # a label is dropped as a whole
        self.unet = UNet2DModel(
            sample_size=arguments["input_size"],
            in_channels=self.in_channels,
            out_channels=self.in_channels,
            block_out_channels=CHANNELS,
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            attention_head_dim=32,
            num_class_embeds=self.null_class + 1,
        )

    def forward(self, x: Tensor, t: Tensor, y: Tensor, drop: Tensor | None = None) -> Tensor:
        """`drop` (N, 1) bool replaces labels by the null class."""
        if drop is not None:
            y = y.masked_fill(drop[:, 0], self.null_class)
        # Its embedding is made for steps up to 1000.
        return self.unet(x, 1000 * t, class_labels=y, return_dict=False)[0]


def initial_unet(arguments: dict[str, Any], seed: int) -> UNet:
    """A fresh one whose weights depend on `seed` only, as `training.start.initial_network` draws ours."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(seed, "weights").initial_seed())
        return UNet(arguments)
