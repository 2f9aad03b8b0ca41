"""Stage 3 on toy data: the right person, the same image whatever the batch, nothing drawn twice or mixed."""

import json
import subprocess
import sys
from dataclasses import fields

import numpy
import pytest
import torch
from conftest import PROJECT
from PIL import Image
from tables import rows_of
from toy_run import DRAWING, EXACT, PEOPLE, changed, digests, names, output_of, refusal_of, snapshot, words

import stage3_inference as stage3
from configs.schema import SOLVERS, SampleConfig
from data.sheets import GAP, NAME_WIDTH
from runtime.seeds import noise_for
from sampling.latent_sampler import LatentSampler
from sampling.model_file import load_trained
from tokenizer.vavae import VAVAE, as_rows


def draw(toy, out, *more, checkpoint=None, users=("1", "2", "10")):
    networks = f"--dit_checkpoint {checkpoint or toy.lively} --vavae_path {toy.tokenizer} --output_dir {out}"
    return output_of(stage3.main, networks, "--user_ids", *users, *DRAWING, *EXACT, *more)


@pytest.fixture(scope="module")
def drawn(toy, tmp_path_factory):
    """Two images of each person by the lively network."""
    out = tmp_path_factory.mktemp("drawn") / "generated_images"
    draw(toy, out)
    return out


def pixels(path):
    return numpy.asarray(Image.open(path)).astype(int)


BESIDE = ("micro_doppler_grid.png", "samples.csv", "metadata.csv")
IMAGES = {f"micro_doppler_user{user}_{k:03d}.png" for user in ("01", "02", "10") for k in (1, 2)}


def test_stage_3_takes_best_ckpt_and_writes_the_files_of_the_design(toy, tmp_path):
    draw(toy, tmp_path / "images", checkpoint=toy.checkpoint)
    assert names(tmp_path / "images") == IMAGES | {*BESIDE, "run.json"}
    draw(toy, tmp_path / "slim", checkpoint=toy.models / "checkpoints/best.safetensors")
    for name in IMAGES:
        assert (pixels(tmp_path / "images" / name) == pixels(tmp_path / "slim" / name)).all()


def test_every_setting_is_in_the_table_and_in_each_image(toy, drawn):
    rows = {row["file"]: row for row in rows_of(drawn / "samples.csv")}
    assert set(rows) == IMAGES
    settings = {item.name for item in fields(SampleConfig)}
    settings -= {"dry_run", "user_ids", "output_dir", "batch_size", "devices", "axes", "arrays", "npz"}
    settings -= {"few_steps"}  # num_steps, of a model that it acts on
    settings -= {"margins"}  # which images are refused, not what is drawn from those that are not
    net, payload = load_trained(toy.lively)
    for name, row in rows.items():
        inside = json.loads(Image.open(drawn / name).info["micro_doppler"])
        assert {key: str(value) for key, value in inside.items() if value is not None} == {
            key: value for key, value in row.items() if value != ""
        }
        assert settings <= set(inside) and settings - {"num_samples_per_user"} <= set(row)
        assert (inside["guidance_scale"], inside["num_steps"], inside["sampler"]) == (4.0, 2, "abm3")
        assert inside["tokenizer"] == payload.tokenizer_digest and len(inside["dit"]) == 64
        number = int(name.split("user")[1][:2])
        assert (inside["user"], inside["user_number"]) == (f"ID_{number}", number)
        assert inside["label"] == PEOPLE.index(f"ID_{number}") and inside["sample"] == int(name[-7:-4])
        # one step before the guidance interval, one inside it with both branches
        assert inside["network_evaluations"] == 1 + 2


def test_the_grid_has_a_row_for_each_person(drawn):
    picture = Image.open(drawn / "micro_doppler_grid.png")
    assert picture.size == (NAME_WIDTH + 2 * (256 + GAP), 3 * (256 + GAP) + GAP)
    tile = numpy.asarray(picture)[GAP + 2 * (256 + GAP) :][:256, NAME_WIDTH : NAME_WIDTH + 256]
    assert (tile == pixels(drawn / "micro_doppler_user10_001.png")).all()


def test_person_10_is_folder_ID_10_down_to_the_pixels(toy, drawn):
    """What the file says of ID_10 is what the network draws for its label, 2, and for no other."""
    net, payload = load_trained(toy.lively)
    vae, device = VAVAE.from_file(toy.tokenizer), torch.device("cpu")
    config = SampleConfig(str(toy.lively), str(toy.tokenizer), guidance_scale=4.0, num_steps=2)
    noise = noise_for(vae.latent_shape, 0, "sample", "ID_10", 2)[None]
    sampler = LatentSampler(net, payload, config, device, "32")
    image = pixels(drawn / "micro_doppler_user10_002.png")
    away = [
        numpy.abs(as_rows(vae.decode(sampler(noise, torch.tensor([label]))))[0] - image).max()
        for label in range(3)
    ]
    assert away[2] <= 1 and min(away[0], away[1]) > 10


