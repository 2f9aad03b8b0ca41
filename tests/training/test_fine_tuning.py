"""Starting from trained weights: rows kept bit for bit, a gradient for exactly what is tuned, resume."""

from dataclasses import replace

import pytest
import torch
from tiny_runs import (
    CHANNELS,
    SIDE,
    USERS,
    assert_interrupted_is_at_once,
    read_last,
    stage2_settings,
    tiny_module,
    tiny_network,
    tiny_payload,
)
from toy_run import refusal_of

import stage2_train_dit as stage2
from configs.load import resolve
from data.labels import LabelTable
from data.latent_files import export_lightningdit
from data.latent_stats import LatentStatistics
from data.latents import LatentSet, read_latents
from sampling.model_file import load_trained, write_slim
from training.fine_tuning import CLASS_TABLE, adapted_network, beside_known, is_tuned, load_initial

PUBLISHED = {"num_classes": 1000, "use_qknorm": False, "hidden_size": 32, "depth": 2, "num_heads": 2}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file in the published layout: 1000 classes and the null class, no query and key norms."""
    path = tmp_path_factory.mktemp("weights") / "lightningdit-tiny.pt"
    torch.save({"ema": tiny_network(**PUBLISHED).state_dict()}, path)
    return path


def own_weights(path, users, **changes):
    """best.safetensors of people `users`."""
    net = tiny_network(num_classes=len(users), **changes)
    payload = tiny_payload(net, path_type="Linear", prediction="velocity")
    write_slim(path, net.state_dict(), replace(payload, labels=LabelTable(users)))
    return path


def refused(latents, work, *more):
    return refusal_of(stage2.main, f"--latent_dir {latents} --output_dir {work}/out", *more, unchanged=work)


def settings(latents, output, **changes):
    """Settings of a fine-tuning: nothing is asked of the model."""
    configs = stage2_settings(latents, output, **changes)
    return {**configs, **resolve(("model",))}


def interrupted_is_at_once(latents, folder, **changes):
    assert_interrupted_is_at_once(lambda output: settings(latents, output, **changes), folder)


def adapted(path, labels, numbered=False, dropout=0.1):
    initial = load_initial(path)
    arguments = {**initial.net.config, "num_classes": len(labels), "class_dropout_prob": dropout}
    return initial.net.state_dict(), adapted_network(
        initial, arguments, LabelTable(labels), numbered, {}
    ).state_dict()


def test_rows_of_users_in_both_are_kept_by_name_and_new_ones_start_at_the_mean(tmp_path):
    old, new = adapted(
        own_weights(tmp_path / "w.safetensors", ("ID_1", "ID_3", "ID_10")), ("ID_1", "ID_2", "ID_10", "ID_11")
    )
    before, after = old[CLASS_TABLE], new[CLASS_TABLE]
    mean = before[:3].double().mean(0).float()
    assert torch.equal(after, torch.stack([before[0], mean, before[2], mean, before[3]]))
    assert all(torch.equal(old[name], new[name]) for name in old if name != CLASS_TABLE)


def test_the_null_row_follows_the_dropout(tmp_path):
    with_null = own_weights(tmp_path / "a.safetensors", USERS)
    assert len(adapted(with_null, USERS, dropout=0.0)[1][CLASS_TABLE]) == 3
    without = own_weights(tmp_path / "b.safetensors", USERS, class_dropout_prob=0.0)
    old, new = adapted(without, USERS)
    assert torch.equal(new[CLASS_TABLE][:3], old[CLASS_TABLE])
    assert torch.equal(new[CLASS_TABLE][3], old[CLASS_TABLE].double().mean(0).float())


def test_published_classes_are_numbers_only_for_upstream_s_latents(published):
    old, people = adapted(published, ("7", "12"))
    mean = old[CLASS_TABLE][:1000].double().mean(0).float()
    assert torch.equal(people[CLASS_TABLE], torch.stack([mean, mean, old[CLASS_TABLE][1000]]))
    some = adapted(published, tuple(map(str, range(9))), numbered=True)[1][CLASS_TABLE]
    assert torch.equal(some, torch.cat([old[CLASS_TABLE][:9], old[CLASS_TABLE][1000:]]))
    folders = tuple(f"n{number:08d}" for number in range(5, 1005))
    assert torch.equal(adapted(published, folders)[1][CLASS_TABLE], old[CLASS_TABLE])


def test_difffit_gives_a_gradient_to_exactly_biases_norm_scales_and_the_class_table():
    module = tiny_module(tiny_network(class_dropout_prob=0.5), tune="difffit")
    batch = {"mean": torch.randn(8, CHANNELS, SIDE, SIDE), "labels": torch.arange(8) % 3, "position": 0}
    module.training_step(batch, 0).backward()
    touched = {
        name
        for name, value in module.net.named_parameters()
        if value.grad is not None and value.grad.abs().sum() > 0
    }
    every = dict(module.net.named_parameters())
    expected = {name for name in every if name.endswith(".bias") or "norm" in name} | {CLASS_TABLE}
    assert touched == expected and len(expected) < len(every) - 5
    trained = {id(value) for value in module.trained_parameters()}
    assert trained == {id(every[name]) for name in expected}
    assert all(is_tuned(name, value, "full") for name, value in every.items())


@pytest.mark.parametrize("word", ["demo", "gaits"])
def test_the_shipped_models_walkers_are_nobody_s(word):
    initial = load_initial(word)
    old = initial.net.state_dict()[CLASS_TABLE]
    labels = LabelTable(("ID_1", "ID_2"))  # names that the simulated walkers have too
    arguments = {**initial.net.config, "num_classes": 2, "class_dropout_prob": 0.1}
    rows = adapted_network(initial, arguments, labels, False, {}).state_dict()[CLASS_TABLE]
    mean = old[:-1].double().mean(0).float()
    assert torch.equal(rows, torch.stack([mean, mean, old[-1]]))


@pytest.mark.parametrize("tune", ["full", "difffit"])
def test_fine_tuning_trains_what_it_should_and_resumes_to_the_same_bytes(latents, published, tmp_path, tune):
    interrupted_is_at_once(latents, tmp_path, init_from=str(published), tune=tune, lr=1e-3)
    state = read_last(tmp_path / "whole")["state_dict"]
    start = load_initial(published).net.state_dict()
    del start[CLASS_TABLE]
    changed = {name for name in start if not torch.equal(start[name], state[f"net.{name}"])}
    frozen = {name for name in start if start[name].ndim > 1}
    assert changed and (changed & frozen == set()) == (tune == "difffit")
    assert load_trained(tmp_path / "whole/checkpoints/best.ckpt")[1].labels.names == USERS


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_use_qknorm": True}, "the weights have use_qknorm False, not model.use_qknorm=True; leave"),
        ({"model_depth": 3}, "the weights have depth 2, not model.depth=3"),
        ({"model_preset": "LightningDiT-B/1"}, "the weights have depth 2, not model.depth=12"),
    ],
)
def test_a_contradicting_architecture_is_refused(latents, published, tmp_path, changes, said):
    changes = {"model_preset": "auto", **changes}
    overrides = [f"{name.replace('_', '.', 1)}={value}" for name, value in changes.items()]
    assert said in refused(latents, tmp_path, "--init_from", published, *overrides)


def test_other_refusals(latents, published, tmp_path):
    text = refused(latents, tmp_path, "--tune difffit")
    assert "--tune difffit: changes trained weights a little; add --init_from" in text
    text = refused(latents, tmp_path, "--init_from", tmp_path / "absent.pt")
    assert "no such file; give best.safetensors" in text
    wide = tmp_path / "wide.pt"
    torch.save({"ema": tiny_network(in_channels=8).state_dict()}, wide)
    assert "in_channels 8, not in_channels 4 of the latents; encode" in refused(
        latents, tmp_path, "--init_from", wide
    )
    weights = own_weights(tmp_path / "own.safetensors", USERS)
    text = refused(latents, tmp_path, "--init_from", weights, "transport.prediction=noise")
    assert "trained with transport.prediction=velocity, not noise; set" in text


def test_upstream_s_shards_with_a_thousand_classes_train(published, tmp_path):
    """Class numbers keep their rows; the folder is upstream's alone."""
    latents = torch.randn(12, CHANNELS, SIDE, SIDE)
    labels = torch.tensor([999, 3, 207, 0] * 3)
    table = LabelTable(tuple(map(str, range(1000))))
    shards = tmp_path / "imagenet_train_256"
    export_lightningdit(
        LatentSet(latents, None, labels, table, [str(i) for i in range(12)], latents_flip=latents.flip(-1)),
        shards,
        shard_size=5,
    )
    stage2.run(settings(shards, tmp_path / "out", init_from=str(published), max_steps=1, lr=1e-9))
    net, payload = load_trained(tmp_path / "out/checkpoints/best.ckpt")
    assert net.config["num_classes"] == 1000 and payload.labels.names == table.names
    start = load_initial(published).net.state_dict()[CLASS_TABLE]
    assert torch.allclose(net.state_dict()[CLASS_TABLE], start, atol=1e-6)
    assert torch.equal(payload.statistics.mean, LatentStatistics.load(shards / "latents_stats.pt").mean)


