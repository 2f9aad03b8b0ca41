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
    digests,
    output_of,
    refusal_of,
    run_as_script,
    save_tokenizer,
    snapshot,
    words,
)

import run_complete_pipeline as pipeline
from configs import stage_process
from configs.command_line import parse
from tokenizer import weights

PROJECT = Path(pipeline.__file__).parent
LATENTS = "latent_features/train.safetensors"
BEST = "trained_models/checkpoints/best.ckpt"
GRID = "generated_images/micro_doppler_grid.png"
SKIPPED = "--skip_extraction --skip_training --skip_generation"
ON_CPU = ("train.accelerator=cpu", "extract.device=cpu", "sample.device=cpu", "--precision", "32")


def arguments(toy, out, *more):
    """The flags of the documented command; lengths, sizes and the device for a test."""
    folders = f"--data_dir {toy.data} --vavae_path {toy.tokenizer} --output_dir {out} --batch_size 32"
    people = "--generate_user_ids 1 2 10 --num_samples_per_user 2 --lr 1e-4 --max_epochs 50 --devices 1"
    return words([folders, people, "train.max_steps=2", "sample.num_steps=2", *ON_CPU, *TINY_MODEL, *more])


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
    argv = arguments(toy, out, "--skip_extraction --generate_user_ids 1 99")
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


def test_selected_images_are_those_that_a_judge_of_half_the_real_ones_accepts(toy, tmp_path, monkeypatch):
    started = idle_stages(monkeypatch)
    output_of(pipeline.main, *arguments(toy, tmp_path, "--select"))
    assert [script[:6] for script, _, _ in started] == ["stage1", "stage2", "stage4", "stage3"]
    (*_, (command, *judging)), (*_, drawing) = started[2:]
    judge = parse("judge", ("judge",), judging, prog="-", description="-")["judge"]
    assert (command, judge.real, judge.output_dir) == ("judge", str(toy.data), str(tmp_path / "selector"))
    drawn = parse("sample", ("sample",), drawing, prog="-", description="-")["sample"]
    assert drawn.select == str(tmp_path / "selector/judge.safetensors") and "--devices" not in drawing


def test_people_in_conditions_are_evaluated_and_selected_as_such(toy, tmp_path, monkeypatch):
    started = idle_stages(monkeypatch)
    walks = tmp_path / "walks"  # of people in conditions alone, without axes.csv
    for name in ("1-bag", "1-slow", "2-slow"):
        shutil.copytree(toy.data / "train/ID_1", walks / "train" / name)
    given = *arguments(toy, tmp_path), "--data_dir", walks, "--evaluate", r"train.conditions=-[a-z]+$"
    axes, margins = "--axes -1 5 2", ("extract.margins=keep", "judge.margins=refuse")

    output_of(pipeline.main, *given, axes, "--generate_user_ids", "2-slow", "--select", *margins)
    judging, evaluating = (words for script, _, words in started if script.startswith("stage4"))
    assert "--conditions=-[a-z]+$" in evaluating and "--margins" not in judging
    assert value_of("--margins", evaluating) == "keep"
    assert evaluating[evaluating.index("--axes") + 1 :][:3] == ["-1.0", "5.0", "2.0"]
    recorded_in_none = "train.conditions=0$", "--generate_user_ids", "1"
    output_of(pipeline.main, *given, axes, *recorded_in_none)
    output_of(pipeline.main, *given, axes, "--generate_user_ids", "all")

    for more, said in (
        ((axes, "--generate_user_ids", "all", "--select"), "--generate_user_ids all asks for 1, too"),
        ((axes, "--generate_user_ids", "1", "2"), "1 2: numbers mean people in no condition"),
        (("--generate_user_ids", "2-slow"), "--evaluate: of people in conditions requires velocities in m/s"),
    ):
        assert said in refusal_of(pipeline.main, *given, *more)
        output_of(pipeline.main, *given, *more, "--skip_generation")


