"""Stage 1 fills folders of few training images with these as the radar may see such walks."""

import json
from collections import Counter

import pytest
import torch
from safetensors import safe_open
from toy_run import EXACT, copy_of, output_of, refusal_of, snapshot

import stage1_extract_features as stage1
from data.images import open_rgb
from data.latents import read_latents, read_metadata
from data.physical_augmentation import Physical
from runtime.seeds import generator
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
    plain, found = read_latents(toy.latents, "train"), read_latents(out, "train")
    assert Counter(found.labels.tolist()) == {0: 8, 1: 8, 2: 8}
    count = len(plain.labels)
    torch.testing.assert_close(found.latents[:count], plain.latents)
    assert torch.equal(found.labels[:count], plain.labels)
    assert torch.equal(read_latents(out, "val").latents, read_latents(toy.latents, "val").latents)
    assert read_metadata(out, "train")["preprocessing"]["augment_to"] == 8
    assert "augment_to" not in read_metadata(out, "val")["preprocessing"]
    assert f"wrote {24 + len(read_latents(out, 'val').labels)} latents" in said


def test_a_further_latent_is_that_of_the_changed_image(toy, made):
    out, _ = made
    with safe_open(out / "train.safetensors", framework="pt") as file:
        name = json.loads(file.metadata()["paths"])[-1]
    path, change = name.split("#")
    axes = read_metadata(out, "train")["axes"]
    physical = Physical((axes["lowest_mps"], axes["highest_mps"]), "jet", axes["range_db"])
    vae = VAVAE.from_file(toy.tokenizer)
    image = preprocess(open_rgb(toy.data / "train" / path), vae.image_size, "stretch")
    changed = physical.image(image, generator("augment", name))
    expected = vae.encode(changed[None]).mean[0]
    assert change == "1" and (changed.int() - image.int()).abs().float().mean() > 2
    torch.testing.assert_close(read_latents(out, "train").latents[-1], expected, atol=1e-4, rtol=1e-4)


def test_they_are_made_anew_when_the_number_or_the_axes_change(toy, made, tmp_path):
    out = copy_of(made[0], tmp_path / "latents")
    before = snapshot(out)
    assert "wrote 0 latents" in extract(toy, out, "--augment_to", "8") and snapshot(out) == before
    assert "wrote 18 latents" in extract(toy, out)
    assert "augment_to" not in read_metadata(out, "train")["preprocessing"]
    data = copy_of(toy.data, tmp_path / "data")
    axes = data / "axes.csv"
    axes.write_text(axes.read_text().replace("5.175", "6.175"))
    assert "wrote 0 latents" in extract(toy, out, data=data)
    assert "wrote 24 latents" in extract(toy, out, "--augment_to", "8", data=data)
    axes.write_text(axes.read_text().replace("6.175", "5.175"))
    assert "wrote 24 latents" in extract(toy, out, "--augment_to", "8", data=data)


def test_velocities_must_be_known(toy, tmp_path):
    data = copy_of(toy.data, tmp_path / "data")
    (data / "axes.csv").unlink()
    refused = extract(toy, tmp_path / "out", "--augment_to", "8", data=data, end=refusal_of)
    assert "--augment_to: requires images of known velocities" in refused
    assert not (tmp_path / "out").exists()
