"""Diffusers' AutoencoderKL with as many levels, channels and blocks as a tokenizer of ours.

Where ours begins with patches, their pixels are the peer's channels. It attends in the middle only, where
ours may attend once more, and has no shortcuts over a level.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from runtime.devices import autocast
from tokenizer.vavae import to_float, to_uint8

ABSENT = "diffusers is not installed (requirements-bench.txt): no rows of it."
Ways = dict[str, Callable[[], object]]


def peers(config: dict[str, Any], name: str, argument: torch.Tensor, precision: str, compile: bool) -> Ways:
    """Ways to encode uint8 images (B, 3, H, W), or to decode latents, by a network as `config` of an
    `AutoencoderKL` of ours describes it: channels last, in fp32 and in `precision` (bf16 or 16), where asked
    for also compiled. None where diffusers is not installed.
    """
    try:
        from diffusers import AutoencoderKL
    except ImportError:
        return {}
    torch.manual_seed(0)
    patch, levels = config["patch_size"], [config["ch"] * wider for wider in config["ch_mult"]]
    peer = AutoencoderKL(
        in_channels=3 * patch**2,
        out_channels=3 * patch**2,
        down_block_types=("DownEncoderBlock2D",) * len(levels),
        up_block_types=("UpDecoderBlock2D",) * len(levels),
        block_out_channels=levels,
        layers_per_block=config["num_res_blocks"],
        latent_channels=config["embed_dim"],
    )
    peer = peer.eval().requires_grad_(False).to(argument.device, memory_format=torch.channels_last)
    forward = peer.encode if name == "encode" else peer.decode

    @torch.inference_mode()
    def call(forward: Callable[..., Any], arithmetic: str) -> object:
        with autocast(argument.device, {"bf16": "bf16-mixed", "16": "16-mixed"}.get(arithmetic, "32")):
            if name == "encode":
                pixels = pixel_unshuffle(to_float(argument), patch)
                pixels = pixels.contiguous(memory_format=torch.channels_last)
                return forward(pixels).latent_dist.mean.float().cpu()
            return to_uint8(pixel_shuffle(forward(argument).sample.float(), patch)).cpu()

    ways: Ways = {}
    for arithmetic in dict.fromkeys(("32", precision)):
        ways[f"diffusers, {arithmetic}"] = partial(call, forward, arithmetic)
        if compile:
            ways[f"diffusers, {arithmetic}, compiled"] = partial(call, torch.compile(forward), arithmetic)
    return ways
