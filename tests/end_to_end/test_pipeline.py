"""run_complete_pipeline.py: the command that users type, a second time, in parts, and when a stage fails."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from toy_run import (
    TINY_MODEL,
    changed,
    copy_of,
    output_of,
    refusal_of,
    run_as_script,
    save_tokenizer,
    snapshot,
)

import run_complete_pipeline as pipeline
from configs import stage_process
from configs.command_line import parse
from tokenizer import weights

PROJECT = Path(pipeline.__file__).parent
LATENTS = "latent_features/train.safetensors"
BEST = "trained_models/checkpoints/best.ckpt"
GRID = "generated_images/micro_doppler_grid.png"


def arguments(toy, out, *more):
    """The flags of the documented command; lengths, sizes and the device for a test."""
    return [
        "--data_dir",
        str(toy.data),
        "--vavae_path",
        str(toy.tokenizer),
        "--output_dir",
        str(out),
        "--batch_size",
        "32",
        "--max_epochs",
        "50",
        "--devices",
        "1",
        "--precision",
        "32",
        "--generate_user_ids",
        "1",
        "2",
        "10",
        "--num_samples_per_user",
        "2",
        "--lr",
        "1e-4",
        "train.max_steps=2",
        "sample.num_steps=2",
        "train.accelerator=cpu",
        "extract.device=cpu",
        "sample.device=cpu",
        *TINY_MODEL,
        *more,
    ]


@pytest.fixture
def in_process(monkeypatch):
    """Start the stages here instead of as processes, which cost seconds each; keeps their command lines."""
    started, elsewhere = [], stage_process.subprocess.run

    def run(command, timeout=None, **options):
        if command[0] == "git":
            return elsewhere(command, timeout=timeout, **options)
        assert command[0] == sys.executable and Path(command[1]).parent == PROJECT
        started.append((Path(command[1]).name, command[2:]))
        status, out, err = run_as_script(importlib.import_module(Path(command[1]).stem).main, *command[2:])
        print(out, end="")
        print(err, end="", file=sys.stderr)
        return SimpleNamespace(returncode=status)

    monkeypatch.setattr(stage_process.subprocess, "run", run)
    return started


@pytest.fixture(scope="module")
def finished(toy, tmp_path_factory):
    """The run as real processes, once."""
    out = tmp_path_factory.mktemp("pipeline") / "out"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, str(PROJECT / "run_complete_pipeline.py"), *arguments(toy, out)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=out.parent,
    )
    assert run.returncode == 0, run.stderr
    return out, run.stdout


def test_one_command_runs_every_stage(finished):
    out, said = finished
    for name in (
        LATENTS,
        "latent_features/latents_stats.pt",
        BEST,
        BEST.replace("ckpt", "safetensors"),
        GRID,
        "generated_images/samples.csv",
    ):
        assert (out / name).is_file(), name
    images = sorted(path.name for path in (out / "generated_images").glob("micro_doppler_user*.png"))
    assert images == [f"micro_doppler_user{user}_{k:03d}.png" for user in ("01", "02", "10") for k in (1, 2)]
    order = [said.index(f"== {name}: python") for name in ("extraction", "training", "generation")]
    assert order == sorted(order) and "wrote 24 latents" in said and "wrote 6 images" in said
    assert sorted(path.name for path in out.iterdir()) == [
        "generated_images",
        "latent_features",
        "trained_models",
    ]


def test_people_that_nobody_can_draw_are_refused_before_training(toy, tmp_path, in_process):
    out = tmp_path / "out"
    shutil.copytree(toy.latents, out / "latent_features")
    argv = arguments(toy, out, "--skip_extraction", "--generate_user_ids", "1", "99")
    status, _, err = run_as_script(pipeline.main, *argv)
    assert status == 2 and "error: --generate_user_ids: unknown user 99" in err
    assert [script for script, _ in in_process] == ["stage2_train_dit.py"]
    assert not (out / "trained_models").exists()


def test_the_same_command_again_skips_every_stage(toy, finished, in_process):
    out, before = finished[0], snapshot(finished[0])
    said = output_of(pipeline.main, *arguments(toy, out))
    assert [script for script, _ in in_process] == [
        "stage1_extract_features.py",
        "stage2_train_dit.py",
        "stage3_inference.py",
    ]
    extraction, training, generation = (
        said.split(f"== {name}: python")[1].split("\n==")[0]
        for name in ("extraction", "training", "generation")
    )
    assert extraction.count("; skipped") == 2 and "wrote 0 latents" in extraction
    assert "already holds 2 of 2 steps" in training and "skipped" in training
    assert "6 of them there: drawing skipped" in generation
    written = {name for name in changed(before, snapshot(out)) if name != "generated_images/samples.csv"}
    assert written <= {GRID} and [digest for _, digest in before.values()] == [
        digest for _, digest in snapshot(out).values()
    ]


def test_parts_can_be_skipped(toy, finished, in_process, tmp_path):
    out = copy_of(finished[0], tmp_path / "out")
    said = output_of(
        pipeline.main, *arguments(toy, out), "--skip_extraction", "--skip_training", "--skip_generation"
    )
    assert in_process == [] and all(
        f"== {name}: skipped, as asked ==" in said for name in ("extraction", "training", "generation")
    )
    flags = ["--skip_training", "--num_samples_per_user", "3"]
    output_of(pipeline.main, *arguments(toy, out), *flags, "--skip_extraction")
    assert [script for script, _ in in_process] == ["stage3_inference.py"]
    assert (out / "generated_images/micro_doppler_user10_003.png").is_file()
    in_process.clear()
    without_inputs = ["--output_dir", str(out), "--skip_extraction", "--skip_training", "--skip_generation"]
    output_of(pipeline.main, *without_inputs)


def test_evaluation_runs_when_asked_for(toy, finished, in_process, tmp_path):
    out = copy_of(finished[0], tmp_path / "out")
    said = output_of(
        pipeline.main,
        *arguments(toy, out),
        "--evaluate",
        "--skip_extraction",
        "--skip_training",
        "--skip_generation",
    )
    [(script, flags)] = in_process
    assert script == "stage4_evaluate.py" and "--axes" not in flags and "judged right: real" in said
    assert flags[flags.index("--real") + 1] == str(toy.data)
    metrics = json.loads((out / "evaluation/metrics.json").read_text())
    assert metrics["counts"] == {"train": 18, "val": 6, "generated": 6}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "--data_dir: required, but not given (or run with --demo)"),
        (["--data_dir", "."], "--vavae_path: required"),
        (["--data_dir", "absent", "--vavae_path", "."], "--data_dir absent: no such file or folder"),
        (["--data_dir", ".", "--vavae_path", "absent.pt"], "--vavae_path absent.pt: no such file or folder"),
        (["--skip_extraction"], "--vavae_path: required"),
        (["--skip_extraction", "--evaluate", "--vavae_path", "."], "--data_dir: required"),
        (["--demo", "--data_dir", "."], "leave --data_dir and --vavae_path out"),
        (["--generate_users", "1"], "unrecognized arguments"),
        (["train.batchsize=3"], "unknown key train.batchsize; did you mean batch_size?"),
        (["--lr", "0"], "pipeline.lr=0.0: expected more than 0"),
        (["--config", "absent.yaml"], "--config absent.yaml: no such file"),
    ],
)
def test_wrong_flags_are_refused_before_any_stage(given, said, in_process, tmp_path):
    text = refusal_of(pipeline.main, "--output_dir", tmp_path / "out", *given, unchanged=tmp_path)
    assert said in text and in_process == []


def test_a_failing_stage_ends_the_run_with_its_status_and_message(toy, tmp_path, in_process):
    (tmp_path / "W.pt").write_bytes(b"no weights")
    status, out, err = run_as_script(
        pipeline.main, *arguments(toy, tmp_path / "out"), "--vavae_path", tmp_path / "W.pt"
    )
    assert status == 2 and len(in_process) == 1 and "Traceback" not in err
    messages = [line for line in err.splitlines() if "%|" not in line and line.strip()]
    assert messages[0].startswith("error: ") and str(tmp_path / "W.pt") in messages[0]
    assert messages[1] == "extraction ended with status 2; the same command continues from there"


@pytest.mark.parametrize(("returned", "status"), [(7, 7), (1, 1), (-9, 137)])
def test_the_status_of_a_stage_is_passed_on(returned, status, toy, tmp_path, monkeypatch):
    monkeypatch.setattr(
        stage_process.subprocess, "run", lambda command, **_: SimpleNamespace(returncode=returned)
    )
    assert run_as_script(pipeline.main, *arguments(toy, tmp_path))[0] == status


def test_config_overrides_and_debug_reach_every_stage_and_unset_flags_none(toy, tmp_path, monkeypatch):
    (tmp_path / "preset.yaml").write_text("pipeline: {lr: 3.0e-4}\ntrain: {log_every: 7}\n")
    commands = []
    monkeypatch.setattr(
        stage_process.subprocess,
        "run",
        lambda command, **_: commands.append(command) or SimpleNamespace(returncode=0),
    )
    output_of(
        pipeline.main,
        "--data_dir",
        toy.data,
        "--vavae_path",
        toy.tokenizer,
        "--output_dir",
        tmp_path,
        "--config",
        tmp_path / "preset.yaml",
        "model.depth=3",
        "batch_size=8",
        "--debug",
    )
    assert len(commands) == 3
    for command in commands:
        assert command[command.index("--config") + 1] == str(tmp_path / "preset.yaml")
        assert "model.depth=3" in command and "--debug" in command and "None" not in command
        assert "--max_epochs" not in command and "batch_size=8" not in command
    lr = commands[1][commands[1].index("--lr") + 1]
    assert float(lr) == 3e-4 and commands[0][commands[0].index("--batch_size") + 1] == "8"


def clocked(monkeypatch, act) -> list[tuple[str, float | None, list[str]]]:
    """Stages that do nothing but `act(script)`; their scripts, time limits and arguments are kept."""
    started = []

    def run(command, timeout=None):
        started.append((Path(command[1]).name, timeout, command[2:]))
        act(started[-1][0])
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(stage_process.subprocess, "run", run)
    return started


def test_the_stages_get_what_is_left_of_the_time(toy, tmp_path, monkeypatch):
    started = clocked(monkeypatch, lambda script: None)
    output_of(pipeline.main, *arguments(toy, tmp_path), "--max_hours", "2")
    assert [script[:6] for script, *_ in started] == ["stage1", "stage2", "stage3"]
    limits = [7200, None, 7200]  # training is not killed but told
    assert [timeout and round(timeout, -2) for _, timeout, _ in started] == limits
    hours = started[1][2]
    assert 1.9 < float(hours[hours.index("--max_hours") + 1]) < 2
    assert all("--max_hours" not in given for script, _, given in started if "stage2" not in script)


def test_at_the_end_of_the_time_the_run_ends_well(toy, tmp_path, monkeypatch):
    def late(script):
        if "stage3" in script:
            raise subprocess.TimeoutExpired(script, 1)

    started = clocked(monkeypatch, late)
    said = output_of(pipeline.main, *arguments(toy, tmp_path), "--max_hours", "2")
    assert len(started) == 3 and said.endswith("== time is up; the same command goes on ==\n")
    started.clear()
    output_of(pipeline.main, *arguments(toy, tmp_path), "--max_hours", "1e-9")
    assert not started


def test_unfinished_training_is_not_drawn_from(toy, tmp_path, in_process):
    given = [*arguments(toy, tmp_path), "--max_hours", "1", "train.max_hours=1e-9"]
    # the override wins over the flag: training stops at once
    assert "time is up: stopped at step 1 of 2" in output_of(pipeline.main, *given)
    assert [script for script, _ in in_process] == ["stage1_extract_features.py", "stage2_train_dit.py"]
    output_of(pipeline.main, *given)
    assert (tmp_path / GRID).is_file()


def test_the_next_session_starts_from_another_folder(finished, toy, tmp_path, in_process):
    earlier, _ = finished
    before = snapshot(earlier)
    shutil.copytree(earlier / "latent_features", tmp_path / "out/.trained_models.part")  # what a kill left
    given = [*arguments(toy, tmp_path / "out"), "--resume_from", str(earlier)]
    said = output_of(pipeline.main, *given)
    assert said.count("starting from") == 3 and "already holds 2 of 2 steps" in said
    assert "drawing skipped" in said and snapshot(earlier) == before
    assert not [path for path in (tmp_path / "out").rglob("*") if "time" in path.name]
    assert "starting from" not in output_of(pipeline.main, *given)
    text = refusal_of(
        pipeline.main, *arguments(toy, tmp_path / "new"), "--resume_from", toy.images, unchanged=tmp_path
    )
    assert f"--resume_from {toy.images}: none of simulated, data_split, latent_features" in text


ON_CPU = ("train.accelerator=cpu", "extract.device=cpu", "sample.device=cpu", "--precision", "32")


@pytest.fixture
def compact(tmp_path, monkeypatch):
    """The tokenizer that ships, replaced by the smallest of the family: what it holds is not tested here."""
    monkeypatch.setattr(weights, "COMPACT_FILE", save_tokenizer(tmp_path / "compact.safetensors"))
    return weights.COMPACT_FILE


def test_the_demo_needs_nothing(tmp_path, in_process, compact):
    out = tmp_path / "out"
    given = [
        "--demo",
        "--quick",
        "--output_dir",
        out,
        "simulate.samples_per_user=8",
        "train.max_steps=1",
        "sample.num_steps=1",
        *ON_CPU,
        *TINY_MODEL,
    ]
    said = output_of(pipeline.main, *given)
    assert len(list((out / "simulated").rglob("*.png"))) == 16
    assert (out / GRID).is_file() and len(list((out / "generated_images").glob("*user*.png"))) == 4
    metrics = json.loads((out / "evaluation/metrics.json").read_text())
    assert metrics["units"]["torso_velocity"] == "m/s" and "judged right: real" in said
    assert metrics["counts"] == {"train": 12, "val": 4, "generated": 4}
    assert [script for script, _ in in_process] == [
        "stage0_prepare.py",
        "stage0_prepare.py",
        "stage1_extract_features.py",
        "stage2_train_dit.py",
        "stage3_inference.py",
        "stage4_evaluate.py",
    ]
    before = snapshot(out)
    output_of(pipeline.main, *given)
    assert {name: digest for name, (_, digest) in before.items()} == {
        name: digest for name, (_, digest) in snapshot(out).items()
    }


@pytest.mark.parametrize(("flags", "preset"), [((), "demo_cpu.yaml"), (("--quick",), "demo_quick.yaml")])
def test_the_demo_s_preset_reaches_every_stage(flags, preset, tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(
        stage_process.subprocess,
        "run",
        lambda command, **_: commands.append(command) or SimpleNamespace(returncode=0),
    )
    output_of(pipeline.main, "--demo", *flags, "--output_dir", tmp_path)
    assert len(commands) == 6
    for command in commands:
        assert command[command.index("--config") + 1] == str(PROJECT / "configs" / preset)
    for command in commands[2], commands[4]:
        assert command[command.index("--vavae_path") + 1] == "compact"


def test_flags_reach_the_stage_that_takes_them(toy, tmp_path, monkeypatch):
    commands = {}
    monkeypatch.setattr(
        stage_process.subprocess,
        "run",
        lambda command, **_: (
            commands.update({Path(command[1]).name: command[2:]}) or SimpleNamespace(returncode=0)
        ),
    )
    preset = str(PROJECT / "configs/demo_quick.yaml")
    output_of(
        pipeline.main,
        *arguments(toy, tmp_path),
        "--use_checkpoint",
        "--imagenet_stats",
        "s.pt",
        "--config",
        preset,
    )
    settings = {
        name: parse(section, sections, commands[name], prog="p", description="d")
        for name, section, sections in (
            ("stage1_extract_features.py", "extract", ("extract",)),
            ("stage2_train_dit.py", "train", ("train", "model", "transport")),
            ("stage3_inference.py", "sample", ("sample",)),
        )
    }
    assert settings["stage1_extract_features.py"]["extract"].imagenet_stats == "s.pt"
    assert settings["stage2_train_dit.py"]["model"].use_checkpoint
    assert all(preset in command for command in commands.values())
    output_of(pipeline.main, *arguments(toy, tmp_path))
    assert "--use_checkpoint" not in commands["stage2_train_dit.py"]


@pytest.mark.slow
@pytest.mark.skipif(not weights.COMPACT_FILE.is_file(), reason="the tokenizer that ships is not there")
def test_the_demo_as_processes(tmp_path):
    command = [
        sys.executable,
        str(PROJECT / "run_complete_pipeline.py"),
        "--demo",
        "--quick",
        "--output_dir",
        str(tmp_path / "out"),
        *ON_CPU,
    ]
    for _ in range(2):
        run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert run.returncode == 0, run.stderr
    assert (tmp_path / "out" / GRID).is_file() and run.stdout.count("skipped") >= 4
