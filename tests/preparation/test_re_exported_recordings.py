"""A recording that was exported again under its name: nothing stale stays, and others are left alone."""

import numpy
import pytest
from tables import rows_of
from toy_run import changed, digest_of, names, output_of, snapshot

import stage0_prepare

PROFILE = """channelCfg 15 3 0
adcCfg 2 1
adcbufCfg -1 0 0 1 1
profileCfg 0 77 10 5 60 0 0 20 1 32 1000 0 0 30
chirpCfg 0 0 0 0 0 0 0 1
frameCfg 0 0 16 0 20 1 0
"""


def record(path, seconds, seed):
    draw = numpy.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    numpy.save(path, draw.normal(size=1000 * seconds) + 1j * draw.normal(size=1000 * seconds))


def draw(folder, source="recordings"):
    return output_of(
        stage0_prepare.main,
        f"spectrogram --input {folder}/{source} --output_dir {folder}/raw --carrier 77e9 --prf 1000",
    )


def listed(folder):
    return sorted(row["path"] for row in rows_of(folder / "raw/axes.csv"))


@pytest.fixture
def drawn(tmp_path):
    for name, seed in (("ID_1/a", 1), ("ID_1/a_001", 2), ("ID_2/b", 3)):
        record(tmp_path / f"recordings/{name}.npy", 8, seed)
    draw(tmp_path)
    return tmp_path


def test_its_images_are_drawn_anew_and_surplus_ones_go(drawn):
    before = snapshot(drawn / "raw")
    record(drawn / "recordings/ID_1/a.npy", 4, 9)  # shorter and another walk
    said, after = draw(drawn), snapshot(drawn / "raw")
    images = {name for name in before if name.startswith("ID_1/a_0") and name.count("_") == 2}
    left = images & set(after)
    assert changed(before, after) == images | {"axes.csv", "labels.csv"} and 0 < len(left) < len(images)
    assert f"ID_1/a.npy: has changed: its {len(images)} images were removed, {len(left)} drawn anew" in said
    assert listed(drawn) == sorted(names(drawn / "raw", "*.png"))
    record(drawn / "fresh/ID_1/a.npy", 4, 9)
    output_of(
        stage0_prepare.main,
        f"spectrogram --input {drawn}/fresh --output_dir {drawn}/other --carrier 77e9 --prf 1000",
    )
    for name in left:
        assert digest_of(drawn / "raw" / name) == digest_of(drawn / "other" / name)


def test_the_same_recordings_change_nothing(drawn):
    before = snapshot(drawn / "raw")
    assert "changed" not in draw(drawn) and snapshot(drawn / "raw") == before


def test_images_of_other_recordings_are_kept_and_told_of(drawn):
    before = listed(drawn)
    record(drawn / "more/ID_3/c.npy", 4, 4)
    said = draw(drawn, "more")
    assert f"{len(before)} images of recordings that are not in" in said
    assert set(before) < set(listed(drawn)) == names(drawn / "raw", "*.png")


@pytest.mark.parametrize("profile", ["recordings/ID_1/rec.cfg", "radar.cfg"])
def test_another_profile_of_a_stream_is_another_recording(tmp_path, profile):
    """Beside it, or given by --cfg; frames of 16 chirps, four receivers and 32 samples."""
    folder = tmp_path / "recordings" / "ID_1"
    folder.mkdir(parents=True)
    time = 0.02 * numpy.arange(200)[:, None] + 70e-6 * numpy.arange(16)
    turns = 513 * time[..., None, None] + 5 / 32 * numpy.arange(32)  # 1 m/s in the fifth range cell
    beat = 999 * numpy.exp(2j * numpy.pi * numpy.broadcast_to(turns, (200, 16, 4, 32)))
    lanes = [part.reshape(-1, 2) for part in (beat.real, beat.imag)]
    numpy.stack(lanes, 1).astype("<i2").tofile(folder / "rec.bin")
    (tmp_path / profile).write_text(PROFILE)
    flag = f"--cfg {tmp_path}/radar.cfg" if profile == "radar.cfg" else ""

    def drawn():
        command = f"spectrogram --input {tmp_path}/recordings --output_dir {tmp_path}/raw {flag}"
        return output_of(stage0_prepare.main, command)

    assert "read 1 recording, left out 0" in drawn()
    before = snapshot(tmp_path / "raw")
    assert "changed" not in drawn() and snapshot(tmp_path / "raw") == before
    (tmp_path / profile).write_text(PROFILE.replace(" 77 10 5 ", " 77 40 5 "))
    images = [name for name in before if name.endswith(".png")]
    assert f"rec.bin: has changed: its {len(images)} images were removed" in drawn()
