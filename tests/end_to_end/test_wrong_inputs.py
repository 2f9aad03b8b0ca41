"""What only a whole command refuses: one line that says what, status 2, and nothing written.

Ranges, choices and types of every key: tests/configs. Contents of files: the tests of their readers and
`bad_tensors`, `bad_pictures`, `bad_settings`. Folders that cannot be written into: test_every_command.
"""

import dataclasses
import shlex

import numpy
import pytest
import torch
from toy_run import DRAWING, EXACT, TINY_MODEL, copy_of, output_of, refusal_of, save_tokenizer

import stage0_prepare
import stage1_extract_features as stage1
import stage2_train_dit as stage2
import stage3_inference as stage3
import stage4_evaluate as stage4
from data.latent_stats import LatentStatistics
from data.latents import read_latents
from models.lightningdit import LightningDiT
from sampling.model_file import load_trained, write_slim


@pytest.mark.parametrize(
    ("main", "given", "said"),
    [
        (stage0_prepare.main, "spectrogram --prf 1", "--input, --output_dir: required, but not given"),
        (stage3.main, "--vavae_path W.pt", "--dit_checkpoint: required, but not given"),
        (stage4.main, "--seed 1", "--generated, --real: required, but not given"),
    ],
)
def test_what_is_required_is_named(main, given, said):
    assert refusal_of(main, given) == f"error: {said}"


@pytest.fixture
def work(tmp_path):
    """A folder that must stay as it is while the script refuses."""
    return tmp_path


# Stage 0


def spectrogram(work, *more):
    """Refusal of two and a half seconds of noise."""
    noise = numpy.random.default_rng(0).standard_normal((8219, 2)) @ numpy.array([1, 1j])
    (work / "iq/ID_1").mkdir(parents=True, exist_ok=True)
    numpy.save(work / "iq/ID_1/rec1.npy", noise)
    given = f"spectrogram --input {work}/iq --output_dir {work}/raw --carrier 77e9 --prf 3288"
    return refusal_of(stage0_prepare.main, given, *more, unchanged=work)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--input absent", "absent: no such file or folder; expected recordings like ID_1/rec1.npy"),
        ("--velocity_range 0 1e-9", "128 bins would be finer than 0.001 m/s"),
        ("--velocity_range 5", "spectrogram.velocity_range=[5.0]: expected two or none"),
        ("--velocity_range 5 -1", "iq/ID_1/rec1.npy: velocity_range 5 to -1 m/s: expected more than 0"),
        ("--db_range 0 -40", "spectrogram.db_range=[0.0, -40.0]: expected dB of black and of white"),
    ],
)
def test_spectrogram_settings(work, given, said):
    assert said in spectrogram(work, given)


def test_a_folder_of_other_spectrograms(work):
    spectrogram(work, "--input absent")
    output = f"spectrogram --input {work}/iq --output_dir {work}/other --carrier 77e9 --prf"
    output_of(stage0_prepare.main, output, 3288)
    assert "prf was 3288.0, now 3300.0" in refusal_of(stage0_prepare.main, output, 3300, unchanged=work)


@pytest.mark.parametrize(
    ("array", "given", "note"),
    [
        (
            numpy.random.default_rng(0).normal(size=(32, 64, 2)) @ [1, 1j],
            "--layout bursts,pulses --carrier 24e9 --prf 2000 --burst_period 0.1 --window_s 0.2",
            "a recording in bursts, one spectrum each: --window_s not read",
        ),
        (
            numpy.random.default_rng(0).uniform(size=(32, 64)),
            "--layout velocities,times --scale db --velocity_range -3 3 --duration 3 --no-balance --cells 4",
            "a ready matrix: --cells, --balance not read",
        ),
    ],
)
def test_settings_that_a_recording_does_not_need_are_told(array, given, note, work):
    (work / "in/ID_1").mkdir(parents=True)
    numpy.save(work / "in/ID_1/a.npy", array)
    command = f"spectrogram --input {work}/in --output_dir {work}/out {given}"
    assert note in output_of(stage0_prepare.main, command)


# Stages 1 to 3


def extract(toy, work, *more, data=None):
    given = "--data_dir", data or toy.data, "--vavae_path", toy.tokenizer, "--output_path", work / "latents"
    return refusal_of(stage1.main, *given, *EXACT, *more, unchanged=work)


