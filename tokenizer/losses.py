"""Training losses of the autoencoder and measures of reconstruction; images are (B, C, H, W) in [-1, 1]."""


import torch
import torch.nn.functional as F
from torch import Tensor

from configs.errors import UserError
from tokenizer.autoencoder import DiagonalGaussian

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
BLOCK = 32  # side of the spectral loss's blocks in pixels
OCTAVES = (1 / 16, 1 / 8, 1 / 4, 1.0)  # edges of its bands in cycles per pixel
POWER_FLOOR = 1e-3  # (4 grey levels)^2: weaker texture counts as none, or the dark floor would rule the loss
FINE_DETAIL = 0.1  # cycles per pixel: detail finer than ten pixels, at 256 pixels a picture


def reconstruction_loss(x: Tensor, recon: Tensor, posterior: DiagonalGaussian, l1_weight: float = 1.0,
                        l2_weight: float = 1.0, kl_weight: float = 1e-6) -> dict[str, Tensor]:
    """Scalars "loss", "l1", "l2", "kl" for images x, recon (B, C, H, W) in [-1, 1].

    "l1" and "l2" are means over pixel values; "kl" is the batch mean of an image's whole divergence in nats.
    LDM (arXiv 2112.10752) weighs 1e-6 * kl against the error *summed* over an image. The balance here is
    LDM's, with everything divided by the number D of pixel values of one image, so that the loss is of the
    pixel error's size: loss = l1_weight * l1 + l2_weight * l2 + kl_weight * kl / D.
    """
    assert x.shape == recon.shape, (x.shape, recon.shape)
    difference = recon.float() - x.float()
    l1, l2, kl = difference.abs().mean(), difference.square().mean(), posterior.kl().mean()
    loss = l1_weight * l1 + l2_weight * l2 + kl_weight * kl / x[0].numel()
    return {"loss": loss, "l1": l1, "l2": l2, "kl": kl}


def noisy_latents(z: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """z + sigma * std(z) * noise, for a decoder that forgives a generator's errors (RAE, arXiv 2510.11690).

    z, noise (B, C, h, w), noise standard normal; sigma (B,) >= 0, drawn uniformly up to a maximum. std is
    each channel's over the batch, at least two values, and keeps its gradient: larger latents are no way out.
    """
    std = z.std(dim=(0, 2, 3), keepdim=True)
    return z + sigma[:, None, None, None] * std * noise


def _band_masks(device: torch.device) -> Tensor:
    """(6, BLOCK, BLOCK//2 + 1): three octaves, each split by which axis's frequency is the higher one."""
    rows = torch.fft.fftfreq(BLOCK, device=device).abs()[:, None]
    columns = torch.fft.rfftfreq(BLOCK, device=device)[None]
    radius = (rows.square() + columns.square()).sqrt()
    mirrored = torch.full_like(columns, 2.0)  # a real signal's other half
    mirrored[:, [0, -1]] = 1.0
    return torch.stack([((radius >= low) & (radius < high) & (across == (rows >= columns))) * mirrored
                        for low, high in zip(OCTAVES, OCTAVES[1:]) for across in (True, False)])


def _band_powers(images: Tensor) -> Tensor:
    """Log power of each band in each Hann-weighted block, mean of the channels: (B, blocks, 6).

    Blocks lie on two grids half a block apart along both axes: one weighs what the other's windows hide.
    """
    window = torch.hann_window(BLOCK, device=images.device)
    window = window / window.square().mean().sqrt() / BLOCK  # white noise of variance v has total power v
    window, masks, logs = window[:, None] * window, _band_masks(images.device).flatten(1), []
    for first in (0, BLOCK // 2):
        height, width = ((side - first) // BLOCK * BLOCK + first for side in images.shape[2:])
        blocks = images[:, :, first:height, first:width].float().unflatten(3, (-1, BLOCK))
        blocks = blocks.unflatten(2, (-1, BLOCK)).transpose(3, 4)
        spectrum = torch.view_as_real(torch.fft.rfft2(blocks * window))
        power = spectrum.square().sum(-1).mean(1)
        logs.append(torch.log(power.flatten(3) @ masks.T + POWER_FLOOR).flatten(1, 2))
    return torch.cat(logs, 1)


def spectral_loss(x: Tensor, recon: Tensor) -> Tensor:
    """Mean |difference of log power| over blocks of 32 pixels and six bands above 1/16 cycle per pixel.

    Phases are free: speckle of the right strength, scale and direction in the right place costs nothing, a
    blurred one does. x, recon (B, C, H, W), sides multiples of 32.
    """
    assert x.shape == recon.shape and not any(side % BLOCK for side in x.shape[2:]), (x.shape, recon.shape)
    with torch.autocast(x.device.type, enabled=False):
        return (_band_powers(recon) - _band_powers(x)).abs().mean()


def high_frequency_energy(images: Tensor, cutoff: float = FINE_DETAIL) -> Tensor:
    """Mean square per pixel of what lies above `cutoff` cycles per pixel in any direction, (B,), float64.

    images (B, C, H, W), floats in [-1, 1], so that energies compare: an image's share or another's ratio. The
    channel's mean is taken off, a Hann window hides the borders, and channels are averaged: a cosine of
    amplitude a finer than the cutoff has a^2/2. The default counts what is finer than ten pixels.
    """
    height, width = images.shape[2:]
    window = (torch.hann_window(height, dtype=torch.float64, device=images.device)[:, None]
              * torch.hann_window(width, dtype=torch.float64, device=images.device))
    centred = images.double() - images.double().mean((2, 3), keepdim=True)
    power = torch.fft.fft2(centred * window).abs().square()
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)).to(images.device)
    fine = power * (frequency > cutoff)
    return fine.sum((2, 3)).mean(1) / (height * width * window.square().sum())


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
    if min(a.shape[2:]) < SSIM_WINDOW:
        raise UserError(f"ssim of {a.shape[2]}x{a.shape[3]} images: expected sides of at least "
                        f"{SSIM_WINDOW} pixels (its window); compare larger images")
    (a, data_range), (b, _) = _from_zero(a), _from_zero(b)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_a, mean_b = _local_mean(a), _local_mean(b)
    var_a, var_b = _local_mean(a * a) - mean_a**2, _local_mean(b * b) - mean_b**2
    covariance = _local_mean(a * b) - mean_a * mean_b
    similarity = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)
                  / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))
    return similarity.flatten(1).mean(1)
