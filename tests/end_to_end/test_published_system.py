"""The published system at toy size: its files, demo grid, ImageNet's classes, flips, upstream's shards."""

import numpy
import pytest
import torch
from conftest import PROJECT, reference_weights_
from PIL import Image
from published_files import write_published
from safetensors.torch import load_file
from tables import rows_of
from toy_run import EXACT, TINY_MODEL, names, output_of, refusal_of

import stage0_prepare as stage0
import stage1_extract_features as stage1
import stage2_train_dit as stage2
import stage3_inference as stage3
from configs.load import load_preset, resolve
from data.images import open_rgb
from data.labels import LabelTable
from data.latent_stats import LatentStatistics
from data.latents import read_latents
from data.sheets import GAP, NAME_WIDTH
from models.lightningdit import LightningDiT, LightningDiT_models
from preparation.download import PUBLISHED
from sampling.imagenet import DEMO_CLASSES, label_indices
from sampling.model_file import load_trained
from tokenizer.vavae import VAVAE, preprocess

PRESET = PROJECT / "configs" / "imagenet256_xl_vavae.yaml"
CLASSES = LabelTable(tuple(map(str, range(1000))))


@pytest.fixture(scope="module")
def published(toy, tmp_path_factory):
    """Flags for a published checkpoint of toy size, with 1000 classes, and its statistics."""
    folder = tmp_path_factory.mktemp("published")
    channels, side, _ = VAVAE.from_file(toy.tokenizer).latent_shape
    net = LightningDiT(
        input_size=side, in_channels=channels, hidden_size=32, depth=1, num_heads=2, num_classes=1000
    )
    torch.save({"model": {}, "ema": reference_weights_(net).state_dict(), "opt": {}}, folder / "dit.pt")
    LatentStatistics(torch.zeros(1, channels, 1, 1), torch.ones(1, channels, 1, 1)).save(folder / "stats.pt")
    return [
        f"--dit_checkpoint {folder}/dit.pt --latents_stats {folder}/stats.pt",
        f"--vavae_path {toy.tokenizer} --num_steps 2",
        *EXACT,
    ]


def test_the_demo_grid_shows_the_eight_classes_in_two_rows(published, tmp_path):
    output_of(stage3.main, "--config", PRESET, *published, "--output_dir", tmp_path, "--demo_grid")
    rows = rows_of(tmp_path / "samples.csv")
    assert {row["label"] for row in rows} == set(DEMO_CLASSES) and len(rows) == 8
    assert {
        (row["guidance_scale"], row["guidance_interval"], row["timestep_shift"], row["guidance_channels"])
        for row in rows
    } == {("9.0", "[0.0, 1.0]", "0.0", "3")}
    grid = Image.open(tmp_path / "micro_doppler_grid.png")
    assert grid.size == (NAME_WIDTH + 4 * (256 + GAP), 2 * (256 + GAP) + GAP)
    for place, number in enumerate(DEMO_CLASSES):
        left, top = NAME_WIDTH + place % 4 * (256 + GAP), GAP + place // 4 * (256 + GAP)
        image = Image.open(next(tmp_path.glob(f"micro_doppler_class{int(number):03d}_*_001.png")))
        shown = numpy.asarray(grid.crop((left, top, left + 256, top + 256))).astype(int)
        assert numpy.abs(shown - numpy.asarray(image.resize((256, 256)))).mean() < 2
    assert Image.open(tmp_path / "demo_samples.png").tobytes() == grid.tobytes()
    assert {row["class"]: row["file"] for row in rows}["golden retriever"] == (
        "micro_doppler_class207_golden_retriever_001.png"
    )


def test_classes_by_number_and_by_name(published, tmp_path):
    output_of(
        stage3.main,
        "--config",
        PRESET,
        *published,
        "--output_dir",
        tmp_path,
        "--user_ids",
        "tiger shark",
        "207",
        "970-971",
    )
    classes = ("003_tiger_shark", "207_golden_retriever", "970_alp", "971_bubble")
    assert names(tmp_path, "*_001.png") == {f"micro_doppler_class{name}_001.png" for name in classes}
    assert label_indices(CLASSES, ["golden retriever", "valley", "207"]) == [207, 979]
    assert label_indices(CLASSES, ["Cardigan", "cardigan"]) == [264, 474]
    people = LabelTable(("ID_1", "valley"))
    assert label_indices(people, ["valley"]) == [1]
    assert "unknown user 'unicorn'" in refusal_of(
        stage3.main, "--config", PRESET, *published, f"--output_dir {tmp_path}/none --user_ids unicorn"
    )


