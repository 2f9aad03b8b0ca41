"""The notebook that draws with the model that ships: without outputs, and it draws stage 3's images."""

import json

import matplotlib
import numpy
import pytest
from conftest import PROJECT

from sampling import load

CELLS = json.loads((PROJECT / "notebooks/draw.ipynb").read_text(encoding="utf-8"))["cells"]
SOURCES = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def test_it_runs_from_top_to_bottom(monkeypatch):
    monkeypatch.chdir(PROJECT / "notebooks")
    monkeypatch.setattr("sys.path", [])
    matplotlib.use("agg")
    names: dict = {}
    for source in SOURCES:
        exec(compile(source, "draw.ipynb", "exec"), names)
    assert (names["images"] == load("demo", "compact").draw("ID_17", n=4, guidance=1.5, seed=0)).all()
    assert len(names["figure"].axes) == 4 + 1 and numpy.isfinite(names["power"].db).all()


def test_elsewhere_it_asks_for_the_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match="put the address of the project into REPOSITORY"):
        exec(compile(SOURCES[0], "draw.ipynb", "exec"), {})