def test_parts_can_be_skipped(toy, finished, in_process, tmp_path):
    out = copy_of(finished[0], tmp_path / "out")
    said = output_of(pipeline.main, *arguments(toy, out), SKIPPED)
    assert in_process == [] and all(
        f"== {name}: skipped, as asked" in said for name in ("extraction", "training", "generation")
    )
    said = output_of(
        pipeline.main,
        *arguments(toy, out),
        "--skip_training --skip_extraction --axes -1 5 2 --num_samples_per_user 3",
    )
    extraction, training = (
        said.split(f"== {name}: skipped, as asked; not read: ")[1].split(" ==")[0].split(", ")
        for name in ("extraction", "training")
    )
    # Of the tokenizer and the people, which stage 3 reads, nothing is said.
    assert {"--data_dir", "--axes"} <= set(extraction) and "--vavae_path" not in extraction
    assert "--lr" in training and not {"--precision", "--generate_user_ids"} & set(training)
    assert [script for script, _ in in_process] == ["stage3_inference.py"]
    assert (out / "generated_images/micro_doppler_user10_003.png").is_file()
    in_process.clear()
    output_of(pipeline.main, "--output_dir", out, SKIPPED)  # without inputs


def test_the_data_of_a_skipped_extraction_is_read_by_the_evaluation(toy, tmp_path, monkeypatch):
    idle_stages(monkeypatch)
    given = "--skip_extraction --skip_training --evaluate judge.seed=3 evaluate.judge_seeds=1"
    said = output_of(pipeline.main, *arguments(toy, tmp_path), given)
    (skipped,) = (line for line in said.splitlines() if line.startswith("== extraction: skipped"))
    assert "--batch_size" in skipped and "--data_dir" not in skipped
    assert "note: train.max_steps=2, " in said and ", judge.seed=3: no stage of this run reads it" in said
    assert (
        "judge_seeds=1:" not in said
        and "evaluate.judge_seeds" not in said.partition("note: ")[2].split(":")[0]
    )


def test_evaluation_runs_when_asked_for(toy, finished, in_process, tmp_path):
    out = copy_of(finished[0], tmp_path / "out")
    said = output_of(pipeline.main, *arguments(toy, out), "--evaluate", SKIPPED)
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


def idle_stages(monkeypatch, act=lambda script: 0) -> list[tuple[str, float | None, list[str]]]:
    """Stages that do nothing but `act(script)`, their status; script, time limit and arguments are kept."""
    started = []

    def run(command, timeout=None):
        started.append((Path(command[1]).name, timeout, command[2:]))
        return SimpleNamespace(returncode=act(started[-1][0]))

    monkeypatch.setattr(stage_process.subprocess, "run", run)
    return started


@pytest.mark.parametrize(("returned", "status"), [(7, 7), (1, 1), (-9, 137)])
def test_the_status_of_a_stage_is_passed_on(returned, status, toy, tmp_path, monkeypatch):
    idle_stages(monkeypatch, lambda script: returned)
    assert run_as_script(pipeline.main, *arguments(toy, tmp_path))[0] == status


def value_of(flag, given):
    return given[given.index(flag) + 1]


def test_config_overrides_and_debug_reach_every_stage_and_unset_flags_none(toy, tmp_path, monkeypatch):
    (tmp_path / "preset.yaml").write_text("pipeline: {lr: 3.0e-4}\ntrain: {log_every: 7}\n")
    started = idle_stages(monkeypatch)
    output_of(
        pipeline.main,
        f"--data_dir {toy.data} --vavae_path {toy.tokenizer} --output_dir {tmp_path}",
        f"--config {tmp_path}/preset.yaml model.depth=3 batch_size=8 --debug",
    )
    extraction, training, _ = given = [arguments for _, _, arguments in started]
    for one in given:
        assert value_of("--config", one) == str(tmp_path / "preset.yaml")
        assert ("model.depth=3" in one) == (one is training) and "--debug" in one and "None" not in one
        assert "--max_epochs" not in one and "batch_size=8" not in one
    assert float(value_of("--lr", training)) == 3e-4 and value_of("--batch_size", extraction) == "8"


def test_the_stages_get_what_is_left_of_the_time(toy, tmp_path, monkeypatch):
    started = idle_stages(monkeypatch)
    output_of(pipeline.main, *arguments(toy, tmp_path), "--max_hours", "2")
    assert [script[:6] for script, *_ in started] == ["stage1", "stage2", "stage3"]
    limits = [7200, None, 7200]  # training is not killed but told
    assert [timeout and round(timeout, -2) for _, timeout, _ in started] == limits
    assert 1.9 < float(value_of("--max_hours", started[1][2])) < 2
    assert all("--max_hours" not in given for script, _, given in started if "stage2" not in script)


