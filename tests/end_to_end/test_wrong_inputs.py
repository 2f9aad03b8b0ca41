"""Everything a user gets wrong ends in one line that says what, status 2, and nothing written."""

import dataclasses
import shlex

import numpy
import pytest
import torch
from PIL import Image
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


@pytest.fixture
def work(tmp_path):
    """A folder that must stay as it is while the script refuses."""
    return tmp_path


# Stage 0


def split(toy, work, *more, images=None):
    return refusal_of(
        stage0_prepare.main,
        "split",
        "--input_dir",
        images or toy.images,
        "--output_dir",
        work / "data_split",
        *more,
        unchanged=work,
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--recordings", "walk(.)"), "'walk(.)' matches nothing in ID_1/rec1_001.png"),
        (("--recordings", "rec("), "'rec(': not a regular expression"),
        (("--recordings", "rec", "--method", "random"), "a pattern and the method 'recordings' go together"),
        (("--val_fraction", "1.5"), "split.val_fraction=1.5: expected at most 0.9"),
        (("--val_fraction", "nan"), "split.val_fraction=nan: expected a finite number"),
        (("--val_fraction", "0.6", "--test_fraction", "0.5"), "nothing is left for training"),
        (("--guard", "9"), "ID_1 has 8, ID_2 has 8, ID_10 has 8, but train, val with 9 guard files"),
        (("--guard", "-1"), "split.guard=-1: expected at least 0"),
        (("--method", "shuffle"), "split.method='shuffle': expected one of blocks, random"),
    ],
)
def test_split_settings(toy, work, given, said):
    assert said in split(toy, work, *given)


def test_split_names_people_with_too_few_files(toy, work):
    images = copy_of(toy.images, work / "raw")
    for path in sorted((images / "ID_10").iterdir())[3:]:
        path.unlink()
    text = split(toy, work, images=images)
    assert "ID_10 has 3" in text and "ID_2 has" not in text and "at least 5" in text


def test_split_folders(toy, work):
    assert f"{work / 'absent'}: no such folder" in split(toy, work, images=work / "absent")
    assert "holds a finished split" in split(toy, work, images=toy.data)
    (work / "data_split").write_text("in the way")
    assert str(work / "data_split") in split(toy, work)


def test_split_is_not_mixed_with_another(toy, work):
    stage0_prepare.main(["split", "--input_dir", str(toy.images), "--output_dir", str(work / "data_split")])
    assert "guard 3 there, 2 now" in split(toy, work, "--guard", "2")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--num_users", "0"), "simulate.num_users=0: expected at least 1"),
        (("--samples_per_user", "many"), "simulate.samples_per_user: Value 'many'"),
        (("--recordings_per_user", "0"), "simulate.recordings_per_user=0: expected at least 1"),
        (("--seed", "-1"), "simulate.seed=-1: expected at least 0"),
    ],
)
def test_simulate_settings(work, given, said):
    assert said in refusal_of(
        stage0_prepare.main, "simulate", "--output_dir", work / "sim", *given, unchanged=work
    )


def spectrogram(work, *more, iq=None):
    """Refusal of a recording `iq`, two and a half seconds of noise where none is given."""
    noise = numpy.random.default_rng(0).standard_normal((8219, 2)) @ numpy.array([1, 1j])
    (work / "iq/ID_1").mkdir(parents=True, exist_ok=True)
    numpy.save(work / "iq/ID_1/rec1.npy", noise if iq is None else iq(noise))
    return refusal_of(
        stage0_prepare.main,
        "spectrogram",
        "--input",
        work / "iq",
        "--output_dir",
        work / "raw",
        "--carrier",
        "77e9",
        "--prf",
        "3288",
        *more,
        unchanged=work,
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--input", "absent"), "absent: no such file or folder; expected recordings like ID_1/rec1.npy"),
        (("--carrier", "0"), "spectrogram.carrier=0.0: expected more than 0"),
        (("--prf", "fast"), "spectrogram.prf: Value 'fast'"),
        (("--carrier", "77"), "--carrier 77: expected 3e+08 to 3e+11 Hz; give --carrier 77000000000 if"),
        (("--prf", "3.288"), "--prf 3.288: expected 20 to 1e+06 Hz; give --prf 3288 if"),
        (("--velocity_range", "0", "1e-9"), "128 bins would be finer than 0.001 m/s"),
        (("--layout", "rows,pulses"), "names 2 axes, the array has 1"),
        (("--burst_samples", "64"), "8219 pulses are not whole bursts of 64"),
        (("--cells", "0"), "spectrogram.cells=0: expected at least 1"),
        (("--db_range", "0", "-40"), "spectrogram.db_range=[0.0, -40.0]: expected dB of black and of white"),
        (("--velocity_range", "5"), "spectrogram.velocity_range=[5.0]: expected two or none"),
        (
            ("--velocity_range", "5", "-1"),
            "iq/ID_1/rec1.npy: velocity_range 5 to -1 m/s: expected more than 0",
        ),
        (("--velocity_range", "-9", "9"), "at most the 6.4"),
        (("--window_s", "1"), "iq/ID_1/rec1.npy: window_s 1: expected at most the transform's"),
        (("--frames_per_second", "5"), "an image needs 55: give a longer recording"),
        (("--colour_map", "jett"), "colour map 'jett': matplotlib knows none of this name"),
        (("--dynamic_range_db", "0"), "spectrogram.dynamic_range_db=0.0: expected more than 0"),
    ],
)
def test_spectrogram_settings(work, given, said):
    assert said in spectrogram(work, *given)


