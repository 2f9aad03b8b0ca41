"""A recording that was exported again under its name: nothing stale stays, and others are left alone."""

import numpy
import pytest
from tables import rows_of
from toy_run import changed, digest_of, names, output_of, snapshot

import stage0_prepare


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
    own = {name for name in before if name.startswith("ID_1/a_0") and name.count("_") == 2}
    left = own & set(after)
    assert changed(before, after) == own | {"axes.csv", "labels.csv"} and 0 < len(left) < len(own)
    assert f"ID_1/a.npy: has changed: its {len(own)} images were removed, {len(left)} drawn anew" in said
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
