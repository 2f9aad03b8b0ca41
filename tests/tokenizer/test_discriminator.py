"""Patch discriminator: size, reach, gradients; hinge losses in closed form."""

import pytest
import torch

from tokenizer.discriminator import PatchDiscriminator, discriminator_loss, generator_loss


@pytest.fixture
def network():
    torch.manual_seed(0)
    return PatchDiscriminator()


def test_hinge_losses_of_known_logits():
    real, fake = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0])
    assert discriminator_loss(real, fake).item() == pytest.approx(((0 + 0.5 + 2) / 3 + (0 + 1) / 2) / 2)
    assert generator_loss(fake).item() == 1.5
    assert discriminator_loss(torch.tensor([1.0]), torch.tensor([-1.0])) == 0  # told apart: nothing to learn


def test_every_parameter_and_the_images_get_gradients(network):
    fake = torch.randn(2, 3, 32, 48, requires_grad=True)
    logits = network(fake)
    assert logits.shape == (2, 1, 4, 6)
    discriminator_loss(torch.ones(2, 1, 4, 6), logits).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    assert fake.grad.abs().sum() > 0
    assert sum(parameter.numel() for parameter in network.parameters()) < 700_000


def test_a_logit_sees_56_pixels(network):
    images = torch.randn(1, 3, 128, 128, requires_grad=True)
    network.eval()(images)[0, 0, 8, 8].backward()
    for axis in (2, 3):
        seen = images.grad.abs().sum(tuple(i for i in range(4) if i != axis)).nonzero()
        assert seen.max() - seen.min() + 1 == 56


def test_it_learns_to_tell_smooth_from_rough(network):
    """Equal means and colours, texture alone: a few steps separate them."""
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, betas=(0.5, 0.9))

    def batch():
        rough = 0.3 * torch.randn(4, 3, 32, 32, generator=generator)
        return rough, torch.nn.functional.avg_pool2d(rough, 3, stride=1, padding=1)

    for _ in range(30):
        rough, smooth = batch()
        loss = discriminator_loss(network(rough), network(smooth))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    rough, smooth = batch()
    assert network(rough).mean() > network(smooth).mean() + 0.5
