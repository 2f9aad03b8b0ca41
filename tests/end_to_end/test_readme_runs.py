"""The blocks of README.md run as a reader would type them, and so does the Python of the pages."""

import importlib
import re
import shutil

import pytest
from test_readme import PROJECT, commands_in
from toy_run import TINY_MODEL, names, output_of

from evaluation.judge import train_judge

README = (PROJECT / "README.md").read_text(encoding="utf-8")
BRIEF = {  # what a test adds to the reader's command
    "stage2_train_dit": ("max_steps=1", *TINY_MODEL, "accelerator=cpu", "--precision", "32"),
    "stage3_inference": ("--num_steps", "1"),
    "stage4_evaluate": ("--judge_seeds", "1"),
}


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def run(command: list[str], *more: str) -> str:
    return output_of(importlib.import_module(command[0].removesuffix(".py")).main, *command[1:], *more)


def test_thirty_seconds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (command,) = commands_in(section("30 seconds"))
    assert "--guidance_scale" not in command
    run(command)
    assert len(names(tmp_path / "drawn", "micro_doppler_user*.png")) == 8


def test_your_data(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(train_judge.__kwdefaults__, "epochs", 1)
    shutil.copytree(toy.images, "raw")
    *stages, _ = commands_in(section("Your data"))
    for command in stages:
        run(command, *BRIEF.get(command[0].removesuffix(".py"), ()))
    assert (tmp_path / "evaluation_report/report.html").is_file()


@pytest.mark.parametrize("page", ["README.md", "docs/draw.md"])
def test_python_on_the_pages_runs(page):
    blocks = re.findall(r"^```python\n(.*?)^```", (PROJECT / page).read_text(encoding="utf-8"), re.M | re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), {})
