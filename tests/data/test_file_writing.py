"""Files are whole or absent, readable as usual, and equal by the byte for equal content in every process."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from saved_latents import write_latents

from configs.errors import UserError
from data.atomic import read_object, replacing, write_text
from data.latents import read_latents
from data.tensor_files import save_tensors

PROJECT = Path(__file__).resolve().parents[2]


def entries(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "a.txt", "old\n")
    with pytest.raises(RuntimeError), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "old\n" and entries(tmp_path) == ["a.txt"]


def test_the_name_appears_with_the_whole_content(tmp_path):
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "a.txt").exists() and temporary.parent == tmp_path
        assert temporary.name.startswith(".")
    assert (tmp_path / "a.txt").read_text() == "new" and entries(tmp_path) == ["a.txt"]


def test_what_a_killed_process_left_is_replaced(tmp_path):
    (tmp_path / ".a.txt.tmp").write_text("half")
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new" and entries(tmp_path) == ["a.txt"]


def test_a_leftover_link_is_not_written_through(tmp_path):
    (tmp_path / "wanted").write_text("precious")
    os.link(tmp_path / "wanted", tmp_path / ".a.txt.tmp")
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "wanted").read_text() == "precious"


NO_OBJECT = (b"", b"{", b"[1, 2]", b"7", b"\x00", b"\xff\xfe", b"[" * 100_000, b'{"b": {}}', b'{"a": 7}')


@pytest.mark.parametrize("content", NO_OBJECT)
def test_what_is_not_the_object_that_was_written_is_one_line(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as refusal:
        read_object(path, "delete it", ["a"], values=dict)
    assert str(refusal.value) == f"{path}: damaged; delete it"
    write_text(path, '{"a": {}, "b": {"c": null}}')
    assert read_object(path, "delete it", ["a"], values=dict) == {"a": {}, "b": {"c": None}}


# Tensors

NAMES = ("z", "one", "two", "three", "four", "five", "six")
METADATA = {name: f'"{name}" über\n\u2028\x7f\x01' for name in NAMES}


def test_tensors_and_metadata_come_back(tmp_path):
    tensors = {"b": torch.randn(3, 4), "a": torch.arange(5), "empty": torch.zeros(0, 2)}
    save_tensors(tensors, tmp_path / "t.safetensors", METADATA)
    loaded = load_file(tmp_path / "t.safetensors")
    assert loaded.keys() == tensors.keys() and all(torch.equal(loaded[k], v) for k, v in tensors.items())
    with safe_open(tmp_path / "t.safetensors", framework="pt") as file:
        assert file.metadata() == METADATA
    save_tensors(tensors, tmp_path / "bare.safetensors", {})
    assert load_file(tmp_path / "bare.safetensors").keys() == tensors.keys()


def test_files_have_the_usual_mode(tmp_path):
    for mask, mode in ((0o022, 0o644), (0o007, 0o660)):
        before = os.umask(mask)
        try:
            path = tmp_path / f"{mask}.safetensors"
            save_tensors({"a": torch.zeros(1)}, path, {})
            write_latents(tmp_path / f"{mask}", "train", torch.zeros(2, 1, 2, 2))
        finally:
            os.umask(before)
        assert path.stat().st_mode & 0o777 == mode
        assert (tmp_path / f"{mask}" / "train.safetensors").stat().st_mode & 0o777 == mode


WRITER = """
import sys, torch
sys.path.append("tests")
from data.labels import LabelTable
from saved_latents import write_latents
x = torch.arange(32.0).view(4, 2, 2, 2)
metadata = {"tokenizer_digest": "t", "preprocessing": {"geometry": "pad"}}
write_latents(sys.argv[1], "train", x, x + 1, torch.tensor([0, 1, 0, 1]), LabelTable(("ID_1", "ID_2")),
              metadata=metadata)
"""


def test_latents_files_are_equal_between_processes(tmp_path, monkeypatch):
    """Of the orders of ten entries, two processes practically never choose one."""
    subprocess.run([sys.executable, "-c", WRITER, str(tmp_path / "there")], cwd=PROJECT, check=True)
    monkeypatch.setattr(sys, "argv", ["-c", str(tmp_path / "here")])
    monkeypatch.setattr(sys, "path", [*sys.path])
    exec(WRITER, {})
    first, second = (tmp_path / name / "train.safetensors" for name in ("there", "here"))
    assert first.read_bytes() == second.read_bytes()
    assert read_latents(first.parent, "train").metadata["preprocessing"] == {"geometry": "pad"}


def test_a_full_disk_is_one_line_and_keeps_the_old_file(tmp_path):
    def write(value: float) -> None:
        write_latents(tmp_path, "train", torch.full((50, 4, 8, 8), value))

    write(1.0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="free some space") as caught:
            write(2.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value) and entries(tmp_path) == ["train.safetensors"]
    assert float(read_latents(tmp_path, "train").latents.max()) == 1.0
