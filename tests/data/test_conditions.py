"""Folders taken apart into people and conditions, and the combinations made of them."""

import pytest
import torch

from data.conditions import Conditions
from data.labels import LabelTable
from data.latents import LatentSet

FOLDERS = LabelTable(("ID_10_normal", "ID_2_backpack", "ID_2_normal"))


def test_every_person_in_every_condition_and_in_none():
    conditions = Conditions.from_folders(FOLDERS, "_[a-z]+$")
    assert dict(zip(conditions.labels.names, conditions.pairs)) == {
        "ID_2": [0, -1],
        "ID_2_backpack": [0, 0],
        "ID_2_normal": [0, 1],
        "ID_10": [1, -1],
        "ID_10_backpack": [1, 0],
        "ID_10_normal": [1, 1],
    }


def test_the_condition_may_stand_at_the_start_and_be_missing():
    conditions = Conditions.from_folders(LabelTable(("slow walker1", "walker1", "walker2")), "^slow ")
    assert dict(zip(conditions.labels.names, conditions.pairs)) == {
        "slow walker1": [0, 0],
        "walker1": [0, -1],
        "slow walker2": [1, 0],
        "walker2": [1, -1],
    }


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("_[a-z+$", "not a regular expression"),
        ("_running$", "found in none of the folders ID_2_backpack"),
        ("x*", "found in none"),
        (".*", "leaves '', which are no people"),
        ("(?<=ID)_[0-9]+", "which are no people"),
    ],
)
def test_expressions_that_cannot_work_are_refused(pattern, said):
    with pytest.raises(ValueError, match=said):
        Conditions.from_folders(FOLDERS, pattern)


def test_names_that_would_mean_two_people_are_refused():
    with pytest.raises(ValueError, match="which are no people"):
        Conditions.from_folders(LabelTable(("ID_7_slow", "slow_ID_7", "ID_7_")), "slow")


def test_each_label_knows_its_person_in_no_condition():
    conditions = Conditions.from_folders(FOLDERS, "_[a-z]+$")
    alone = {
        name: conditions.labels.names[label]
        for name, label in zip(conditions.labels.names, conditions.person_alone())
    }
    assert alone == {name: name.split("_b")[0].split("_n")[0] for name in conditions.labels.names}


@pytest.mark.parametrize(
    ("folders", "pattern", "names"),
    [
        (FOLDERS.names, "_[a-z]+$", ["", "_backpack", "_normal"] * 2),
        (("day1_1", "day1_2", "day2_1"), r"^day\d_", ["", "", "day1_", "day1_", "day2_", "day2_"]),
    ],
)
def test_each_label_has_the_name_of_its_condition(folders, pattern, names):
    assert Conditions.from_folders(LabelTable(folders), pattern).names() == names


def test_latents_keep_their_people():
    latents = LatentSet(torch.arange(4.0), None, torch.tensor([2, 0, 1, 0]), FOLDERS, list("abcd"))
    moved = Conditions.from_folders(FOLDERS, "_[a-z]+$").relabel(latents)
    assert [moved.label_table.names[label] for label in moved.labels] == [
        FOLDERS.names[label] for label in latents.labels
    ]
    assert torch.equal(moved.latents, latents.latents)
