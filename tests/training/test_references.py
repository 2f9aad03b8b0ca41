"""Training networks that know people by images: which images are shown, the encoder, runs and refusals."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import scipy.linalg
import torch
from tiny_runs import (
    CHANNELS,
    SIDE,
    assert_same,
    read_last,
    stage2_settings,
    tiny_network,
    write_tiny_latents,
)

import stage2_train_dit as stage2
from data.labels import LabelTable
from data.latent_files import change_entry
from data.latent_stats import LatentStatistics
from data.latents import LatentSet
from models.references import WIDTH, ReferenceEncoder, moments
from sampling.model_file import load_trained
from training.references import APART, RIDGE, Places, discriminants, encoded, know_people_, teach_

SETTINGS = {"model_references": True}


@pytest.fixture(scope="module")
def latents(tmp_path_factory):
    return write_tiny_latents(tmp_path_factory.mktemp("references") / "latents", num_train=36)


@pytest.fixture(scope="module")
def trained(latents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("references") / "models"
    stage2.run(stage2_settings(latents, folder, **SETTINGS))
    return folder


def test_references_are_of_the_same_person_at_another_moment():
    """Every image of people of 1 to 12 images, mixed: all that is far enough is drawn, and nothing else."""
    labels = torch.cat([torch.full((count,), count - 1) for count in range(1, 13)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    shares = (torch.arange(600) / 600).expand(len(labels), -1)
    references = Places.of(labels).references(torch.arange(len(labels)), shares)
    for row, label in enumerate(labels.tolist()):
        rows = (labels == label).nonzero().flatten().tolist()
        place = rows.index(row)
        others = [other for other in rows if other != row]
        far = [other for number, other in enumerate(rows) if abs(number - place) >= APART]
        assert set(references[row].tolist()) == set(far or others or [row])


def striped(people: int, each: int) -> LatentSet:
    """Noise with a pattern of its person on the velocity axis."""
    draw = torch.Generator().manual_seed(0)
    patterns = torch.randn(people, CHANNELS, SIDE, 1, generator=draw)
    labels = torch.arange(people).repeat(each)
    latents = patterns[labels] + 0.7 * torch.randn(len(labels), CHANNELS, SIDE, SIDE, generator=draw)
    table = LabelTable(tuple(f"ID_{number}" for number in range(people)))
    return LatentSet(latents, None, labels, table, [str(number) for number in range(len(labels))])


PLAIN = LatentStatistics(torch.zeros(1, CHANNELS, 1, 1), torch.ones(1, CHANNELS, 1, 1))


def test_the_encoder_tells_people_apart_whom_it_never_saw():
    known, new = striped(20, 12), striped(30, 12)
    encoder = ReferenceEncoder(CHANNELS, SIDE)
    teach_(encoder, known, PLAIN)
    encodings = encoded(encoder, new, PLAIN)
    vectors, labels = encodings[new.labels >= 20], new.labels[new.labels >= 20]
    means = torch.stack([vectors[labels == label][:8].mean(0) for label in range(20, 30)])
    rest = torch.cat([vectors[labels == label][8:] for label in range(20, 30)])
    right = (rest @ means.T).argmax(1) == torch.arange(10).repeat_interleave(4)
    assert right.float().mean() > 0.8  # 0.1 by chance


@pytest.mark.parametrize(("people", "size"), [(200, 80), (200, 40), (9, 80)])
def test_discriminants_solve_the_generalised_eigenvalue_problem(people, size):
    """Against LAPACK's solver; few people, or few moments, give fewer directions than a vector has."""
    draw = torch.Generator().manual_seed(0)
    means, root = torch.randn(people, size, generator=draw), torch.randn(size, size, generator=draw) / 9
    within = (root @ root.T).double()
    columns = discriminants(means.double(), within)
    between = numpy.cov(means.double().numpy().T, bias=True)
    noise = within.numpy() + RIDGE * numpy.eye(size)
    strengths, directions = scipy.linalg.eigh(between, noise)
    count = min(people - 1, size, WIDTH)
    assert columns.shape == (size, WIDTH) and not columns[:, count:].any()
    agreement = directions[:, ::-1][:, :count].T @ noise @ columns[:, :count].numpy()
    numpy.testing.assert_allclose(numpy.abs(agreement), numpy.eye(count), atol=1e-6)
    assert (numpy.diff(strengths[::-1][:count]) < 0).all()


def test_what_is_taught_is_the_covariance_within_people():
    """Blocks of latents add up to what all at once give."""
    latents = striped(5, 300)  # more than one block
    encoder = ReferenceEncoder(CHANNELS, SIDE)
    teach_(encoder, latents, PLAIN)
    rows = moments(latents.latents).double()
    means = torch.stack([rows[latents.labels == label].mean(0) for label in range(5)])
    rest = rows - means[latents.labels]
    expected = discriminants(means, rest.T @ rest / len(rest))
    weight = encoder.project.weight.T.double()
    turned = weight * (weight * expected).sum(0).sign()  # a direction's sign is nobody's
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        encoder.project(moments(latents.latents)).mean(0), torch.zeros(WIDTH), atol=1e-4, rtol=0
    )