@pytest.mark.parametrize(
    ("iq", "said"),
    [
        (numpy.real, "one real channel cannot tell approaching from receding"),
        (lambda noise: noise[:100], "rec1 holds 100 numbers; a walk has thousands"),
        (lambda noise: noise[:4000], "an image needs 55: give a longer recording"),
        (lambda noise: noise[:, None].repeat(3, 1), "which axis is what? say it in order with --layout"),
        (
            lambda noise: numpy.where(numpy.arange(len(noise)) == 7, numpy.nan, noise),
            "expected finite samples",
        ),
        (lambda noise: 0 * noise, "not all 0"),
    ],
)
def test_recordings_that_are_none_are_named(work, iq, said):
    text = spectrogram(work, iq=iq)
    assert said in text and str(work / "iq/ID_1/rec1.npy") in text


def test_spectrogram_folders(work):
    (work / "raw/ID_1").mkdir(parents=True)
    (work / "raw/ID_1/rec1_001.png").write_bytes(b"from elsewhere")
    assert "no run.json that says how it was made" in spectrogram(work)
    (work / "bare").mkdir()
    assert f"{work / 'bare'}: holds no recording" in spectrogram(work, "--input", work / "bare")
    output = [
        "spectrogram",
        "--input",
        str(work / "iq"),
        "--output_dir",
        str(work / "other"),
        "--carrier",
        "77e9",
        "--prf",
    ]
    stage0_prepare.main([*output, "3288"])
    assert "prf was 3288.0, now 3300.0" in refusal_of(stage0_prepare.main, *output, "3300", unchanged=work)


@pytest.mark.parametrize(
    ("main", "given", "said"),
    [
        (
            stage0_prepare.main,
            ("spectrogram", "--prf", "1"),
            "--input, --output_dir: required, but not given",
        ),
        (stage4.main, (), "--generated, --real: required, but not given"),
        (stage0_prepare.main, ("split",), "--input_dir, --output_dir: required, but not given"),
        (stage0_prepare.main, ("simulate",), "--output_dir: required, but not given"),
        (stage1.main, (), "--data_dir, --vavae_path: required, but not given"),
        (stage2.main, (), "--latent_dir: required, but not given"),
        (stage3.main, ("--vavae_path", "W.pt"), "--dit_checkpoint: required, but not given"),
    ],
)
def test_what_is_required_is_named(main, given, said):
    assert refusal_of(main, *given) == f"error: {said}"


# Stage 1


def extract(toy, work, *more, data=None):
    return refusal_of(
        stage1.main,
        "--data_dir",
        data or toy.data,
        "--vavae_path",
        toy.tokenizer,
        "--output_path",
        work / "latents",
        *EXACT,
        *more,
        unchanged=work,
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--batch_size", "0"), "extract.batch_size=0: expected at least 1"),
        (("--batch_size", "-4"), "extract.batch_size=-4: expected at least 1"),
        (("--batch_size", "four"), "extract.batch_size: Value 'four'"),
        (("--batch_size",), "argument --batch_size: expected one argument"),
        (("--geometry", "squash"), "extract.geometry='squash': expected one of stretch, pad, crop"),
        (("--precision", "16-mixed"), "--precision 16-mixed: needs a GPU"),
        (("--precision", "fp16"), "extract.precision='fp16': expected one of auto, 32, bf16-mixed, 16-mixed"),
        (("--device", "tpu9000"), "--device tpu9000: expected auto, cpu, cuda or cuda:1"),
        (("--vavae_path", "absent.pt"), "absent.pt: no such tokenizer file"),
        (("--vavae_path", "."), "folder"),
        (
            ("--imagenet_stats", "absent.pt"),
            "--imagenet_stats absent.pt: no such statistics file; give another",
        ),
        (("--batchsize", "3"), "unrecognized arguments: --batchsize 3"),
        (("batchsize=3",), "unknown key extract.batchsize; did you mean batch_size?"),
        (("--output_path", ""), "extract.output_path='': expected a value, got nothing"),
    ],
)
def test_extraction_settings(toy, work, given, said):
    assert said in extract(toy, work, *given)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there(toy, work):
    for device in ("cuda", "cuda:1"):
        assert f"--device {device}: this machine has 0 usable GPUs" in extract(toy, work, "--device", device)


