"""Whole runs of stage 2: resuming is the run, interruptions leave no trace, other settings are refused."""

import resource
import shutil
import signal
from pathlib import Path

import numpy
import pytest
import pytorch_lightning as pl
import torch
from conftest import PROJECT
from matplotlib.axes import Axes
from PIL import Image
from saved_latents import write_again
from tables import figures_of
from tiny_runs import (
    USERS,
    assert_same,
    assert_same_run,
    read_last,
    stage2_settings,
    train,
    train_with,
    write_tiny_latents,
)

import stage2_train_dit
import training.fit
import training.run_files
from configs.load import resolve
from data.latent_stats import LatentStatistics
from evaluation.copy_watch import CopyWatch
from training.batches import LatentDataModule
from training.claim import steps_done
from training.curve import draw_report, reference_curve
from training.dit_run import comparable
from training.run_files import RunFiles


class Stop(pl.Callback):
    """Raises `error` after batch number `batch` of this start."""

    def __init__(self, batch: int, error: BaseException) -> None:
        self.left, self.error = batch, error

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        if self.left == 0:
            raise self.error
        self.left -= 1


@pytest.fixture(scope="module")
def twelve(latents, tmp_path_factory) -> Path:
    """Twelve steps at once, never disturbed."""
    folder = tmp_path_factory.mktemp("twelve") / "run"
    train(latents, folder, max_steps=12)
    return folder


def log_rows(folder: Path) -> list[dict[str, float]]:
    return figures_of(folder / "training_log.csv")


def refusal(call, *arguments, **keywords) -> str:
    with pytest.raises(ValueError) as caught:
        call(*arguments, **keywords)
    message = str(caught.value)
    assert "\n" not in message and ";" in message, message
    return message


# Resuming


def test_a_run_and_its_continuation_are_the_run_at_once(latents, twelve, tmp_path):
    train(latents, tmp_path / "run", max_steps=6)
    assert steps_done(tmp_path / "run") == 6
    train(latents, tmp_path / "run", max_steps=12)
    assert_same_run(tmp_path / "run", twelve)
    assert [row["step"] for row in log_rows(twelve)] == [3, 6, 9, 12]


def test_also_with_accumulation_in_the_middle_of_a_pass(latents, tmp_path):
    settings = {"accumulate": 2, "validate_every": 2}  # 22 latents: five batches of four a pass
    for steps in (4, 8):
        train(latents, tmp_path / "parts", max_steps=steps, **settings)
    train(latents, tmp_path / "whole", max_steps=8, **settings)
    assert_same_run(tmp_path / "parts", tmp_path / "whole")
    assert_same([row["step"] for row in log_rows(tmp_path / "whole")], [2.0, 4.0, 6.0, 8.0])


def test_runs_of_one_seed_are_equal_and_of_two_differ(latents, twelve, tmp_path):
    train(latents, tmp_path / "again", max_steps=12)
    assert_same_run(tmp_path / "again", twelve)
    train(latents, tmp_path / "other", max_steps=3, seed=1)
    name = "ema.blocks.0.attn.qkv.weight"
    states = [read_last(folder)["state_dict"][name] for folder in (tmp_path / "other", twelve)]
    assert not torch.equal(*states)


