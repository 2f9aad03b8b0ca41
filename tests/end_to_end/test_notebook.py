"""The notebook: stored without outputs, its commands parse, and at toy size it runs from top to bottom where
Kaggle mounts things in either layout, read-only, without internet and without torchdiffeq.
"""

import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from test_readme import check
from toy_run import snapshot

import stage0_prepare
from tokenizer.weights import COMPACT_FILE

PROJECT = Path(__file__).resolve().parents[2]
NOTEBOOK = PROJECT / "notebooks" / "kaggle_quickstart.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
SOURCES = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
LINES = [line.strip() for source in SOURCES for line in source.splitlines()]
COMMANDS = [line[len("!python ") :] for line in LINES if line.startswith("!python ")]
VALUES = {
    "SMALL": "--config configs/demo_quick.yaml",
    "RESUME": "--resume_from out/trained_models",
    "HOURS": "11",
    "EPOCHS": "500",
}
LAYOUTS = {"old": lambda kind, slug: slug, "new": lambda kind, slug: f"{kind}/an-owner/{slug}"}


@pytest.mark.parametrize("path", sorted(NOTEBOOK.parent.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert all(cell.get("outputs", []) == [] and cell.get("execution_count") is None for cell in cells)


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(command.split()[:2]) for command in COMMANDS])
def test_its_commands_parse(command, monkeypatch):
    monkeypatch.chdir(PROJECT)
    check(shlex.split(re.sub(r"{(\w+)}", lambda name: VALUES.get(name[1], name[1].lower()), command)))


def test_it_shows_every_stage_in_turn():
    stages = [re.match(r"(\w+)\.py( \w+)?", command)[0].partition(" --")[0] for command in COMMANDS]
    assert stages == [
        "stage0_prepare.py doctor",
        "stage0_prepare.py simulate",
        "stage0_prepare.py setup",
        "stage0_prepare.py split",
        "stage1_extract_features.py",
        "stage2_train_dit.py",
        "stage3_inference.py",
        "stage4_evaluate.py",
    ]


def test_every_exit_status_is_looked_at_and_all_devices_are_used():
    after = [following for line, following in zip(LINES, LINES[1:]) if line.startswith("!")]
    assert len(after) == len(COMMANDS) + 2 and all("_exit_code" in line for line in after)
    used = [command for command in COMMANDS if "--devices" in command]
    assert len(used) == 3 and all("--devices auto" in command for command in used)


def test_nothing_walks_a_mount():
    assert not re.search(r"\*\*/|rglob|walk\(|/kaggle/input/\*", "\n".join(SOURCES))


def test_a_push_asks_for_a_card_that_torch_serves():
    pushed = json.loads((NOTEBOOK.parent / "kernel-metadata.json").read_text(encoding="utf-8"))
    assert pushed["code_file"] == NOTEBOOK.name and pushed["enable_gpu"] is True
    assert pushed["machine_shape"] == "NvidiaTeslaT4"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_attached_is_found_by_name(layout, tmp_path):
    place = LAYOUTS[layout]
    images, session = tmp_path / place("datasets", "your-images"), tmp_path / place("notebooks", "run-1")
    for folder in (images / "ID_1", session / "out"):
        folder.mkdir(parents=True)
    source = next(source for source in SOURCES if "def attached" in source).partition("MARK =")[0]
    cell = {"INPUT": str(tmp_path)}
    exec(source, cell)
    attached = cell["attached"]
    assert attached("your-images") == images and attached("run-1") == session and attached("") is None
    assert attached("absent", needed=False) is None
    with pytest.raises(AssertionError, match="absent: not below .*; attach it, or mend its name"):
        attached("absent")
    (tmp_path / "datasets/another-owner/your-images").mkdir(parents=True)
    (tmp_path / "datasets/a-third/your-images").mkdir(parents=True)
    with pytest.raises(AssertionError, match="your-images: there is more than one"):
        attached("your-images")


def write_mount(root: Path, layout: str, session: Path | None) -> None:
    """/kaggle/input with images, a tokenizer, the project and the output of an earlier session."""
    place = LAYOUTS[layout]
    images = root / place("datasets", "your-images") / "people of the lab"
    stage0_prepare.main(
        ["simulate", "--output_dir", str(images), "--config", str(PROJECT / "configs/demo_quick.yaml")]
    )
    weights = root / place("datasets", "my-weights")
    weights.mkdir(parents=True)
    shutil.copy(COMPACT_FILE, weights / "tokenizer.safetensors")
    shutil.copytree(
        PROJECT,
        root / place("datasets", "micro-doppler") / "main",
        ignore=shutil.ignore_patterns(".*", "tests", "out", "__pycache__"),
    )
    if session:
        shutil.copytree(session, root / place("notebooks", "session-1") / "out")
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def run_notebook(root: Path, working: Path, monkeypatch, earlier: str) -> str:
    """What the notebook prints where `root` is /kaggle/input and `working` is /kaggle/working."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for name, value in {"DEMO": "1", "INPUT": str(root), "WORKING": str(working)}.items():
        monkeypatch.setenv(f"MICRODOPPLER_{name}", value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    settings = next(cell for cell in notebook.cells if cell.cell_type == "code")
    for name, value in {"WEIGHTS": "my-weights", "EARLIER": earlier}.items():
        settings.source, replaced = re.subn(f'(?m)^{name} = ""', f'{name} = "{value}"', settings.source)
        assert replaced == 1
    working.mkdir()
    nbclient.NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(working)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [kind for output in outputs for kind in output.get("data", {})]
    assert shown.count("image/png") == 7 and "text/html" in shown
    return "".join(output.get("text", "") for output in outputs)


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No network, no torchdiffeq, and a pip that finds nothing."""
    tools = tmp_path / "tools"
    (tools / "torchdiffeq").mkdir(parents=True)
    (tools / "torchdiffeq/__init__.py").write_text("raise ImportError('torchdiffeq is not installed')\n")
    (tools / "pip").write_text("#!/bin/sh\nexit 1\n")
    (tools / "pip").chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(tools))
    monkeypatch.setenv(
        "PATH", os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    for name in ("http_proxy", "https_proxy", "HF_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.mark.slow
def test_it_runs_in_both_layouts_and_goes_on_in_the_next_session(tmp_path, monkeypatch, offline):
    session = None
    for layout in LAYOUTS:
        root, working = tmp_path / layout / "input", tmp_path / layout / "working"
        write_mount(root, layout, session)
        before = snapshot(root)
        text = run_notebook(root, working, monkeypatch, "session-1" if session else "")
        assert "error: " not in text and "Traceback" not in text, text
        assert "Not all of requirements.txt could be installed" in text
        assert str(root / LAYOUTS[layout]("datasets", "my-weights") / "tokenizer.safetensors") in text
        assert (working / "out/generated_images/micro_doppler_grid.png").is_file()
        assert snapshot(root) == before
        brought = root / LAYOUTS[layout]("notebooks", "session-1") / "out/trained_models"
        assert (f"starting from {brought}" in text) == bool(session)
        session = working / "out"
