"""What setup finds below a faked mount, what it refuses and leaves out, and that the stages take its file."""

import shutil

import pytest
import torch
from conftest import reference_weights_
from PIL import Image
from toy_run import EXACT, names, output_of, refusal_of, run_as_script, save_tokenizer, snapshot

import stage0_prepare
import stage1_extract_features
import stage3_inference
from configs.load import load_preset
from data.latent_stats import LatentStatistics
from models.lightningdit import LightningDiT
from preparation import search as looking
from preparation.search import search
from preparation.setup import NAME
from tokenizer.vavae import VAVAE


def run_setup(mount, out, *more):
    """Exit status, what was said, and the sections of the configuration."""
    arguments = ("setup", "--folders", mount, "--output_dir", out, *more)
    status, said, errors = run_as_script(stage0_prepare.main, *arguments)
    assert not errors, errors
    return status, said, load_preset(out / NAME)


@pytest.fixture(scope="module", params=["old", "new"])
def mount(request, toy, tmp_path_factory):
    """/kaggle/input in both of its layouts: a data set of images, one of weights, and one of an earlier
    session, read-only.
    """
    root = tmp_path_factory.mktemp("kaggle") / "input"
    at = (
        (lambda kind, slug: root / slug)
        if request.param == "old"
        else (lambda kind, slug: root / kind / "an-owner" / slug)
    )
    shutil.copytree(toy.data, at("datasets", "walks") / "data_split")
    weights = at("datasets", "vavae-weights")
    weights.mkdir(parents=True)
    shutil.copy(toy.tokenizer, weights / "W.safetensors")
    save_tokenizer(weights / "another-vae.safetensors", seed=1)
    LatentStatistics(torch.zeros(1, 32, 1, 1), torch.ones(1, 32, 1, 1)).save(weights / "latents_stats.pt")
    (weights / "half-a-dit.pt").write_bytes(b"PK\3\4 broken off")
    session = at("notebooks", "session-1") / "out"
    shutil.copytree(toy.latents, session / "latent_features")
    shutil.copytree(toy.models, session / "trained_models")
    return root


def test_it_finds_checks_and_writes_what_the_stages_take(mount, toy, tmp_path):
    before = snapshot(mount)
    status, said, sections = run_setup(mount, tmp_path)
    best = next(mount.rglob("best.safetensors"))
    data, tokenizer = next(mount.rglob("data_split")), next(mount.rglob("W.safetensors"))
    assert sections == {
        "extract": {
            "data_dir": str(data),
            "vavae_path": str(tokenizer),
            "imagenet_stats": str(tokenizer.parent / "latents_stats.pt"),
        },
        "pipeline": {
            "data_dir": str(data),
            "vavae_path": str(tokenizer),
            "imagenet_stats": str(tokenizer.parent / "latents_stats.pt"),
        },
        "evaluate": {"real": str(data)},
        "sample": {"dit_checkpoint": str(best), "vavae_path": str(tokenizer)},
    }  # by digest, not by name
    assert status == 1 and "half-a-dit.pt" in said and "not used" in said
    assert said.count("an earlier") == 0 and "best.ckpt" not in said
    assert f"images      {data / 'train'}: 3 people, 18 images or more" in said
    config, drawn = tmp_path / NAME, tmp_path / "drawn"
    output_of(
        stage3_inference.main,
        f"--config {config} --output_dir {drawn} --num_samples_per_user 1 --num_steps 2",
        *EXACT,
    )
    assert len(names(drawn, "*user*.png")) == 3
    said = output_of(
        stage1_extract_features.main, "--config", config, "--output_path", tmp_path / "l", *EXACT
    )
    assert "wrote 24 latents" in said and snapshot(mount) == before


def test_again_is_the_same_and_another_content_is_not_overwritten(mount, tmp_path):
    first = run_setup(mount, tmp_path)
    before = snapshot(tmp_path)
    assert run_setup(mount, tmp_path) == first and snapshot(tmp_path) == before
    (tmp_path / NAME).write_text("sample: {}\n")
    text = refusal_of(
        stage0_prepare.main, "setup", "--folders", mount, "--output_dir", tmp_path, unchanged=tmp_path
    )
    assert f"{tmp_path / NAME}: is there with other content" in text


