"""Stages 0 to 2 one after the other on toy data: what they write, rebuild and leave alone."""

import math

import numpy
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file
from tables import rows_of
from toy_run import (
    EXACT,
    PEOPLE,
    TINY_MODEL,
    changed,
    copy_of,
    digests,
    names,
    output_of,
    refusal_of,
    save_tokenizer,
    snapshot,
)

import stage0_prepare
import stage1_extract_features as stage1
import stage2_train_dit as stage2
from configs.load import load_preset, resolve
from data.images import open_rgb
from data.latent_stats import LatentStatistics, read_recommendation
from data.latents import read_latents, read_metadata
from data.sheets import GAP, NAME_WIDTH
from radar.echoes import Radar, iq_signal
from radar.kinematics import from_image
from radar.person import Walker
from radar.walker import Walk, motion
from sampling.model_file import load_trained
from tokenizer.vavae import VAVAE, preprocess

# Stage 0


def test_split_by_recording_keeps_recordings_whole(toy):
    rows = rows_of(toy.data / "split.csv")
    assert len(rows) == 24 and {row["user"] for row in rows} == set(PEOPLE)
    sides = {}
    for row in rows:
        sides.setdefault((row["user"], row["recording"]), set()).add(row["split"])
    assert len(sides) == 12 and all(len(side) == 1 for side in sides.values())
    for user in PEOPLE:
        assert len(names(toy.data / "train" / user)) == 6 and len(names(toy.data / "val" / user)) == 2


def test_split_says_how_many_went_where_and_what_comes_next(toy, tmp_path):
    given = f"split --input_dir {toy.images} --output_dir {tmp_path}/s --test_fraction 0.2 --guard 1"
    said = output_of(stage0_prepare.main, given)
    lines = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.startswith("ID_")}
    assert lines == {user: ["train", "4", "val", "1", "test", "1", "guard", "2"] for user in PEOPLE}
    assert "stage1_extract_features.py" in said
    before = snapshot(tmp_path)
    output_of(stage0_prepare.main, given)
    assert snapshot(tmp_path) == before


def test_random_split_warns_and_the_safe_ones_do_not(toy, tmp_path):
    said = output_of(
        stage0_prepare.main, f"split --input_dir {toy.images} --output_dir {tmp_path}/r --method random"
    )
    assert "warning: random split" in said
    assert "warning" not in output_of(
        stage0_prepare.main, f"split --input_dir {toy.images} --output_dir {tmp_path}/b --guard 1 --copy"
    )
    linked, copied = (tmp_path / "r/train/ID_1", tmp_path / "b/train/ID_1")
    assert all(path.stat().st_nlink > 1 or path.is_symlink() for path in linked.iterdir())
    assert all(path.stat().st_nlink == 1 and not path.is_symlink() for path in copied.iterdir())


def test_settings_of_two_kinds_of_split(toy, tmp_path):
    command = f"split --input_dir {toy.images} --output_dir {tmp_path}/s --recordings rec(.)"
    said = refusal_of(stage0_prepare.main, command, "--method blocks", unchanged=tmp_path)
    assert "method 'blocks' with recordings 'rec(.)': a pattern and" in said
    note = "note: --guard 2: does nothing here, blocks alone have guards"
    assert note in output_of(stage0_prepare.main, command, "--guard 2 --dry_run")


def test_stage_0_explains_itself():
    assert "simulate" in output_of(stage0_prepare.main, "--help")
    assert "split | simulate | spectrogram" in refusal_of(stage0_prepare.main, "splitt")
    assert "got nothing" in refusal_of(stage0_prepare.main)


SHOW = (
    f"--carrier 77e9 --prf {Radar().prf_hz} --velocity_range -1.2 5.2 --layout receivers,pulses --no-balance"
)
SPEEDS = {"ID_1/a": 0.8, "ID_1/b": 1.0, "ID_2/day1/a": 1.2, "ID_2/day2/a": 1.3}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Folder with two people's recordings of I/Q in iq/ and their images in raw/, and what was said."""
    folder = tmp_path_factory.mktemp("spectrogram")
    for number, (name, speed) in enumerate(SPEEDS.items()):
        walk = Walk(duration_s=3.5 if number == 0 else 2.3, start_range_m=10.0)
        moved, rng = motion(Walker(speed_mps=speed), walk), numpy.random.default_rng(number)
        iq = iq_signal(moved.range_m, moved.cross_section_m2, 200.0, Radar(), rng)
        (folder / "iq" / name).parent.mkdir(parents=True, exist_ok=True)
        numpy.save(folder / "iq" / f"{name}.npy", iq)
    said = show(folder / "iq", folder / "raw")
    return folder, said


