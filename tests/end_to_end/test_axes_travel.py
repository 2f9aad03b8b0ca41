"""Axes go from stage 0 to stage 4 without being typed again; whoever says others is refused."""

import json
import shutil

import pytest
from PIL import Image
from tables import rows_of
from toy_run import DRAWING, EXACT, digest_of, output_of, refusal_of

import stage0_prepare
import stage1_extract_features
import stage2_train_dit
import stage3_inference
import stage4_evaluate
from data.axes import Axes, read_axes
from data.latent_files import change_entry
from data.latents import read_latents, read_metadata
from sampling.model_file import load_trained

SHOWN = Axes(-1.225, 5.175, 2.108, 32.0, "jet")  # of the walkers that stage 0 simulates


def same(values):
    axes = Axes.of(values, "a test")
    assert axes.edges() == pytest.approx(SHOWN.edges(), abs=1e-3)
    return (axes.range_db, axes.colour_map) == (SHOWN.range_db, SHOWN.colour_map)


def extract(toy, out, *more, data=None):
    paths = ("--data_dir", data or toy.data, "--vavae_path", toy.tokenizer, "--output_path", out)
    return stage1_extract_features.main, *paths, *EXACT, *more


def draw(toy, out, *more):
    paths = (*toy.networks, "--output_dir", out)
    return stage3_inference.main, *paths, "--user_ids", 1, *DRAWING, *EXACT, *more


def judge(data, images, out, *more):
    paths = ("--real", data, "--generated", images, "--output_dir", out, "--dry_run")
    return stage4_evaluate.main, *paths, *more


@pytest.fixture(scope="module")
def images(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("axes") / "images"
    output_of(*draw(toy, folder))
    return folder


@pytest.fixture
def data(toy, tmp_path):
    """The toy's split, without axes.csv."""
    return shutil.copytree(toy.data, tmp_path / "data", ignore=shutil.ignore_patterns("axes.csv"))


def test_every_stage_carries_the_axes_on(toy, images):
    assert len(read_axes(toy.images)) == len(read_axes(toy.data)) == 24
    for split in ("train", "val"):
        assert same(read_metadata(toy.latents, split)["axes"])
    for path in (toy.checkpoint, toy.models / "checkpoints/best.safetensors"):
        assert same(load_trained(path)[1].axes.known())
    rows = rows_of(images / "samples.csv")
    assert len(rows) == 2 and all(map(same, rows))
    assert same(json.loads(Image.open(images / rows[0]["file"]).info["micro_doppler"]))


def test_stage_4_reads_them_from_either_side(toy, data, images, tmp_path):
    for real in (toy.data, data):  # axes.csv, or only what the images say
        said = output_of(*judge(real, images, tmp_path / "out"))
        assert "axes:\n  - -1.225\n  - 5.175" in said
    said = refusal_of(*judge(toy.data, images, tmp_path / "out", "--axes", -1, 5, 2))
    assert "--axes: -1 to 5 m/s in 2 s, but" in said and "leave --axes out" in said


def test_foreign_images_are_told_once(toy, data, tmp_path):
    latents, flags = tmp_path / "latents", ("--axes", 0, 4, 3, 40)
    assert "axes of the images: not known" in output_of(*extract(toy, tmp_path / "none", data=data))
    assert "axes" not in read_metadata(tmp_path / "none", "train")
    output_of(*extract(toy, latents, *flags, data=data))
    known = {"lowest_mps": 0, "highest_mps": 4, "duration_s": 3, "range_db": 40, "colour_map": "jet"}
    assert read_metadata(latents, "train")["axes"] == read_metadata(latents, "val")["axes"] == known
    output_of(*extract(toy, latents, data=data))  # again, without the flag
    assert read_metadata(latents, "train")["axes"] == known


def test_latents_that_are_there_get_the_axes_and_keep_every_value(toy, tmp_path):
    latents = shutil.copytree(toy.latents, tmp_path / "latents")
    before = {split: digest_of(latents / f"{split}.safetensors") for split in ("train", "val")}
    for split in before:
        change_entry(latents, split, "axes", None)
        assert digest_of(latents / f"{split}.safetensors") != before[split]
        assert (read_latents(latents, split).latents == read_latents(toy.latents, split).latents).all()
    said = output_of(*extract(toy, latents))
    assert "wrote 0 latents" in said and said.count("the axes are in its latents now") == 2
    assert {split: digest_of(latents / f"{split}.safetensors") for split in before} == before


def test_latents_and_models_without_axes_serve_as_before(toy, tmp_path):
    latents, out = shutil.copytree(toy.latents, tmp_path / "latents"), tmp_path / "models"
    for split in ("train", "val"):
        change_entry(latents, split, "axes", None)
    settings = json.loads((toy.models / "run.json").read_text())
    shutil.copytree(toy.models, out)
    given = ("--max_epochs", 100, "--lr", 1e-4, "--precision", 32, "accelerator=cpu", "max_steps=3")
    model = ("model.depth=1", "model.hidden_size=32", "model.num_heads=2")
    arguments = ("--latent_dir", latents, "--output_dir", out, "--batch_size", 32, *given, *model)
    assert "already holds 3 of 3 steps" in output_of(stage2_train_dit.main, *arguments)
    shutil.rmtree(out)
    output_of(stage2_train_dit.main, *arguments)
    assert json.loads((out / "run.json").read_text()) == settings
    assert load_trained(out / "checkpoints/best.ckpt")[1].axes is None


def test_images_of_different_axes_are_told_by_the_split_and_refused_by_stage_1(toy, tmp_path):
    raw, data = shutil.copytree(toy.images, tmp_path / "raw"), tmp_path / "split"
    rows = (raw / "axes.csv").read_text().splitlines()
    rows[3] = rows[3].replace("5.175", "6.175")
    (raw / "axes.csv").write_text("\n".join(rows) + "\n")
    said = output_of(stage0_prepare.main, "split", "--input_dir", raw, "--output_dir", data)
    assert "expected one kind of axes" in said and "stage 1 refuses them" in said
    said = refusal_of(*extract(toy, tmp_path / "latents", data=data))
    assert "shows -1.23 to 6.17 m/s" in said or "-1.23 to 5.17 m/s" in said
    assert not (tmp_path / "latents").exists()


def test_a_training_of_two_kinds_is_refused(toy, tmp_path):
    latents = shutil.copytree(toy.latents, tmp_path / "latents")
    change_entry(latents, "val", "axes", {"lowest_mps": -4, "highest_mps": 4, "duration_s": 2})
    given = (stage2_train_dit.main, "--latent_dir", latents, "--output_dir", tmp_path / "models")
    said = refusal_of(*given)
    assert f"{latents}: val: -4 to 4 m/s in 2 s, but {latents}: train: -1.23 to 5.17 m/s" in said
    assert not (tmp_path / "models").exists()


def test_a_model_is_not_told_other_axes_than_its_own(toy, tmp_path):
    said = refusal_of(*draw(toy, tmp_path / "images", "--axes", -4, 4, 2))
    assert f"--axes: -4 to 4 m/s in 2 s, but {toy.lively}: -1.23 to 5.17 m/s" in said
    assert "leave --axes out" in said
