"""Every command in every arithmetic it takes, by one process and by two, on whatever this machine has.

The cells follow from the schema: from a section's `precision` and `devices`, and the choices of `tune`.
"""

import importlib
import itertools
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from conftest import PROJECT, relative_error
from process_pairs import run_as_pair
from toy_run import run_as_script, words
from whole_commands import ROWS, STEPS, Inputs

import configs.stage_process
from configs.schema import PRECISIONS, SECTIONS, FitConfig
from training.claim import steps_done

pytestmark = pytest.mark.usefixtures("brief_judges")

# Largest relative distance from the same work in float32 by one process; 5e-3 was measured.
TOLERANCE = {"auto": 0.02, "32": 1e-4, "bf16-mixed": 0.02, "16-mixed": 0.02}
# Sections without a row: no commands, or commands whose outcome is not theirs.
ELSEWHERE = {
    "model": "keys of stage 2",
    "transport": "keys of stage 2",
    "download": "requires the network",
    "doctor": "its exit status is the machine's",
    "setup": "it writes what is there",
    "playground": "it serves a page",
}
# Sections whose folders are known by other files: split.json, the latents' metadata, those of each stage.
KNOWN_OTHERWISE = ("split", "extract", "pipeline")
GPUS = torch.cuda.device_count() if torch.cuda.is_available() else 0


class Cell(NamedTuple):
    """A row in one arithmetic by so many processes; None where the command leaves no choice."""

    row: str
    precision: str | None = None
    processes: int | None = None

    def __str__(self) -> str:
        return ", ".join(str(part) for part in self if part is not None)

    @property
    def device(self) -> str:
        return "cuda" if GPUS >= (self.processes or 1) else "cpu"

    @property
    def reference(self) -> "Cell":
        """The same work in float32 by one process; by two where their number makes a training's batch."""
        processes = self.processes and (self.processes if trains(self.row) else 1)
        return Cell(self.row, self.precision and "32", processes)


def keys_of(section: str) -> set[str]:
    return set(SECTIONS[section].__dataclass_fields__)


def trains(row: str) -> bool:
    return {"max_steps", "max_hours"} <= keys_of(ROWS[row].section)


def first_rows(wanted: Callable[[str], bool] = bool) -> list[str]:
    """The first row of each section that is `wanted`, which is the command's plain form."""
    rows = {row.section: name for name, row in reversed(ROWS.items())}
    return [rows[section] for section in reversed(rows) if wanted(section)]


def cells() -> list[Cell]:
    """All of them; `auto`, being one of the others, once for each command."""
    grid = []
    for name, row in ROWS.items():
        auto = () if name in first_rows() else ("auto",)
        keys = keys_of(row.section)
        precisions = [one for one in PRECISIONS if one not in auto] if "precision" in keys else [None]
        processes = [None] if "devices" not in keys else [1] if row.one_process else [1, 2]
        grid += itertools.starmap(Cell, itertools.product([name], precisions, processes))
    return grid


class Done:
    """Commands that have run, each once, and what they wrote."""

    def __init__(self, toy, folder: Path) -> None:
        self.folder = folder
        self.inputs = Inputs(toy, folder / "inputs", lambda row: self.folder_of(plain(row)))
        self.inputs.folder.mkdir()

    def folder_of(self, cell: Cell) -> Path:
        """The output folder of a cell's command, which must have ended with status 0."""
        folder = self.folder / str(cell).replace(", ", "_").replace(" ", "_")
        if not folder.exists():
            self.run(cell, folder)
        return folder

    def figures_of(self, cell: Cell) -> torch.Tensor:
        return ROWS[cell.row].figures(self.folder_of(cell))

    def run(self, cell: Cell, folder: Path, *more: str) -> str:
        """What a cell's command says, run into `folder`; `more` arguments come last."""
        row = ROWS[cell.row]
        output = "--output_path" if "output_path" in keys_of(row.section) else "--output_dir"
        argv = [*row.arguments(self.inputs), output, folder, *device_arguments(row.section, cell.device)]
        for flag, value in (("--precision", cell.precision), ("--devices", cell.processes)):
            argv += [flag, value] if value else []
        is_command = row.section in getattr(sys.modules[row.main.__module__], "COMMANDS", ())
        status, out, err = start(row.main, [*([row.section] if is_command else []), *argv, *more])
        assert status == 0, err
        return out


def plain(row: str) -> Cell:
    """The reference of all the row's cells by one process."""
    return next(cell.reference for cell in cells() if cell.row == row)


def device_arguments(section: str, device: str) -> list[str]:
    """Arguments that put a command's arithmetic on `device`, whatever key it has for that."""
    sections = ("extract", "train", "sample") if section == "pipeline" else (section,)
    return [
        f"{name}.{key}={device}"
        for name in sections
        for key in ("device", "accelerator")
        if key in keys_of(name)
    ]