def test_a_finished_run_is_left_as_it_is(latents, twelve, tmp_path, capsys):
    shutil.copytree(twelve, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.*")}
    train(latents, tmp_path / "run", max_steps=12)
    stage2_train_dit.run(stage2_settings(latents, tmp_path / "run", max_steps=7), "my.yaml")
    said = capsys.readouterr().out
    assert "already holds 12 of 12 steps" in said and said.endswith("--user_ids all --config my.yaml\n")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.*")} == before


def test_the_weights_move_and_the_schedule_warms_up(latents, twelve):
    state = read_last(twelve)
    net, ema = (
        {name: value for name, value in state["state_dict"].items() if name.startswith(prefix)}
        for prefix in ("net.", "ema.")
    )
    assert float(net["net.final_layer.linear.weight"].abs().max()) > 0
    assert not torch.equal(net["net.final_layer.linear.weight"], ema["ema.final_layer.linear.weight"])
    assert state["ema_updates"] == state["global_step"] == 12
    assert state["optimizer_states"][0]["param_groups"][0]["lr"] == 1e-2


# Interruptions


@pytest.mark.parametrize("batch", [1, 5, 7, 11])
def test_a_run_that_fell_over_and_started_again_is_the_run(latents, twelve, tmp_path, batch):
    with pytest.raises(RuntimeError, match="power cut"):
        train_with(Stop(batch, RuntimeError("power cut")), latents, tmp_path, max_steps=12)
    assert steps_done(tmp_path) == batch // 3 * 3
    train(latents, tmp_path, max_steps=12)
    assert_same_run(tmp_path, twelve)


def test_falling_over_inside_an_accumulated_step_changes_nothing(latents, tmp_path):
    settings = {"accumulate": 3, "max_steps": 4, "validate_every": 1}
    with pytest.raises(RuntimeError):
        train_with(Stop(5, RuntimeError("power cut")), latents, tmp_path / "a", **settings)
    train(latents, tmp_path / "a", **settings)
    train(latents, tmp_path / "b", **settings)
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_ctrl_c_ends_as_an_interruption_and_the_run_continues(latents, twelve, tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            train_with(Stop(4, KeyboardInterrupt()), latents, tmp_path, max_steps=12)
    finally:
        signal.signal(signal.SIGINT, handler)
    train(latents, tmp_path, max_steps=12)
    assert_same_run(tmp_path, twelve)


def test_a_curve_without_a_loss_has_no_legend(tmp_path, recwarn):
    draw_report([{"step": 1, "val_psnr": 20.0}], "val_psnr", "", tmp_path / "report.png")
    assert (tmp_path / "report.png").is_file() and not list(recwarn)


def test_a_kill_between_best_and_last_writes_the_same_files_again(tmp_path, monkeypatch):
    def power_cut(*_):
        raise RuntimeError("power cut")

    def draw_report(rows, *_):
        if rows[-1]["step"] == 6:  # so that there is an older last.ckpt
            patch.setattr(pl.Trainer, "save_checkpoint", power_cut)

    latents = write_tiny_latents(tmp_path / "latents", num_val=0)  # so that every save is the best
    with monkeypatch.context() as patch:
        patch.setattr(training.run_files, "draw_report", draw_report)
        with pytest.raises(RuntimeError, match="power cut"):
            train(latents, tmp_path / "run", max_steps=9)
    best = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    assert (steps_done(tmp_path / "run"), best["global_step"]) == (3, 6)
    train(latents, tmp_path / "run", max_steps=9)
    train(latents, tmp_path / "whole", max_steps=9)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_full_disk_leaves_the_last_good_checkpoint(latents, twelve, tmp_path):
    train(latents, tmp_path, max_steps=6)
    before = {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))  # smaller than a checkpoint
    try:
        with pytest.raises(OSError, match="free some space") as caught:
            train(latents, tmp_path, max_steps=12)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()} == before
    train(latents, tmp_path, max_steps=12)
    assert_same_run(tmp_path, twelve)


# What is written


def test_best_is_the_latest_as_good_as_the_lowest_validation_loss(twelve):
    rows = log_rows(twelve)
    lowest = numpy.minimum.accumulate([row["val_loss"] for row in rows])
    best = [row for row, least in zip(rows, lowest) if row["val_loss"] <= 1.005 * least][-1]
    state = torch.load(twelve / "checkpoints" / "best.ckpt", weights_only=True)
    assert state["global_step"] == best["step"]
    assert read_last(twelve)["callbacks"]["RunFiles"]["best"] == (False, best["val_loss"])
    assert {f"val_loss_user_{user}" for user in USERS} < rows[0].keys()
    assert [row["epoch"] for row in rows] == [0.6, 1.2, 1.8, 2.4]


def test_losses_that_cannot_be_told_apart_leave_the_later_best_and_do_not_drift():
    files = RunFiles(Path("-"), "-", 1, 9, 1, "val_loss", indistinct=0.01)
    best = []
    for loss in (1.0, 1.005, 1.009, 1.012, 0.9, 0.91, 0.905):
        files.rows.append({"val_loss": loss})
        best.append(files.newest_is_best())
    assert best == [True, True, True, False, True, False, True]
    files.rows.append({"val_loss": 0.1, "memorised": 1.0, "memorised_val": 0.0})
    assert not files.newest_is_best()
    files.rows[-1]["memorised_val"] = 0.5  # held-out data repeat training data: no measure of copying
    assert files.newest_is_best()


