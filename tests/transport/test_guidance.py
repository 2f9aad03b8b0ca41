"""Guidance: exact algebra on every channel, the interval, the cost, the refusals."""

import pytest
import torch

from transport import Guidance, Midway, Sampler, create_transport

NULL = 5


class LabelledModel:
    """A model whose output is different for every label, channel and time; counts rows evaluated."""

    def __init__(self):
        self.table = torch.randn(NULL + 1, 6, generator=torch.Generator().manual_seed(0))
        self.batches = []

    def __call__(self, x, t, y):
        self.batches.append((len(x), y.tolist(), t.tolist()))
        row, offset = self.table[y][:, :, None, None], t + self.table[y].sum(1)
        return torch.sin(x) * row + offset[:, None, None, None]


@pytest.fixture
def model():
    return LabelledModel()


@pytest.fixture
def x():
    return torch.randn(2, 6, 3, 3, generator=torch.Generator().manual_seed(1))


Y = torch.tensor([0, 3])


def both(x, t=0.4):
    times = torch.full((2,), t)
    return LabelledModel()(x, times, Y), LabelledModel()(x, times, torch.full_like(Y, NULL))


def test_every_channel_is_guided(model, x):
    conditional, unconditional = both(x)
    guided = Guidance(model, NULL, scale=2.5)(x, 0.4, Y)
    torch.testing.assert_close(guided, unconditional + 2.5 * (conditional - unconditional))
    assert ((guided - conditional).abs().amax((0, 2, 3)) > 0.05).all()


def test_inside_one_batched_pass(model, x):
    guidance = Guidance(model, NULL, scale=2.5)
    guidance(x, 0.4, Y)
    assert model.batches == [(4, [0, 3, NULL, NULL], pytest.approx([0.4] * 4))]
    assert guidance.evaluations == 2


SCALES = [(2.5, 4.0, 3), (1.0, 3.0, 2), (3.0, 3.0, 2), (3.0, 1.0, 3), (1.0, 1.0, 1), (0.0, 2.0, 3)]
BETWEEN = torch.tensor([2, 1, 2, 4, 4])  # between the labels of Y, 0 and 3, and none lie 2 and 4


@pytest.mark.parametrize(("scale", "second_scale", "cost"), SCALES)
def test_steps_to_and_from_a_label_between_have_a_scale_each(model, x, scale, second_scale, cost):
    guidance = Guidance(model, NULL, scale, midway=Midway(BETWEEN, second_scale))
    conditional, unconditional = both(x)
    between = LabelledModel()(x, torch.full((2,), 0.4), BETWEEN[Y])
    expected = unconditional + scale * (between - unconditional) + second_scale * (conditional - between)
    torch.testing.assert_close(guidance(x, 0.4, Y), expected)
    assert guidance.evaluations == cost


ASIDE = torch.tensor([4, 4, 2, 1, 0])
ASIDES = [
    (1.0, None, 3.0, 2),
    (2.5, None, 3.0, 3),
    (1.0, 2.0, 3.0, 3),
    (2.5, 4.0, 0.5, 4),
    (0.0, None, 2.0, 3),
]


@pytest.mark.parametrize(("scale", "second_scale", "third_scale", "cost"), ASIDES)
def test_a_step_from_a_label_aside_comes_on_top(model, x, scale, second_scale, third_scale, cost):
    midway = None if second_scale is None else Midway(BETWEEN, second_scale)
    guidance = Guidance(model, NULL, scale, midway=midway, aside=Midway(ASIDE, third_scale))
    without = Guidance(LabelledModel(), NULL, scale, midway=midway)(x, 0.4, Y)
    aside = LabelledModel()(x, torch.full((2,), 0.4), ASIDE[Y])
    expected = without + (third_scale - 1) * (both(x)[0] - aside)
    torch.testing.assert_close(guidance(x, 0.4, Y), expected)
    assert guidance.evaluations == cost


def test_a_step_of_one_from_aside_is_none(model, x):
    guidance = Guidance(model, NULL, aside=Midway(ASIDE, 1.0))
    assert torch.equal(guidance(x, 0.4, Y), both(x)[0]) and guidance.evaluations == 1


def test_scale_one_is_the_conditional_model_and_one_pass(model, x):
    guidance = Guidance(model, NULL, scale=1.0)
    assert torch.equal(guidance(x, 0.4, Y), both(x)[0])
    assert [rows for rows, _, _ in model.batches] == [2] and guidance.evaluations == 1


def test_scale_zero_is_the_unconditional_model_and_one_pass(model, x):
    guidance = Guidance(model, NULL, scale=0.0)
    assert torch.equal(guidance(x, 0.4, Y), both(x)[1])
    assert [rows for rows, _, _ in model.batches] == [2] and guidance.evaluations == 1