def show(source, out, *more):
    return output_of(stage0_prepare.main, f"spectrogram --input {source} --output_dir {out}", SHOW, *more)


def axes_of(folder):
    rows = rows_of(folder / "axes.csv")
    return {row.pop("path"): {name: float(value) for name, value in row.items()} for row in rows}


def test_recordings_become_pictures_with_axes(shown):
    folder, said = shown
    axes = axes_of(folder / "raw")
    assert list(axes) == [
        "ID_1/a_001.png",
        "ID_1/a_002.png",
        "ID_1/a_003.png",
        "ID_1/b_001.png",
        "ID_2/day1_a_001.png",
        "ID_2/day2_a_001.png",
    ]
    assert names(folder / "raw") == {*axes, "axes.csv", "labels.csv", "run.json"}
    assert "wrote 6 images" in said
    for name, row in axes.items():
        picture = Image.open(folder / "raw" / name)
        assert picture.size == (256, 256) and picture.mode == "RGB"
        assert row["lowest_mps"] == pytest.approx(-1.225) and row["highest_mps"] == pytest.approx(5.175)
        assert row["end_s"] - row["start_s"] == pytest.approx(55 / 26, rel=0.01)
    starts = [axes[f"ID_1/a_00{number}.png"]["start_s"] for number in (1, 2, 3)]
    assert numpy.diff(starts) == pytest.approx(14 / 26, rel=0.01)


def test_a_picture_and_its_axes_give_back_the_walking_speed(shown):
    axes = axes_of(shown[0] / "raw")
    for (name, row), speed in zip(axes.items(), (0.8, 0.8, 0.8, 1.0, 1.2, 1.3), strict=True):
        edges = row["lowest_mps"], row["highest_mps"], row["end_s"] - row["start_s"]
        kinematics = from_image(numpy.asarray(Image.open(shown[0] / "raw" / name)), edges)
        assert kinematics.torso_velocity_mps == pytest.approx(speed, rel=0.04)  # not a whole number of steps


def test_spectrogram_again_writes_nothing_and_adds_what_is_missing(shown, tmp_path):
    folder = shown[0]
    out = copy_of(folder / "raw", tmp_path / "raw")
    before = snapshot(out)
    show(folder / "iq", out)
    assert snapshot(out) == before
    (out / "ID_1/a_002.png").unlink(), (out / "axes.csv").unlink()
    show(folder / "iq", out)
    assert changed(before, snapshot(out)) == {"ID_1/a_002.png", "axes.csv"}
    assert digests(before) == digests(snapshot(out))


def test_the_pictures_split_by_the_recordings_they_come_from(shown, tmp_path):
    folder, said = shown
    assert "read 4 recordings, left out 0" in said
    said = output_of(
        stage0_prepare.main,
        f"split --input_dir {folder}/raw --output_dir {tmp_path}/split --val_fraction 0.25",
    )
    assert "read 6 images, left out 0; 2 people, divided by recordings" in said and "one person" not in said
    alone = f"split --input_dir {folder}/raw --leave_out ID_2/* --output_dir {tmp_path}/alone"
    assert "one person, whom there is nobody to be told from" in output_of(stage0_prepare.main, alone)
    rows = [(row["user"], row["recording"]) for row in rows_of(tmp_path / "split/split.csv")]
    assert set(rows) == {("ID_1", "a"), ("ID_1", "b"), ("ID_2", "day1_a"), ("ID_2", "day2_a")}


# Stage 1


def extract(toy, *more, data=None, out=None):
    folders = f"--data_dir {data or toy.data} --output_path {out or toy.latents} --batch_size 32"
    return output_of(stage1.main, folders, "--vavae_path", toy.tokenizer, *EXACT, *more)


@pytest.fixture
def extracted(toy, tmp_path):
    """Own copies of the split and its latents."""
    return copy_of(toy.data, tmp_path / "data"), copy_of(toy.latents, tmp_path / "latents")


def test_stage_1_writes_the_files_of_the_design(toy):
    assert names(toy.latents) == {
        "train.safetensors",
        "val.safetensors",
        "latents_stats.pt",
        "stats_recommendation.txt",
        "reconstruction_check.png",
    }
    text = (toy.latents / "stats_recommendation.txt").read_text()
    assert text.startswith("Recommendation: micro_doppler\n")
    picture = Image.open(toy.latents / "reconstruction_check.png")
    assert picture.size == (NAME_WIDTH + 2 * (256 + GAP), 6 * (256 + GAP) + GAP)