def test_the_start_is_the_initial_network(published):
    """Before its first step the tuned network predicts what the published one does, for kept classes."""
    initial = load_initial(published)
    arguments = {**initial.net.config, "num_classes": 4}
    net = adapted_network(initial, arguments, LabelTable(("0", "1", "2", "3")), True, {}).eval()
    x, t, y = torch.randn(2, CHANNELS, SIDE, SIDE), torch.tensor([0.2, 0.7]), torch.tensor([1, 3])
    assert torch.equal(net(x, t, y), initial.net(x, t, y))


# A new person beside the known ones


@pytest.fixture
def with_known(tmp_path):
    """Weights of ID_1, ID_5 and ID_20; the latents are of ID_1, ID_2 and ID_10."""
    return own_weights(tmp_path / "known.safetensors", ("ID_1", "ID_5", "ID_20"))


def test_new_people_join_and_the_known_stay_as_they_are_to_the_bit(latents, with_known, tmp_path):
    configs = settings(latents, tmp_path / "run", init_from=str(with_known), tune="person", lr=1e-2)
    stage2.run(configs)
    old = load_initial(with_known)
    net, payload = load_trained(tmp_path / "run/checkpoints/best.safetensors")
    assert payload.labels.names == ("ID_1", "ID_2", "ID_5", "ID_10", "ID_20")
    before, after = old.net.state_dict(), net.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name != CLASS_TABLE)
    rows = after[CLASS_TABLE]
    assert torch.equal(rows[[0, 2, 4, 5]], before[CLASS_TABLE])  # the null class's is the last one
    mean = before[CLASS_TABLE][:3].double().mean(0).float()
    assert not any(torch.equal(rows[new], mean) for new in (1, 3)) and not torch.equal(rows[1], rows[3])
    assert torch.equal(payload.statistics.std, old.payload.statistics.std)
    x, t = torch.randn(3, CHANNELS, SIDE, SIDE), torch.rand(3)
    old.net.eval()
    assert torch.equal(old.net(x, t, torch.tensor([0, 1, 2])), net(x, t, torch.tensor([0, 2, 4])))


