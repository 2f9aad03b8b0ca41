"""`--precision auto` of a training: tried beforehand, then the run is the run in the arithmetic taken."""

import copy
import json
from pathlib import Path

import pytest
import torch
from tiny_runs import assert_same, read_last, tiny_batch, tiny_module, tiny_network, train

from runtime import precision
from training import dit_run, start
from training.trial_steps import step_of

CPU = torch.device("cpu")
LONG = {"precision": "auto", "max_steps": 6, "validate_every": 3}  # with LEAST_STEPS of the fixtures below


@pytest.fixture
def clock(clock, monkeypatch):
    """Here six steps are many."""
    monkeypatch.setattr(precision, "LEAST_STEPS", 6)
    return clock


def kept(folder: Path) -> str:
    return json.loads((folder / "precision.json").read_text())["cpu"]["training"]["precision"]


@pytest.mark.parametrize("tune", ["full", "person"])
@pytest.mark.parametrize("name", ["32", "bf16-mixed", "16-mixed"])
def test_a_step_changes_what_is_trained(name, tune):
    module = tiny_module(tiny_network(), tune=tune, init_from="x")
    before = {key: value.clone() for key, value in module.net.named_parameters()}
    step = step_of(module, tiny_batch(), CPU)
    for _ in range(2):  # the scaler's first scale may be too large
        step(name)
    moved = {key for key, value in module.net.named_parameters() if not torch.equal(value, before[key])}
    trained = {key for key, value in module.net.named_parameters() if value.requires_grad}
    assert moved and moved <= trained


def test_a_step_in_fp32_is_the_step_of_the_optimizer():
    net = tiny_network()
    module, by_hand = (tiny_module(copy.deepcopy(net), gradient_clip=0.5) for _ in range(2))
    step_of(module, tiny_batch(), CPU)("32")
    optimizer = by_hand.configure_optimizers()["optimizer"]
    by_hand.training_step(tiny_batch(), 0).backward()
    torch.nn.utils.clip_grad_norm_(by_hand.net.parameters(), 0.5)
    optimizer.step()
    for one, other in zip(module.net.parameters(), by_hand.net.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [({"32": 0.2, "bf16-mixed": 0.1}, "bf16-mixed"), ({"32": 0.1, "bf16-mixed": 0.2}, "32")],
)
def test_the_run_is_the_run_in_the_faster_arithmetic(latents, tmp_path, clock, seconds, expected):
    taken = clock(**seconds)
    train(latents, tmp_path / "auto", **LONG)
    assert kept(tmp_path / "auto") == expected and set(taken) == {"32", "bf16-mixed"}
    taken.clear()
    train(latents, tmp_path / "named", **{**LONG, "precision": expected})
    assert not taken and not (tmp_path / "named" / "precision.json").exists()
    assert (tmp_path / "auto/training_log.csv").read_bytes() == (
        tmp_path / "named/training_log.csv"
    ).read_bytes()


def test_a_run_goes_on_in_what_it_was_begun_with(latents, tmp_path, clock):
    clock(**{"32": 0.2, "bf16-mixed": 0.1})
    train(latents, tmp_path / "whole", **{**LONG, "max_steps": 9})
    train(latents, tmp_path / "parts", **LONG)
    taken = clock(**{"32": 0.1, "bf16-mixed": 0.2})
    taken.clear()
    train(latents, tmp_path / "later", **{**LONG, "max_steps": 9, "resume_from": str(tmp_path / "parts")})
    train(latents, tmp_path / "parts", **{**LONG, "max_steps": 9})
    assert not taken and kept(tmp_path / "later") == "bf16-mixed"
    for part in ("parts", "later"):
        assert_same(read_last(tmp_path / part)["state_dict"], read_last(tmp_path / "whole")["state_dict"])


def test_a_trial_is_not_longer_for_a_deep_network(latents, tmp_path, monkeypatch):
    depths = []
    monkeypatch.setattr(dit_run, "MOST_BLOCKS", 2)
    monkeypatch.setattr(precision, "LEAST_STEPS", 6)
    monkeypatch.setattr(precision, "worth_trying", lambda names, device: list(names))
    monkeypatch.setattr(precision, "timed", lambda step, name, device: step(name) or 1.0)
    draw = start.initial_network
    for module in (dit_run, start):
        monkeypatch.setattr(
            module,
            "initial_network",
            lambda arguments, seed: depths.append(arguments["depth"]) or draw(arguments, seed),
        )
    train(latents, tmp_path / "deep", model_depth=4, **{**LONG, "max_steps": 3})
    assert depths == [2, 4]  # three steps of four blocks are worth six of two


def test_a_dry_run_and_a_short_run_measure_nothing(latents, tmp_path, clock, capsys):
    taken = clock(**{"32": 0.2, "bf16-mixed": 0.1})
    train(latents, tmp_path / "dry", **{**LONG, "dry_run": True})
    assert not (tmp_path / "dry").exists() and "1 x cpu, precision auto" in capsys.readouterr().out
    train(latents, tmp_path / "short", precision="auto", max_steps=2)
    assert not taken and not (tmp_path / "short" / "precision.json").exists()
