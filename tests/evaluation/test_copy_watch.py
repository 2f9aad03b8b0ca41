"""Copies among drawn latents are counted, shifted ones too; what is new is not; people take turns."""

import pytest
import torch
from tiny_runs import CHANNELS, SIDE, USERS, tiny_module, tiny_network

from data.labels import LabelTable
from data.latents import LatentSet
from evaluation.copy_watch import CopyWatch
from runtime.seeds import generator


def latents_of(name, count):
    latents = torch.randn(count, CHANNELS, SIDE, SIDE, generator=generator(name))
    return LatentSet(latents, None, torch.arange(count) % len(USERS), LabelTable(USERS), [""] * count)


@pytest.fixture
def watched():
    return CopyWatch(latents_of("train", 24), latents_of("val", 9), 6, "32"), tiny_module(tiny_network())


def test_what_a_fresh_network_draws_is_new(watched):
    watch, module = watched
    assert watch(module) == {"memorised": 0.0, "memorised_val": 0.0}
    assert watch(module) == watch(module)


@pytest.mark.parametrize("shift", [0, 1, 3])
def test_training_latents_are_copies_wherever_they_begin(watched, monkeypatch, shift):
    watch, module = watched

    def copycat(module, noise, labels):
        copies = [watch.train.latents[watch.train.labels == label][k] for k, label in enumerate(labels)]
        return torch.stack(copies).roll(shift, -1)

    monkeypatch.setattr(watch, "_draw", copycat)
    assert watch(module)["memorised"] == 1.0


def test_another_person_s_latents_are_no_copies(watched, monkeypatch):
    watch, module = watched
    monkeypatch.setattr(
        watch,
        "_draw",
        lambda module, noise, labels: torch.stack(
            [watch.train.latents[watch.train.labels != label][0] for label in labels]
        ),
    )
    assert watch(module)["memorised"] == 0.0


def test_held_out_latents_are_looked_at_in_the_same_way():
    train = latents_of("train", 24)
    watch = CopyWatch(
        train,
        LatentSet(train.latents[:4].roll(1, -1), None, train.labels[:4], train.label_table, [""] * 4),
        3,
        "32",
    )
    assert watch(tiny_module(tiny_network()))["memorised_val"] == 1.0


def test_people_take_turns_as_the_step_says(watched):
    watch, module = watched
    watch.count, seen = 2, set()
    for step in range(8):
        module.trainer.global_step = step
        labels = watch.labels(module).tolist()
        assert labels == watch.labels(module).tolist() and len(set(labels)) == 2
        seen |= set(labels)
    assert seen == {0, 1, 2}