def test_leading_channels_alone(model, x):
    conditional, unconditional = both(x)
    for scale in (2.5, 0.0):
        guided = Guidance(model, NULL, scale=scale, channels=3)(x, 0.4, Y)
        expected = unconditional + scale * (conditional - unconditional)
        torch.testing.assert_close(guided[:, :3], expected[:, :3])
        assert torch.equal(guided[:, 3:], conditional[:, 3:])


@pytest.mark.parametrize("t, guided", [(0.19, False), (0.2, True), (0.5, True), (0.7, True), (0.71, False)])
def test_interval_is_closed_and_free_outside(model, x, t, guided):
    guidance = Guidance(model, NULL, scale=3.0, interval=(0.2, 0.7))
    out = guidance(x, t, Y)
    assert guidance.evaluations == (2 if guided else 1)
    assert torch.equal(out, both(x, t)[0]) != guided


def test_default_interval_covers_both_ends(model, x):
    guidance = Guidance(model, NULL, scale=3.0)
    for t in (0.0, 1.0, 1.0 + 1e-12):
        guidance(x, t, Y)
    assert guidance.evaluations == 6


def test_rescale_restores_the_deviation_per_sample(model, x):
    conditional, _ = both(x)
    plain = Guidance(model, NULL, scale=4.0)(x, 0.4, Y)
    full = Guidance(model, NULL, scale=4.0, rescale=1.0)(x, 0.4, Y)
    torch.testing.assert_close(full.std((1, 2, 3)), conditional.std((1, 2, 3)))
    half = Guidance(model, NULL, scale=4.0, rescale=0.5)(x, 0.4, Y)
    torch.testing.assert_close(half, (plain + full) / 2)


def test_half_precision_outputs_are_combined_in_float32(x):
    def model(x, t, y):
        return torch.where(y[:, None, None, None] == NULL, 1000.0, 1001.0).expand_as(x).half()

    guided = Guidance(model, NULL, scale=1.5)(x, 0.4, Y)
    assert guided.dtype == torch.float32 and (guided == 1001.5).all()


def test_scalar_tensor_times_are_accepted_and_batches_are_not(model, x):
    guidance = Guidance(model, NULL, scale=2.0)
    assert torch.equal(guidance(x, torch.tensor(0.5), Y), guidance(x, 0.5, Y))
    with pytest.raises(AssertionError):
        guidance(x, torch.tensor([0.5, 0.5]), Y)


def test_cost_of_a_guided_sampling_run(model, x):
    guidance = Guidance(create_transport().velocity(model), NULL, scale=2.0, interval=(0.5, 1.0))
    sample = Sampler(create_transport()).sample_ode("euler", num_steps=8)
    sample(x, lambda x, t: guidance(x, t, Y))
    assert sample.nfe == 8
    assert guidance.evaluations == 4 * 1 + 4 * 2
    assert sum(rows for rows, _, _ in model.batches) == guidance.evaluations * len(x)


def test_guidance_of_noise_models_equals_guidance_of_their_velocity(x):
    transport = create_transport(prediction="noise")
    inner = Guidance(LabelledModel(), NULL, scale=2.0)
    outside = Guidance(transport.velocity(LabelledModel()), NULL, scale=2.0)(x, 0.4, Y)
    inside = transport.path.velocity_from_noise(inner(x, 0.4, Y), x, torch.tensor(0.4))
    torch.testing.assert_close(outside, inside)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"null_class": None, "scale": 2.0}, "null class"),
        ({"null_class": None, "scale": 0.0}, "null class"),
        ({"null_class": NULL, "scale": float("nan")}, "scale=nan"),
        ({"null_class": NULL, "scale": float("inf")}, "scale=inf"),
        ({"null_class": NULL, "scale": 2.0, "interval": (0.6, 0.4)}, "interval="),
        ({"null_class": NULL, "scale": 2.0, "interval": (-0.1, 0.4)}, "interval="),
        ({"null_class": NULL, "scale": 2.0, "interval": (0.1, 1.4)}, "interval="),
        ({"null_class": NULL, "scale": 2.0, "interval": (float("nan"), 1.0)}, "interval="),
        ({"null_class": NULL, "scale": 2.0, "channels": 0}, "channels=0"),
        ({"null_class": NULL, "scale": 2.0, "rescale": 1.5}, "rescale=1.5"),
    ],
)
def test_impossible_settings_are_refused(model, arguments, words):
    with pytest.raises(ValueError, match=words):
        Guidance(model, **arguments)


def test_more_channels_than_the_sample_has_are_refused(model, x):
    with pytest.raises(ValueError, match="channels=7"):
        Guidance(model, NULL, scale=2.0, channels=7)(x, 0.4, Y)


def test_no_null_class_is_fine_without_guidance(model, x):
    assert torch.equal(Guidance(model, None, scale=1.0)(x, 0.4, Y), both(x)[0])
