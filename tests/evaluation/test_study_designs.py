"""Which images each design gives to whom."""

from pathlib import Path

import pytest

from configs.errors import UserError
from data.images import ImageRecord, Splits
from data.labels import LabelTable
from evaluation.selection import GUARD
from evaluation.study import require_possible
from evaluation.study_designs import People, images_of, new_person, other_day, same_budget, unseen_condition

PEOPLE = ("ID_1", "ID_2", "ID_3")
COUNTS = {"train": 12, "val": 3, "test": 5}
GAITS = "_[a-z]+$"
ALONE = People.of(LabelTable(PEOPLE), None)


def splits(names=PEOPLE, counts=COUNTS):
    """So many images a folder: ID_1/train_00.png, ..."""
    records = {
        part: [
            ImageRecord(Path(part, name, f"{part}_{i:02}.png"), f"{name}/{part}_{i:02}.png", name)
            for name in names
            for i in range(count)
        ]
        for part, count in counts.items()
    }
    return Splits(LabelTable(names), records, {})


def names(images, user):
    """Files of a person, without their ending."""
    return [record.path.stem for _, record in images if record.user == user]


def learnt(fold):
    return {record for _, record in [*fold.training, *fold.val, *fold.further]}


def test_the_same_budget_is_the_first_images_and_the_rest_is_tested_beyond_a_guard():
    (fold,) = same_budget(splits(), ALONE, 4, None)
    for user in PEOPLE:
        order = [record.path.stem for _, record in sum(images_of(splits())[user].values(), [])]
        assert names(fold.training, user) == order[:4]
        assert names(fold.tested, user) == order[4 + GUARD :]
    assert (fold.number, fold.drawn, fold.counted) == (4, PEOPLE, PEOPLE)
    assert not fold.val and not fold.further
    assert same_budget(splits(), ALONE, 4, 9)[0].number == 9


def test_each_person_is_new_once_and_known_by_few_images():
    folds = new_person(splits(), ALONE, 4, 2, None, None)
    assert [fold.counted for fold in folds] == [("ID_1", "ID_2"), ("ID_3",)]
    fold = folds[0]
    assert names(fold.training, "ID_1") == [f"train_{i:02}" for i in range(4)]
    assert names(fold.further, "ID_1") == [f"train_{i:02}" for i in range(4, 12)]
    assert names(fold.training, "ID_3") == [f"train_{i:02}" for i in range(12)] and not names(
        fold.further, "ID_3"
    )
    assert {record.user for _, record in fold.val} == {"ID_3"}  # a new person has no more than the few
    assert {record.user for _, record in fold.tested} == set(PEOPLE)
    assert (fold.drawn, fold.number) == (("ID_1", "ID_2"), 12 - 4)
    assert len(new_person(splits(), ALONE, 4, 1, 2, None)) == 2


def test_another_day_is_tested_where_train_lacks_it():
    parts = splits()
    table = {
        f"{part}/{record.relative}": {
            "recording": record.name,  # another one each
            "day": "1" if part != "test" or record.user == "ID_3" else "2",
        }
        for part, records in parts.records.items()
        for record in records
    }
    people = People.of(parts.labels, None)
    (fold,) = other_day(parts, table, people, 0, None)
    assert {(part, record.user) for part, record in fold.tested} == {("test", "ID_1"), ("test", "ID_2")}
    assert fold.counted == ("ID_1", "ID_2") and len(fold.training) == 36 and fold.number == 12
    assert fold.drawn == PEOPLE and len(fold.val) == 9
    (fold,) = other_day(parts, table, people, 1, None)
    assert names(fold.training, "ID_1")[12:] == ["test_00"] and len(names(fold.training, "ID_3")) == 12
    assert names(fold.tested, "ID_1") == ["test_04"]  # beyond a guard
    with pytest.raises(UserError, match="day_images=2: expected fewer, .* the largest has 5, and 3 are kept"):
        other_day(parts, table, people, 2, None)


def test_every_person_lacks_one_condition_and_every_condition_is_recorded_of_somebody():
    folders = tuple(f"{user}_{gait}" for user in PEOPLE for gait in ("fast", "slow"))
    parts = splits(folders)
    people = People.of(parts.labels, GAITS)
    (fold,) = unseen_condition(parts, people, GAITS, None)
    assert fold.drawn == ("ID_1_fast", "ID_2_slow", "ID_3_fast") and fold.counted == PEOPLE
    assert {record.user for _, record in fold.training} == set(folders) - set(fold.drawn)
    assert {record.user for _, record in fold.tested} == set(fold.drawn) and len(fold.tested) == 3 * 20
    assert people.of_folder["ID_2_slow"] == people.of_folder["ID_2"] == "ID_2"
    assert people.names.names == PEOPLE


