"""The KL autoencoder (LDM, arXiv 2112.10752; VA-VAE, arXiv 2501.01423) and its posterior.

Shapes: x (B, in_channels, S, S) in [-1, 1]; z (B, embed_dim, S/f, S/f) with f = `AutoencoderKL.downsampling`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from configs.errors import UserError
from tokenizer.blocks import Decoder, Encoder, cell_size
from tokenizer.weights import load_weights_

MODEL_TYPES = ("vavae", "marvae")


class DiagonalGaussian:
    """Normal posterior with a diagonal covariance, from moments (B, 2C, h, w): mean, then log variance.

    Computed in float32 at least, whatever precision the moments come in. logvar is clamped to [-30, 20].
    """

    def __init__(self, moments: Tensor) -> None:
        moments = moments.to(torch.promote_types(moments.dtype, torch.float32))
        self.mean, logvar = moments.chunk(2, dim=1)
        self.logvar = logvar.clamp(-30.0, 20.0)

    @property
    def std(self) -> Tensor:
        """Standard deviation, (B, C, h, w)."""
        return torch.exp(0.5 * self.logvar)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw, (B, C, h, w). The generator's device draws, so a CPU generator repeats anywhere."""
        device = self.mean.device if generator is None else generator.device
        noise = torch.randn(self.mean.shape, generator=generator, device=device, dtype=self.mean.dtype)
        return self.mean + self.std * noise.to(self.mean.device)

    def mode(self) -> Tensor:
        """Most likely latents: the mean, (B, C, h, w)."""
        return self.mean

    def kl(self) -> Tensor:
        """Divergence from N(0, 1) in nats, summed over all but the batch axis: (B,)."""
        terms = 0.5 * (self.mean.square() + self.logvar.exp() - 1.0 - self.logvar)
        return terms.flatten(1).sum(1)


def _check_config(config: dict[str, Any]) -> None:
    """UserError for a value no member of the family can have; names the key."""

    def is_count(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 1

    for key in ("embed_dim", "ch", "num_res_blocks", "resolution", "in_channels", "patch_size"):
        if not is_count(config[key]):
            raise UserError(f"{key} {config[key]!r}: expected a whole number of at least 1")
    for key in ("ch_mult", "attn_resolutions"):
        if not isinstance(config[key], list) or not all(map(is_count, config[key])):
            raise UserError(f"{key} {config[key]!r}: expected a list of whole numbers of at least 1")
    if not config["ch_mult"]:
        raise UserError("ch_mult []: expected one factor for each level, at least one")
    if not isinstance(config["shortcut"], bool):
        raise UserError(f"shortcut {config['shortcut']!r}: expected true or false")
    if config["model_type"] not in MODEL_TYPES:
        raise UserError(f"model_type {config['model_type']!r}: expected one of {', '.join(MODEL_TYPES)}")
    factor = cell_size(config["patch_size"], config["ch_mult"])
    if config["resolution"] % factor:
        raise UserError(
            f"resolution {config['resolution']}: expected a multiple of {factor} "
            "(patch_size * 2**(levels-1)); change resolution, patch_size or ch_mult"
        )


class AutoencoderKL(nn.Module):
    """Autoencoder of the VA-VAE family; the defaults are the published f16d32 member (69.84 M parameters).

    `model_type="marvae"` has no attention in the decoder's levels. `attn_resolutions` are the map sides that
    get attention when images are `resolution` pixels wide. `ckpt_path` loads weights strictly, in any layout
    that `tokenizer.weights` reads; `tokenizer.vavae.load_tokenizer` takes the architecture from the file too.
    UserError for values outside the family, FileNotFoundError for a missing `ckpt_path`.
    """

    CONFIG_KEYS = (
        "embed_dim",
        "ch_mult",
        "model_type",
        "ch",
        "num_res_blocks",
        "attn_resolutions",
        "resolution",
        "in_channels",
        "patch_size",
        "shortcut",
    )

    def __init__(
        self,
        embed_dim: int = 32,
        ch_mult: Sequence[int] = (1, 1, 2, 2, 4),
        ckpt_path: str | Path | None = None,
        model_type: str = "vavae",
        *,
        ch: int = 128,
        num_res_blocks: int = 2,
        attn_resolutions: Sequence[int] = (16,),
        resolution: int = 256,
        in_channels: int = 3,
        patch_size: int = 1,
        shortcut: bool = False,
    ) -> None:
        given = {**locals(), "ch_mult": list(ch_mult), "attn_resolutions": list(attn_resolutions)}
        super().__init__()
        self._config = {key: given[key] for key in self.CONFIG_KEYS}
        _check_config(self._config)
        apart = ("embed_dim", "model_type", "in_channels")
        shared = {key: value for key, value in self._config.items() if key not in apart}
        shared["z_channels"] = embed_dim
        self.encoder = Encoder(in_channels=in_channels, **shared)
        self.decoder = Decoder(out_channels=in_channels, level_attention=model_type == "vavae", **shared)
        self.quant_conv = nn.Conv2d(2 * embed_dim, 2 * embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(embed_dim, embed_dim, 1)
        if ckpt_path is not None:
            load_weights_(self, ckpt_path)

    @property
    def config(self) -> dict[str, Any]:
        """Constructor values as JSON types, without `ckpt_path`: `AutoencoderKL(**config)` is this model."""
        return {key: list(value) if isinstance(value, list) else value for key, value in self._config.items()}

    @property
    def downsampling(self) -> int:
        """Pixels per latent position along one axis."""
        return cell_size(self._config["patch_size"], self._config["ch_mult"])

    def encode(self, x: Tensor) -> DiagonalGaussian:
        """Pixels (B, in_channels, H, W) in [-1, 1] -> posterior over latents (B, embed_dim, H/f, W/f)."""
        return DiagonalGaussian(self.quant_conv(self.encoder(x)))

    def decode(self, z: Tensor) -> Tensor:
        """Latents (B, embed_dim, h, w) -> pixels (B, in_channels, h*f, w*f), about [-1, 1], not clamped."""
        return self.decoder(self.post_quant_conv(z))
