"""How a script ends: one line and 2 for a user's mistake, a traceback for ours, 130 when interrupted."""

import json
import subprocess
import sys
from dataclasses import fields

import pytest
from conftest import PROJECT
from toy_run import run_as_script

from configs.command_line import build_parser, describe, is_main_process, parse, preset_of, say
from configs.errors import UserError
from configs.schema import SECTIONS, SOLVERS


def ours(argv):
    raise UserError("W.pt: empty,\n  expected a tokenizer")


def raises(error):
    raise error


def test_a_refusal_is_one_line_and_status_2():
    status, out, err = run_as_script(ours)
    assert (status, out, err) == (2, "", "error: W.pt: empty, expected a tokenizer\n")


def test_debug_shows_the_traceback():
    with pytest.raises(ValueError, match="expected a tokenizer"):
        run_as_script(ours, "--debug")


@pytest.mark.parametrize(
    "broken",
    [
        lambda argv: json.loads("{"),  # a library's own Python code
        lambda argv: int("seven"),  # a built-in function, whose innermost frame is ours
        lambda argv: dict(zip("ab", "c", strict=True)),
        lambda argv: raises(ValueError("of no user")),
    ],
)
def test_any_other_value_error_keeps_its_traceback(broken):
    with pytest.raises(ValueError):
        run_as_script(broken)


def test_a_refusal_with_a_cause_is_still_a_refusal():
    def reads(argv):
        try:
            json.loads("{")
        except ValueError as error:
            raise UserError("run.json: damaged") from error

    assert run_as_script(reads)[::2] == (2, "error: run.json: damaged\n")


def test_other_errors_are_not_touched():
    def broken(argv):
        raise AssertionError("a defect")

    with pytest.raises(AssertionError):
        run_as_script(broken)


def test_errors_of_files_name_the_file(tmp_path):
    status, _, err = run_as_script(lambda argv: open(tmp_path / "absent"))
    assert (status, err) == (2, f"error: {tmp_path / 'absent'}: No such file or directory\n")
    assert describe(OSError(28, "No space left on device")) == "No space left on device"
    assert describe(FileNotFoundError("W.pt: no such file; give one")) == "W.pt: no such file; give one"


def test_interrupted_is_130():
    def stopped(argv):
        raise KeyboardInterrupt

    status, _, err = run_as_script(stopped)
    assert status == 130 and len(err.splitlines()) == 1 and "continues" in err


def test_status_of_a_script_that_ends_itself_is_kept():
    def ends(argv):
        raise SystemExit(7)

    assert run_as_script(ends)[0] == 7
    assert run_as_script(lambda argv: None) == (0, "", "")


@pytest.mark.parametrize(
    "given", [["--nosuch", "1"], ["--lr"], ["stray"], ["--lr", "1", "2"], ["--latent"], ["--dry_run=yes"]]
)
def test_argparse_errors_are_one_line_and_status_2(given):
    def main(argv):
        parse("train", ("train",), argv, prog="stage2_train_dit.py", description="d")

    status, out, err = run_as_script(main, *given)
    assert status == 2 and out == "" and len(err.splitlines()) == 1
    assert err.startswith("error: ") and err.endswith("(see stage2_train_dit.py --help)\n")


@pytest.mark.parametrize("section", SECTIONS)
def test_help_shows_every_key(section):
    parser = build_parser(section, "p", "100 % of the keys")
    text = parser.format_help()
    for item in fields(SECTIONS[section]):
        shown = f"[{item.name} ...]" if item.metadata["positional"] else f"--{item.name}"
        assert f"{shown} " in text or f"{shown}," in text or f"{shown}\n" in text
    assert "--config" in text and "--debug" in text