def test_latents_of_new_people_alone_are_labelled_by_the_joined_table(latents, with_known):
    train = read_latents(latents, "train")
    joined = beside_known(load_initial(with_known), train)
    users = [joined.label_table.names[label] for label in joined.labels]
    assert set(users) == {"ID_2", "ID_10"} and len(joined) == len(users) == len(joined.paths)
    expected = [index for index, label in enumerate(train.labels) if train.label_table.names[label] != "ID_1"]
    assert torch.equal(joined.latents, train.latents[expected])
    assert users == [train.label_table.names[train.labels[index]] for index in expected]


def test_a_new_person_interrupted_is_a_new_person_at_once(latents, with_known, tmp_path):
    interrupted_is_at_once(latents, tmp_path, init_from=str(with_known), tune="person")


def test_nobody_new_and_nobody_known_are_refused(latents, published, with_known, tmp_path):
    def message(weights, *more):
        return refused(latents, tmp_path, f"--init_from {weights} --tune person", *more)

    everyone = own_weights(tmp_path / "all.safetensors", USERS)
    assert "knows ID_1, ID_2, ID_10, the latents are of ID_1, ID_2, ID_10; give" in message(everyone)
    assert "knows nobody by name" in message(published)
    assert "weight_decay=0.1 with --tune person would shrink" in message(with_known, "weight_decay=0.1")
    net, payload = load_trained(with_known)
    strange = tmp_path / "strange.safetensors"
    write_slim(strange, net.state_dict(), replace(payload, tokenizer_digest="e" * 64))
    assert "learnt the latents of another tokenizer; encode" in message(strange)
