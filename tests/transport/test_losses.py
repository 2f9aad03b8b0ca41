"""Training losses: what they measure, where their minimum lies, what they refuse."""

import pytest
import torch
from problems import GaussianFlow

from transport import create_transport
from transport.paths import PATHS

COMBINATIONS = [(path, prediction) for path in PATHS for prediction in ("velocity", "noise", "score")]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian_data(num=4000, seed=5):
    return 0.7 + 0.5 * torch.randn(num, 2, 2, generator=seeded(seed))


@pytest.mark.parametrize("weight", [None, "velocity", "likelihood"])
@pytest.mark.parametrize("path_type, prediction", COMBINATIONS)
def test_exact_field_beats_perturbed_fields(path_type, prediction, weight):
    transport = create_transport(path_type, prediction, weight, use_cosine_loss=False)
    exact = GaussianFlow(transport.path).model(prediction)
    x1, t = gaussian_data(), torch.linspace(0.05, 0.95, 4000)
    x0 = torch.randn(x1.shape, generator=seeded())

    def loss(model):
        return transport.training_losses(model, x1, x0=x0, t=t)["loss"].mean()

    best = loss(exact)
    assert best < loss(lambda x, t: exact(x, t) + 0.3)
    assert best < loss(lambda x, t: exact(x, t) - 0.3)
    assert best < loss(lambda x, t: 1.3 * exact(x, t))
    assert best < loss(lambda x, t: 0.7 * exact(x, t))


@pytest.mark.parametrize("path_type", sorted(PATHS))
@pytest.mark.parametrize("prediction", ["noise", "score"])
def test_velocity_weight_gives_the_velocity_loss(path_type, prediction):
    weighted = create_transport(path_type, prediction, "velocity")
    plain = create_transport(path_type, "velocity", use_cosine_loss=False)
    x1, t = gaussian_data(64).double(), torch.linspace(0.1, 0.9, 64, dtype=torch.float64)
    x0 = torch.randn(x1.shape, generator=seeded(), dtype=torch.float64)

    def model(x, t):
        return torch.sin(3 * x) + t[:, None, None]

    expected = plain.training_losses(weighted.velocity(model), x1, x0=x0, t=t)["loss"]
    torch.testing.assert_close(weighted.training_losses(model, x1, x0=x0, t=t)["loss"], expected)


def test_cosine_loss_runs_along_channels():
    transport = create_transport()
    x0, x1 = torch.zeros(2, 2, 1, 2), torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1).expand(2, 2, 1, 2)
    aligned = transport.training_losses(lambda x, t: 2 * x1, x1, x0=x0, t=torch.tensor([0.5, 0.5]))
    orthogonal = x1.flip(1) * torch.tensor([-1.0, 1.0]).reshape(1, 2, 1, 1)
    turned = transport.training_losses(lambda x, t: orthogonal, x1, x0=x0, t=torch.tensor([0.5, 0.5]))
    torch.testing.assert_close(aligned["cos_loss"], torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(turned["cos_loss"], torch.ones(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(aligned["loss"], torch.full((2,), 12.5))


def test_terms_are_per_sample_and_carry_their_times():
    x1 = gaussian_data(6)
    terms = create_transport().training_losses(lambda x, t: x, x1)
    assert set(terms) == {"loss", "cos_loss", "t"}
    assert all(value.shape == (6,) for value in terms.values())
    assert set(create_transport(use_cosine_loss=False).training_losses(lambda x, t: x, x1)) == {"loss", "t"}
    assert set(create_transport(prediction="noise").training_losses(lambda x, t: x, x1)) == {"loss", "t"}


def test_half_precision_models_get_float32_losses():
    x1 = gaussian_data(4).half()
    seen = []

    def model(x, t):
        seen.append((x.dtype, t.dtype))
        return x.half()

    terms = create_transport().training_losses(model, x1)
    assert seen == [(torch.float32, torch.float32)]
    assert all(value.dtype == torch.float32 for value in terms.values())


def test_model_receives_its_keyword_arguments():
    received = {}

    def model(x, t, **kwargs):
        received.update(kwargs)
        return x

    labels = torch.arange(3)
    create_transport().training_losses(model, gaussian_data(3), {"y": labels})
    assert received == {"y": labels}


def test_gradient_is_that_of_the_mean_squared_error():
    x1, x0, t = gaussian_data(5), torch.randn(5, 2, 2, generator=seeded()), torch.rand(5, generator=seeded())
    gain = torch.tensor(0.4, requires_grad=True)
    terms = create_transport(use_cosine_loss=False).training_losses(lambda x, t: gain * x, x1, x0=x0, t=t)
    terms["loss"].mean().backward()
    xt = t[:, None, None] * x1 + (1 - t[:, None, None]) * x0
    expected = (2 * (0.4 * xt - (x1 - x0)) * xt).mean()
    torch.testing.assert_close(gain.grad, expected)


@pytest.mark.parametrize(
    "key, known",
    [
        ("path_type", "Linear, GVP, VP"),
        ("prediction", "velocity, noise, score"),
        ("loss_weight", "None, velocity, likelihood"),
    ],
)
def test_unknown_names_are_refused_with_the_known(key, known):
    with pytest.raises(ValueError, match=f"{key}='wrong' is not known: choose one of {known}"):
        create_transport(**{key: "wrong"})
