"""Encoder and decoder of the KL autoencoder family (LDM, arXiv 2112.10752), with the published names.

Shapes: B batch, C channels, H W feature map. Level i works on maps of side resolution / patch_size / 2**i.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from configs.errors import UserError

NUM_GROUPS = 32
SLOW_BELOW = 1024  # positions of a map, where torch's group norm on a CPU goes group by group


def _in_bf16_on_cpu(x: Tensor) -> bool:
    """Where other ways to the same result are faster, and no last bit of float32 is lost."""
    return x.dtype == torch.bfloat16 and x.device.type == "cpu"


class GroupNorm(nn.GroupNorm):
    """torch's, of small maps in bf16 on a CPU computed in float32: three times as fast there, and nearer."""

    def forward(self, x: Tensor) -> Tensor:
        if _in_bf16_on_cpu(x) and x.shape[2:].numel() < SLOW_BELOW:
            return super().forward(x.float()).to(x.dtype)
        return super().forward(x)


def group_norm(channels: int) -> GroupNorm:
    """GroupNorm of 32 groups, eps 1e-6; UserError where `channels` is not a multiple of 32."""
    if channels % NUM_GROUPS:
        raise UserError(
            f"{channels} channels in a tokenizer level: expected a multiple of {NUM_GROUPS} "
            f"(the group norm's groups); choose ch and ch_mult so that every ch*mult is one"
        )
    return GroupNorm(NUM_GROUPS, channels, eps=1e-6)


def cell_size(patch_size: int, ch_mult: Sequence[int]) -> int:
    """Pixels per latent position along one axis."""
    return patch_size * 2 ** (len(ch_mult) - 1)


