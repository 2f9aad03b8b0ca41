"""People whom nobody trained on, drawn by stage 3 from a folder of their images."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from conftest import reference_weights_
from PIL import Image, ImageOps
from tables import rows_of
from toy_run import EXACT, names, output_of, refusal_of

import stage3_inference as stage3
import stage4_evaluate as stage4
from configs.errors import UserError
from data.images import open_rgb
from models.lightningdit import LightningDiT
from models.references import mean_vector
from sampling import load
from sampling.model_file import load_trained, write_slim
from sampling.networks import load_networks
from sampling.references import with_people_of
from tokenizer.vavae import VAVAE, preprocess

DRAWING = ("--num_samples_per_user", "2", "--num_steps", "2", *EXACT)


@pytest.fixture(scope="module")
def model(toy, tmp_path_factory):
    """The toy's lively network, which knows people by images, as drawn at random."""
    path = tmp_path_factory.mktemp("references") / "model.safetensors"
    _, payload = load_trained(toy.lively)
    arguments = {**payload.model, "references": True}
    net = reference_weights_(LightningDiT(**arguments))
    net.y_embedder.encoder.variance.fill_(1e9)  # people as far apart share nothing
    write_slim(path, net.state_dict(), replace(payload, model=arguments))
    return path


@pytest.fixture(scope="module")
def new(toy, tmp_path_factory):
    """Images of two people, of other names than the trained ones."""
    folder = tmp_path_factory.mktemp("new")
    for source, name in (("ID_10", "ID_31"), ("ID_1", "Ann")):
        (folder / name).mkdir()
        for path in sorted((toy.data / "train" / source).iterdir())[:3]:
            (folder / name / path.name).write_bytes(path.read_bytes())
    return folder


def test_new_people_are_the_mean_of_their_images(toy, model, new):
    networks = load_networks(str(model), str(toy.tokenizer), None, torch.device("cpu"), "32")
    extended = with_people_of(str(new), networks, "refuse")
    assert extended.payload.labels.names == ("Ann", "ID_31") and extended.net.null_class == 2
    vae, statistics = VAVAE.from_file(toy.tokenizer), networks.payload.statistics
    for label, name in enumerate(("Ann", "ID_31")):
        images = torch.stack([preprocess(open_rgb(path)) for path in sorted((new / name).iterdir())])
        latents = statistics.normalise(vae.encode(images).mean)
        expected = mean_vector(networks.net.y_embedder.encoder(latents))
        torch.testing.assert_close(extended.net.y_embedder.vectors[label], expected)
    assert not extended.net.y_embedder.vectors[2].any()
    assert torch.equal(extended.net.blocks[0].attn.qkv.weight, networks.net.blocks[0].attn.qkv.weight)


