"""Paths and conversions against calculus, exact Gaussians and float64 round trips."""

import pytest
import torch
from problems import GaussianFlow

from transport.paths import PATHS

TIMES = torch.linspace(0.02, 0.98, 25, dtype=torch.float64)


@pytest.fixture(params=sorted(PATHS))
def path(request):
    return PATHS[request.param]()


def samples(seed=0):
    return torch.randn(len(TIMES), 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", ["alpha", "sigma"])
def test_derivatives_match_autograd(path, name):
    t = TIMES.clone().requires_grad_()
    slope = torch.autograd.grad(getattr(path, name)(t).sum(), t)[0]
    torch.testing.assert_close(getattr(path, f"d_{name}")(TIMES), slope, rtol=1e-10, atol=1e-12)


def test_d_log_alpha_and_drift_var_match_their_definitions(path):
    alpha, sigma = path.alpha(TIMES), path.sigma(TIMES)
    ratio = path.d_alpha(TIMES) / alpha
    torch.testing.assert_close(path.d_log_alpha(TIMES), ratio, rtol=1e-10, atol=0)
    expected = ratio * sigma**2 - sigma * path.d_sigma(TIMES)
    torch.testing.assert_close(path.drift_var(TIMES), expected, rtol=1e-9, atol=0)


def test_ends_are_noise_and_data(path):
    ends = torch.tensor([0.0, 1.0])
    alpha, sigma = path.alpha(ends), path.sigma(ends)
    assert alpha[1] == 1 and sigma[1] == 0
    assert alpha[0] < 0.01 and sigma[0] > 0.9999


def test_target_is_the_derivative_of_the_interpolation(path):
    x0, x1, h = samples(1), samples(2), 1e-6
    slope = (path.interpolate(x0, x1, TIMES + h) - path.interpolate(x0, x1, TIMES - h)) / (2 * h)
    torch.testing.assert_close(path.target(x0, x1, TIMES), slope, rtol=1e-6, atol=1e-7)


def test_the_velocity_of_a_pair_comes_back_from_its_noise_and_from_its_score(path):
    x0, x1 = samples(1), samples(2)
    xt, ut = path.interpolate(x0, x1, TIMES), path.target(x0, x1, TIMES)
    score = -x0 / path.sigma(TIMES)[:, None, None]
    torch.testing.assert_close(path.velocity_from_noise(x0, xt, TIMES), ut, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(path.velocity_from_score(score, xt, TIMES), ut, rtol=1e-9, atol=1e-9)


def test_conversions_of_a_gaussian(path):
    flow, x = GaussianFlow(path), samples(5)
    velocity = flow.velocity(x, TIMES)
    close = {"rtol": 1e-8, "atol": 1e-8}
    torch.testing.assert_close(path.velocity_from_score(flow.score(x, TIMES), x, TIMES), velocity, **close)
    torch.testing.assert_close(path.velocity_from_noise(flow.noise(x, TIMES), x, TIMES), velocity, **close)


def test_score_is_the_gradient_of_the_log_density(path):
    flow, t = GaussianFlow(path), TIMES[:, None, None]
    x = samples(6).requires_grad_()
    log_density = -((x - flow.centre(t)) ** 2) / (2 * flow.variance(t))
    score = torch.autograd.grad(log_density.sum(), x)[0]
    torch.testing.assert_close(flow.score(x.detach(), TIMES), score, rtol=1e-10, atol=1e-12)


def test_float32_keeps_its_digits_near_data(path):
    t = torch.tensor([1 - 1e-3, 1 - 1e-4], dtype=torch.float32)
    torch.testing.assert_close(path.sigma(t).double(), path.sigma(t.double()), rtol=1e-5, atol=0)