@pytest.mark.parametrize(
    ("section", "shown"),
    [
        ("sample", f"--sampler {{{','.join(SOLVERS)}}}"),
        (
            "sample",
            "--num_steps N Intervals of the time grid (ignored by dopri5). (at least 1, at most 100000,",
        ),
        ("sample", "--guidance_interval X [X ...]"),
        ("sample", "--select TEXT"),
        ("sample", "--keep N"),
        ("sample", "--guidance_condition X"),
        ("train", "--lr X Peak learning rate. (more than 0, default: 0.0001)"),
        ("pipeline", "--precision {auto,32,bf16-mixed,16-mixed}"),
        ("simulate", "--gaits {normal,hurried,backpack,pockets} [{normal,hurried,backpack,pockets} ...]"),
    ],
)
def test_help_tells_choices_ranges_and_types(section, shown):
    assert " ".join(shown.split()) in " ".join(build_parser(section, "p", "d").format_help().split())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], False),
        (["--use_checkpoint"], True),
        (["--use_checkpoint", "model.use_checkpoint=false"], False),
        (["--no-use_checkpoint", "model.depth=3"], False),
    ],
)
def test_a_flag_of_another_section_sets_that_section(given, expected):
    configs = parse("train", ("train", "model"), ["--latent_dir", "x", *given], prog="p", description="d")
    assert configs["model"].use_checkpoint is expected and not hasattr(configs["train"], "use_checkpoint")
    assert "--use_checkpoint" in build_parser("train", "p", "d").format_help()


def test_help_ends_with_status_0():
    status, out, err = run_as_script(
        lambda argv: parse("train", ("train",), argv, prog="p", description="d"), "--help"
    )
    assert status == 0 and "--latent_dir" in out and err == ""


def test_preset_of_finds_the_preset_in_both_spellings():
    assert preset_of(["--lr", "1", "--config", "a.yaml", "x=1"]) == "a.yaml"
    assert preset_of(["--config=b.yaml"]) == "b.yaml" and preset_of(["--demo"]) is None


def test_only_the_main_process_speaks(capsys, monkeypatch):
    say("once")
    monkeypatch.setenv("LOCAL_RANK", "1")
    say("twice")
    assert capsys.readouterr().out == "once\n"


@pytest.mark.parametrize(
    ("environment", "main"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0"}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
        ({"RANK": "4", "LOCAL_RANK": "0"}, False),
        ({"RANK": "0", "SLURM_PROCID": "3"}, True),
        ({"SLURM_PROCID": "0"}, True),
        ({"SLURM_PROCID": "5"}, False),
        (
            {"LOCAL_RANK": "1", "SLURM_PROCID": "0"},
            False,
        ),  # Lightning's own launcher inside a job of one task
    ],
)
def test_the_main_process_under_every_launcher(environment, main, monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_main_process() is main


def test_a_word_of_an_older_version_is_taken_with_a_note(capsys):
    argv = ["--latent_dir", "l", "--init_from", "W.pt", "--tune"]
    configs = [
        parse("train", ("train",), [*argv, tune], prog="p", description="d")["train"]
        for tune in ("diffit", "difffit")
    ]
    assert configs[0] == configs[1] and configs[0].tune == "difffit"
    assert capsys.readouterr().out == "note: train.tune=diffit is called difffit now\n"


def test_a_package_that_is_missing_is_named():
    status, _, err = run_as_script(lambda argv: raises(ModuleNotFoundError("No module", name="timm")))
    assert (status, err) == (2, "error: timm is not installed: pip install -r requirements.txt\n")


def test_the_doctor_names_what_every_command_needs():
    """Without omegaconf no command line can be read."""
    code = (
        "import importlib.util as util, runpy, sys; usual = util.find_spec; "
        "util.find_spec = lambda name, *more: None if name == 'omegaconf' else usual(name, *more); "
        "sys.argv = ['stage0_prepare.py', 'doctor']; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert process.returncode == 2 and not process.stdout
    assert process.stderr == "error: omegaconf: not installed; pip install -r requirements.txt\n"


@pytest.mark.parametrize(("given", "value"), [([], None), (["--compile"], True), (["--no-compile"], False)])
def test_a_switch_that_is_left_alone_is_decided_later(given, value):
    argv = ["--latent_dir", "latents", *given, "lr=1"]
    config = parse("train", ("train",), argv, prog="stage2_train_dit.py", description="")["train"]
    assert (config.compile, config.lr) == (value, 1.0)
