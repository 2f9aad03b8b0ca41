"""No walk on two sides of a split, every file accounted for, and a folder that is complete or says why
not."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from tables import rows_of

from configs.errors import UserError
from data import split_files
from data.folders import Rules
from data.images import ImageRecord, find_images
from data.split_files import materialise
from data.splits import enough_recordings, split_records


def make_records(counts, name="w{0}.png"):
    """Records without files: counts maps user → number of images."""
    return [
        ImageRecord(Path("in", user, name.format(k)), f"{user}/{name.format(k)}", user)
        for user, count in counts.items()
        for k in range(1, count + 1)
    ]


@pytest.fixture
def folder(tmp_path):
    """Two users with 12 tiny files each; the split never decodes them."""
    for user in ("ID_1", "ID_2"):
        (tmp_path / "in" / user).mkdir(parents=True)
        for k in range(1, 13):
            (tmp_path / "in" / user / f"w{k}.png").write_bytes(f"{user} {k}".encode() * k)
    return tmp_path


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def positions(split, user):
    """Split name → positions of the user's files."""
    places = {}
    for k, item in enumerate(item for item in split.assignments if item.record.user == user):
        places.setdefault(item.split, []).append(k)
    return places


@pytest.mark.parametrize("guard", [0, 3, 5])
@pytest.mark.parametrize("test_fraction", [0.0, 0.15])
def test_blocks_are_contiguous_ordered_and_a_guard_apart(guard, test_fraction):
    records = make_records({"ID_1": 117, "ID_2": 40})
    split = split_records(records, guard=guard, test_fraction=test_fraction)
    assert [item.record for item in split.assignments] == records and split.warning is None
    for user, count in (("ID_1", 117), ("ID_2", 40)):
        places = positions(split, user)
        wanted = ["train", "val", "test"] if test_fraction else ["train", "val"]
        blocks = [places[name] for name in wanted]
        assert all(block == list(range(block[0], block[-1] + 1)) for block in blocks)
        assert all(b[0] - a[-1] == guard + 1 for a, b in zip(blocks, blocks[1:]))
        kept = count - guard * (len(wanted) - 1)
        assert sum(map(len, blocks)) == kept and len(places.get("guard", [])) == count - kept
        assert abs(len(places["val"]) - 0.15 * kept) <= 0.5


def test_default_guard_leaves_no_shared_column_at_75_percent_overlap():
    places = positions(split_records(make_records({"ID_1": 100})), "ID_1")
    columns = [set(range(25 * k, 25 * k + 100)) for k in range(100)]  # windows of 100 columns, hop 25
    train = set().union(*(columns[k] for k in places["train"]))
    assert not train & set().union(*(columns[k] for k in places["val"]))
    nearest_guard = columns[places["guard"][-1]]  # with one guard file less, a quarter would be shared
    assert len(columns[places["train"][-1]] & nearest_guard) == 25


@pytest.mark.parametrize("val_fraction, test_fraction", [(0.6, 0.3), (0.15, 0.0), (0.45, 0.45), (0.01, 0.01)])
def test_every_wanted_split_gets_a_file_even_from_few(val_fraction, test_fraction):
    wanted = 3 if test_fraction else 2
    least = wanted + 2 * (wanted - 1)
    for count in range(least, least + 12):
        split = split_records(
            make_records({"ID_1": count}), val_fraction=val_fraction, test_fraction=test_fraction, guard=2
        )
        assert sum(split.counts().values()) == count
        assert len([name for name in split.counts() if name != "guard"]) == wanted


def test_too_few_files_name_all_users_and_the_need():
    records = make_records({"ID_1": 4, "ID_2": 5, "ID_3": 1})
    with pytest.raises(ValueError, match=r"ID_1 has 4, ID_3 has 1, .*least 5 a user; add images.*guard"):
        split_records(records)
    assert split_records(records[4:9]).counts() == {"train": 1, "guard": 3, "val": 1}


def test_no_validation_when_its_fraction_is_zero():
    assert split_records(make_records({"ID_1": 3}), val_fraction=0).counts() == {"train": 3}


