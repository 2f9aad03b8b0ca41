"""Loss and measures against exact values."""

import math

import numpy
import pytest
import torch

from tokenizer.autoencoder import DiagonalGaussian
from tokenizer.losses import psnr, reconstruction_loss, ssim


def random_bytes(*shape, seed=0):
    return torch.from_numpy(numpy.random.default_rng(seed).integers(0, 256, shape, dtype=numpy.uint8))


def test_loss_is_the_weighted_sum_of_known_parts():
    x = torch.zeros(2, 3, 4, 4)
    recon = torch.full((2, 3, 4, 4), 0.5)
    posterior = DiagonalGaussian(torch.cat([torch.full((2, 1, 2, 2), 3.0), torch.zeros(2, 1, 2, 2)], 1))
    l1, l2, kl = 0.5, 0.25, 4 * 4.5  # four latents of mean 3 and variance 1: 9/2 nats each
    for weights in ((2.0, 4.0, 0.1), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)):
        expected = weights[0] * l1 + weights[1] * l2 + weights[2] * kl / 48
        assert reconstruction_loss(x, recon, posterior, *weights).item() == pytest.approx(expected, rel=1e-6)


def test_loss_keeps_ldms_balance():
    """D times the loss is the error summed over an image plus the weighted divergence."""
    generator = torch.Generator().manual_seed(0)
    x, recon = torch.rand(2, 3, 3, 8, 8, generator=generator)
    posterior = DiagonalGaussian(torch.randn(3, 8, 2, 2, generator=generator))
    loss = reconstruction_loss(x, recon, posterior, l2_weight=0.0, kl_weight=1.0) * 3 * 8 * 8
    summed = (x - recon).abs().sum() / 3 + posterior.kl().mean()
    torch.testing.assert_close(loss, summed, rtol=1e-5, atol=0)


def test_psnr_of_known_errors():
    a = torch.full((2, 3, 5, 7), 100, dtype=torch.uint8)
    b = a.clone()
    b[0] += 5
    assert psnr(a, b)[0].item() == pytest.approx(20 * math.log10(255 / 5), rel=1e-12)
    assert psnr(a, b)[1] == math.inf
    assert psnr(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5)).item() == pytest.approx(
        20 * math.log10(2 / 0.5), rel=1e-12
    )


def test_measures_agree_between_bytes_and_floats():
    a, b = random_bytes(2, 3, 16, 20), random_bytes(2, 3, 16, 20, seed=1)
    floats = [image.double() / 127.5 - 1 for image in (a, b)]
    torch.testing.assert_close(psnr(*floats), psnr(a, b), rtol=1e-9, atol=0)
    torch.testing.assert_close(ssim(*floats), ssim(a, b), rtol=1e-9, atol=0)


def test_ssim_of_an_image_with_itself():
    image = random_bytes(3, 3, 24, 24)
    torch.testing.assert_close(ssim(image, image), torch.ones(3, dtype=torch.float64), rtol=1e-12, atol=0)


def test_ssim_of_constants_is_the_luminance_term():
    a, b = (torch.full((1, 3, 16, 16), value, dtype=torch.uint8) for value in (50, 150))
    c1 = (0.01 * 255) ** 2
    expected = (2 * 50 * 150 + c1) / (50**2 + 150**2 + c1)
    assert ssim(a, b).item() == pytest.approx(expected, rel=1e-6)


def test_ssim_of_one_window_by_hand():
    """An 11x11 image has one window: the weighted moments written out (Wang et al. 2004, eq. 13-16)."""
    a, b = random_bytes(1, 1, 11, 11), random_bytes(1, 1, 11, 11, seed=1)
    b = (0.7 * a + 0.3 * b).to(torch.uint8)
    x, y = (image.numpy()[0, 0].astype(float) for image in (a, b))
    offsets = numpy.arange(-5, 6)
    weights = numpy.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
    var_x, var_y = (weights * (x - mean_x) ** 2).sum(), (weights * (y - mean_y) ** 2).sum()
    covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (
        (2 * mean_x * mean_y + c1)
        * (2 * covariance + c2)
        / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    )
    assert ssim(a, b).item() == pytest.approx(expected, rel=1e-10)
    assert 0.3 < expected < 0.99