def test_an_overfitting_run_keeps_its_early_best(latents, tmp_path):
    """Noise cannot be learnt, so the validation loss rises from the start: best stays, last goes on."""
    train(latents, tmp_path, max_steps=3, validate_every=1, ema_decay=0.0)
    losses = [row["val_loss"] for row in log_rows(tmp_path)]
    assert losses == sorted(losses)
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert (best["global_step"], read_last(tmp_path)["global_step"]) == (1, 3)


def test_patience_ends_a_run_for_good_and_more_of_it_goes_on(latents, tmp_path, capsys):
    """Noise cannot be learnt: the first validation stays the best one."""
    keys = {"max_steps": 9, "validate_every": 1, "ema_decay": 0.0}
    train(latents, tmp_path / "run", patience=2, **keys)
    said = capsys.readouterr().out
    assert "training ends at step 3: best at step 1" in said and "none better in 2 validations" in said
    before = (tmp_path / "run/training_log.csv").read_bytes()
    train(latents, tmp_path / "run", patience=2, **keys)
    assert steps_done(tmp_path / "run") == 3 and "training ends at step 3" in capsys.readouterr().out
    assert (tmp_path / "run/training_log.csv").read_bytes() == before
    for name in ("run", "whole"):
        train(latents, tmp_path / name, patience=4, **keys)
    assert steps_done(tmp_path / "run") == 5
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_weights_that_copy_are_best_only_where_all_do(latents, tmp_path, monkeypatch):
    """The lowest loss of the run comes last, where the model is said to copy from some step on."""

    def pretend(copying_from):
        def watch(self, module):
            return {"memorised": float(module.trainer.global_step >= copying_from), "memorised_val": 0.0}

        monkeypatch.setattr(CopyWatch, "__call__", watch)

    for name, copying_from, expected in (("some", 9, 3), ("all", 0, 9), ("none", 99, 9)):
        pretend(copying_from)
        train(latents, tmp_path / name, max_steps=9, watch_copies=1, ema_decay=0.0)
        losses = [row["val_loss"] for row in log_rows(tmp_path / name)]
        assert losses[2] < losses[0] < losses[1]
        best = torch.load(tmp_path / name / "checkpoints" / "best.ckpt", weights_only=True)
        assert best["global_step"] == expected
        with Image.open(tmp_path / name / "training_report.png") as picture:
            assert picture.height == 1000  # losses, losses by time, copies


@pytest.mark.parametrize(
    ("cosine", "last", "shown"),
    [(True, 9, 0), (True, 2500, 2), (True, 9000, 5), (True, 30000, 12), (False, 9000, 0)],
)
def test_the_shipped_model_s_curve_is_grey_where_the_loss_is_the_same(
    tmp_path, monkeypatch, cosine, last, shown
):
    """Up to the first of its points after the run's own last step, of twelve at 2,000, 4,000, ... 24,000."""
    drawn = []
    monkeypatch.setattr(Axes, "plot", lambda axes, *values, **style: drawn.append((values, style)))
    transport = resolve(("transport",), {"transport": {"use_cosine_loss": cosine}})["transport"]
    files = RunFiles(tmp_path, "-", 1, 9, 1, "val_loss", reference=comparable(transport))
    files.rows = [{"step": last, "train_loss": 1.0, "val_loss": 1.2}]
    files.draw()
    grey = [values for values, style in drawn if "shipped" in style["label"]]
    assert [len(steps) for steps, _ in grey] == ([shown] if shown else [])
    card = (PROJECT / "pretrained" / "README.md").read_text(encoding="utf-8")
    assert ", ".join(f"{loss:g}" for _, loss in reference_curve()) in card


def test_without_validation_latents_the_latest_is_best(tmp_path, capsys):
    latents = write_tiny_latents(tmp_path / "latents", num_val=0)
    train(latents, tmp_path / "run")
    assert "no validation latents" in capsys.readouterr().out
    assert list(log_rows(tmp_path / "run")[0]) == ["step", "epoch", "train_loss"]
    best = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["global_step"] == 6
    last = read_last(tmp_path / "run")["state_dict"]
    assert_same(best["state_dict"], {name: last[name] for name in last if name.startswith("ema.")})


def test_the_folder_holds_these_files_and_no_leftovers(twelve):
    names = {str(path.relative_to(twelve)) for path in twelve.rglob("*") if path.is_file()}
    assert {name for name in names if not name.startswith("lightning_logs")} == {
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "checkpoints/best.safetensors",
        "config.yaml",
        "run.json",
        "training_log.csv",
        "training_report.png",
    }
    assert {path.stat().st_mode & 0o777 for path in (twelve / "checkpoints").iterdir()} == {
        (twelve / "config.yaml").stat().st_mode & 0o777
    }


