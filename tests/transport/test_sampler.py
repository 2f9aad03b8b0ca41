"""Samplers carry noise to a known normal target."""

import math

import pytest
import torch
from problems import EVALUATIONS, GaussianFlow
from torch.utils._python_dispatch import TorchDispatchMode

from transport import Guidance, Sampler, create_transport
from transport.paths import PATHS
from transport.solvers import SOLVERS

COMBINATIONS = [(path, prediction) for path in PATHS for prediction in ("velocity", "noise", "score")]
METHODS = (*SOLVERS, "dopri5")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(num=64, dtype=torch.float64):
    return torch.randn(num, 2, 2, generator=seeded(), dtype=dtype)


@pytest.mark.parametrize("path_type", sorted(PATHS))
@pytest.mark.parametrize("method", METHODS)
def test_ode_carries_each_sample_to_its_exact_end(path_type, method):
    transport = create_transport(path_type)
    flow, (t0, t1) = GaussianFlow(transport.path), transport.sample_interval
    num_steps = 1000 if method == "euler" else 100
    sample = Sampler(transport).sample_ode(method, num_steps, atol=1e-8, rtol=1e-8)
    z = noise()
    torch.testing.assert_close(sample(z, flow.velocity), flow.flow(z, t0, t1), rtol=0, atol=4e-3)


@pytest.mark.parametrize("path_type, prediction", COMBINATIONS)
def test_velocity_of_every_model_is_the_exact_velocity(path_type, prediction):
    transport = create_transport(path_type, prediction)
    flow, x = GaussianFlow(transport.path), noise(3)
    velocity = transport.velocity(flow.model(prediction))
    expected = flow.velocity(x, 0.3)
    for t in (0.3, torch.tensor(0.3, dtype=torch.float64), torch.full((3,), 0.3, dtype=torch.float64)):
        torch.testing.assert_close(velocity(x, t), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", EVALUATIONS)
def test_num_steps_counts_intervals(method):
    times = []

    def velocity(x, t):
        assert isinstance(t, float) and 0 <= t <= 1
        times.append(t)
        return -x

    sample = Sampler(create_transport()).sample_ode(method, num_steps=5)
    end = sample(noise(3, torch.float32), velocity)
    assert end.shape == (3, 2, 2)
    assert sample.nfe == len(times) == 5 * EVALUATIONS[method]
    assert [len(grid) for grid in sample.grids] == [6]
    assert sample(noise(3, torch.float32), velocity).shape == (3, 2, 2)
    assert sample.nfe == 5 * EVALUATIONS[method]


def test_dopri5_counts_its_evaluations_and_returns_the_end_only():
    calls = []

    def velocity(x, t):
        calls.append(t)
        assert isinstance(t, float)
        return -x

    sample = Sampler(create_transport()).sample_ode("dopri5", num_steps=50)
    assert sample(noise(3, torch.float32), velocity).shape == (3, 2, 2)
    assert sample.nfe == len(calls) > 6


def test_dopri5_stays_inside_where_the_path_has_a_pole():
    transport, seen = create_transport("Linear", "score"), []
    flow = GaussianFlow(transport.path)
    velocity = transport.velocity(flow.score)

    def watched(x, t):
        seen.append(t)
        return velocity(x, t)

    Sampler(transport).sample_ode("dopri5")(noise(3), watched)
    assert 1e-3 <= min(seen) and max(seen) <= 1 - 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_state_stays_float32_under_half_velocities(method):
    states = []

    def velocity(x, t):
        states.append(x.dtype)
        return (-x).bfloat16()

    end = Sampler(create_transport()).sample_ode(method, num_steps=3)(noise(2).bfloat16(), velocity)
    assert end.dtype == torch.float32 and set(states) == {torch.float32}


@pytest.mark.parametrize("method", ["abm3", "dopri5"])
def test_a_jump_costs_no_accuracy_and_each_part_sees_its_own_side(method):
    """dx/dt = -x before 0.3 and 2x on [0.3, 0.6], then 0: a step over a jump would err by its length."""
    times = []

    def velocity(x, t):
        times.append(t)
        return -x if t < 0.3 else 2 * x if t <= 0.6 else 0 * x

    sample = Sampler(create_transport()).sample_ode(method, 60, 1e-9, 1e-9, breaks=(0.6, 0.3))
    end = sample(torch.ones(1, dtype=torch.float64), velocity)
    assert float(end) == pytest.approx(math.exp(0.3), rel=2e-5)
    assert sample.nfe == len(times) and (method == "dopri5" or sample.nfe == 60)


def test_a_guided_jump_is_where_the_interval_ends():
    def guidance(scale, interval):
        return Guidance(lambda x, t, y: x, 1, scale, interval)

    assert guidance(2.0, (0.125, 1.0)).breaks == (0.125,) and guidance(2.0, (0.0, 0.7)).breaks == (0.7,)
    assert guidance(1.0, (0.125, 1.0)).breaks == () == guidance(2.0, (0.0, 1.0)).breaks


class NoReadback(TorchDispatchMode):
    """Fails where a tensor's value is asked for: on an accelerator, that is a wait."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func is not torch.ops.aten._local_scalar_dense.default, "a tensor was read back"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("prediction", ["velocity", "noise"])
@pytest.mark.parametrize("method", sorted(SOLVERS))
def test_guided_fixed_steps_never_read_a_tensor_back(method, prediction):
    transport = create_transport(prediction=prediction)
    velocity = transport.velocity(lambda x, t, y: -x * y[:, None, None])
    guidance = Guidance(velocity, 3, scale=2.0, interval=(0.2, 0.8))
    y = torch.tensor([0, 1])
    sample = Sampler(transport).sample_ode(method, num_steps=4, timestep_shift=0.3)
    with NoReadback():
        end = sample(noise(2, torch.float32), lambda x, t: guidance(x, t, y))
    assert end.isfinite().all()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda s: s.sample_ode("wrong"), "sampling_method='wrong' .* euler, .*dopri5"),
        (lambda s: s.sample_ode(num_steps=0), "num_steps=0"),
    ],
)
def test_unknown_names_and_values_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make(Sampler(create_transport()))


@pytest.mark.parametrize("path_type", sorted(PATHS))
@pytest.mark.parametrize("method", ["abm3", "dopri5"])
def test_a_restart_noises_back_and_carries_forth_again(path_type, method):
    transport = create_transport(path_type)
    flow, path, (t0, t1) = GaussianFlow(transport.path), transport.path, transport.sample_interval
    sample = Sampler(transport).sample_ode(method, 100, 1e-9, 1e-9, restarts=2, restart_interval=(0.3, 0.7))
    z, *fresh = (torch.randn(20_000, 1, generator=seeded(k), dtype=torch.float64) for k in range(3))
    x = flow.flow(z, t0, 0.7)
    for noise in fresh:
        x = flow.flow(path.noised_back(x, noise, 0.7, 0.3), 0.3, 0.7)
    end = sample(z, flow.velocity, fresh=fresh)
    torch.testing.assert_close(end, flow.flow(x, 0.7, t1), rtol=0, atol=1e-4)
    last = torch.tensor(t1, dtype=torch.float64)
    assert float(end.mean()) == pytest.approx(float(flow.centre(last)), abs=0.015)
    assert float(end.std()) == pytest.approx(float(flow.variance(last).sqrt()), abs=0.015)