def test_a_published_model_comes_with_its_settings_and_statistics(toy, tmp_path):
    weights, (channels, side, _) = tmp_path / "weights", VAVAE.from_file(toy.tokenizer).latent_shape
    weights.mkdir()
    shutil.copy(toy.tokenizer, weights / "vavae.safetensors")
    net = LightningDiT(
        input_size=side, in_channels=channels, hidden_size=32, depth=1, num_heads=2, num_classes=1000
    )
    torch.save({"ema": reference_weights_(net).state_dict()}, weights / "lightningdit-xl.pt")
    status, said, sections = run_setup(weights, tmp_path)
    assert status == 1 and "download latents-stats" in said and "dit_checkpoint" not in sections["sample"]
    LatentStatistics(torch.zeros(1, channels, 1, 1), torch.ones(1, channels, 1, 1)).save(
        weights / "latents_stats.pt"
    )
    (tmp_path / NAME).unlink()
    status, said, sections = run_setup(weights, tmp_path)
    assert status == 0 and "a folder of each person's" in said
    assert sections["sample"]["guidance_scale"] == 6.7 and sections["sample"]["sampler"] == "euler"
    output_of(
        stage3_inference.main,
        f"--config {tmp_path}/{NAME} --output_dir {tmp_path}/drawn --num_steps 2 --user_ids 207",
        *EXACT,
    )
    assert names(tmp_path / "drawn", "*class207*")


def test_what_is_missing_is_said_with_the_way_out(toy, tmp_path):
    (tmp_path / "empty").mkdir()
    flags = ("setup", "--output_dir", tmp_path, "--folders")
    text = refusal_of(stage0_prepare.main, *flags, tmp_path / "empty", unchanged=tmp_path)
    assert "neither weights nor people's images" in text and "download vavae" in text
    absent = tmp_path / "absent"
    assert "no such folder" in refusal_of(stage0_prepare.main, *flags, absent, unchanged=tmp_path)
    status, said, sections = run_setup(toy.images, tmp_path)
    assert status == 1 and sections == {"split": {"input_dir": str(toy.images)}}
    assert f"split --input_dir {toy.images}" in said and "--dit_checkpoint demo" in said
    other = save_tokenizer(tmp_path / "t" / "other.safetensors", seed=1)
    shutil.copy(toy.lively, other.parent / "model.safetensors")
    (tmp_path / NAME).unlink()
    status, said, sections = run_setup(other.parent, tmp_path)
    assert status == 1 and "that the model was trained with" in said
    assert sections["sample"] == {"dit_checkpoint": str(other.parent / "model.safetensors")}


def test_a_large_mount_is_not_walked_whole(tmp_path, monkeypatch):
    people = tmp_path / "imagenet" / "train"
    for person in range(6):
        (people / f"n{person}").mkdir(parents=True)
        for number in range(60):
            (people / f"n{person}" / f"{number}.jpg").touch()
    Image.new("RGB", (8, 8)).save(people / "n0" / "0.jpg")
    listing = search([tmp_path], max_depth=8, max_entries=10**6)
    assert listing.entries == 1 + 1 + 6 + 6 * looking.ENOUGH_IMAGES and not listing.left_out
    assert listing.people[people].number == 6 and listing.splits == [people.parent]
    listing = search([tmp_path], max_depth=8, max_entries=100)
    assert listing.people[people].number == 2 and "4 folders, the first " in listing.left_out[0]
    listing = search([tmp_path], max_depth=1, max_entries=100)
    assert not listing.people and listing.left_out == [f"{people.parent}: what lies deeper than 1 folders"]
    monkeypatch.setattr(looking, "ENTRIES_OF_A_FOLDER", 3)
    assert search([tmp_path], 8, 100).left_out[0] == f"{people}: what comes after 3 names"