def start(main: Callable, given: list) -> tuple[int, str, str]:
    """A script in this process or, with --devices 2, in two others; a chain here, and its stages so."""
    argv = words(given)
    if main.__module__ == "run_complete_pipeline" or argv[0] == "study":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(configs.stage_process.subprocess, "run", start_stage)
            return run_as_script(main, *argv)
    if "--devices" not in argv or argv[argv.index("--devices") + 1] == "1":
        return run_as_script(main, *argv)
    status, out, err = run_as_pair(main, *argv)
    further = [line for line in err.splitlines() if line.strip() and "%|" not in line]  # bars aside
    assert status or not further and out.count("wrote ") == 1, (out, further)  # one of the two speaks
    return status, out, err


def start_stage(command: list[str], timeout: float | None = None) -> SimpleNamespace:
    """In the place of `subprocess.run`: a stage of the chain."""
    status, out, err = start(importlib.import_module(Path(command[1]).stem).main, command[2:])
    print(out, end=""), print(err, end="", file=sys.stderr)
    return SimpleNamespace(returncode=status)


def require_gpus(cell: Cell) -> None:
    if cell.precision == "16-mixed" and cell.device == "cpu":
        pytest.skip(f"16-mixed requires a GPU for each process, {cell.processes} of them; there are {GPUS}")


@pytest.fixture(scope="module")
def done(toy, tmp_path_factory) -> Done:
    return Done(toy, tmp_path_factory.mktemp("matrix"))


@pytest.mark.parametrize("cell", cells(), ids=str)
def test_every_command_in_every_arithmetic(cell, done):
    require_gpus(cell)
    figures, expected = done.figures_of(cell), done.figures_of(cell.reference)
    assert figures.isfinite().all()
    error = relative_error(figures, expected)
    assert error <= TOLERANCE[cell.precision or "32"]
    assert error > 0 or cell.precision not in ("bf16-mixed", "16-mixed")  # it was at work


def test_no_command_and_no_arithmetic_is_left_out():
    assert {row.section for row in ROWS.values()} | set(ELSEWHERE) == set(SECTIONS)
    assert set(TOLERANCE) == set(PRECISIONS)
    assert not [section for section in ELSEWHERE if {"precision", "devices"} & keys_of(section)]
    scripts = {path.stem for path in PROJECT.glob("*.py") if "run_script(main)" in path.read_text()}
    assert {row.main.__module__ for row in ROWS.values()} == scripts


@pytest.mark.parametrize("row", first_rows(lambda section: issubclass(SECTIONS[section], FitConfig)))
@pytest.mark.parametrize(("first", "then"), itertools.permutations(("32", "bf16-mixed", "16-mixed"), 2))
def test_a_training_goes_on_in_another_arithmetic(row, first, then, done, tmp_path):
    for precision, hours, steps in ((first, 1e-9, 1), (then, 1, STEPS)):  # the first session stops at once
        cell = Cell(row, precision, 1)
        require_gpus(cell)
        done.run(cell, tmp_path / "run", f"max_hours={hours}")
        assert steps_done(tmp_path / "run") == steps
    figures = ROWS[row].figures(tmp_path / "run")
    assert 0 < relative_error(figures, done.figures_of(plain(row))) <= TOLERANCE["bf16-mixed"]


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile requires a C++ compiler")
@pytest.mark.parametrize("row", first_rows(lambda section: "compile" in keys_of(section)))
def test_a_compiled_command_does_the_same(row, done, tmp_path):
    said = done.run(plain(row), tmp_path / "run", "compile=true")
    assert "torch.compile failed" not in said
    assert relative_error(ROWS[row].figures(tmp_path / "run"), done.figures_of(plain(row))) <= 1e-3


def recorded(folder: Path) -> set[str]:
    """Names of the settings in a folder's record, without their sections."""
    names = json.loads((folder / "run.json").read_text())
    return {name.rpartition(".")[2] for name in names}


@pytest.mark.parametrize("row", first_rows(lambda section: section not in KNOWN_OTHERWISE))
def test_a_folder_is_known_by_every_key_that_affects_its_output(row, done):
    sections = (ROWS[row].section, *(("model", "transport") if ROWS[row].section == "train" else ()))
    keys = [item for section in sections for item in fields(SECTIONS[section])]
    deciding = {item.name for item in keys if item.metadata["affects"] == "output"}
    others = {item.name for item in keys} - deciding - {"use_checkpoint"}  # describes the network, too
    known = recorded(done.folder_of(plain(row)))
    assert deciding and not deciding - known and not others & known