WITHOUT = """
import sys
import pytorch_lightning  # it takes torchvision where it is installed
sys.path.insert(0, {project!r})
for name in ("torchdiffeq", "torchvision", "torchvision.models", "timm", "h5py", "torch_fidelity"):
    sys.modules[name] = None  # importing it fails
import stages.evaluate, stages.extract_features, stages.train_dit, stages.train_tokenizer
import training.dit_run, training.tokenizer_run
from stage3_inference import main
for sampler in {samplers!r}:
    main([*{given!r}, "--output_dir", {out!r} + "/" + sampler, "--sampler", sampler])
"""


def test_every_sampler_but_dopri5_draws_without_torchdiffeq(toy, tmp_path, monkeypatch):
    given = words([*toy.networks, "--user_ids 1", *DRAWING, *EXACT])
    fixed = [name for name in SOLVERS if name != "dopri5"]
    code = WITHOUT.format(project=str(PROJECT), samplers=fixed, given=given, out=str(tmp_path))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert names(tmp_path, "*_001.png") == {f"{name}/micro_doppler_user01_001.png" for name in fixed}
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    text = refusal_of(
        stage3.main, *given, "--output_dir", tmp_path / "none", "--sampler", "dopri5", unchanged=tmp_path
    )
    assert "dopri5" in text and "pip install torchdiffeq" in text


def test_stage_3_again_draws_nothing(toy, drawn):
    before = snapshot(drawn)
    said = draw(toy, drawn)
    after = snapshot(drawn)
    assert "6 of them there: drawing skipped" in said and "wrote 0 images" in said
    assert digests(before) == digests(after)
    assert not changed(before, after) & IMAGES


def test_more_people_and_samples_add_only_what_is_missing(toy, tmp_path, drawn):
    out = tmp_path / "images"
    draw(toy, out, "--num_samples_per_user", "1", users=("10",))
    first = snapshot(out)
    said = draw(toy, out, users=("2", "ID_10"))
    assert "wrote 3 images" in said
    added = changed(first, snapshot(out)) & IMAGES
    assert added == {
        "micro_doppler_user02_001.png",
        "micro_doppler_user02_002.png",
        "micro_doppler_user10_002.png",
    }
    listed = [row["file"] for row in rows_of(out / "samples.csv")]
    assert listed == sorted(added | {"micro_doppler_user10_001.png"})
    for name in added:  # … and they are the same as in one go
        assert numpy.abs(pixels(out / name) - pixels(drawn / name)).max() <= 1


def test_an_image_depends_on_neither_batch_size_nor_order(toy, tmp_path, drawn):
    draw(toy, tmp_path / "images", "--batch_size", "1", users=("10", "1-2"))
    draw(toy, tmp_path / "all", "--batch_size", "5", users=("all",))
    for name in IMAGES:
        expected = pixels(drawn / name)
        assert numpy.abs(pixels(tmp_path / "images" / name) - expected).max() <= 1
        assert numpy.abs(pixels(tmp_path / "all" / name) - expected).max() <= 1
    one, two = (pixels(drawn / f"micro_doppler_user01_{k:03d}.png") for k in (1, 2))
    assert numpy.abs(one - two).mean() > 1


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (("--guidance_scale", "2"), "guidance_scale was 4.0, now 2.0"),
        (("--num_steps", "3"), "num_steps was 2, now 3"),
        (("--seed", "1"), "seed was 0, now 1"),
        (("--sampler", "euler"), "sampler was 'abm3', now 'euler'"),
        (("--dit_checkpoint", "the trained one"), "dit_checkpoint was"),
    ],
)
def test_one_folder_holds_images_of_one_kind(toy, drawn, other, said):
    other = [toy.checkpoint if word == "the trained one" else word for word in other]
    given = *toy.networks, "--output_dir", drawn, "--user_ids", "1", *DRAWING, *EXACT, *other
    assert said in refusal_of(stage3.main, *given, unchanged=drawn)


def test_the_whole_chain_leaves_no_temporary_files(toy, drawn):
    assert not [name for folder in (toy.models.parent, drawn) for name in names(folder, ".*.tmp")]
