"""A folder belongs to the settings that made it, and says which ones differ."""

import json
import subprocess
import sys

import pytest
from conftest import PROJECT

from configs.errors import UserError
from data.run_record import FORMAT, RECORD, claim_folder, lock_folder

SETTINGS = {"lr": 1e-4, "users": [1, 2], "name": None, "rate": 0.5, "word": "ü"}


def claim(folder, settings, outputs):
    with claim_folder(folder, settings, outputs):
        pass


def message(folder, settings, outputs="*.png"):
    with pytest.raises(UserError) as caught:
        claim(folder, settings, outputs)
    assert "\n" not in str(caught.value) and "--output_dir" in str(caught.value)
    return str(caught.value)


def test_the_first_claim_records_and_the_second_changes_nothing(tmp_path):
    folder = tmp_path / "new" / "folder"
    claim(folder, SETTINGS, "*.png")
    assert json.loads((folder / RECORD).read_text(encoding="utf-8")) == {"format": FORMAT, **SETTINGS}
    before = (folder / RECORD).stat().st_mtime_ns
    claim(folder, {**SETTINGS, "users": (1, 2)}, "*.png")  # JSON knows lists only
    assert (folder / RECORD).stat().st_mtime_ns == before
    assert [path.name for path in folder.iterdir()] == [RECORD]


def test_the_order_of_settings_does_not_matter(tmp_path):
    claim(tmp_path, {"a": 1, "b": 2}, "*.png")
    first = (tmp_path / RECORD).read_bytes()
    claim(tmp_path, {"b": 2, "a": 1}, "*.png")
    other = tmp_path / "other"
    claim(other, {"b": 2, "a": 1}, "*.png")
    assert (tmp_path / RECORD).read_bytes() == first == (other / RECORD).read_bytes()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"lr": 2e-4}, "lr was 0.0001, now 0.0002"),
        ({"users": [2, 1]}, "users was [1, 2], now [2, 1]"),
        ({"name": "x"}, "name was None, now 'x'"),
        ({"further": 3}, "further was None, now 3"),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path, changed, said):
    claim(tmp_path, SETTINGS, "*.png")
    before = (tmp_path / RECORD).read_bytes()
    text = message(tmp_path, {**SETTINGS, **changed})
    assert said in text and str(tmp_path) in text
    assert (tmp_path / RECORD).read_bytes() == before


def test_a_setting_that_is_gone_counts_as_changed(tmp_path):
    claim(tmp_path, SETTINGS, "*.png")
    assert "rate was 0.5, now None" in message(tmp_path, {k: v for k, v in SETTINGS.items() if k != "rate"})


def test_outputs_without_a_record_are_refused_and_other_files_are_not(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    claim(tmp_path, SETTINGS, "*.png")
    (tmp_path / RECORD).unlink()
    (tmp_path / "a.png").write_bytes(b"x")
    text = message(tmp_path, SETTINGS)
    assert "a.png" in text and RECORD in text and not (tmp_path / RECORD).exists()


def test_a_damaged_record_is_refused(tmp_path):
    (tmp_path / RECORD).write_bytes(b"{")
    assert f"{tmp_path / RECORD}: damaged" in message(tmp_path, SETTINGS)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("x")
    assert "is a file, expected a folder" in message(tmp_path / "out", SETTINGS)
    assert (tmp_path / "out").read_text() == "x"


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path, monkeypatch):
    code = (
        "import sys; from pathlib import Path; from data.run_record import lock_folder\n"
        "with lock_folder(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=PROJECT,
    )
    assert holder.stdout.readline() == b"in\n"
    with pytest.raises(UserError, match="another process is writing into it; wait for its end"):
        claim(tmp_path, SETTINGS, "*.png")
    monkeypatch.setenv("LOCAL_RANK", "1")  # a further process of the run that holds it
    with lock_folder(tmp_path):
        pass
    monkeypatch.delenv("LOCAL_RANK")
    holder.kill()  # its death opens the folder
    holder.wait()
    claim(tmp_path, SETTINGS, "*.png")


def test_a_dry_run_refuses_the_same_and_leaves_the_disk_alone(tmp_path):
    with claim_folder(tmp_path / "a/new", SETTINGS, "*.png", dry_run=True):
        assert not list(tmp_path.iterdir())
    claim(tmp_path / "made", SETTINGS, "*.png")
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger/a.png").touch()
    (tmp_path / "file").touch()
    for folder, settings in (
        ("made", {**SETTINGS, "lr": 2e-4}),
        ("stranger", SETTINGS),
        ("file", SETTINGS),
        ("file/below", SETTINGS),
    ):
        texts = []
        for dry_run in (False, True):
            with pytest.raises((UserError, OSError)) as caught:
                with claim_folder(tmp_path / folder, settings, "*.png", dry_run):
                    pass
            texts.append(str(caught.value))
        assert texts[0] == texts[1]
    assert not (tmp_path / "stranger" / RECORD).exists()