def test_at_the_end_of_the_time_the_run_ends_well(toy, tmp_path, monkeypatch):
    def late(script):
        if "stage3" in script:
            raise subprocess.TimeoutExpired(script, 1)
        return 0

    started = idle_stages(monkeypatch, late)
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
    said = output_of(pipeline.main, *given)
    kept = "latent_features, trained_models, generated_images, which go on; those of --resume_from"
    assert "starting from" not in said and f"{tmp_path / 'out'} has {kept} {earlier} are not read" in said
    text = refusal_of(
        pipeline.main, *arguments(toy, tmp_path / "new"), "--resume_from", toy.images, unchanged=tmp_path
    )
    assert f"--resume_from {toy.images}: none of simulated, data_split, latent_features" in text


@pytest.fixture
def compact(tmp_path, monkeypatch):
    """The tokenizer that ships, replaced by the smallest of the family: what it holds is not tested here."""
    monkeypatch.setattr(weights, "COMPACT_FILE", save_tokenizer(tmp_path / "compact.safetensors"))
    return weights.COMPACT_FILE


def test_the_demo_needs_nothing(tmp_path, in_process, compact):
    out = tmp_path / "out"
    brief = (
        f"--demo --quick --output_dir {out} simulate.samples_per_user=8 train.max_steps=1 sample.num_steps=1"
    )
    given = [brief, *ON_CPU, *TINY_MODEL]
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
    assert digests(before) == digests(snapshot(out))


@pytest.mark.parametrize(("flags", "preset"), [((), "demo_cpu.yaml"), (("--quick",), "demo_quick.yaml")])
def test_the_demo_s_preset_reaches_every_stage(flags, preset, tmp_path, monkeypatch):
    started = idle_stages(monkeypatch)
    output_of(pipeline.main, "--demo", *flags, "--output_dir", tmp_path)
    given = [arguments for _, _, arguments in started]
    assert len(given) == 7 - bool(flags)  # of full size it selects, too
    assert {value_of("--config", one) for one in given} == {str(PROJECT / "configs" / preset)}
    assert value_of("--vavae_path", given[2]) == value_of("--vavae_path", given[-2]) == "compact"


def test_a_demo_is_not_judged_when_asked_not_to(tmp_path, monkeypatch):
    started = idle_stages(monkeypatch)
    output_of(pipeline.main, "--demo", "--quick", "--no-evaluate", "--output_dir", tmp_path)
    assert started[-1][0] == "stage3_inference.py"


def test_flags_reach_the_stage_that_takes_them(toy, tmp_path, monkeypatch):
    started = idle_stages(monkeypatch)
    preset = str(PROJECT / "configs/demo_quick.yaml")
    more = f"--use_checkpoint --imagenet_stats s.pt --axes -1.2 5.2 2.1 30 --config {preset}"
    output_of(pipeline.main, *arguments(toy, tmp_path), more)
    extraction, training, drawing = given = [arguments for _, _, arguments in started]
    assert all(preset in one for one in given)
    (extract, *_), (_, model, *_), _ = (
        parse(sections[0], sections, one, prog="p", description="d").values()
        for sections, one in (
            (("extract",), extraction),
            (("train", "model", "transport"), training),
            (("sample",), drawing),
        )
    )
    assert extract.imagenet_stats == "s.pt" and extract.axes == [-1.2, 5.2, 2.1, 30] and model.use_checkpoint
    output_of(pipeline.main, *arguments(toy, tmp_path))
    assert "--use_checkpoint" not in started[4][2]


@pytest.mark.slow
@pytest.mark.skipif(not weights.COMPACT_FILE.is_file(), reason="the tokenizer that ships is not there")
def test_the_demo_as_processes(tmp_path):
    script = [sys.executable, str(PROJECT / "run_complete_pipeline.py")]
    command = [*script, *words(["--demo --quick --output_dir", tmp_path / "out", *ON_CPU])]
    for _ in range(2):
        run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert run.returncode == 0, run.stderr
    assert (tmp_path / "out" / GRID).is_file() and run.stdout.count("skipped") >= 4
