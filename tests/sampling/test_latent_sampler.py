"""Sampling: an image depends on its own noise and label, evaluations are counted, ends are known exactly."""

from dataclasses import replace

import pytest
import torch
from conftest import relative_error
from problems import EVALUATIONS
from tiny_runs import CHANNELS, SIDE, tiny_network, tiny_payload

from configs.load import resolve
from models.lightningdit import LightningDiT
from runtime.seeds import noise_for
from sampling.latent_sampler import LatentSampler, unread

SOLVERS = (*EVALUATIONS, "dopri5")
CPU = torch.device("cpu")
NOISE = torch.stack([noise_for((CHANNELS, SIDE, SIDE), 0, "sample", k) for k in range(5)])
LABELS = torch.tensor([0, 1, 2, 1, 0])


def sampler(net: LightningDiT | None = None, transport: dict | None = None, **settings) -> LatentSampler:
    net = net or tiny_network().requires_grad_(False)
    given = {"dit_checkpoint": "-", "vavae_path": "-", "num_steps": 6, "guidance_scale": 2.0, **settings}
    settings = resolve(("sample",), {"sample": given})["sample"]
    return LatentSampler(net, tiny_payload(net, **(transport or {})), settings, CPU, "32")


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_image_does_not_depend_on_its_neighbours_or_the_order(solver):
    draw = sampler(sampler=solver)
    whole = draw(NOISE, LABELS)
    assert whole.dtype == torch.float32 and whole.shape == NOISE.shape
    order = torch.tensor([3, 0, 4])
    for k, latent in zip(order.tolist(), draw(NOISE[order], LABELS[order])):
        assert relative_error(latent, whole[k]) < 1e-5
    alone = draw(NOISE[2:3], LABELS[2:3])
    assert relative_error(alone[0], whole[2]) < 1e-5
    assert relative_error(whole[0], whole[4]) > 1e-2  # the same person, other noise
    assert relative_error(draw(NOISE, LABELS.flip(0))[1], draw(NOISE, torch.zeros(5).long())[1]) > 1e-4


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_untrained_network_leaves_the_noise(solver):
    """Its velocity is zero, so the end is the noise in the tokenizer's scale; dopri5 interpolates there."""
    net = LightningDiT(**tiny_network().config).eval().requires_grad_(False)
    draw = sampler(net, sampler=solver)
    rtol = 1e-5 if solver == "dopri5" else 0.0
    expected = draw.payload.statistics.denormalise(NOISE)
    torch.testing.assert_close(draw(NOISE, LABELS), expected, rtol=rtol, atol=rtol)


def test_what_does_nothing_with_a_model_is_told():
    net = tiny_network()
    payload = tiny_payload(net)

    def notes(payload, **asked):
        given = {"dit_checkpoint": "-", "vavae_path": "-", **asked}
        return unread(payload, resolve(("sample",), {"sample": given})["sample"])

    assert notes(payload, guidance_interval=[0.2, 0.8], num_steps=4) == []
    assert notes(payload, few_steps=2) == [
        "note: --few_steps: does nothing here, few-step models alone read it"
    ]
    idle = {"guidance_interval": [0.2, 0.8], "guidance_rescale": 0.5}
    said = "note: --guidance_interval, --guidance_rescale: does nothing here, nothing is guided"
    assert notes(payload, guidance_scale=1.0, **idle) == [said]
    assert notes(payload, guidance_scale=1.0, guidance_person=2.0, **idle) == []
    few = replace(payload, model={**payload.model, "flow_map": True})
    assert notes(few, few_steps=2, sampler="euler", num_steps=3, guidance_rescale=0.5) == [
        "note: --sampler, --num_steps: does nothing here, a few-step model has its own",
        "note: --guidance_rescale: does nothing here, nothing is guided",
    ]


def test_the_solver_is_named_with_what_decides_its_steps():
    assert sampler(restarts=2).solver == "abm3, 6 steps, 2 restarts, guidance 2"
    assert sampler(sampler="dopri5", rtol=0.01).solver == "dopri5, tolerances 1e-06, 0.01, guidance 2"


def test_restarts_take_their_own_noise_and_evaluations():
    draw = sampler(restarts=2, guidance_scale=1.0)
    noise = torch.stack([NOISE, NOISE.flip(0), NOISE.roll(1, 0)], dim=1)
    whole = draw(noise, LABELS)
    assert draw.network_evaluations == draw.solve.num_steps == 6 + 2 * 5
    alone = draw(noise[2:3], LABELS[2:3])
    assert relative_error(alone[0], whole[2]) < 1e-5
    other = draw(torch.stack([NOISE, NOISE.flip(0), NOISE], dim=1), LABELS)
    assert relative_error(other, whole) > 1e-2