def test_one_person_cannot_be_told_apart(tmp_path):
    alone = write_tiny_latents(tmp_path / "latents", users=("ID_1",))
    with pytest.raises(ValueError, match="model.references=true: requires latents of two people or more"):
        stage2.run(stage2_settings(alone, tmp_path / "out", **SETTINGS))
    assert not (tmp_path / "out").exists()


def test_changed_images_are_refused(latents, tmp_path):
    """A walk would be shown itself, changed."""
    changed = shutil.copytree(latents, tmp_path / "latents")
    change_entry(changed, "train", "preprocessing", {"augment": {"to": 12}})
    with pytest.raises(ValueError, match="images as they are; make them without --augment_to"):
        stage2.run(stage2_settings(changed, tmp_path / "out", **SETTINGS))
    assert not (tmp_path / "out").exists()


def test_the_file_holds_the_encoder_and_everybodys_vector(trained):
    net, payload = load_trained(trained / "checkpoints" / "best.safetensors")
    vectors = net.y_embedder.vectors
    torch.testing.assert_close(vectors.norm(dim=1), torch.tensor([1.0, 1.0, 1.0, 0.0]))
    assert payload.model["references"] and vectors.shape == (4, WIDTH)


def test_interrupted_is_at_once(latents, trained, tmp_path):
    for steps in (3, 6):
        stage2.run(stage2_settings(latents, tmp_path / "parts", **SETTINGS, max_steps=steps))
    whole, parts = read_last(trained), read_last(tmp_path / "parts")
    for key in ("state_dict", "optimizer_states", "ema_updates", "global_step"):
        assert_same(whole[key], parts[key])


def test_fine_tuning_keeps_the_encoder_and_takes_the_new_people(latents, trained, tmp_path):
    weights = trained / "checkpoints" / "best.safetensors"
    others = write_tiny_latents(tmp_path / "others", users=("ID_5", "ID_6"))
    stage2.run(stage2_settings(others, tmp_path / "tuned", init_from=str(weights)))
    old, (net, payload) = load_trained(weights)[0], load_trained(tmp_path / "tuned/checkpoints/best.ckpt")
    assert payload.labels.names == ("ID_5", "ID_6") and net.config["references"]
    for name, value in old.y_embedder.encoder.state_dict().items():
        assert torch.equal(net.y_embedder.encoder.state_dict()[name], value)
    assert (net.y_embedder.vectors[:2].norm(dim=1) - 1).abs().max() < 1e-5
    assert not torch.equal(net.y_embedder.mlp[0].weight, old.y_embedder.mlp[0].weight)


def test_weights_with_rows_begin_a_network_of_references(latents, tmp_path):
    stage2.run(stage2_settings(latents, tmp_path / "rows"))
    weights = tmp_path / "rows" / "checkpoints" / "best.safetensors"
    changes = {**SETTINGS, "init_from": str(weights), "lr": 1e-9}
    stage2.run(stage2_settings(latents, tmp_path / "references", **changes))
    old, (net, _) = load_trained(weights)[0], load_trained(tmp_path / "references/checkpoints/best.ckpt")
    assert net.config["references"] and net.y_embedder.vectors[0].any()
    kept = {name: value for name, value in old.state_dict().items() if not name.startswith("y_embedder")}
    for name, value in kept.items():
        torch.testing.assert_close(net.state_dict()[name], value, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tune": "person"}, "--tune person: requires a row for each person"),
        ({"distil_guidance": 1.0}, "--distil_guidance: requires a row for each person"),
    ],
)
def test_what_needs_rows_is_refused(latents, trained, tmp_path, changes, said):
    weights = str(trained / "checkpoints" / "best.safetensors")
    with pytest.raises(ValueError, match=said):
        stage2.run(stage2_settings(latents, tmp_path / "out", init_from=weights, **changes))
    assert not Path(tmp_path / "out").exists()


def test_classes_of_no_latents_are_nobody():
    """Published latents name every class up to the largest."""
    known = striped(6, 8)
    gap = replace(known, labels=known.labels + 3, label_table=LabelTable(tuple(f"ID_{n}" for n in range(9))))
    encoders = [ReferenceEncoder(CHANNELS, SIDE) for _ in range(2)]
    for encoder, latents in zip(encoders, (known, gap)):
        teach_(encoder, latents, PLAIN)
    assert_same(encoders[1].state_dict(), encoders[0].state_dict())
    net = tiny_network(num_classes=9, references=True)
    net.y_embedder.vectors.zero_()
    know_people_(net, gap, PLAIN)
    assert net.y_embedder.vectors.any(dim=1).tolist() == [False] * 3 + [True] * 6 + [False]