def recorded(sizes, user="ID_1"):
    return [
        ImageRecord(Path("in", user, f"walk{r}_w{k}.png"), f"{user}/walk{r}_w{k}.png", user)
        for r, size in enumerate(sizes)
        for k in range(size)
    ]


@pytest.mark.parametrize("pattern", [r"walk(\d+)_", r"walk\d+"])
def test_recordings_stay_whole(pattern):
    records = recorded([20] * 10) + recorded([50, 9, 10, 11], "ID_2")
    split = split_records(records, recordings=pattern, val_fraction=0.2, test_fraction=0.2, seed=3)
    homes = {}
    for item in split.assignments:
        homes.setdefault((item.record.user, item.recording), set()).add(item.split)
    assert len(homes) == 14 and all(len(home) == 1 for home in homes.values())
    assert Counter(next(iter(home)) for (user, _), home in homes.items() if user == "ID_1") == {
        "train": 6,
        "val": 2,
        "test": 2,
    }
    assert sum(split.counts().values()) == len(records) and "guard" not in split.counts()


def test_a_long_recording_is_trained_on():
    for seed in range(20):
        split = split_records(recorded([80, 10, 10]), recordings=r"walk\d+", seed=seed)
        assert split.counts() == {"train": 90, "val": 10}


def test_recordings_follow_the_seed():
    def held_out(seed):
        split = split_records(recorded([20, 21, 22, 19, 20]), recordings=r"walk(\d+)", seed=seed)
        return {item.recording for item in split.assignments if item.split == "val"}

    assert held_out(5) == held_out(5)
    assert len(set().union(*(held_out(seed) for seed in range(20)))) >= 3


def test_too_few_recordings_and_unmatched_names():
    with pytest.raises(ValueError, match=r"too few recordings: ID_1 has 1, .*2 a user.*blocks"):
        split_records(recorded([20]) + recorded([5, 5], "ID_2"), recordings=r"walk\d+")
    with pytest.raises(ValueError, match="matches nothing in ID_1/w1.png"):
        split_records(make_records({"ID_1": 20}), recordings=r"walk\d+")


def test_random_warns_and_follows_the_seed():
    records = make_records({"ID_1": 40, "ID_2": 40})
    split = split_records(records, method="random", seed=1)
    assert "overlapping" in split.warning and split.counts() == {"train": 68, "val": 12}
    assert positions(split, "ID_1") != positions(split, "ID_2")
    assert split.assignments == split_records(records, method="random", seed=1).assignments
    assert split.assignments != split_records(records, method="random", seed=2).assignments


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"method": "recordings"}, "no recording is told of ID_1/w1.png"),
        ({"method": "blocks", "recordings": "x"}, "go together"),
        ({"recordings": "("}, "regular expression"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "nothing is left"),
    ],
)
def test_bad_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        split_records(make_records({"ID_1": 50}), **settings)


@pytest.mark.parametrize("link", [True, False])
def test_materialise_places_every_kept_file_and_lists_all(folder, link):
    records = find_images(folder / "in").records
    split = split_records(records)
    assert materialise(split, folder / "out", link=link) == 18
    placed = find_images(folder / "out" / "train").records + find_images(folder / "out" / "val").records
    kept = [item.record for item in split.assignments if item.split != "guard"]
    assert [(r.user, r.path.name) for r in kept if (folder / "out/val" / r.relative).exists()] == [
        (item.record.user, item.record.path.name) for item in split.assignments if item.split == "val"
    ]
    contents = {record.relative: record.path.read_bytes() for record in placed}
    assert contents == {record.relative: record.path.read_bytes() for record in kept}
    shared = os.path.samefile(folder / "in/ID_1/w1.png", folder / "out/train/ID_1/w1.png")
    assert shared == link
    rows = rows_of(folder / "out" / "split.csv")
    assert [row["path"] for row in rows] == [record.relative for record in records]
    assert [row["split"] for row in rows] == [item.split for item in split.assignments]
    assert list(rows[0]) == ["path", "user", "split", "recording", "file"]