def constant_network(values: torch.Tensor) -> LightningDiT:
    """A network whose velocity is `values` (C,) at every position, whatever the time and label."""
    net = LightningDiT(**tiny_network().config).eval().requires_grad_(False)
    net.final_layer.linear.bias.copy_(values)
    return net


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_a_constant_velocity_moves_the_noise_by_itself(solver, scale):
    values = torch.tensor([0.5, -1.0, 2.0, 0.0])
    draw = sampler(constant_network(values), sampler=solver, guidance_scale=scale)
    expected = draw.payload.statistics.denormalise(NOISE + values.view(1, -1, 1, 1))
    torch.testing.assert_close(draw(NOISE, LABELS), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("solver", EVALUATIONS)
def test_evaluations_are_counted(solver):
    for scale, per_stage in ((1.0, 1), (2.5, 2), (0.0, 1)):
        draw = sampler(sampler=solver, num_steps=7, guidance_scale=scale, guidance_interval=[0.0, 1.0])
        draw(NOISE, LABELS)
        assert draw.network_evaluations == 7 * EVALUATIONS[solver] * per_stage
        draw(NOISE[:2], LABELS[:2])
        assert draw.network_evaluations == 7 * EVALUATIONS[solver] * per_stage


def test_guidance_costs_only_inside_its_interval():
    even = {"sampler": "euler", "num_steps": 10, "timestep_shift": 0.0, "timestep_cosine": 0.0}
    draw = sampler(**even, guidance_interval=[0.25, 0.65])
    draw(NOISE, LABELS)
    assert draw.network_evaluations == 10 + 4  # at t = 0.3, 0.4, 0.5, 0.6
    outside = sampler(**even, guidance_interval=[0.95, 0.96])
    plain = sampler(**even, guidance_scale=1.0)
    assert torch.equal(outside(NOISE, LABELS), plain(NOISE, LABELS))
    assert outside.network_evaluations == 10


def test_the_default_spends_25_evaluations_on_a_guided_image():
    draw = LatentSampler(
        net := tiny_network(),
        tiny_payload(net),
        resolve(("sample",), {"sample": {"dit_checkpoint": "-", "vavae_path": "-"}})["sample"],
        CPU,
        "32",
    )
    draw(NOISE[:1], LABELS[:1])
    assert draw.network_evaluations == 5 + 2 * 10


def test_a_network_that_does_not_compile_is_drawn_with_as_it_is(monkeypatch, capsys):
    def broken(function):
        def call(*arguments):
            raise RuntimeError("no compiler here")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    drawn = sampler(compile=True)(NOISE, LABELS)
    assert torch.equal(drawn, sampler()(NOISE, LABELS))
    said = capsys.readouterr()
    assert (said.out + said.err).count("no compiler here") == 1


def test_compiled_blocks_are_a_copy_with_the_same_weights(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function: function)
    net = tiny_network()
    compiled, plain = sampler(net, compile=True), sampler(net)
    assert torch.equal(compiled(NOISE, LABELS), plain(NOISE, LABELS))
    assert not [block for block in net.blocks if "forward" in vars(block)]  # as compiled ones have
    with torch.no_grad():
        net.final_layer.linear.bias += 1.0
    assert torch.equal(compiled(NOISE, LABELS), plain(NOISE, LABELS))


@pytest.mark.parametrize("solver", EVALUATIONS)
def test_evaluations_are_known_before(solver):
    for settings in ({}, {"guidance_scale": 1.0}, {"guidance_scale": 2.0, "guidance_interval": [0.2, 0.7]}):
        draw = sampler(sampler=solver, num_steps=9, **settings)
        known = draw.evaluations()
        draw(NOISE, LABELS)
        assert draw.network_evaluations == known


def test_dopri5_counts_per_image():
    draw = sampler(sampler="dopri5", guidance_scale=1.0, rtol=1e-2, atol=1e-2)
    draw(NOISE[:1], LABELS[:1])
    one = draw.network_evaluations
    draw(NOISE[[0, 0, 0]], LABELS[[0, 0, 0]])
    assert draw.network_evaluations == one >= 7


def test_all_channels_are_guided_unless_asked():
    plain, guided = (sampler(guidance_scale=scale)(NOISE, LABELS) for scale in (1.0, 3.0))
    assert ((guided - plain).abs().amax((0, 2, 3)) > 1e-4).all()
    one = {"num_steps": 1, "sampler": "euler", "guidance_interval": [0.0, 1.0]}
    three = sampler(guidance_scale=3.0, guidance_channels=3, **one)(NOISE, LABELS)
    one_step = sampler(guidance_scale=1.0, num_steps=1, sampler="euler")(NOISE, LABELS)
    torch.testing.assert_close(three[:, 3], one_step[:, 3], rtol=1e-5, atol=1e-6)
    assert relative_error(three[:, :3], one_step[:, :3]) > 1e-4


def test_the_path_and_prediction_come_from_the_payload():
    plain = sampler(guidance_scale=1.0)(NOISE, LABELS)
    curved = sampler(transport={"path_type": "GVP", "prediction": "noise"}, guidance_scale=1.0)(NOISE, LABELS)
    assert curved.isfinite().all() and relative_error(curved, plain) > 1e-2


def test_sampling_leaves_the_global_generator_alone():
    draw, before = sampler(), torch.get_rng_state()
    draw(NOISE, LABELS)
    assert torch.equal(torch.get_rng_state(), before)
