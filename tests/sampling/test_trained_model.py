"""Drawing from Python: the bytes of stage 3, with every setting of drawing, and nothing printed."""

import subprocess
import sys
from dataclasses import fields, replace

import numpy
import pytest
import torch
from conftest import PROJECT
from PIL import Image
from project_files import sources
from toy_run import EXACT, PEOPLE, output_of

import sampling
import stage3_inference
from configs.errors import UserError
from configs.schema import SampleConfig
from data.axes import Axes
from radar.kinematics import from_image
from radar.person import DRAWN_GAITS
from sampling import load
from sampling.trained_model import KEYS, Settings
from tokenizer.vavae import VAVAE, as_rows

QUICK = {"guidance": 4.0, "steps": 2}
AS_FLAGS = ("--guidance_scale", 4.0, "--num_steps", 2)


@pytest.fixture(scope="module")
def model(toy):
    return load(toy.lively, toy.tokenizer, device="cpu", precision="32")


def of_stage_3(networks, folder, people, count, *flags):
    """Pixels (people * count, H, W, 3) of the files that stage 3 writes, person by person."""
    arguments = (*networks, *EXACT, "--output_dir", folder, "--user_ids", *people)
    output_of(stage3_inference.main, *arguments, "--num_samples_per_user", count, *flags)
    paths = [sorted(folder.glob(f"micro_doppler_user{int(one.split('_')[-1]):02d}_*.png")) for one in people]
    return numpy.stack([numpy.asarray(Image.open(path)) for one in paths for path in one])


@pytest.mark.parametrize(
    ("flags", "settings"),
    [
        ((), {}),
        (("--seed", 7), {"seed": 7}),
        (("--batch_size", 4), {"batch_size": 4}),
        (("--sampler", "heun", "--timestep_shift", 0.3), {"sampler": "heun", "timestep_shift": 0.3}),
        (("--guidance_interval", 0.0, 0.5), {"guidance_interval": (0.0, 0.5)}),
        (("--guidance_channels", 3), {"guidance_channels": 3}),
        (("--restarts", 2), {"restarts": 2}),
    ],
    ids=str,
)
def test_images_are_those_of_stage_3(toy, model, tmp_path, flags, settings):
    people = ["ID_10", "ID_1"]
    drawn = model.draw(people, n=3, **QUICK, **settings)
    assert drawn.dtype == numpy.uint8 and drawn.shape == (6, 256, 256, 3)
    assert (drawn == of_stage_3(toy.networks, tmp_path, people, 3, *AS_FLAGS, *flags)).all()


def test_the_bundled_model_draws_as_stage_3_does(tmp_path, capfd):
    drawn = load("demo", "compact", device="cpu", precision="32").draw("ID_3", n=4, guidance=1.5, seed=0)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    networks = ("--dit_checkpoint", "demo", "--vavae_path", "compact")
    flags = ("--guidance_scale", 1.5, "--seed", 0)
    assert (drawn == of_stage_3(networks, tmp_path, ["ID_3"], 4, *flags)).all()


def test_a_model_of_before_conditions_knows_none():
    model = load("demo", "compact", device="cpu", precision="32")
    assert model.conditions is None and model.precision == "32"
    with pytest.raises(UserError, match="guidance_condition 2: the model knows people only"):
        model.draw("ID_3", n=1, guidance_condition=2.0)


def test_people_are_named_as_on_the_command_line(model):
    assert model.people == PEOPLE
    everybody = model.draw("all", n=1, **QUICK)
    assert (everybody == model.draw([1, "2", "ID_10"], n=1, **QUICK)).all()
    with pytest.raises(UserError, match="unknown user 3 .*known are ID_1, ID_2, ID_10"):
        model.draw(3)
    with pytest.raises(UserError, match="no user given"):
        model.draw([])


def test_batches_are_the_parts_of_what_draw_gives(model):
    asked = dict(n=3, batch_size=4, **QUICK)
    batches = list(model.batches("1-2", **asked))
    assert [batch.people for batch in batches] == [("ID_1",) * 3 + ("ID_2",), ("ID_2",) * 2]
    assert [batch.numbers for batch in batches] == [(1, 2, 3, 1), (2, 3)]
    seen = []
    whole = model.draw("1-2", progress=lambda *counts: seen.append(counts), **asked)
    assert (numpy.concatenate([batch.drawn for batch in batches]) == whole).all()
    assert seen == [(4, 6), (6, 6)]


def test_latents_decode_to_the_images(toy, model):
    latents = model.draw("ID_2", n=2, latents=True, **QUICK)
    vae = VAVAE.from_file(toy.tokenizer)
    assert latents.dtype == numpy.float32 and latents.shape == (2, *vae.latent_shape)
    assert (as_rows(vae.decode(torch.from_numpy(latents))) == model.draw("ID_2", n=2, **QUICK)).all()


