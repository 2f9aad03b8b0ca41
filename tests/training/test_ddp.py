"""Two CPU processes, started as a user starts them, are one process with twice the batch."""

import json
from pathlib import Path

import pytest
import torch
from process_pairs import finish, kill_one_of_two, launch, wait_until
from tiny_runs import MODEL, TRAIN, read_last, stage2_settings

import stage2_train_dit
from runtime.precision import LEAST_STEPS

STEPS = {"max_steps": 4, "validate_every": 2}


def command(latents: Path, output: Path, **changes) -> list[str]:
    settings = {**TRAIN, **STEPS, "latent_dir": latents, "output_dir": output, "devices": 2, **changes}
    return [
        "stage2_train_dit.py",
        *(f"{key}={value}" for key, value in settings.items()),
        *(f"model.{key}={value}" for key, value in MODEL.items()),
    ]


@pytest.fixture(scope="module")
def two(latents, tmp_path_factory) -> tuple[Path, str, str]:
    """Folder, output and errors of a run of two processes."""
    folder = tmp_path_factory.mktemp("two") / "run"
    status, output, errors = finish(launch(command(latents, folder)), 240)
    assert status == 0, errors
    return folder, output, errors


def test_two_processes_are_one_with_twice_the_batch(latents, two, tmp_path):
    stage2_train_dit.run(stage2_settings(latents, tmp_path, **STEPS, batch_size=8))
    one, pair = read_last(tmp_path), read_last(two[0])
    assert one["global_step"] == pair["global_step"] == 4
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(pair["state_dict"][name], value, rtol=1e-4, atol=1e-5, msg=name)
    rows = one["callbacks"]["RunFiles"]["rows"], pair["callbacks"]["RunFiles"]["rows"]
    for expected, row in zip(*rows, strict=True):
        assert row == pytest.approx(expected, rel=1e-5)


def test_two_processes_write_and_say_everything_once(two):
    folder, output, errors = two
    assert {path.name for path in folder.iterdir()} == {
        "checkpoints",
        "config.yaml",
        "lightning_logs",
        "run.json",
        "training_log.csv",
        "training_report.png",
    }
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {
        "best.ckpt",
        "best.safetensors",
        "last.ckpt",
    }
    assert len(list((folder / "lightning_logs").glob("version_*"))) == 1
    for text in ("step 4/4", "statistics: micro_doppler", "next: python"):
        assert output.count(text) == 1, text
    assert len((folder / "training_log.csv").read_text().splitlines()) == 3
    assert "Warning" not in errors and "deprecated" not in errors


@pytest.mark.slow
def test_both_processes_take_the_arithmetic_that_the_main_one_chose(latents, tmp_path):
    long = {"max_steps": LEAST_STEPS, "validate_every": LEAST_STEPS}
    auto = command(latents, tmp_path / "auto", precision="auto", **long)
    status, output, errors = finish(launch(auto), 240)
    assert status == 0 and output.count("precision auto, training: ") == 1, errors
    chosen = json.loads((tmp_path / "auto" / "precision.json").read_text())["cpu"]["training"]["precision"]
    status, _, errors = finish(launch(command(latents, tmp_path / "named", precision=chosen, **long)), 240)
    assert status == 0, errors
    logs = [(tmp_path / name / "training_log.csv").read_bytes() for name in ("auto", "named")]
    assert logs[0] == logs[1]


def test_a_refusal_ends_the_whole_run_at_once(latents, two):
    status, _, errors = finish(launch(command(latents, two[0], lr=5e-3, max_steps=8)), 120)
    assert status == 2
    assert errors.splitlines()[-1].startswith("error: ") and errors.count("train.lr was 0.01, now 0.005") == 1


def test_every_process_refuses_so_that_none_waits_for_a_refused_one(latents, two, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(ValueError, match="train.lr was 0.01, now 0.005"):
        stage2_train_dit.run(stage2_settings(latents, two[0], **STEPS, lr=5e-3))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_run_in_bounded_time(latents, tmp_path, rank):
    main = launch(command(latents, tmp_path / "run", max_steps=100_000, validate_every=5))
    wait_until((tmp_path / "run" / "checkpoints" / "last.ckpt").exists, 120)
    kill_one_of_two(main, rank)
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] >= 5


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_every_process(latents, tmp_path):
    """The rate breaks the weights in the first step, which every process finds at the same point."""
    settings = {"lr": 1e38, "warmup_steps": 0, "weight_decay": 1e5}
    status, _, errors = finish(launch(command(latents, tmp_path, **settings)), 120)
    assert status != 0 and "no longer finite" in errors and "Traceback" not in errors
    assert not list(tmp_path.glob("checkpoints/*"))
