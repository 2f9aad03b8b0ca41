"""Trained models as files: every kind gives one network, statistics survive, anything else is refused."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_runs import CHANNELS, SIDE, USERS, stage2_settings, tiny_network, tiny_payload, write_tiny_latents

import stage2_train_dit
from configs.errors import UserError
from configs.version import VERSION
from data.axes import Axes
from data.labels import LabelTable
from data.latent_stats import LatentStatistics
from data.latents import read_latents
from radar.person import draw_walker
from radar.recording import Setup, draw_recording
from sampling.image_sampler import file_name
from sampling.model_file import (
    DEMO,
    DEMO_AXES,
    GAITS,
    PAYLOAD_KEY,
    DitPayload,
    load_trained,
    weights_digest,
    write_slim,
)
from training.run_files import AtomicCheckpointIO
from weight_files.reading import WeightFile


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """checkpoints/ of a short run whose best is its last."""
    folder = tmp_path_factory.mktemp("trained")
    latents = write_tiny_latents(folder / "latents", num_val=0)
    stage2_train_dit.run(stage2_settings(latents, folder / "run", max_steps=3, transport_path_type="GVP"))
    return folder / "run" / "checkpoints"


def refusal(path: Path, *arguments, error: type = ValueError) -> str:
    with pytest.raises(error) as caught:
        load_trained(path, *arguments)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message, message
    return message


# The same network from every file


def test_best_ckpt_last_ckpt_and_slim_weights_are_one_network(trained):
    nets, payloads = zip(
        *(load_trained(trained / name) for name in ("best.safetensors", "best.ckpt", "last.ckpt"))
    )
    assert len({weights_digest(net) for net in nets}) == 1
    assert len({payload.to_json() for payload in payloads}) == 1
    for name in ("best.ckpt", "last.ckpt"):
        assert WeightFile(trained / name).torch()["version"] == VERSION
    with safe_open(trained / "best.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()[PAYLOAD_KEY])["version"] == VERSION
    for net in nets:
        assert not any(part.training for part in net.modules())
        assert not any(p.requires_grad for p in net.parameters())
        assert all(value.dtype == torch.float32 for value in net.state_dict().values())


def test_the_file_holds_the_average(trained):
    state = {
        name: torch.load(trained / f"{name}.ckpt", weights_only=True)["state_dict"]
        for name in ("best", "last")
    }
    net, _ = load_trained(trained / "best.safetensors")
    name = "final_layer.linear.weight"
    assert torch.equal(net.state_dict()[name], state["best"][f"ema.{name}"])
    assert not torch.equal(net.state_dict()[name], state["last"][f"net.{name}"])


def test_everything_that_sampling_needs_travels_along(trained):
    net, payload = load_trained(trained / "best.ckpt")
    latents = read_latents(trained.parents[1] / "latents", "train")
    statistics = LatentStatistics.load(trained.parents[1] / "latents" / "latents_stats.pt")
    assert torch.equal(payload.statistics.mean, statistics.mean)
    assert torch.equal(payload.statistics.std, statistics.std)
    assert payload.labels.names == USERS and payload.tokenizer_digest == "d" * 64
    assert payload.preprocessing == {"geometry": "stretch"} and payload.transport["path_type"] == "GVP"
    assert net.config == payload.model and payload.config["lr"] == 1e-2
    there_and_back = payload.statistics.denormalise(statistics.normalise(latents.latents))
    torch.testing.assert_close(there_and_back, latents.latents, rtol=1e-6, atol=1e-6)


def test_statistics_survive_json_to_the_last_bit():
    torch.set_flush_denormal(False)  # code that torch 2.4 compiled in this process switched it on
    net = tiny_network()
    mean = torch.tensor([1 / 3, -1e-38, 2.0**-149, 16777217.0]).view(1, 4, 1, 1)
    std = torch.tensor([3.4e38, 1e-45, 0.1, 1 + 2**-23]).view(1, 4, 1, 1)
    payload = DitPayload(net.config, {}, tiny_payload(net).labels, LatentStatistics(mean, std), None, {}, {})
    again = DitPayload.from_json(payload.to_json(), "here")
    assert torch.equal(again.statistics.mean, mean) and torch.equal(again.statistics.std, std)
    assert again.to_json() == payload.to_json()


def test_equal_content_gives_equal_bytes_and_a_readable_file(tmp_path):
    net = tiny_network()
    names = list(net.state_dict())
    backwards = {name: net.state_dict()[name] for name in reversed(names)}
    write_slim(tmp_path / "a.safetensors", net.state_dict(), tiny_payload(net))
    write_slim(tmp_path / "b.safetensors", backwards, tiny_payload(net))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    (tmp_path / "usual").touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert weights_digest(load_trained(tmp_path / "a.safetensors")[0]) == weights_digest(net)


def test_the_digest_names_the_weights():
    net, other = tiny_network(), tiny_network()
    assert weights_digest(net) == weights_digest(other)
    with torch.no_grad():
        other.blocks[0].attn.qkv.bias[0] += 1e-6
    assert weights_digest(net) != weights_digest(other)


# Published checkpoints


@pytest.fixture
def stats(tmp_path) -> Path:
    tiny_payload(tiny_network()).statistics.save(tmp_path / "latents_stats.pt")
    return tmp_path / "latents_stats.pt"


@pytest.mark.parametrize("layout", ["ema", "model", "bare", "wrapped"])
def test_published_layouts_load_with_given_statistics(layout, stats, tmp_path):
    net = tiny_network()
    state = net.state_dict()
    content = {
        "ema": {"model": {name: value + 1 for name, value in state.items()}, "ema": state, "opt": {}},
        "model": {"model": state},
        "bare": state,
        "wrapped": {"ema": {f"module.{name}": value for name, value in state.items()}},
    }[layout]
    torch.save(content, tmp_path / "published.pt")
    loaded, payload = load_trained(tmp_path / "published.pt", stats)
    assert weights_digest(loaded) == weights_digest(net)
    assert torch.equal(payload.statistics.mean, LatentStatistics.load(stats).mean)
    assert payload.labels.names == ("0", "1", "2") and payload.transport == {} and not loaded.training
    x = torch.randn(2, CHANNELS, SIDE, SIDE)
    t, y = torch.tensor([0.2, 0.7]), torch.tensor([0, 2])
    # Without gradients, as the loaded network: kernels may differ by them.
    assert torch.equal(loaded(x, t, y), net.eval().requires_grad_(False)(x, t, y))


def test_a_published_checkpoint_needs_statistics(stats, tmp_path):
    torch.save({"ema": tiny_network().state_dict()}, tmp_path / "published.pt")
    assert "--latents_stats" in refusal(tmp_path / "published.pt")


def test_statistics_of_another_number_of_channels_are_refused(tmp_path):
    torch.save({"ema": tiny_network().state_dict()}, tmp_path / "published.pt")
    LatentStatistics(torch.zeros(1, 32, 1, 1), torch.ones(1, 32, 1, 1)).save(tmp_path / "other.pt")
    with pytest.raises(ValueError, match="other.pt: 32 channels, published.pt has 4; "):
        load_trained(tmp_path / "published.pt", tmp_path / "other.pt")


def test_own_files_refuse_other_statistics(trained, stats):
    for name in ("best.ckpt", "best.safetensors"):
        with pytest.raises(ValueError, match=f"{name} carries its own statistics; leave the flag out"):
            load_trained(trained / name, stats)


# Refusals


def test_other_models_are_refused(trained, tmp_path, stats):
    torch.save({"state_dict": {"encoder.weight": torch.zeros(2)}}, tmp_path / "tokenizer.ckpt")
    assert "not a checkpoint of stage 2" in refusal(tmp_path / "tokenizer.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    refusal(tmp_path / "list.ckpt")
    save_file({"encoder.weight": torch.zeros(2)}, tmp_path / "tokenizer.safetensors")
    assert "no model description" in refusal(tmp_path / "tokenizer.safetensors")
    torch.save({"encoder.weight": torch.zeros(2)}, tmp_path / "tokenizer.pt")
    refusal(tmp_path / "tokenizer.pt", stats)


def changed(trained: Path, target: Path, change) -> Path:
    """best.safetensors with `change(weights, description)` applied."""
    with safe_open(trained / "best.safetensors", framework="pt") as file:
        description = json.loads(file.metadata()[PAYLOAD_KEY])
    weights = load_file(trained / "best.safetensors")
    change(weights, description)
    save_file(weights, target, metadata={PAYLOAD_KEY: json.dumps(description)})
    return target


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda w, d: w.pop("pos_embed"), "no 'pos_embed'"),
        (lambda w, d: w.update(extra=torch.zeros(1)), "unexpected: 1 (extra)"),
        (lambda w, d: d["model"].update(hidden_size=64), "another hidden_size"),
        (lambda w, d: d["model"].update(hidden_size=33), "describe a valid model"),
        (lambda w, d: d["model"].update(colour="red"), "describe a valid model"),
        (lambda w, d: d.update(format="other-9"), "other-9"),
        (lambda w, d: d.pop("statistics"), "statistics"),
        (lambda w, d: d["statistics"].update(std=[0.0] * 4), "std"),
        (lambda w, d: d["statistics"].update(mean=[0.0] * 3, std=[1.0] * 3), "3 channels"),
        (lambda w, d: d.update(labels=["ID_1"]), "1 users"),
        (lambda w, d: d.update(labels=["ID_10", "ID_2", "ID_1"]), "natural order"),
    ],
)
def test_damaged_descriptions_and_weights_are_refused(trained, tmp_path, change, named):
    assert named in refusal(changed(trained, tmp_path / "best.safetensors", change))


def test_code_in_a_checkpoint_to_go_on_from_is_not_run(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (tmp_path / "was_run").touch, ()

    torch.save({"state_dict": {}, "ema": Hostile()}, tmp_path / "last.ckpt")
    with pytest.raises(pickle.UnpicklingError):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "last.ckpt", weights_only=False)
    assert not (tmp_path / "was_run").exists()


# Names of images


def test_the_shipped_models_axes_are_those_of_simulated_images():
    rng, setup = numpy.random.default_rng(0), Setup()
    edges = next(iter(draw_recording(draw_walker(rng), 1, setup, rng, True)[1])).edges
    shown = [edges["lowest_mps"], edges["highest_mps"], edges["end_s"] - edges["start_s"]]
    assert shown == pytest.approx(DEMO_AXES.edges(), abs=0.001)
    assert (DEMO_AXES.range_db, DEMO_AXES.colour_map) == (setup.dynamic_range_db, setup.colour_map)
    assert load_trained(DEMO)[1].axes == load_trained(GAITS)[1].axes == DEMO_AXES


def test_axes_are_in_the_payload_and_an_older_one_has_none():
    net = tiny_network()
    payload = replace(tiny_payload(net), axes=Axes(0.0, 5.0, 2.0, colour_map="jet"))
    assert DitPayload.from_json(payload.to_json(), "a file").axes == payload.axes
    content = json.loads(payload.to_json())
    del content["axes"]
    assert DitPayload.from_json(json.dumps(content), "a file").axes is None
    for damaged in ({"lowest_mps": 5, "highest_mps": 0, "duration_s": 1}, {"lowest_mps": 0}, [1], "x"):
        with pytest.raises(UserError, match="a file.*axes are damaged"):
            DitPayload.from_json(json.dumps({**content, "axes": damaged}), "a file")


def test_two_people_never_share_a_file_name():
    names = ("ID_7", "ID_12", "anna b", "anna_b", "anna%20b", "P1", "Q1", "P01", "../x", "Jörg", "user01")
    labels = LabelTable((*names, "a_001", "a"))
    files = [file_name(labels, index, number) for index in range(len(labels)) for number in (1, 2, 11, 1001)]
    assert len(set(files)) == len(files)
    assert all(Path(file).name == file and file.startswith("micro_doppler_") for file in files)
    assert file_name(labels, labels.index("ID_7"), 1) == "micro_doppler_user07_001.png"
    trials = LabelTable(("S1_T2", "S2_T1"))
    assert file_name(trials, trials.index("S2_T1"), 1) == "micro_doppler_S2_T1_001.png"  # no user01
    assert file_name(labels, labels.index("anna_b"), 2) == "micro_doppler_anna_b_002.png"