def test_what_shown_people_share_is_taken_off_and_told(toy, model, new):
    networks = load_networks(str(model), str(toy.tokenizer), None, torch.device("cpu"), "32")
    encoder, said = networks.net.y_embedder.encoder, []
    encoder.variance.zero_()
    encoder.project.weight.mul_(100)  # beside which images of a person scatter little
    extended = with_people_of(str(new), networks, "refuse", said.append)
    images = [open_rgb(path) for name in ("Ann", "ID_31") for path in sorted((new / name).iterdir())]
    latents = VAVAE.from_file(toy.tokenizer).encode(torch.stack([*map(preprocess, images)])).mean
    expected, share = encoder.vectors_of(networks.payload.statistics.normalise(latents), torch.arange(6) // 3)
    assert 0 < share <= 1
    assert said[1] == f"references: {share:.0%} of what these 2 people share is taken off as their radar's"
    torch.testing.assert_close(extended.net.y_embedder.vectors[:2], expected, atol=1e-4, rtol=1e-4)
    encoder.variance.fill_(1e9)
    with_people_of(str(new), networks, "refuse", said.append)
    assert len(said) == 3


def test_stage_3_draws_them_and_a_folder_is_of_these_references(toy, model, new, tmp_path):
    flags = ("--dit_checkpoint", model, "--vavae_path", toy.tokenizer, *DRAWING)
    out = tmp_path / "drawn"
    said = output_of(stage3.main, *flags, "--references", new, "--output_dir", out)
    assert "references: read 6 images, left out 0" in said
    drawn = {f"micro_doppler_{person}_{k:03d}.png" for person in ("Ann", "user31") for k in (1, 2)}
    assert drawn < names(out) and {row["user"] for row in rows_of(out / "samples.csv")} == {"Ann", "ID_31"}
    first, other = (
        Image.open(out / f"micro_doppler_{person}_001.png").tobytes() for person in ("Ann", "user31")
    )
    assert first != other
    loaded = load(model, toy.tokenizer, references=new, device="cpu", precision="32")
    assert loaded.draw("all", 2, steps=2)[0].tobytes() == first
    output_of(stage3.main, *flags, "--references", new, "--output_dir", out)  # all there
    next((new / "Ann").iterdir()).rename(new / "ID_31" / "moved.png")
    refused = refusal_of(stage3.main, *flags, "--references", new, "--output_dir", out, unchanged=out)
    assert "made with other settings: dit_checkpoint was" in refused


def test_a_study_shows_each_folds_images_to_the_model(toy, model, tmp_path):
    flags = f"--real {toy.data} --vavae_path {toy.tokenizer} --output_dir {tmp_path}/out --dit_checkpoint"
    design = "--design new-person --images_per_person 2 --folds 1 --num_generated 2 --arms generated"
    brief = "--seeds 2 --classifier_steps 5 sample.num_steps=2"
    refused = refusal_of(stage4.main, "study", flags, toy.lively, design, brief)
    assert "the model has a row for each person" in refused and not (tmp_path / "out").exists()
    said = output_of(stage4.main, "study", flags, model, design, brief)
    assert "show 1 fold to" in said
    (fold,) = (tmp_path / "out").glob("fold_*")
    drawn = fold / "generator_0" / "generated_images"
    new = fold.name.removeprefix("fold_")
    assert [row["user"] for row in rows_of(drawn / "samples.csv")] == [new, new]
    shown = {folder.name: len(names(folder)) for folder in (fold / "images" / "train").iterdir()}
    assert shown == dict.fromkeys(("ID_1", "ID_2", "ID_10"), 2)
    assert not (fold / "latent_features").exists() and not list(fold.glob("*/trained_models"))
    assert json.loads((tmp_path / "out" / "study.json").read_text())["gap_closed"]


def other_axes(new):
    rows = [f"{path.relative_to(new)},0,2,-3,3,32,26" for path in sorted(new.glob("*/*"))]
    head = "path,start_s,end_s,lowest_mps,highest_mps,range_db,frames_per_s"
    (new / "axes.csv").write_text("\n".join([head, *rows]) + "\n")


def grey(new):
    for path in new.glob("*/*.png"):
        Image.open(path).convert("L").save(path)


def framed(new):
    for path in new.glob("*/*.png"):
        ImageOps.expand(Image.open(path), 40, "white").save(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (framed, "6 of 6 images looked at, like Ann/"),
        (other_axes, "new: -3 to 3 m/s in 2 s, 32 dB, but the model: -1.23"),
        (grey, "gray colour map, expected jet, which the model"),
    ],
)
def test_images_of_another_kind_are_refused(toy, model, new, tmp_path, change, said):
    shutil.copytree(new, tmp_path / "new")
    change(tmp_path / "new")
    flags = ("--references", tmp_path / "new", "--output_dir", tmp_path / "out", *DRAWING)
    refused = refusal_of(stage3.main, "--dit_checkpoint", model, "--vavae_path", toy.tokenizer, *flags)
    assert said in refused and not (tmp_path / "out").exists()


def test_figures_are_taken_as_they_are_where_asked_for(toy, model, new, tmp_path):
    shutil.copytree(new, tmp_path / "new")
    framed(tmp_path / "new")
    flags = ("--references", tmp_path / "new", "--output_dir", tmp_path / "out", "--margins keep", *DRAWING)
    output_of(stage3.main, "--dit_checkpoint", model, "--vavae_path", toy.tokenizer, *flags, "--dry_run")
    with pytest.raises(UserError, match="--margins keep"):
        load(model, toy.tokenizer, references=tmp_path / "new")
    assert load(model, toy.tokenizer, references=tmp_path / "new", margins="keep").people == ("Ann", "ID_31")


def test_a_model_with_rows_takes_no_references(toy, new, tmp_path):
    flags = ("--output_dir", tmp_path / "out", "--references", new, *DRAWING)
    refused = refusal_of(stage3.main, *toy.networks, *flags)
    assert "the model has a row for each person" in refused and not (tmp_path / "out").exists()


def test_the_bundled_model_draws_whom_it_is_shown(new):
    """Each other person otherwise, and alike from other images of the same one: vectors are of people."""
    model = load("references", "compact", references=new, device="cpu", precision="32")
    assert model.people == ("Ann", "ID_31") and model.axes.highest_mps == 5.175
    first, other = model.draw("all", 1, steps=4).astype(int)
    assert abs(first - other).mean() > 5