@pytest.mark.parametrize(
    ("folders", "lacking"),
    [
        ("ID_1_bag ID_1_normal ID_2_normal", {"ID_1_normal"}),  # ID_1_bag is nobody else's
        ("ID_1_bag ID_1_normal ID_2_bag ID_2_coat", {"ID_1_bag"}),  # then ID_2 is the last in a bag
        ("ID_1_bag ID_1_normal", None),
    ],
)
def test_no_condition_is_taken_from_the_last_person_who_has_it(folders, lacking):
    parts = splits(tuple(folders.split()))
    people = People.of(parts.labels, GAITS)
    if lacking:
        (fold,) = unseen_condition(parts, people, GAITS, None)
        assert set(fold.drawn) == lacking
        return require_possible(fold, people, GAITS)
    with pytest.raises(UserError, match="one of which is recorded of somebody else, too; found ID_1_bag"):
        unseen_condition(parts, people, GAITS, None)


def test_people_in_conditions_are_new_and_count_as_people():
    folders = tuple(f"{user}_{gait}" for user in PEOPLE for gait in ("fast", "slow"))
    parts = splits(folders)
    people = People.of(parts.labels, GAITS)
    (fold,) = same_budget(parts, people, 4, None)
    assert fold.counted == PEOPLE and fold.drawn == folders
    folds = new_person(parts, people, 4, 2, None, None)
    assert [fold.counted for fold in folds] == [("ID_1", "ID_2"), ("ID_3",)]
    assert folds[1].drawn == folders[4:]
    assert [len(names(folds[1].training, name)) for name in folders] == [12] * 4 + [4] * 2


def test_a_fold_that_cannot_be_answered_is_refused():
    parts = splits()
    parts.records["test"] = [one for one in parts.records["test"] if one.user != "ID_1"]
    first, second = new_person(parts, ALONE, 4, 1, 2, None)
    require_possible(second, ALONE, None)
    with pytest.raises(UserError, match="fold ID_1: expected held-out images of ID_1 to test, found none"):
        require_possible(first, ALONE, None)
    with pytest.raises(UserError, match="fold ID_2: its generator would not know ID_9"):
        require_possible(second._replace(drawn=("ID_9",)), ALONE, None)


@pytest.mark.parametrize(
    "make",
    [
        lambda parts: same_budget(parts, ALONE, 4, None),
        lambda parts: new_person(parts, ALONE, 4, 1, None, None),
    ],
)
def test_nothing_tested_is_learnt(make):
    fold = make(splits())[0]
    assert fold.tested and not learnt(fold) & {record for _, record in fold.tested}


def test_people_with_too_few_images_are_named():
    with pytest.raises(UserError, match="ID_1 has 12, ID_2 has 12, ID_3 has 12 images in train; expected 13"):
        same_budget(splits(), ALONE, 13, None)
    with pytest.raises(UserError, match="expected 13 or more"):
        new_person(splits(), ALONE, 12, 1, None, None)


def test_what_a_design_requires_is_said():
    parts = splits()
    people = People.of(parts.labels, None)
    with pytest.raises(UserError, match="new_people=3: expected fewer than the 3 people"):
        new_person(parts, people, 4, 3, None, None)
    with pytest.raises(UserError, match=r"other-day: requires .* \(split.csv names none\)"):
        other_day(parts, {}, people, 0, None)
    recordings = {f"train/{one.relative}": {"recording": "a"} for one in parts.records["train"]}
    recordings |= {f"val/{one.relative}": {"recording": "b"} for one in parts.records["val"]}
    with pytest.raises(UserError, match=r"\(split.csv names recording\)"):
        other_day(parts, recordings, people, 0, None)
    with pytest.raises(UserError, match="unseen-condition: requires --conditions"):
        unseen_condition(parts, people, None, None)
    single = splits(("ID_1_fast", "ID_2_slow"))
    with pytest.raises(UserError, match="requires people of two conditions"):
        unseen_condition(single, People.of(single.labels, GAITS), GAITS, None)
