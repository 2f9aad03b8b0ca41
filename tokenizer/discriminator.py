"""Patch discriminator with hinge losses: texture that L1 and L2 blur (LDM, arXiv 2112.10752, section 3.1)."""

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

FOLD = 4


class PatchDiscriminator(nn.Module):
    """Images (B, 3, H, W) in [-1, 1], sides multiples of 8 -> logits (B, 1, H/8, W/8), each of 56x56 pixels.

    Pixels are folded 4x4 into channels first, so that all work is at a quarter of the side. Spectral
    normalisation (arXiv 1802.05957) instead of a norm of activations: that would hide how strong speckle is.
    0.18 M parameters.
    """

    def __init__(self, channels: int = 48) -> None:
        super().__init__()

        def layer(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
            return spectral_norm(nn.Conv2d(inputs, outputs, kernel, stride, padding=1))

        self.main = nn.Sequential(
            layer(3 * FOLD**2, channels, 3, 1), nn.LeakyReLU(0.2),
            layer(channels, 2 * channels, 4, 2), nn.LeakyReLU(0.2),
            layer(2 * channels, 2 * channels, 3, 1), nn.LeakyReLU(0.2),
            layer(2 * channels, 1, 3, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.main(F.pixel_unshuffle(images, FOLD))


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Hinge loss of the discriminator, a scalar: (mean relu(1 - real) + mean relu(1 + fake)) / 2."""
    return 0.5 * (F.relu(1.0 - real_logits).mean() + F.relu(1.0 + fake_logits).mean())


def generator_loss(fake_logits: Tensor) -> Tensor:
    """The autoencoder's side of the hinge game, a scalar: -mean fake."""
    return -fake_logits.mean()
