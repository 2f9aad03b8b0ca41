"""The moving average against its closed form."""

import copy

import pytest
import torch
from tiny_runs import tiny_batch, tiny_module, tiny_network
from torch import nn

from training.ema import decay_at, update_ema_


class Counting(nn.Module):
    """One float64 parameter, a floating-point buffer and an integer one."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), value, dtype=torch.float64))
        self.register_buffer("running", torch.full((2,), value))
        self.register_buffer("seen", torch.tensor(int(value)))


def test_a_constant_target_without_warm_up_follows_the_power():
    average, network = Counting(1.0), Counting(5.0)
    for step in range(10_000, 10_050):  # the warm-up is over: 10000 / 10009 > 0.9
        update_ema_(average, network, step, 0.9)
    expected = 5.0 - 4.0 * 0.9**50
    torch.testing.assert_close(average.weight, torch.full_like(average.weight, expected), rtol=1e-12, atol=0)


def test_a_constant_target_from_the_start_follows_the_product():
    average, network, kept = Counting(1.0), Counting(5.0), 1.0
    for step in range(1, 31):
        update_ema_(average, network, step, 0.999)
        kept *= step / (step + 9)
    # The product telescopes: 1/10 · 2/11 · … · n/(n+9) = n! 9! / (n+9)!
    assert kept == pytest.approx(362880.0 / torch.arange(31, 40).double().prod().item())
    expected = torch.full_like(average.weight, 5 - 4 * kept)
    torch.testing.assert_close(average.weight, expected, rtol=1e-12, atol=0)


def test_the_warm_up_ends_at_the_asked_decay():
    assert decay_at(1, 0.999) == 0.1
    assert decay_at(8991, 0.999) == decay_at(10**7, 0.999) == 0.999
    assert decay_at(8990, 0.999) < 0.999
    assert [decay_at(step, 0.0) for step in (1, 100)] == [0.0, 0.0]
    rates = [decay_at(step, 0.9999) for step in range(1, 300)]
    assert rates == sorted(rates)


def test_initial_weights_are_forgotten():
    average, network = Counting(1e6), Counting(0.0)
    for step in range(1, 301):
        update_ema_(average, network, step, 0.9999)
    assert float(average.weight.detach().abs().max()) < 1e-6  # a constant 0.9999 would keep 97 % of 1e6


def test_zero_decay_copies():
    average, network = Counting(1.0), Counting(5.0)
    update_ema_(average, network, 1, 0.0)
    assert torch.equal(average.weight, network.weight)


def test_buffers_are_copied_not_averaged():
    average, network = Counting(1.0), Counting(5.0)
    update_ema_(average, network, 500, 0.9)
    assert average.running.tolist() == [5.0, 5.0] and int(average.seen) == 5
    assert 1 < average.weight[0].item() < 5


def test_the_average_stays_in_evaluation_mode_and_takes_no_gradient():
    module = tiny_module(tiny_network())
    for mode in (True, False, True):
        module.train(mode)
        assert module.net.training is mode
        assert not any(part.training for part in module.ema.modules())
    module.training_step(tiny_batch(), 0).backward()
    assert all(p.grad is None and not p.requires_grad for p in module.ema.parameters())


def test_the_average_starts_as_a_copy_of_its_own():
    net = tiny_network()
    module, before = tiny_module(net), copy.deepcopy(net.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in module.ema.state_dict().items())
    with torch.no_grad():
        net.final_layer.linear.weight.add_(1)
    name = "final_layer.linear.weight"
    assert torch.equal(module.ema.state_dict()[name], before[name])
