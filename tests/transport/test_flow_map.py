"""Flow maps against an ODE whose map is known: dx/dt = x / (1 + t), so X(s, t) = x (1 + t) / (1 + s)."""

import pytest
import torch

from transport import Sampler, create_transport
from transport.flow_map import STRETCH, draw_spans, flow_map_losses, spans_to
from transport.paths import broadcast_time

LABELS = torch.zeros(6, dtype=torch.int64)


def velocity(x, t):
    return x / (1 + broadcast_time(torch.as_tensor(t, dtype=x.dtype), x))


def mean_velocity(x, s, span, y):
    return velocity(x, s)  # its lines are straight


@pytest.fixture
def drawn():
    draw = torch.Generator().manual_seed(0)
    x0, x1 = torch.randn(2, 6, 3, 4, 4, generator=draw, dtype=torch.float64)
    return x0, x1, draw_spans(6, draw).double()


@pytest.mark.parametrize("path", ["Linear", "GVP"])
def test_the_exact_map_has_no_loss(path, drawn):
    losses = flow_map_losses(mean_velocity, velocity, create_transport(path).path, *drawn, LABELS)
    assert losses.shape == (6,) and losses.max() < 1e-24


def test_the_loss_is_the_squared_difference_of_velocities_along_the_map(drawn):
    """A map that stands still moves by 0, where the ODE moves by the velocity at its start."""
    x0, x1, times = drawn
    path = create_transport().path
    losses = flow_map_losses(lambda x, *_: 0 * x, velocity, path, *drawn, LABELS)
    start = path.interpolate(x0, x1, times[:, 0])
    expected = velocity(start, (times[:, 1] + times[:, 2]) / 2).square().flatten(1).mean(1)
    assert torch.allclose(losses, expected, rtol=1e-12)


def test_the_teacher_gets_no_gradient_and_both_ends_of_the_stretch_do(drawn):
    weight, teaching = (torch.ones((), dtype=torch.float64, requires_grad=True) for _ in range(2))
    flow_map_losses(
        lambda x, s, span, y: weight * velocity(x, s) * (1 + broadcast_time(span, x)),
        lambda x, t: teaching * velocity(x, t),
        create_transport().path,
        *drawn,
        LABELS,
    ).sum().backward()
    assert weight.grad != 0 and teaching.grad is None


def test_spans_are_in_order_and_two_in_five_begin_at_noise():
    begin, early, late = draw_spans(20_000, torch.Generator().manual_seed(1)).unbind(1)
    assert (0 <= begin).all() and (begin <= early).all() and (early < late).all() and (late <= 1).all()
    stretch = late - early
    assert STRETCH[0] - 1e-6 <= stretch.min() and stretch.max() <= STRETCH[1] + 1e-6
    assert float((begin == 0).float().mean()) == pytest.approx(0.4, abs=0.02)


def test_a_stretch_ends_at_the_begin():
    end, begin = torch.tensor([0.5, 0.5]), torch.tensor([0.0, 0.49])
    assert spans_to(end, begin, torch.full((2,), 0.1)).tolist() == [
        pytest.approx([0, 0.4, 0.5]),
        pytest.approx([0.49, 0.49, 0.5]),
    ]


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_drawing_by_the_exact_map_is_exact_in_any_number_of_evaluations(num_steps):
    noise = torch.randn(2, 3, dtype=torch.float64)
    sample = Sampler(create_transport()).sample_ode("flow_map", num_steps=num_steps)
    end = sample(noise, lambda x, t, span: mean_velocity(x, t, span, None))
    assert torch.allclose(end, 2 * noise, rtol=1e-14) and sample.nfe == num_steps