def test_second_run_changes_nothing(folder):
    split = split_records(find_images(folder / "in").records)
    materialise(split, folder / "out")
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*")}
    assert materialise(split, folder / "out") == 0
    assert {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*")} == before


@pytest.mark.parametrize("survivors", [0, 7, 18])
def test_killed_run_is_finished_by_the_next(folder, monkeypatch, survivors):
    split = split_records(find_images(folder / "in").records)
    materialise(split, folder / "whole", link=False)
    real, calls = shutil.copyfile, []

    def dying(source, target):
        if len(calls) == survivors:
            Path(target).write_bytes(b"half")
            raise KeyboardInterrupt
        calls.append(real(source, target))

    def no_csv(path, text):
        if path.name == "split.csv":
            raise KeyboardInterrupt
        Path(path).write_text(text)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(split_files.shutil, "copyfile", dying)
        patch.setattr(split_files, "write_text_if_new", no_csv)
        materialise(split, folder / "out", link=False)
    assert not (folder / "out" / "split.csv").exists()
    assert materialise(split, folder / "out", link=False) == 18 - survivors
    assert tree(folder / "out") == tree(folder / "whole")


@pytest.mark.parametrize("hard", [True, False])
def test_copies_asked_for_replace_the_links_of_a_finished_split(hard, folder, monkeypatch):
    split = split_records(find_images(folder / "in").records)
    if not hard:
        monkeypatch.setattr(split_files.os, "link", split_files.os.symlink)
    assert materialise(split, folder / "out") == 18
    before = tree(folder / "out")
    assert materialise(split, folder / "out", link=False) == 18 and tree(folder / "out") == before
    assert not any((folder / "in/ID_1/w1.png").samefile(path) for path in (folder / "out").rglob("*.png"))
    assert materialise(split, folder / "out", link=False) == materialise(split, folder / "out") == 0


def test_links_fall_back_to_symlinks_then_copies(folder, monkeypatch):
    def refused(*_):
        raise OSError("no links here")

    split = split_records(find_images(folder / "in").records)
    monkeypatch.setattr(split_files.os, "link", refused)
    materialise(split, folder / "soft")
    assert (folder / "soft/train/ID_1/w1.png").is_symlink()
    monkeypatch.setattr(split_files.os, "symlink", refused)
    materialise(split, folder / "copied")
    assert not (folder / "copied/train/ID_1/w1.png").is_symlink()
    assert tree(folder / "soft") == tree(folder / "copied")


def test_another_split_is_never_mixed_in(folder):
    records = find_images(folder / "in").records
    materialise(split_records(records), folder / "out")
    before = tree(folder / "out")
    with pytest.raises(ValueError, match=r"another split \(guard 3 there, 2 now\); choose another folder"):
        materialise(split_records(records, guard=2), folder / "out")
    (folder / "in/ID_1/w9.png").unlink()
    with pytest.raises(ValueError, match="another split .inputs"):
        materialise(split_records(find_images(folder / "in").records), folder / "out")
    assert tree(folder / "out") == before


def test_foreign_files_are_refused(folder):
    split = split_records(find_images(folder / "in").records)
    materialise(split, folder / "out")
    (folder / "out/train/ID_1/extra.png").touch()
    with pytest.raises(ValueError, match="not part of this split .train/ID_1/extra.png"):
        materialise(split, folder / "out")
    (folder / "used/train/ID_1").mkdir(parents=True)
    (folder / "used/train/ID_1/w1.png").write_bytes(b"somebody's")
    with pytest.raises(ValueError, match="not part of this split"):
        materialise(split, folder / "used")
    assert (folder / "used/train/ID_1/w1.png").read_bytes() == b"somebody's"


def test_damaged_settings_are_refused(folder):
    (folder / "out").mkdir()
    (folder / "out/split.json").write_bytes(b"{")
    with pytest.raises(ValueError, match="split.json: damaged"):
        materialise(split_records(find_images(folder / "in").records), folder / "out")


@pytest.mark.parametrize("inside", ["in", "in/split"])
def test_output_inside_the_images_is_refused(folder, inside):
    with pytest.raises(ValueError, match="lies in the images' folder"):
        materialise(split_records(find_images(folder / "in").records), folder / inside)
    assert not (folder / "in/split").exists()


# Groups


def grouped(days, user="ID_1"):
    """Records of the recordings 1, 2, ... of each day, three windows each."""
    return [
        ImageRecord(
            Path("in", f"{day}_{r}_{k}.png"),
            f"{day}_{r}_{k}.png",
            user,
            (("person", user), ("day", day), ("recording", str(r))),
        )
        for day, count in days.items()
        for r in range(1, count + 1)
        for k in range(3)
    ]


def test_whole_days_are_held_out():
    days = {"mon": 4, "tue": 2, "wed": 1}
    records = grouped(days, "ID_1") + grouped(days, "ID_2") + grouped({"mon": 3}, "ID_3")
    split = split_records(records, "recordings", val_fraction=0.25, hold_out=["day=tue", "day=wed"])
    of_day = {}
    for item in split.assignments:
        of_day.setdefault(dict(item.record.groups)["day"], set()).add(item.split)
    assert of_day == {"mon": {"train", "val"}, "tue": {"test"}, "wed": {"test"}}
    assert [item.record for item in split.assignments] == records
    assert split.settings["hold_out"] == ["day=tue", "day=wed"]
    assert (
        split.assignments
        == split_records(
            records, "recordings", val_fraction=0.25, hold_out=["day=wed", "day=tue"]
        ).assignments
    )


def test_recordings_of_one_name_on_two_days_are_two():
    split = split_records(grouped({"mon": 1, "tue": 1}), "recordings")
    assert split.counts() == {"train": 3, "val": 3}
    assert {item.recording for item in split.assignments} == {"mon/1", "tue/1"}
    assert enough_recordings(grouped({"mon": 1, "tue": 1}), 2)
    assert not enough_recordings(grouped({"mon": 1, "tue": 1}), 3)
    assert not enough_recordings(grouped({"mon": 1, "tue": 1}), 2, ["day=tue"])
    assert not enough_recordings(make_records({"ID_1": 9}), 2)


@pytest.mark.parametrize(
    ("hold_out", "words", "settings"),
    [
        (["day=sun"], "day=sun: no image is of it; expected mon, tue", {}),
        (["day"], "day=: no image", {}),
        (["room=a"], "expected person, day, recording", {}),
        (["person=ID_2"], "nothing to train on of ID_2", {}),
        (["day=mon", "day=tue"], "nothing to train on of ID_1", {}),
        (["day=tue"], "test_fraction 0.1 with hold_out", {"test_fraction": 0.1}),
    ],
)
def test_groups_that_cannot_be_held_out(hold_out, words, settings):
    records = grouped({"mon": 3, "tue": 1}) + grouped({"mon": 2}, "ID_2")
    with pytest.raises(UserError, match=words):
        split_records(records, "recordings", hold_out=hold_out, **settings)


def test_the_table_tells_groups_and_where_each_file_went(folder):
    for k in range(1, 13):  # the same names in a folder below
        (folder / "in/ID_1/day2").mkdir(exist_ok=True)
        (folder / "in/ID_1/day2" / f"w{k}.png").write_bytes(b"other day" * k)
    records = find_images(folder / "in", Rules(name="(?P<person>ID_[0-9])/(?P<day>day2)?")).records
    materialise(split_records(records, hold_out=["day=day2"]), folder / "out")
    rows = {row["path"]: row for row in rows_of(folder / "out/split.csv")}
    row = rows["ID_1/day2/w3.png"]
    assert (row["split"], row["day"], row["file"]) == ("test", "day2", "test/ID_1/day2_w3.png")
    placed = {row["file"] for row in rows.values() if row["split"] != "guard"}
    assert placed == {path for path in tree(folder / "out") if path.endswith(".png")}
    assert (folder / "out" / row["file"]).read_bytes() == b"other day" * 3
