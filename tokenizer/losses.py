"""Training losses of the autoencoder and measures of reconstruction; images are (B, C, H, W) in [-1, 1]."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tokenizer.autoencoder import DiagonalGaussian

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5


def reconstruction_loss(
    x: Tensor,
    recon: Tensor,
    posterior: DiagonalGaussian,
    l1_weight: float = 1.0,
    l2_weight: float = 1.0,
    kl_weight: float = 1e-6,
) -> Tensor:
    """Scalar loss of images x, recon (B, C, H, W) in [-1, 1]: l1_weight * l1 + l2_weight * l2 + kl_weight *
    kl / D.

    l1 and l2 are means over pixel values; kl is the batch mean of an image's whole divergence in nats. LDM
    (arXiv 2112.10752) weighs 1e-6 * kl against the error *summed* over an image. The balance here is LDM's,
    with everything divided by the number D of pixel values of one image, so that the loss is of the pixel
    error's size.
    """
    assert x.shape == recon.shape, (x.shape, recon.shape)
    difference = recon.float() - x.float()
    l1, l2, kl = difference.abs().mean(), difference.square().mean(), posterior.kl().mean()
    return l1_weight * l1 + l2_weight * l2 + kl_weight * kl / x[0].numel()


def _from_zero(images: Tensor) -> tuple[Tensor, float]:
    """Float64 images starting at 0, and their range: uint8 has 255, [-1, 1] floats have 2."""
    if images.dtype == torch.uint8:
        return images.double(), 255.0
    return images.double() + 1.0, 2.0


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, (B,): 10 log10(range^2/MSE); infinite if equal.

    a, b (B, ...): both uint8 (range 255) or both floats in [-1, 1] (range 2).
    """
    assert a.shape == b.shape and a.dtype == b.dtype, (a.shape, a.dtype, b.shape, b.dtype)
    (a, data_range), (b, _) = _from_zero(a), _from_zero(b)
    return 10.0 * torch.log10(data_range**2 / (a - b).square().flatten(1).mean(1))


def _local_mean(images: Tensor) -> Tensor:
    """Gaussian-weighted mean of every whole 11x11 window: (B, C, H, W) -> (B, C, H-10, W-10)."""
    offsets = torch.arange(SSIM_WINDOW, dtype=images.dtype, device=images.device) - SSIM_WINDOW // 2
    window = torch.exp(-0.5 * (offsets / SSIM_SIGMA) ** 2)
    window = (window / window.sum()).expand(images.shape[1], 1, 1, -1)
    rows = F.conv2d(images, window, groups=images.shape[1])
    return F.conv2d(rows, window.transpose(2, 3), groups=images.shape[1])


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each image, (B,), mean over windows and channels (Wang et al. 2004, eq. 13).

    a, b (B, C, H, W), sides of at least 11: both uint8 or both floats in [-1, 1]. Floats are moved to [0, 2]
    first, so that they give what their uint8 form gives. Only whole windows count. K1 = 0.01, K2 = 0.03.
    """
    assert a.shape == b.shape and a.dtype == b.dtype, (a.shape, a.dtype, b.shape, b.dtype)
    (a, data_range), (b, _) = _from_zero(a), _from_zero(b)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_a, mean_b = _local_mean(a), _local_mean(b)
    var_a, var_b = _local_mean(a * a) - mean_a**2, _local_mean(b * b) - mean_b**2
    covariance = _local_mean(a * b) - mean_a * mean_b
    similarity = (
        (2 * mean_a * mean_b + c1)
        * (2 * covariance + c2)
        / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    )
    return similarity.flatten(1).mean(1)