def test_data_folders(toy, work):
    assert "no such folder" in extract(toy, work, data=work / "absent")
    (work / "file").write_text("x")
    assert "no such folder" in extract(toy, work, data=work / "file")
    assert "no train folder inside; python stage0_prepare.py split" in extract(toy, work, data=toy.images)
    (work / "loose/train").mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (8, 8)).save(work / f"loose/train/{number}.png")
    assert "found 3 loose images; expected a folder per person" in extract(toy, work, data=work / "loose")
    (work / "bare/train/ID_1").mkdir(parents=True)
    assert "holds no image, found 1 empty folder (ID_1)" in extract(toy, work, data=work / "bare")
    (work / "bare/train/ID_1/notes.txt").write_text("x")
    assert "found 1 .txt (ID_1/notes.txt)" in extract(toy, work, data=work / "bare")


def test_validation_of_somebody_unknown(toy, work):
    data = copy_of(toy.data, work / "data")
    (data / "val/ID_2").rename(data / "val/ID_5")
    assert "ID_5 not among the known users ID_1, ID_2, ID_10" in extract(toy, work, data=data)


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
    given = ("--data_dir", data, "--vavae_path", toy.tokenizer, "--output_path", work / "latents")
    assert "left out " in output_of(stage1.main, *given, *EXACT, *flags)
    assert read_latents(work / "latents", "train").label_table.names == ("ID_1", "ID_10")


def test_output_path_that_is_a_file(toy, work):
    (work / "latents").write_text("x")
    assert f"--output_path {work / 'latents'}: is a file, expected a folder" in extract(toy, work)


def test_files_that_are_no_tokenizer(toy, work):
    for name, content in (("empty.pt", b""), ("noise.pt", b"\x00" * 99), ("noise.safetensors", b"\xff" * 99)):
        (work / name).write_bytes(content)
        assert name in extract(toy, work, "--vavae_path", work / name)
    latents, statistics = toy.latents / "train.safetensors", toy.latents / "latents_stats.pt"
    for path in (toy.lively, toy.checkpoint, latents, statistics):
        text = extract(toy, work, "--vavae_path", path)
        assert str(path) in text and len(text) < 1000


def test_imagenet_statistics_that_do_not_fit(toy, work):
    LatentStatistics(torch.zeros(1, 4, 1, 1), torch.ones(1, 4, 1, 1)).save(work / "four.pt")
    assert "4 channels, the tokenizer has 32" in extract(toy, work, "--imagenet_stats", work / "four.pt")
    (work / "empty.pt").write_bytes(b"")
    assert "empty statistics file (0 bytes)" in extract(toy, work, "--imagenet_stats", work / "empty.pt")


# Stage 2


def train(latents, work, *more):
    return refusal_of(
        stage2.main,
        "--latent_dir",
        latents,
        "--output_dir",
        work / "models",
        "--precision",
        "32",
        "accelerator=cpu",
        "max_steps=1",
        *TINY_MODEL,
        *more,
        unchanged=work,
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--precision", "16-mixed"), "--precision 16-mixed: needs a GPU"),
        (("--devices", "0"), "--devices 0: expected a positive number or auto"),
        (("--devices", "two"), "--devices two: expected a positive number or auto"),
        (("--lr", "nan"), "train.lr=nan: expected a finite number"),
        (("--lr", "0"), "train.lr=0.0: expected more than 0"),
        (("--max_epochs", "0"), "train.max_epochs=0: expected at least 1"),
        (("model.depht=2",), "unknown key model.depht; did you mean depth?"),
        (("modle.depth=2",), "unknown section 'modle'; did you mean model?"),
        (("model.preset=LightningDiT-XXL/1",), "expected one of auto, LightningDiT-S/1"),
        (("--config", "absent.yaml"), "--config absent.yaml: no such file"),
        (("--vavae_path", "absent.pt"), "absent.pt: no such tokenizer file"),
    ],
)
def test_training_settings(toy, work, given, said):
    assert said in train(toy.latents, work, *given)


def test_output_dirs_that_are_files(toy, work):
    (work / "models").write_text("x")
    assert "is a file, expected a folder" in train(toy.latents, work)
    assert "is a file, expected a folder" in refusal_of(
        stage0_prepare.main, "simulate", "--output_dir", work / "models", unchanged=work
    )