def level_sizes(resolution: int, patch_size: int, num_levels: int) -> list[int]:
    """Side of the square feature map at each level, finest first."""
    return [resolution // patch_size // 2**level for level in range(num_levels)]


def unfolded(x: Tensor, side: int) -> Tensor:
    """Channels to cells of `side` x `side` pixels, (B, C side^2, H, W) -> (B, C, H side, W side): what
    `F.pixel_shuffle` does, which is slower where channels come last.
    """
    return rearrange(x, "b (c i j) h w -> b c (h i) (w j)", i=side, j=side)


class ResnetBlock(nn.Module):
    """Two normalised 3x3 convolutions on a residual path: (B, in, H, W) -> (B, out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = group_norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = group_norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h.add_(x if self.nin_shortcut is None else self.nin_shortcut(x))


class AttnBlock(nn.Module):
    """Single-head self-attention over all positions, residual: (B, C, H, W) -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (rearrange(project(h), "b c h w -> b 1 (h w) c") for project in (self.q, self.k, self.v))
        h = F.scaled_dot_product_attention(q, k, v)  # (B, 1, HW, C), scale C**-0.5
        return x + self.proj_out(rearrange(h, "b 1 (h w) c -> b c h w", h=x.shape[2]))


class Downsample(nn.Module):
    """Halve the map. Zeros go to the right and bottom only, as the published weights were trained."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


def _met_once(weight: Tensor, axis: int) -> Tensor:
    """Of a 3-tap kernel over doubled rows the two 2-tap ones over rows, stacked before all other axes."""
    first, middle, last = weight.unbind(axis)
    pairs = (first, middle + last), (first + middle, last)  # of the upper one of two rows, of the lower
    return torch.stack([torch.stack(pair, axis) for pair in pairs])


class Upsample(nn.Module):
    """Double the map: nearest neighbour, then a 3x3 convolution.

    In bf16 on a CPU the same at the size before: three rows of a doubled map are two different ones, so each
    of the four pixels that come of one is a 2x2 convolution, with sums of the 3x3 weights (Shi et al., arXiv
    1609.07009): 16 products in place of 36. In float32 it would differ by rounding from images drawn before.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if not _in_bf16_on_cpu(x):
            return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        count, channels, height, width = x.shape
        weight, bias = _met_once(_met_once(self.conv.weight, -1), -2), self.conv.bias
        assert bias is not None
        four = F.conv2d(x, weight.flatten(0, 2), bias.repeat(4), padding=1)
        doubled = four.new_empty(count, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)
        for place, part in enumerate(four.chunk(4, dim=1)):
            i, j = divmod(place, 2)
            doubled[:, :, i::2, j::2] = part[:, :, i : i + height, j : j + width]
        return doubled


class Level(nn.Module):
    """Residual blocks at one map size, each followed by attention where `attention` is set."""

    def __init__(self, in_channels: int, out_channels: int, num_blocks: int, attention: bool) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * num_blocks
        self.block = nn.ModuleList(ResnetBlock(a, b) for a, b in zip(widths, widths[1:]))
        self.attn = nn.ModuleList(AttnBlock(out_channels) for _ in range(num_blocks if attention else 0))

    def forward(self, x: Tensor) -> Tensor:
        for index, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[index](x)
        return x


class Middle(nn.Module):
    """Block, attention, block at the coarsest map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels)
        self.attn_1 = AttnBlock(channels)
        self.block_2 = ResnetBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Encoder(nn.Module):
    """Pixels (B, in_channels, S, S) -> moments (B, 2*z_channels, S/f, S/f), f = patch_size * 2**(levels-1).

    `attn_resolutions` are the map sides that get attention; a side that no level has is without effect.
    `patch_size` above 1 folds pixels into channels first, so that a small network skips the large maps.
    `shortcut` adds a linear map of each latent position's pixels to the moments: the net then learns what a
    linear code misses, which takes a fraction of the steps (residual autoencoding, arXiv 2410.10733).
    """

    def __init__(
        self,
        *,
        ch: int,
        ch_mult: Sequence[int],
        num_res_blocks: int,
        resolution: int,
        attn_resolutions: Sequence[int],
        in_channels: int,
        z_channels: int,
        patch_size: int = 1,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        widths = [ch * mult for mult in ch_mult]
        sizes = level_sizes(resolution, patch_size, len(widths))
        self.conv_in = nn.Conv2d(in_channels * patch_size**2, ch, 3, padding=1)
        self.down: Any = nn.ModuleList(
            Level(before, width, num_res_blocks, size in attn_resolutions)
            for before, width, size in zip([ch] + widths, widths, sizes)
        )
        for level, width in zip(self.down[:-1], widths):
            level.downsample = Downsample(width)
        self.mid = Middle(widths[-1])
        self.norm_out = group_norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], 2 * z_channels, 3, padding=1)
        cell = cell_size(patch_size, ch_mult)
        self.shortcut = nn.Conv2d(in_channels, 2 * z_channels, cell, stride=cell) if shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(F.pixel_unshuffle(x, self.patch_size))
        for level in self.down[:-1]:
            h = level.downsample(level(h))
        h = self.mid(self.down[-1](h))
        moments = self.conv_out(F.silu(self.norm_out(h)))
        return moments if self.shortcut is None else moments + self.shortcut(x)


class Decoder(nn.Module):
    """Latents (B, z_channels, S/f, S/f) -> pixels (B, out_channels, S, S).

    One more block a level than the encoder has. `level_attention=False` leaves attention out of the levels,
    not of the middle (the "marvae" member). `up.0` is the finest level: the levels run from last to first.
    `shortcut` adds a linear map of each latent position to its pixels.
    """

    def __init__(
        self,
        *,
        ch: int,
        ch_mult: Sequence[int],
        num_res_blocks: int,
        resolution: int,
        attn_resolutions: Sequence[int],
        out_channels: int,
        z_channels: int,
        patch_size: int = 1,
        level_attention: bool = True,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        widths = [ch * mult for mult in ch_mult]
        sizes = level_sizes(resolution, patch_size, len(widths))
        self.conv_in = nn.Conv2d(z_channels, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1])
        self.up: Any = nn.ModuleList(
            Level(before, width, num_res_blocks + 1, level_attention and size in attn_resolutions)
            for before, width, size in zip(widths[1:] + widths[-1:], widths, sizes)
        )
        for level, width in zip(self.up[1:], widths[1:]):
            level.upsample = Upsample(width)
        self.norm_out = group_norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], out_channels * patch_size**2, 3, padding=1)
        self.cell = cell_size(patch_size, ch_mult)
        self.shortcut = nn.Conv2d(z_channels, out_channels * self.cell**2, 1) if shortcut else None

    def forward(self, z: Tensor) -> Tensor:
        h = self.mid(self.conv_in(z))
        for index in range(len(self.up) - 1, 0, -1):
            h = self.up[index].upsample(self.up[index](h))
        h = self.conv_out(F.silu(self.norm_out(self.up[0](h))))
        pixels = unfolded(h, self.patch_size)
        return pixels if self.shortcut is None else pixels + unfolded(self.shortcut(z), self.cell)