def test_the_preset_is_what_was_published():
    sample = resolve(("sample",), load_preset(PRESET))["sample"]
    assert (sample.sampler, sample.num_steps, sample.guidance_scale, sample.guidance_channels) == (
        "euler",
        249,
        6.7,
        3,
    )
    assert (sample.guidance_interval, sample.timestep_shift) == ([0.125, 1.0], 0.3)
    model = resolve(("model",), load_preset(PRESET))["model"]
    shape = LightningDiT_models[model.preset].keywords
    assert (shape["depth"], shape["hidden_size"], shape["num_heads"]) == (28, 1152, 16)
    assert not model.use_qknorm


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Folders as ImageNet's, with .JPEG files."""
    folder, draw = tmp_path_factory.mktemp("imagenet"), numpy.random.default_rng(0)
    for wnid in ("n01440764", "n01443537"):
        (folder / "train" / wnid).mkdir(parents=True)
        for number in range(3):
            pixels = draw.integers(0, 255, (40, 64, 3), dtype=numpy.uint8)
            Image.fromarray(pixels).resize((400, 300)).save(folder / "train" / wnid / f"{wnid}_{number}.JPEG")
    return folder


def test_flips_and_upstream_s_shards(toy, photographs, tmp_path):
    def extract(out, *more):
        output_of(
            stage1.main,
            f"--data_dir {photographs} --vavae_path {toy.tokenizer} --output_path {out} --geometry crop",
            *EXACT,
            *more,
        )
        return read_latents(out, "train")

    mirrored = extract(tmp_path / "flips", "--time_flip", "--export", "lightningdit")
    vae = VAVAE.from_file(toy.tokenizer)
    path = photographs / "train" / mirrored.paths[0]
    image = preprocess(open_rgb(path), vae.image_size, "crop")[None]
    for images, latent in ((image, mirrored.latents[0]), (image.flip(-1), mirrored.latents_flip[0])):
        assert torch.allclose(vae.encode(images).mean[0], latent, atol=1e-5)
    plain = extract(tmp_path / "plain")
    assert plain.latents_flip is None and torch.equal(plain.latents, mirrored.latents)
    assert plain.metadata["preprocessing"] == {"geometry": "crop", "size": vae.image_size}
    shards = list((tmp_path / "flips/lightningdit").glob("latents_rank00_shard*.safetensors"))
    exported = load_file(shards[0])
    assert set(exported) == {"latents", "latents_flip", "labels"} and len(shards) == 1
    assert torch.equal(exported["latents_flip"], mirrored.latents_flip)
    for folder in ("flips", "flips/lightningdit"):
        models = tmp_path / folder / "models"
        output_of(
            stage2.main,
            f"--latent_dir {tmp_path}/{folder} --output_dir {models} max_steps=2",
            "--accelerator cpu --precision 32",
            *TINY_MODEL,
        )
        assert len(load_trained(models / "checkpoints/best.safetensors")[1].labels) == 2


@pytest.mark.slow
def test_files_of_true_size_go_through_every_command(tmp_path, monkeypatch):
    """The tokenizer at its own size and B/1: checked, extracted with, fine-tuned from, drawn with."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    weights = tmp_path / "weights"
    write_published(weights, "LightningDiT-B/1", foundation_values=1000)
    vae, dit = weights / PUBLISHED["vavae"].file, weights / PUBLISHED["lightningdit-xl-800ep"].file
    said = output_of(stage0.main, "doctor", "--weights_dir", weights, "--output_dir", tmp_path)
    assert said.count("loads, sha256") == 3
    images = tmp_path / "images/train/ID_1"
    images.mkdir(parents=True)
    for number in range(2):
        noise = numpy.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=numpy.uint8)
        Image.fromarray(noise).save(images / f"{number}.png")
    output_of(
        stage1.main,
        f"--data_dir {tmp_path}/images --vavae_path {vae} --output_path {tmp_path}/latents",
        f"--imagenet_stats {weights}/latents_stats.pt",
        *EXACT,
    )
    output_of(
        stage2.main,
        f"--latent_dir {tmp_path}/latents --output_dir {tmp_path}/models --init_from {dit}",
        "--tune difffit --batch_size 1 --max_steps 1 --accelerator cpu --precision 32",
    )
    draw = ("--vavae_path", vae, "--sampler", "euler", "--num_steps", "1", "--num_samples_per_user", "1")
    best = tmp_path / "models/checkpoints/best.safetensors"
    of_preset = f"sample.latents_stats={weights}/latents_stats.pt"
    said = output_of(
        stage3.main, "--dit_checkpoint", best, "--output_dir", tmp_path / "one", *draw, *EXACT, of_preset
    )
    assert f"note: --latents_stats: does nothing here, {best} carries its own" in said
    output_of(
        stage3.main,
        f"--config {PRESET} --dit_checkpoint {dit} --latents_stats {weights}/latents_stats.pt",
        f"--output_dir {tmp_path}/two --user_ids",
        "tiger shark",
        *draw,
        *EXACT,
    )
    assert names(tmp_path / "one", "*_001.png") == {"micro_doppler_user01_001.png"}
    assert names(tmp_path / "two", "*_001.png") == {"micro_doppler_class003_tiger_shark_001.png"}
