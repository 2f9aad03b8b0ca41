"""The notebook: stored without outputs, its commands parse, and at toy size it runs from top to bottom."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from test_readme import check

PROJECT = Path(__file__).resolve().parents[2]
NOTEBOOK = PROJECT / "notebooks" / "kaggle_quickstart.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
LINES = [line.strip() for cell in CELLS if cell["cell_type"] == "code"
         for line in "".join(cell["source"]).splitlines()]
COMMANDS = [line[len("!python "):] for line in LINES if line.startswith("!python ")]
VALUES = {"SMALL": "--config configs/demo_quick.yaml", "RESUME": "--resume_from out/trained_models",
          "DEVICES": "2", "HOURS": "11", "EPOCHS": "500"}


def test_it_is_stored_without_outputs():
    assert all(cell.get("outputs", []) == [] and cell.get("execution_count") is None for cell in CELLS)


@pytest.mark.parametrize("command", COMMANDS, ids=[command.split()[0] for command in COMMANDS])
def test_its_commands_parse(command, monkeypatch):
    monkeypatch.chdir(PROJECT)
    check(re.sub(r"{(\w+)}", lambda name: VALUES.get(name[1], name[1].lower()), command).split())


def test_it_shows_every_stage_in_turn():
    stages = [re.match(r"(\w+)\.py( \w+)?", command)[0].partition(" --")[0] for command in COMMANDS]
    assert stages == ["stage0_prepare.py doctor", "stage0_prepare.py simulate", "stage0_prepare.py split",
                      "stage1_extract_features.py", "stage2_train_dit.py", "stage3_inference.py",
                      "stage4_evaluate.py"]


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("MICRODOPPLER_DEMO", "1")
    monkeypatch.setenv("MICRODOPPLER_OUT", str(tmp_path / "out"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(NOTEBOOK.parent)}}
                            ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in outputs)
    assert "error: " not in text and "Traceback" not in text
    shown = [kind for output in outputs for kind in output.get("data", {})]
    assert shown.count("image/png") == 3 and "text/html" in shown
    assert (tmp_path / "out/generated_images/micro_doppler_grid.png").is_file()