def test_decibels_are_those_of_arrays(toy, model, tmp_path):
    images = model.draw("ID_1", n=2, **QUICK)
    given = Axes(-1.225, 5.175, 2.108, 32.0, "jet")  # the toy's network draws no known colours
    axed = load(toy.lively, toy.tokenizer, device="cpu", precision="32")
    assert axed.axes is not None
    axed.axes = given
    power = axed.decibels(images)
    assert power.db.shape == (2, 256, 256) and power.db.dtype == numpy.float32
    assert power.db.max() <= 0 and power.db.min() >= -32
    step = (given.highest_mps - given.lowest_mps) / 256
    assert power.velocity_mps[0] == pytest.approx(given.lowest_mps + step / 2)
    assert power.time_s[-1] == pytest.approx(given.duration_s * (1 - 0.5 / 256))
    axed.axes = replace(given, range_db=None)
    with pytest.raises(UserError, match="carries no range in dB; give them by --axes"):
        axed.decibels(images)
    axed.axes = replace(given, colour_map=None)
    with pytest.raises(UserError, match="colours of no known map"):
        axed.decibels(numpy.random.default_rng(0).integers(0, 256, images.shape, dtype=numpy.uint8))


def test_axes_are_the_model_s_or_told(toy, model):
    assert str(model.axes) in repr(model) and "3 people" in repr(model)
    with pytest.raises(UserError, match="expected one kind of axes"):
        load(toy.lively, toy.tokenizer, axes=(0, 9, 2), device="cpu")
    axes = [*model.axes.edges(), model.axes.range_db]
    assert load(toy.lively, toy.tokenizer, axes=axes, device="cpu").axes == model.axes


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"guidence": 2}, "guidence: no setting of draw; expected guidance, "),
        ({"output_dir": "x"}, "output_dir: no setting of draw"),
        ({"steps": 0}, "num_steps=0: expected at least 1"),
        ({"n": 0}, "num_samples_per_user=0: expected at least 1"),
        ({"sampler": "rk4"}, "sampler='rk4': expected one of euler, heun"),
        ({"guidance": "much"}, "guidance_scale"),
        ({"restarts": 1, "restart_interval": [0.6, 0.2]}, "restart_interval="),
        ({"guidance_condition": 2.0}, "knows people only, in no conditions"),
    ],
    ids=str,
)
def test_mistakes_are_told_before_anything_is_drawn(model, settings, words):
    with pytest.raises(UserError, match=words) as caught:
        model.batches("ID_1", **settings)  # not asked for its first batch yet
    assert "\n" not in str(caught.value)


def test_files_that_do_not_fit_are_refused(toy):
    with pytest.raises(UserError, match="not the tokenizer this model was trained with"):
        load(toy.lively, "compact", device="cpu")
    with pytest.raises(FileNotFoundError, match="absent.ckpt: no such file"):
        load("absent.ckpt", "compact", device="cpu")
    with pytest.raises(UserError, match="--device cupboard"):
        load("demo", "compact", device="cupboard")


def test_people_of_the_bundled_model_of_gaits_walk_as_fast_as_these():
    model = load("gaits", "compact", device="cpu", precision="32")

    def speed(gait):
        images = model.draw([f"ID_{number}_{gait}" for number in range(1, 9)], 1, steps=6)
        return numpy.mean([from_image(image, model.axes.edges()).torso_velocity_mps for image in images])

    for slow, fast in (("gs", "gu"), ("gl", "gb")):
        truth = DRAWN_GAITS[fast]["speed_mps"] / DRAWN_GAITS[slow]["speed_mps"]  # about 1.7 and 1.5
        assert speed(fast) / speed(slow) == pytest.approx(truth, rel=0.15)


def test_every_key_that_changes_an_image_is_a_setting():
    """Those of the files, of the folder's layout and of a selecting judge aside."""
    changing = {item.name for item in fields(SampleConfig) if item.metadata["affects"] == "output"}
    not_of_drawing = {
        "dit_checkpoint",
        "vavae_path",
        "latents_stats",
        "references",
        "axes",
        "layout",
        "select",
    }
    settings = {KEYS.get(name, name) for name in Settings.__annotations__} - {"batch_size"}
    assert settings == changing - not_of_drawing


def test_memory_that_runs_out_is_logged_not_printed(model, monkeypatch, caplog, capfd):
    usual = model.draw("ID_1", n=2, **QUICK)
    decode = VAVAE.decode

    def scarce(vae, latents):
        if len(latents) > 1:
            raise MemoryError
        return decode(vae, latents)

    monkeypatch.setattr(VAVAE, "decode", scarce)
    drawn = model.draw("ID_1", n=2, **QUICK)
    assert numpy.abs(drawn.astype(int) - usual).max() <= 1
    assert "going on with 1 images at once" in caplog.text and capfd.readouterr().out == ""


def test_the_submodules_do_without_what_drawing_needs():
    heavy = "{'torch', 'sampling.trained_model'}"
    code = f"import sys, sampling.imagenet; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        sampling.lode  # noqa: B018


def test_every_module_is_installed_by_pip():
    """`pip install -e .` finds all packages and scripts of the project, and none of its tests."""
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    table = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packages = {name.removesuffix("*") for name in table["packages"]["find"]["include"]}
    assert packages == {path.parts[0] for path in sources() if len(path.parts) > 1}
    scripts = {path.stem for path in sources() if len(path.parts) == 1} - {"example"}
    assert set(table["py-modules"]) == scripts