def test_labels_count_people_in_natural_order_and_user_ids_are_folder_numbers(toy):
    for split, count in (("train", 6), ("val", 2)):
        latents = read_latents(toy.latents, split)
        assert latents.label_table.names == PEOPLE
        numbers = [int(path.split("/")[0].removeprefix("ID_")) for path in latents.paths]
        stored = load_file(toy.latents / f"{split}.safetensors")["user_ids"].tolist()
        assert stored == numbers == [1] * count + [2] * count + [10] * count
        assert latents.labels.tolist() == [0] * count + [1] * count + [2] * count
        assert latents.latents.shape == (3 * count, 32, 16, 16)


def test_latents_are_what_the_tokenizer_says_of_each_image(toy):
    vae, latents = VAVAE.from_file(toy.tokenizer), read_latents(toy.latents, "train")
    for row in (0, 7, 17):
        image = preprocess(open_rgb(toy.data / "train" / latents.paths[row]))
        posterior = vae.encode(image[None])
        torch.testing.assert_close(latents.latents[row], posterior.mean[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(latents.latents_std[row], posterior.std[0], rtol=1e-4, atol=1e-5)
    assert latents.metadata["tokenizer_digest"] == vae.digest


def test_statistics_describe_the_training_latents_and_nothing_else(toy):
    train, val = read_latents(toy.latents, "train"), read_latents(toy.latents, "val")

    def expected(means, stds):  # of draws mean + std * eps, in float64
        means, stds = means.double().numpy(), stds.double().numpy()
        return means.mean((0, 2, 3)), numpy.sqrt(means.var((0, 2, 3), ddof=1) + (stds**2).mean((0, 2, 3)))

    saved = LatentStatistics.load(toy.latents / "latents_stats.pt")
    statistics = numpy.stack([saved.mean.flatten().double(), saved.std.flatten().double()])
    both = expected(torch.cat([train.latents, val.latents]), torch.cat([train.latents_std, val.latents_std]))
    assert numpy.allclose(statistics, expected(train.latents, train.latents_std), rtol=1e-6, atol=1e-7)
    assert not numpy.allclose(statistics, both, rtol=1e-6, atol=1e-7)
    assert saved.mean.shape == saved.std.shape == (1, 32, 1, 1)


def test_stage_1_again_changes_nothing(toy):
    before = snapshot(toy.latents)
    said = extract(toy)
    assert snapshot(toy.latents) == before
    assert said.count("skipped") == 2 and "wrote 0 latents" in said
    said = extract(toy, "precision=auto", "--batch_size", "1")
    assert snapshot(toy.latents) == before and said.count("skipped") == 2


def test_a_changed_image_rebuilds_its_split_only(toy, extracted):
    data, out = extracted
    victim = data / "train/ID_10/" / sorted(names(data / "train/ID_10"))[0]
    victim.unlink()  # a copy of a link may be one
    Image.new("RGB", (256, 256), (0, 90, 30)).save(victim)
    before, old = snapshot(out), read_latents(out, "train")
    said = extract(toy, data=data, out=out)
    assert "val: 6 latents are there" in said and "train:" not in said and "wrote 18 latents" in said
    assert changed(before, snapshot(out)) == {
        "train.safetensors",
        "latents_stats.pt",
        "reconstruction_check.png",
        "stats_recommendation.txt",
    }
    new = read_latents(out, "train")
    row = new.paths.index(f"ID_10/{victim.name}")
    differing = (new.latents != old.latents).flatten(1).any(1)
    assert differing.nonzero().flatten().tolist() == [row]
    statistics = LatentStatistics.load(out / "latents_stats.pt")
    again = LatentStatistics.from_latents(new.latents, new.latents_std)
    assert torch.equal(statistics.mean, again.mean) and torch.equal(statistics.std, again.std)


def test_another_tokenizer_or_geometry_or_precision_rebuilds_everything(toy, extracted, tmp_path):
    data, out = extracted
    old = read_metadata(out, "val")
    assert old["preprocessing"] == {"geometry": "stretch", "size": 256} and old["precision"] == "32"
    said = extract(toy, "--geometry", "pad", data=data, out=out)
    assert "wrote 24 latents" in said
    assert read_metadata(out, "val")["preprocessing"] == {"geometry": "pad", "size": 256}
    other = save_tokenizer(tmp_path / "other.safetensors", seed=1)
    said = extract(toy, "--geometry", "pad", "--vavae_path", other, data=data, out=out)
    assert "wrote 24 latents" in said
    digest = read_metadata(out, "val")["tokenizer_digest"]
    assert digest == VAVAE.from_file(other).digest != old["tokenizer_digest"]
    assert "wrote 24" in extract(
        toy, "--geometry", "pad", "--vavae_path", other, "--precision", "bf16-mixed", data=data, out=out
    )


def test_a_further_person_rebuilds_splits_without_images_of_theirs(toy, extracted):
    data, out = extracted
    copy_of(data / "train/ID_2", data / "train/ID_0")  # first in the table: every label moves
    said = extract(toy, data=data, out=out)
    assert "wrote 30 latents" in said
    val = read_latents(out, "val")
    assert val.label_table.names == ("ID_0", *PEOPLE) and val.labels.tolist() == [1, 1, 2, 2, 3, 3]
    assert "of 4 people" in output_of(
        stage2.main, "--latent_dir", out, "--dry_run", "accelerator=cpu", "--precision", "32", *TINY_MODEL
    )


def test_splits_that_are_gone_lose_their_latents_and_further_ones_are_added(toy, extracted):
    data, out = extracted
    (data / "val").rename(data / "test")
    said = extract(toy, data=data, out=out)
    assert f"removed {out / 'val.safetensors'}" in said
    assert (out / "test.safetensors").exists() and not (out / "val.safetensors").exists()


def test_bad_images_are_left_out_on_request_even_whole_splits(toy, extracted):
    data, out = extracted
    bad = data / "train/ID_2" / sorted(names(data / "train/ID_2"))[0]
    for path in [bad, *(data / "val").rglob("*.png")]:
        path.unlink()
        path.write_bytes(b"not an image")
    said = extract(toy, "--skip_bad_images", data=data, out=out)
    assert f"skipped train/ID_2/{bad.name}: not an image" in said
    assert "warning: no readable image is left in val" in said
    assert len(read_latents(out, "train")) == 17 and not (out / "val.safetensors").exists()


def test_imagenet_statistics_are_compared_copied_and_forgotten(toy, extracted, tmp_path):
    data, out = extracted
    stats = LatentStatistics.load(out / "latents_stats.pt")
    given = tmp_path / "given.pt"
    LatentStatistics(stats.mean + 0.1 * stats.std, stats.std * 1.1).save(given)  # within 0.3 and 0.79 … 1.23
    said = extract(toy, "--imagenet_stats", given, data=data, out=out)
    assert "Recommendation: imagenet" in said and said.count("skipped") == 2
    assert read_recommendation(out / "stats_recommendation.txt") == "imagenet"
    copy, source = LatentStatistics.load(out / "latents_stats_imagenet.pt"), LatentStatistics.load(given)
    assert torch.equal(copy.mean, source.mean) and torch.equal(copy.std, source.std)
    table = (out / "stats_recommendation.txt").read_text().splitlines()[-32:]
    kl = (1 / 1.21 + 0.01 / 1.21 - 1 + math.log(1.21)) / 2  # ours in their units: mean -0.1/1.1, std 1/1.1
    assert all(abs(float(row.split()[3]) - kl) < 2e-4 for row in table)
    before = snapshot(out)
    extract(toy, "--imagenet_stats", given, data=data, out=out)
    assert snapshot(out) == before
    LatentStatistics(stats.mean + 2 * stats.std, stats.std).save(given)
    extract(toy, "--imagenet_stats", given, data=data, out=out)
    assert read_recommendation(out / "stats_recommendation.txt") == "micro_doppler"
    extract(toy, data=data, out=out)
    assert not (out / "latents_stats_imagenet.pt").exists()


def test_imagenet_statistics_beside_the_tokenizer_are_compared_without_a_flag(toy, extracted, tmp_path):
    data, out = extracted
    stats = LatentStatistics.load(out / "latents_stats.pt")
    tokenizer, beside = tmp_path / "weights" / "W.safetensors", tmp_path / "weights" / "latents_stats.pt"
    beside.parent.mkdir()
    tokenizer.write_bytes(toy.tokenizer.read_bytes())
    LatentStatistics(stats.mean + 0.1 * stats.std, stats.std * 1.1).save(beside)
    given = ("--vavae_path", tokenizer)
    said = extract(toy, *given, data=data, out=out)
    assert f"compared with {beside}" in said and "Recommendation: imagenet" in said
    other = tmp_path / "other.pt"
    LatentStatistics(stats.mean + 2 * stats.std, stats.std).save(other)
    said = extract(toy, *given, "--imagenet_stats", other, data=data, out=out)
    assert "beside" not in said and "Recommendation: micro_doppler" in said
    for channels, content in (("4 channels", None), ("empty statistics file", b"")):
        LatentStatistics(torch.zeros(1, 4, 1, 1), torch.ones(1, 4, 1, 1)).save(beside)
        if content is not None:
            beside.write_bytes(content)
        said = extract(toy, *given, data=data, out=out)
        lines = [line for line in said.splitlines() if channels in line]
        assert len(lines) == 1 and lines[0].startswith("warning: ") and "not compared with" in lines[0]
        assert not (out / "latents_stats_imagenet.pt").exists()


def test_export_is_readable_as_upstream_s_folder_and_follows_the_latents(toy, extracted):
    data, out = extracted
    extract(toy, "--export", "lightningdit", data=data, out=out)
    ours, theirs = read_latents(out, "train"), read_latents(out / "lightningdit", "train")
    assert torch.equal(ours.latents, theirs.latents) and torch.equal(ours.labels, theirs.labels)
    assert theirs.metadata == {"layout": "lightningdit"}
    before = snapshot(out)
    extract(toy, "--export", "lightningdit", data=data, out=out)
    assert snapshot(out) == before
    extract(toy, "--geometry", "crop", data=data, out=out)
    cropped, theirs = read_latents(out, "train"), read_latents(out / "lightningdit", "train")
    assert torch.equal(cropped.latents, theirs.latents)


def test_a_tokenizer_that_does_not_suit_the_images_is_warned_of(toy, tmp_path):
    said = extract(toy, out=tmp_path / "new")
    assert f"warning: {toy.tokenizer} does not suit these images" in said  # its weights were never trained


# Stage 2


def test_stage_2_writes_the_files_of_the_design(toy):
    files = names(toy.models)
    assert {
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "checkpoints/best.safetensors",
        "config.yaml",
    } <= files
    assert any(name.startswith("lightning_logs/version_0/") and "tfevents" in name for name in files)
    assert "lightning_logs/version_0/metrics.csv" in files
    for name in ("best.ckpt", "best.safetensors"):
        net, payload = load_trained(toy.models / "checkpoints" / name)
        statistics = LatentStatistics.load(toy.latents / "latents_stats.pt")
        assert payload.labels.names == PEOPLE and net.null_class == 3
        assert torch.equal(payload.statistics.mean, statistics.mean)
        assert payload.tokenizer_digest == VAVAE.from_file(toy.tokenizer).digest
        assert payload.preprocessing["geometry"] == "stretch"
        assert (payload.model["depth"], payload.model["hidden_size"]) == (1, 32)
    configs = resolve(("train", "model"), load_preset(toy.models / "config.yaml"))
    assert (configs["train"].max_steps, configs["train"].lr, configs["model"].depth) == (3, 1e-4, 1)


def test_stage_2_again_changes_nothing(toy):
    before = snapshot(toy.models)
    said = output_of(stage2.main, *toy.training, "--max_epochs", "100", "max_steps=3")
    assert "skipped" in said and snapshot(toy.models) == before


def test_dry_run_prints_the_model_and_writes_nothing(toy, tmp_path):
    said = output_of(
        stage2.main,
        f"--latent_dir {toy.latents} --output_dir {tmp_path}/new --dry_run",
        "--config configs/microdoppler_s.yaml accelerator=cpu --precision 32",
    )
    assert "M parameters" in said and "depth 12, hidden 384" in said and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "preset", "lr"),
    [
        ((), True, 1e-3),
        (("--lr", "2e-4"), True, 2e-4),
        (("model.preset=LightningDiT-S/2",), False, 1e-4),
        (("--config", "configs/microdoppler_xs.yaml"), False, 6e-3),
    ],
)
def test_few_latents_are_trained_by_the_preset_for_them(toy, tmp_path, asked, preset, lr):
    command = ("--latent_dir", toy.latents, "--output_dir", tmp_path / "new", "--dry_run", "accelerator=cpu")
    said = output_of(stage2.main, *command, *asked)
    assert ("preset: configs/microdoppler_s.yaml" in said) == preset
    section = OmegaConf.create(said[said.index("train:") : said.index("LightningDiT depth")])
    assert section["train"]["lr"] == lr
    assert section["transport"]["lognorm_loc"] == (-0.8 if preset or "--config" in asked else 0)
