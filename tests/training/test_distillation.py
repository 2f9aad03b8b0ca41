"""Distilling: what a few-step network starts as, what teaches it, how its file draws, and what is refused."""

from dataclasses import replace

import pytest
import torch
from tiny_runs import (
    CHANNELS,
    SIDE,
    USERS,
    assert_interrupted_is_at_once,
    stage2_settings,
    tiny_batch,
    tiny_module,
    tiny_network,
    write_tiny_latents,
)
from toy_run import refusal_of

import stage2_train_dit as stage2
from configs.load import resolve
from configs.schema import SampleConfig
from data.latents import read_latents
from sampling.latent_sampler import LatentSampler
from sampling.model_file import load_trained, write_slim
from stages.train_dit import unread
from training.distillation import GUIDED_FROM, DistillationModule
from training.fine_tuning import load_initial
from training.start import drawn_or_given
from transport import Guidance


@pytest.fixture(scope="module")
def latents(tmp_path_factory):
    return write_tiny_latents(tmp_path_factory.mktemp("tiny") / "latents")


@pytest.fixture(scope="module")
def teacher(latents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    stage2.run(stage2_settings(latents, folder))
    return folder / "checkpoints/best.safetensors"


def settings(latents, output, teacher, **changes):
    given = {"init_from": str(teacher), "distil_guidance": 1.5, **changes}
    return {**stage2_settings(latents, output, **given), **resolve(("model",))}


def distillation(scale: float) -> DistillationModule:
    """As `tiny_module`, of networks with random weights."""
    teaching = tiny_network()
    module = tiny_module(tiny_network(flow_map=True), init_from="x", distil_guidance=scale)
    parts = module.net, module.transport, module.config, module.payload, module.total_steps, None
    distilling = DistillationModule(teaching, *parts)
    distilling.trainer = module.trainer
    return distilling.train()


def test_a_map_begins_as_euler_steps_of_its_teacher(latents, teacher):
    initial, train = load_initial(teacher), read_latents(latents, "train")
    arguments = {**initial.net.config, "flow_map": True}
    config = settings(latents, "out", teacher)["train"]
    net = drawn_or_given(initial, arguments, config, train).eval()
    x, t, y = torch.randn(3, CHANNELS, SIDE, SIDE), torch.tensor([0, 0.2, 0.9]), torch.tensor([0, 1, 2])
    expected = initial.net.eval()(x, t, y)
    assert torch.allclose(net(x, t, y, span=torch.tensor([1, 0.3, 0.1])), expected, atol=1e-6)


def test_a_step_gives_every_parameter_a_gradient_and_leaves_the_teacher_out_of_the_file():
    module = distillation(1.5)
    module.training_step(tiny_batch(), 0).backward()
    still = {
        name for name, value in module.net.named_parameters() if value.grad is None or not value.grad.any()
    }
    assert not still
    assert not [name for name in module.state_dict() if "teacher" in name]


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_the_teacher_is_guided_as_stage_3_guides(scale):
    module = distillation(scale)
    net = module.teacher[0]
    x, y = torch.randn(2, CHANNELS, SIDE, SIDE), torch.tensor([0, 2])
    guided = Guidance(module.transport.velocity(net), net.null_class, scale, (GUIDED_FROM, 1.0))
    for t in (0.1, 0.5):
        velocity = module.teacher_velocity(y, x, torch.full((2,), t))
        assert torch.allclose(velocity, guided(x, t, y), atol=1e-6)


def test_a_distilled_model_draws_by_its_own_description_and_interrupted_is_at_once(
    latents, teacher, tmp_path
):
    assert_interrupted_is_at_once(lambda output: settings(latents, output, teacher), tmp_path)

    net, payload = load_trained(tmp_path / "whole/checkpoints/best.safetensors")
    noise, labels = torch.randn(2, CHANNELS, SIDE, SIDE), torch.tensor([0, 1])
    drawn = []
    for given in ({}, {"guidance_scale": 4.0, "sampler": "euler", "num_steps": 9}, {"few_steps": 3}):
        draw = LatentSampler(net, payload, SampleConfig("", "", **given), torch.device("cpu"), "32")
        drawn.append(draw(noise, labels))
        assert draw.network_evaluations == draw.evaluations() == given.get("few_steps", 2)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    x = noise + 0.5 * net(noise, torch.zeros(2), labels, span=torch.full((2,), 0.5))
    x = x + 0.5 * net(x, torch.full((2,), 0.5), labels, span=torch.full((2,), 0.5))
    assert torch.allclose(drawn[0], payload.statistics.denormalise(x), atol=1e-5)


def test_a_teacher_s_nobody_stays_whatever_dropout_was_asked_for(latents, teacher, tmp_path, capsys):
    layers = settings(latents, tmp_path / "few", teacher, max_steps=1)
    layers["model"] = resolve(("model",), {"model": {"class_dropout_prob": 0.0}})["model"]
    stage2.run(layers)
    assert "note: model.class_dropout_prob: does nothing here, the guidance" in capsys.readouterr().out
    net, _ = load_trained(tmp_path / "few/checkpoints/best.safetensors")
    assert net.config["class_dropout_prob"] == load_trained(teacher)[0].config["class_dropout_prob"] > 0


def test_what_cannot_be_distilled_is_refused(latents, teacher, tmp_path):
    stage2.run(settings(latents, tmp_path / "few", teacher, max_steps=1))

    def refused(*more):
        asked = "--latent_dir", latents, "--output_dir", tmp_path / "out"
        return refusal_of(stage2.main, *asked, *more, unchanged=tmp_path)

    assert "--distil_guidance 1: distils a trained model; add --init_from" in refused("--distil_guidance", 1)
    few = "--init_from", tmp_path / "few/checkpoints/best.safetensors"
    assert "a few-step model; start from the one it was distilled from" in refused(*few)
    asked = "--init_from", teacher, "--distil_guidance", 2
    assert "leave --tune difffit out" in refused(*asked, "--tune", "difffit")
    others = write_tiny_latents(tmp_path / "others", users=(*USERS[:2], "ID_99"))
    unknown = refused("--latent_dir", others, *asked[:2], "--distil_guidance", 1)
    assert "does not know ID_99; train a model on these latents first" in unknown
    net, payload = load_trained(teacher)
    strange = tmp_path / "strange.safetensors"
    write_slim(strange, net.state_dict(), replace(payload, tokenizer_digest="e" * 64))
    other = refused("--init_from", strange, "--distil_guidance", 1)
    assert "strange.safetensors learnt the latents of another tokenizer; train a model on" in other


@pytest.mark.parametrize(
    ("train", "other", "idle"),
    [
        ({"distil_guidance": 1.5}, {}, []),
        ({"distil_guidance": 1.5, "statistics": "imagenet"}, {}, ["train.statistics"]),
        ({"distil_guidance": 1.5}, {"transport": {"lognorm_loc": 0.0}}, ["transport.lognorm_loc"]),
        ({"distil_guidance": 1.5}, {"model": {"class_dropout_prob": 0.2}}, ["model.class_dropout_prob"]),
        ({"tune": "person", "statistics": "imagenet"}, {}, ["train.statistics"]),
        ({"statistics": "imagenet"}, {"transport": {"lognorm_loc": 0.0}}, []),
    ],
)
def test_keys_that_do_nothing_in_a_training_are_named(train, other, idle):
    asked = {"train": {"latent_dir": "latents", **train}, **other}
    notes = unread(resolve(("train", "model", "transport"), asked))
    assert [note.split(": ")[1] for note in notes] == idle
