"""Stage 1 fills folders of few training images with their walks at other speeds and aspects."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from process_pairs import run_as_pair
from safetensors import safe_open
from toy_run import EXACT, copy_of, output_of, refusal_of, snapshot, words

import stage1_extract_features as stage1
from data.folders import FileRecord
from data.images import open_rgb
from data.latents import read_latents, read_metadata
from data.physical_augmentation import another_walk
from runtime.seeds import generator
from stages.source_images import filled
from tokenizer.vavae import VAVAE, preprocess


def extract(toy, out, *more, data=None, end=output_of):
    paths = ("--data_dir", data or toy.data, "--output_path", out, "--vavae_path", toy.tokenizer)
    return end(stage1.main, *paths, *EXACT, *more)


@pytest.fixture(scope="module")
def made(toy, tmp_path_factory):
    out = tmp_path_factory.mktemp("augmented") / "latents"
    said = extract(toy, out, "--augment_to", "8")
    return out, said


def test_each_folder_has_as_many_latents_and_only_in_train(toy, made):
    out, said = made
    plain, augmented = read_latents(toy.latents, "train"), read_latents(out, "train")
    assert Counter(augmented.labels.tolist()) == {0: 8, 1: 8, 2: 8}
    count = len(plain.labels)
    torch.testing.assert_close(augmented.latents[:count], plain.latents)
    assert torch.equal(augmented.labels[:count], plain.labels)
    assert torch.equal(read_latents(out, "val").latents, read_latents(toy.latents, "val").latents)
    assert read_metadata(out, "train")["preprocessing"]["augment"]["to"] == 8
    assert "augment" not in read_metadata(out, "val")["preprocessing"]
    written = 24 + len(read_latents(out, "val").labels)
    assert f"wrote {written} latents, 6 of them of changed images, to" in said


def test_a_further_latent_is_that_of_a_changed_image(toy, made):
    out, _ = made
    with safe_open(out / "train.safetensors", framework="pt") as file:
        name = json.loads(file.metadata()["paths"])[-1]
    path, change = name.split("#")
    axes = read_metadata(out, "train")["axes"]
    vae = VAVAE.from_file(toy.tokenizer)
    image = preprocess(open_rgb(toy.data / "train" / path), vae.image_size, "stretch")
    shown = another_walk(image, (axes["lowest_mps"], axes["highest_mps"]), generator("walk", name))
    assert change == "1" and (shown.int() - image.int()).abs().float().mean() > 2
    expected = vae.encode(shown[None]).mean[0]
    torch.testing.assert_close(read_latents(out, "train").latents[-1], expected, atol=1e-4, rtol=1e-4)


def test_folders_of_enough_images_stay_as_they_are(toy, made, tmp_path):
    out = copy_of(toy.latents, tmp_path / "latents")
    before = snapshot(out)
    said = extract(toy, out, "--augment_to", "6")
    assert "note: --augment_to 6: every folder has as many images, so that none is changed" in said
    assert "wrote 0 latents" in said and snapshot(out) == before
    records = [FileRecord(Path(name), name, name[0]) for name in ("a1", "b1", "a2", "a3")]
    assert [sample.name for sample in filled(records, 5)] == [
        *("a1", "b1", "a2", "a3"),
        *("a1#1", "a2#1", "b1#1", "b1#2", "b1#3", "b1#4"),
    ]


def test_they_are_made_anew_when_the_number_or_the_edges_change(toy, made, tmp_path):
    out = copy_of(made[0], tmp_path / "latents")
    before = snapshot(out)
    assert "wrote 0 latents" in extract(toy, out, "--augment_to", "8") and snapshot(out) == before
    assert "wrote 18 latents to" in extract(toy, out)
    assert "augment" not in read_metadata(out, "train")["preprocessing"]
    data = copy_of(toy.data, tmp_path / "data")
    axes = data / "axes.csv"
    axes.write_text(axes.read_text().replace("5.175", "6.175"))
    assert "wrote 0 latents" in extract(toy, out, data=data)
    assert "wrote 24 latents" in extract(toy, out, "--augment_to", "8", data=data)
    axes.write_text(axes.read_text().replace("6.175", "5.175"))
    assert "wrote 24 latents" in extract(toy, out, "--augment_to", "8", data=data)


def test_processes_share_the_changed_images(toy, made, tmp_path):
    flags = (*words(toy.extraction), "--output_path", tmp_path / "two", "--augment_to", "8", "--devices", "2")
    status, _, errors = run_as_pair(stage1.main, *flags)
    assert status == 0, errors
    expected, shared = read_latents(made[0], "train"), read_latents(tmp_path / "two", "train")
    assert torch.equal(shared.latents, expected.latents) and torch.equal(shared.labels, expected.labels)


def test_velocities_must_be_known(toy, tmp_path):
    data = copy_of(toy.data, tmp_path / "data")
    (data / "axes.csv").unlink()
    refused = extract(toy, tmp_path / "out", "--augment_to", "8", data=data, end=refusal_of)
    assert "--augment_to: requires the velocities at the images' edges" in refused
    assert not (tmp_path / "out").exists()