def test_latents_that_are_missing_or_damaged(toy, work):
    assert "no such latents folder" in train(work / "absent", work)
    (work / "bare").mkdir()
    assert "no latents of split 'train'" in train(work / "bare", work)
    latents = copy_of(toy.latents, work / "latents")
    (latents / "latents_stats.pt").write_bytes(b"")
    text = train(latents, work)
    assert "empty statistics file (0 bytes)" in text and "stage1_extract_features.py" in text
    (latents / "latents_stats.pt").unlink()
    assert "no such statistics file" in train(latents, work)
    content = (latents / "train.safetensors").read_bytes()
    (latents / "train.safetensors").write_bytes(content[:-100])
    assert "damaged or incomplete latents file" in train(latents, work)


# Stage 3


def draw(toy, work, *more, checkpoint=None):
    return refusal_of(
        stage3.main,
        "--dit_checkpoint",
        checkpoint or toy.checkpoint,
        "--vavae_path",
        toy.tokenizer,
        "--output_dir",
        work / "images",
        "--user_ids",
        "1",
        *DRAWING,
        *EXACT,
        *more,
        unchanged=work,
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--user_ids", "3"), "unknown user 3 (from '3'); known are ID_1, ID_2, ID_10"),
        (("--user_ids", "1", "ID_3"), "unknown user 'ID_3'; known are ID_1, ID_2, ID_10"),
        (("--user_ids", "1-3"), "unknown user 3 (from '1-3')"),
        (("--user_ids", "2-1"), "user range '2-1' runs backwards; write 1-2"),
        (("--user_ids",), "argument --user_ids: expected at least one argument"),
        (("user_ids=[]",), "sample.user_ids=[]: expected a value, got nothing"),
        (("--guidance_scale", "nan"), "sample.guidance_scale=nan: expected a finite number"),
        (("--guidance_scale", "-1"), "sample.guidance_scale=-1.0: expected at least 0"),
        (("--guidance_interval", "0.9", "0.1"), "0 <= low <= high <= 1"),
        (("--guidance_interval", "0.1"), "interval"),
        (("--num_steps", "0"), "sample.num_steps=0: expected at least 1"),
        (("--num_samples_per_user", "0"), "sample.num_samples_per_user=0: expected at least 1"),
        (("--sampler", "ddim"), "'ddim': expected one of euler, heun, abm3, "),
        (("--precision", "16-mixed"), "--precision 16-mixed: needs a GPU"),
        (("--vavae_path", "absent.pt"), "absent.pt: no such tokenizer file"),
        (("--latents_stats", "stats.pt"), "carries its own statistics; leave the flag out"),
        (("cfg_scale=3",), "unknown key sample.cfg_scale"),
    ],
)
def test_sampling_settings(toy, work, given, said):
    assert said in draw(toy, work, *given)


def test_files_that_are_no_model(toy, work):
    text = draw(toy, work, checkpoint=work / "absent.ckpt")
    assert "no such file; stage 2 writes checkpoints/best.ckpt" in text
    for suffix in ("ckpt", "safetensors", "pt"):
        for name, content in (("empty", b""), ("noise", b"\x00" * 99)):
            path = work / f"{name}.{suffix}"
            path.write_bytes(content)
            assert str(path) in draw(toy, work, checkpoint=path)
    assert "no model description inside" in draw(toy, work, checkpoint=toy.tokenizer)


def test_a_published_checkpoint_needs_statistics(toy, work):
    net, _ = load_trained(toy.lively)
    torch.save({"ema": net.state_dict()}, work / "published.pt")
    assert "give --latents_stats latents_stats.pt" in draw(toy, work, checkpoint=work / "published.pt")
    (work / "empty.pt").write_bytes(b"")
    assert "empty statistics file (0 bytes)" in draw(
        toy, work, "--latents_stats", work / "empty.pt", checkpoint=work / "published.pt"
    )


def test_the_wrong_tokenizer(toy, work):
    other = save_tokenizer(work / "other.safetensors", seed=5)
    text = draw(toy, work, "--vavae_path", other)
    assert f"--vavae_path {other}: not the tokenizer this model was trained with" in text
    assert str(toy.checkpoint) in draw(toy, work, "--vavae_path", toy.checkpoint)


def test_output_folders_that_cannot_be_used(toy, work):
    (work / "images").write_text("x")
    assert "is a file, expected a folder" in draw(toy, work)
    (work / "images").unlink()
    (work / "images").mkdir()
    (work / "images/micro_doppler_user01_001.png").write_bytes(b"from elsewhere")
    assert "no run.json that says how it was made" in draw(toy, work)


def test_guidance_of_a_model_without_a_null_class(toy, work):
    _, payload = load_trained(toy.lively)
    payload = dataclasses.replace(payload, model={**payload.model, "class_dropout_prob": 0.0})
    write_slim(work / "plain.safetensors", LightningDiT(**payload.model).state_dict(), payload)
    assert "trained without label dropout" in draw(toy, work, checkpoint=work / "plain.safetensors")
