"""Folders that are no people, and names that may be one person's twice."""

import re

import pytest

from configs.errors import UserError
from data.folders import Rules, find_files
from data.images import find_splits
from data.people import example_name

PNG = (".png",)


def tree(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def people(folder, rules):
    return {record.relative: record.user for record in find_files(folder, PNG, "image", rules).records}


def refusal(folder, match):
    with pytest.raises(UserError, match=match) as error:
        find_files(folder, PNG, "image")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "names",
    [
        ("walk/walk_P1_a.png", "walk/walk_P2_a.png", "run/run_P1_a.png"),
        ("Running/001_A_doppler.png", "sitting down/002_B_doppler.png"),
        ("220110/220110_2_0_15.png", "211130/211130_1_3_4.png"),
        ("day1/P1.png", "day2/P1.png"),
        ("1 December 2017 Dataset/1P36A01R01.png", "2 March 2017 Dataset/1P02A01R01.png"),
    ],
)
def test_folders_of_activities_and_days_are_no_people(tmp_path, names):
    text = refusal(tree(tmp_path, *names), "of activities, days or the like, not of people.*--labels T.csv")
    pattern, value = re.search("like --name '(.+?)' where (.+?) is the person", text).groups()
    assert value in {user.split("_")[0] for user in people(tmp_path, Rules(name=pattern)).values()}
    as_people = people(tmp_path, Rules(name=text.rpartition("'")[0].rpartition("'")[2]))
    assert set(as_people.values()) == {name.partition("/")[0] for name in names}


@pytest.mark.parametrize("top", ["A01", "anna", "7"])
def test_files_of_several_people_in_one_folder_are_no_persons(tmp_path, top):
    tree(tmp_path, f"{top}/P01_r1.png", f"{top}/P02_r1.png", "B/P01_r1.png")
    text = refusal(tmp_path, f"names of the images in {top} tell of several people .p1, p2.")
    pattern = re.search("like --name '(.+?)' where P01 is the person", text)[1]
    assert {user.split("_")[0] for user in people(tmp_path, Rules(name=pattern)).values()} == {"P01", "P02"}


@pytest.mark.parametrize(
    "names",
    [
        ("ID_1/p1_001.png", "ID_1/p2_001.png"),  # parts of a person's recording
        ("ID_1_walk/a.png", "ID_2_run/a.png"),
        ("Walker/rec1.png", "Li/rec2.png"),
        ("1/rec1.png", "2/rec2.png"),
    ],
)
def test_people_stay_people(tmp_path, names):
    assert people(tree(tmp_path, *names), Rules()) == {name: name.partition("/")[0] for name in names}


@pytest.mark.parametrize("top", ["images", "Data", "micro_doppler", "png"])
def test_a_single_folder_named_like_a_container_is_no_person(tmp_path, top):
    text = refusal(
        tree(tmp_path, f"{top}/img_1.png", f"{top}/img_2.png"), f"only folder, {top}, is named like"
    )
    whole = text.rpartition("if all are of one person: --name ")[2].strip("'")
    assert set(people(tmp_path, Rules(name=whole)).values()) == {top}


def test_a_table_in_the_only_folder_or_beside_loose_images_is_named(tmp_path):
    tree(tmp_path, "ID_1/a.png", "ID_1/people.csv")
    refusal(tmp_path, "ID_1/people.csv lies in the only folder, ID_1; give --labels .*else --leave_out")
    tree(tmp_path / "flat", "a.png", "metadata.csv")
    refusal(tmp_path / "flat", "or give --labels .*metadata.csv")
    tree(tmp_path / "xlsx", "ID_1/a.png", "people.xlsx")
    refusal(tmp_path / "xlsx", "save people.xlsx as CSV for --labels, file, person where")


@pytest.mark.parametrize("names", [("S1/a.png", "S01/a.png"), ("anna/a.png", "Anna/a.png")])
def test_names_that_differ_in_case_or_zeros_only_are_refused(tmp_path, names):
    refusal(tree(tmp_path, *names), "one person or two.*rename one, or name the people by --labels")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("1P02A01R01.npy", "P02"),
        ("S1_T2.npy", "S1"),
        ("anna_walk.npy", "anna"),
        ("220110_2_0_15_RE.txt", "2"),
        ("001-NM-01-000.mat", "001"),
        ("images/subj3.png", "subj3"),
    ],
)
def test_the_example_finds_what_it_says(path, value):
    pattern, shown = example_name(path)
    assert shown == value == re.search(pattern, path)["person"]


def test_a_finished_split_has_settled_whose_they_are(tmp_path):
    for part in ("train", "val"):
        tree(tmp_path, f"{part}/walk/P1_a.png", f"{part}/run/P2_a.png")
    assert find_splits(tmp_path).labels.names == ("run", "walk")
