"""Hundreds of inputs that cannot be right: each ends in one line and status 2, and changes nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from bad_pictures import FOLDERS, IMAGES, recordings, tables
from bad_settings import ABSURD, preset_cases
from bad_tensors import LATENTS, models, statistics
from toy_run import refusal_of, snapshot, words

PROJECT = Path(__file__).resolve().parents[2]
CASES = [
    *IMAGES,
    *FOLDERS,
    *LATENTS,
    *models(),
    *statistics(),
    *preset_cases(),
    *ABSURD,
    *recordings(),
    *tables(),
]
QUICK, PROCESSES = CASES[::4], CASES[7::60]  # of every kind a few


def check(bad, toy, work):
    message = refusal_of(bad.main, *bad.make(toy, work), unchanged=work)
    assert bad.said in message and len(message) < 2000
    assert not (work / "sprung").exists() and not Path("sprung").exists()  # no code was run


@pytest.mark.parametrize("bad", QUICK, ids=[bad.name[:60] for bad in QUICK])
def test_bad_input_is_refused(bad, toy, tmp_path):
    check(bad, toy, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("bad", CASES, ids=[bad.name[:60] for bad in CASES])
def test_all_bad_input_is_refused(bad, toy, tmp_path):
    check(bad, toy, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("bad", PROCESSES, ids=[bad.name[:60] for bad in PROCESSES])
def test_scripts_refuse_it(bad, toy, tmp_path):
    arguments = words(bad.make(toy, tmp_path))
    before = snapshot(tmp_path)
    run = subprocess.run(
        [sys.executable, "-m", bad.main.__module__, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=PROJECT,
    )
    said = [line for line in run.stderr.splitlines() if line.strip() and "%|" not in line]
    assert run.returncode == 2 and len(said) == 1 and said[0].startswith("error: "), run.stderr
    assert snapshot(tmp_path) == before
