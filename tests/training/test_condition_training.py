"""Training people in conditions: what is learnt of whom, combinations never recorded, resume, refusals."""

from dataclasses import replace

import pytest
import torch
from tiny_runs import (
    CHANNELS,
    SIDE,
    TRAIN,
    assert_same,
    read_last,
    stage2_settings,
    tiny_module,
    tiny_network,
    tiny_payload,
    write_tiny_latents,
)

import stage2_train_dit as stage2
from sampling.latent_sampler import LatentSampler, usual_settings
from sampling.model_file import load_trained
from training.fine_tuning import load_initial
from training.start import drawn_or_given, load_start, model_arguments, read_people

FOLDERS = ("ID_1_backpack", "ID_1_normal", "ID_2_normal")
ALL = ("ID_1", "ID_1_backpack", "ID_1_normal", "ID_2", "ID_2_backpack", "ID_2_normal")
SETTINGS = {"conditions": "_[a-z]+$", "watch_copies": 2}
PAIRS = [[0, -1], [0, 0], [0, 1], [1, -1], [1, 0], [1, 1]]


@pytest.fixture(scope="module")
def latents(tmp_path_factory):
    return write_tiny_latents(tmp_path_factory.mktemp("conditions") / "latents", users=FOLDERS)


@pytest.fixture(scope="module")
def trained(latents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("conditions") / "models"
    stage2.run(stage2_settings(latents, folder, **SETTINGS))
    return folder


@pytest.mark.parametrize("name", ("best.ckpt", "best.safetensors"))
def test_the_file_knows_every_combination_and_draws_what_was_never_recorded(trained, name):
    net, payload = load_trained(trained / "checkpoints" / name)
    assert payload.labels.names == ALL and net.config["combinations"] == PAIRS
    assert payload.labels.resolve(["1", "ID_2_backpack"]) == [0, 4]
    x, t = torch.randn(7, CHANNELS, SIDE, SIDE), torch.full((7,), 0.5)
    velocities = net(x[:1].expand_as(x), t, torch.arange(7))
    assert len({tuple(row.flatten().tolist()) for row in velocities}) == 7


def test_only_rows_of_what_was_seen_are_learnt_from_a_batch():
    module = tiny_module(tiny_network(num_classes=6, class_dropout_prob=1e-9, combinations=PAIRS))
    batch = {"mean": torch.randn(8, CHANNELS, SIDE, SIDE), "labels": torch.tensor([1, 2] * 4), "position": 0}
    module.log = lambda *arguments, **keywords: None
    module.training_step(batch, 0).backward()
    table = module.net.y_embedder
    assert (table.embedding_table.weight.grad.abs().sum(1) > 0).tolist() == [True, False, False]
    assert (table.condition_table.weight.grad.abs().sum(1) > 0).tolist() == [True, True, False]


def test_interrupted_is_at_once(latents, trained, tmp_path):
    parts = stage2_settings(latents, tmp_path / "parts", **SETTINGS, max_steps=3)
    stage2.run(parts)
    parts["train"].max_steps = TRAIN["max_steps"]
    stage2.run(parts)
    whole, parts = read_last(trained), read_last(tmp_path / "parts")
    for key in ("state_dict", "optimizer_states", "ema_updates", "global_step"):
        assert_same(whole[key], parts[key])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"init_from": "demo", "tune": "person", "conditions": "_[a-z]+$"}, "--tune person: requires people"),
        (
            {"init_from": "demo", "distil_guidance": 1.0, "conditions": "_[a-z]+$"},
            "--distil_guidance: requires",
        ),
        (
            {"init_from": "models/checkpoints/best.safetensors", "distil_guidance": 1.0},
            "does not know ID_1_backpack, .* distilled for people in none, ID_1, ID_2",
        ),
    ],
)
def test_what_conditions_cannot_start_from(changes, expected, latents, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(trained.parent)
    with pytest.raises(ValueError, match=expected):
        stage2.run(stage2_settings(latents, tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


def test_weights_without_conditions_begin_people_in_them(latents, tmp_path):
    """Before the first step everybody is drawn in any condition as the weights draw them without."""
    plain = write_tiny_latents(tmp_path / "plain", users=("ID_1", "ID_3"))
    stage2.run(stage2_settings(plain, tmp_path / "before"))
    settings = stage2_settings(
        latents, tmp_path / "out", **SETTINGS, init_from=str(tmp_path / "before/checkpoints/best.safetensors")
    )
    train, _, conditions = read_people(settings["train"])
    initial = load_start(settings["train"], settings["transport"], train, references=False)
    arguments = model_arguments(settings["model"], train, initial, conditions)
    net = drawn_or_given(initial, arguments, settings["train"], train).eval()
    x, t = torch.randn(1, CHANNELS, SIDE, SIDE), torch.full((7,), 0.5)
    velocities = net(x.expand(7, -1, -1, -1), t, torch.arange(7))
    rows = initial.net.y_embedder.embedding_table.weight
    known, nobody = rows[0], rows[-1]
    expected = [known] * 3 + [rows[:2].mean(0)] * 3 + [nobody]
    with torch.no_grad():
        for place, row in enumerate(expected):
            rows[0] = row
            torch.testing.assert_close(initial.net(x, t[:1], torch.tensor([0]))[0], velocities[place])
    stage2.run(settings)
    assert load_trained(tmp_path / "out/checkpoints/best.ckpt")[0].config["combinations"] == PAIRS


def test_weights_of_people_in_conditions_begin_others_as_people_in_none(latents, trained, tmp_path):
    path = trained / "checkpoints/best.safetensors"
    net, payload = load_trained(path)
    plain = load_initial(path)
    assert plain.labels.names == ("ID_1", "ID_2") and plain.net.config["combinations"] is None
    x, t = torch.randn(3, CHANNELS, SIDE, SIDE), torch.full((3,), 0.5)
    alone = torch.tensor([*payload.labels.resolve(["ID_1", "ID_2"]), net.null_class])
    torch.testing.assert_close(plain.net(x, t, torch.arange(3)), net(x, t, alone))
    stage2.run(stage2_settings(latents, tmp_path / "out", **SETTINGS, init_from=str(path)))
    assert load_trained(tmp_path / "out/checkpoints/best.ckpt")[0].config["combinations"] == PAIRS


def test_a_new_person_joins_people_in_conditions_as_these_are_in_none(trained, tmp_path, capsys):
    new = write_tiny_latents(tmp_path / "new", num_val=1, users=("ID_1_normal", "ID_9"))
    path = str(trained / "checkpoints/best.safetensors")
    stage2.run(stage2_settings(new, tmp_path / "out", init_from=path, tune="person"))
    net, payload = load_trained(tmp_path / "out/checkpoints/best.safetensors")
    assert payload.labels.names == ("ID_1", "ID_2", "ID_9") and net.config["combinations"] is None
    said = capsys.readouterr().out
    assert f"training latents are of people known to {path}: not read" in said
    assert f"warning: {tmp_path / 'new'} has no validation latents of new people" in said
    rows = load_initial(path).net.y_embedder.embedding_table.weight
    assert torch.equal(net.y_embedder.embedding_table.weight[:2], rows[:2])


def test_people_in_no_condition_are_what_the_condition_s_guidance_starts_from(latents, trained, tmp_path):
    net, payload = load_trained(trained / "checkpoints" / "best.ckpt")
    chosen = {"guidance_scale": 1.0, "guidance_condition": 2.0, "num_steps": 3, "sampler": "euler"}
    settings = replace(usual_settings(payload), **chosen)
    drawn = LatentSampler(net, payload, settings, torch.device("cpu"), "32")
    noise = torch.randn(2, CHANNELS, SIDE, SIDE)
    drawn(noise, torch.tensor([2, 4]))
    assert drawn.network_evaluations == 5  # the first step lies before the interval


def test_guidance_towards_the_person_starts_from_nobody_in_the_condition(latents, trained):
    net, payload = load_trained(trained / "checkpoints" / "best.ckpt")
    labels = torch.arange(len(payload.labels))
    chosen = {"guidance_scale": 1.0, "num_steps": 1, "sampler": "euler", "guidance_interval": [0.0, 1.0]}
    noise = torch.randn(len(labels), CHANNELS, SIDE, SIDE)

    def latents_of(**more):
        settings = replace(usual_settings(payload), **chosen, **more)
        drawn = LatentSampler(net, payload, settings, torch.device("cpu"), "32")
        return drawn(noise, labels), drawn.network_evaluations

    plain, once = latents_of()
    guided, twice = latents_of(guidance_person=3.0)
    nobody = torch.tensor([[True, False]]).expand(len(labels), 2)
    with torch.inference_mode():
        start = net(noise, torch.zeros(len(labels)), labels, nobody)
        conditional = net(noise, torch.zeros(len(labels)), labels)
    expected = payload.statistics.denormalise(noise + conditional + 2 * (conditional - start))
    torch.testing.assert_close(guided, expected)
    assert (once, twice) == (1, 2) and not torch.equal(plain, guided)


@pytest.mark.parametrize("name", ["guidance_condition", "guidance_person"])
def test_guidance_by_parts_requires_conditions(name):
    plain = tiny_network()
    payload = tiny_payload(plain)
    settings = replace(usual_settings(payload), **{name: 2.0})
    with pytest.raises(ValueError, match=f"{name} 2: the model knows people only"):
        LatentSampler(plain, payload, settings, torch.device("cpu"), "32")