def train(toy, work, *more):
    given = f"--latent_dir {toy.latents} --output_dir {work}/models --precision 32 max_steps=1"
    return refusal_of(stage2.main, given, "accelerator=cpu", *TINY_MODEL, *more, unchanged=work)


def draw(toy, work, *more):
    given = f"--dit_checkpoint {toy.checkpoint} --vavae_path {toy.tokenizer} --output_dir {work}/images"
    return refusal_of(stage3.main, given, "--user_ids 1", *DRAWING, *EXACT, *more, unchanged=work)


@pytest.mark.parametrize("refused", [extract, train, draw])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--precision 16-mixed", "--precision 16-mixed: needs a GPU"),
        ("--vavae_path absent.pt", "absent.pt: no such tokenizer file"),
    ],
)
def test_arithmetic_and_tokenizers_that_are_not_there(refused, toy, work, given, said):
    assert said in refused(toy, work, given)


@pytest.mark.parametrize(
    ("refused", "given", "said"),
    [
        (extract, "--imagenet_stats absent.pt", "absent.pt: no such statistics file; give another"),
        (draw, "--guidance_interval 0.9 0.1", "0 <= low <= high <= 1"),
        (draw, "--dit_checkpoint absent.ckpt", "no such file; stage 2 writes checkpoints/best.ckpt"),
    ],
)
def test_settings(refused, toy, work, given, said):
    assert said in refused(toy, work, given)


def test_corrupt_images_are_listed_all_together(toy, work):
    data = copy_of(toy.data, work / "data")
    first, second = (next((data / user).glob("*.png")) for user in ("train/ID_1", "val/ID_10"))
    content = first.read_bytes()
    for path, damage in ((first, b""), (second, content[: len(content) // 2])):
        path.unlink()
        path.write_bytes(damage)
    text = extract(toy, work, data=data)
    assert f"train/ID_1/{first.name}: empty file (0 bytes)" in text and f"val/ID_10/{second.name}: " in text
    assert text.startswith("error: 2 images cannot be read, nothing was written")
    assert "--skip_bad_images" in text


def test_no_readable_training_image(toy, work):
    (work / "data/train/ID_1").mkdir(parents=True)
    (work / "data/train/ID_1/a.png").write_bytes(b"x")
    assert "no readable training image is left" in extract(toy, work, "--skip_bad_images", data=work / "data")


def test_the_way_out_of_a_person_who_cannot_be_read_works(toy, work):
    data = copy_of(toy.data, work / "data")
    for path in data.glob("*/ID_2/*.png"):
        path.unlink()
        path.write_bytes(b"x")
    flags = shlex.split(extract(toy, work, data=data).rpartition("without them by ")[2])
    assert flags == ["--skip_bad_images", "--leave_out", "ID_2/*"]
    given = f"--data_dir {data} --vavae_path {toy.tokenizer} --output_path {work}/latents"
    assert "left out " in output_of(stage1.main, given, *EXACT, *flags)
    assert read_latents(work / "latents", "train").label_table.names == ("ID_1", "ID_10")


def test_imagenet_statistics_that_do_not_fit(toy, work):
    LatentStatistics(torch.zeros(1, 4, 1, 1), torch.ones(1, 4, 1, 1)).save(work / "four.pt")
    assert "4 channels, the tokenizer has 32" in extract(toy, work, "--imagenet_stats", work / "four.pt")


def test_the_wrong_tokenizer(toy, work):
    other = save_tokenizer(work / "other.safetensors", seed=5)
    text = draw(toy, work, "--vavae_path", other)
    assert f"--vavae_path {other}: not the tokenizer this model was trained with" in text


def test_guidance_of_a_model_without_a_null_class(toy, work):
    _, payload = load_trained(toy.lively)
    payload = dataclasses.replace(payload, model={**payload.model, "class_dropout_prob": 0.0})
    write_slim(work / "plain.safetensors", LightningDiT(**payload.model).state_dict(), payload)
    assert "trained without label dropout" in draw(toy, work, "--dit_checkpoint", work / "plain.safetensors")


def test_what_a_model_does_not_read_is_told(toy, work):
    given = (
        f"--dit_checkpoint {toy.checkpoint} --vavae_path {toy.tokenizer} --output_dir {work}/images --dry_run"
    )
    assert "note: --few_steps: does nothing here" in output_of(stage3.main, given, "--few_steps 3", *EXACT)