# Refusals


def test_other_statistics_in_the_same_folder_are_refused(latents, twelve, tmp_path):
    shutil.copytree(latents, tmp_path / "latents")
    shutil.copy(latents / "latents_stats.pt", tmp_path / "latents" / "latents_stats_imagenet.pt")
    (tmp_path / "latents" / "stats_recommendation.txt").write_text("Recommendation: imagenet\n")
    message = refusal(train, tmp_path / "latents", twelve, max_steps=24)
    assert "train.latent_dir.statistics was 'micro_doppler', now 'imagenet'" in message


def test_how_long_and_where_to_look_may_change(latents, twelve, tmp_path):
    shutil.copytree(twelve, tmp_path / "run")
    train(latents, tmp_path / "run", max_steps=13, log_every=1, devices="1")
    assert steps_done(tmp_path / "run") == 13


def test_checkpoints_of_unknown_origin_are_refused(latents, twelve, tmp_path):
    shutil.copytree(twelve, tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    assert "no run.json" in refusal(train, latents, tmp_path / "run", max_steps=24)


def test_a_damaged_last_checkpoint_is_named(latents, twelve, tmp_path):
    shutil.copytree(twelve, tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.unlink()
    last.write_bytes((twelve / "checkpoints" / "last.ckpt").read_bytes()[:5000])
    assert str(last) in refusal(train, latents, tmp_path / "run", max_steps=24)
    torch.save({"weights": torch.zeros(2)}, last)
    assert str(last) in refusal(train, latents, tmp_path / "run", max_steps=24)


def test_statistics_of_other_latents_are_refused(latents, tmp_path):
    shutil.copytree(latents, tmp_path / "latents")
    wrong = LatentStatistics(torch.zeros(1, 32, 1, 1), torch.ones(1, 32, 1, 1))
    wrong.save(tmp_path / "latents" / "latents_stats.pt")
    assert "32 channels, the latents have 4" in refusal(train, tmp_path / "latents", tmp_path / "run")


def test_validation_latents_of_another_tokenizer_are_refused(latents, tmp_path):
    shutil.copytree(latents, tmp_path / "latents")
    write_again(latents, tmp_path / "latents", "val", {"tokenizer_digest": "e" * 64})
    assert "run stage1_extract_features.py again" in refusal(train, tmp_path / "latents", tmp_path / "run")


# Losses that are no longer finite


def poison(latents: Path, folder: Path) -> Path:
    """Latents, still finite, whose squared error is not: the statistics say they are a millionth as wide."""
    shutil.copytree(latents, folder)
    statistics = LatentStatistics.load(latents / "latents_stats.pt")
    LatentStatistics(statistics.mean, statistics.std * 1e-30).save(folder / "latents_stats.pt")
    return folder


def test_an_infinite_loss_stops_before_anything_is_written(latents, tmp_path):
    message = refusal(train, poison(latents, tmp_path / "latents"), tmp_path / "run")
    assert "no longer finite at step 1" in message and "no checkpoint had been written" in message
    assert not list(tmp_path.glob("run/checkpoints/*"))


def test_a_late_infinite_loss_keeps_the_checkpoints(latents, tmp_path, monkeypatch):
    train(latents, tmp_path, max_steps=6)
    before = {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
    fetch = LatentDataModule.fetch

    def fetch_nan(self, indices):
        batch = fetch(self, indices)
        return {**batch, "mean": torch.full_like(batch["mean"], float("nan"))}

    with monkeypatch.context() as patch:
        patch.setattr(LatentDataModule, "fetch", fetch_nan)
        message = refusal(train, latents, tmp_path, max_steps=12)
    assert "at step 7" in message and "last.ckpt is intact" in message and "lower lr" in message
    assert {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()} == before
    assert steps_done(tmp_path) == 6


def test_infinite_weights_are_not_saved(latents, tmp_path):
    """The loss of the only step is finite; what the step makes of the weights is not."""
    message = refusal(train, latents, tmp_path, max_steps=1, lr=1e38, warmup_steps=0, weight_decay=1e5)
    assert "no longer finite at step 1" in message
    assert not list(tmp_path.glob("checkpoints/*"))
