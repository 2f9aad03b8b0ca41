"""example.py runs as it stands in a clone, and stays short."""

import os
import subprocess
import sys

import numpy
from conftest import PROJECT
from PIL import Image


def test_the_example_draws_its_picture(tmp_path):
    assert len((PROJECT / "example.py").read_text(encoding="utf-8").splitlines()) <= 60
    command = [sys.executable, PROJECT / "example.py", tmp_path / "picture.png"]
    without_a_screen = {**os.environ, "MPLBACKEND": "agg"}
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=without_a_screen)
    assert run.returncode == 0 and run.stdout == f"wrote {tmp_path / 'picture.png'}\n", run.stderr
    picture = numpy.asarray(Image.open(tmp_path / "picture.png").convert("RGB"))
    assert picture.shape[0] > 300 and len(numpy.unique(picture.reshape(-1, 3), axis=0)) > 200
