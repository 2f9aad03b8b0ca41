"""Held-out images of a day that training has, and of another one, are told apart, person by person."""

from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest

from configs.errors import UserError
from data.images import ImageRecord
from data.labels import LabelTable
from data.split_files import read_groups
from evaluation.groups import group_figures, group_images, pieces_of

PEOPLE = LabelTable(("ID_1", "ID_2"))


def parts(**rows):
    """Records of each part, and what is told of them; a row is person and day ("" where nobody knows)."""
    records, table = {}, {}
    for part, people in rows.items():
        records[part] = []
        for number, (person, day) in enumerate(people):
            record = ImageRecord(Path(part), f"{person}/{number}.png", person)
            records[part].append(record)
            table[f"{part}/{record.relative}"] = {"day": day} if day else {}
    return table, records


TRAIN = [("ID_1", "mon"), ("ID_1", "tue"), ("ID_2", "mon")]


def test_a_day_is_a_person_s_own():
    table, records = parts(train=TRAIN, val=[("ID_1", "tue"), ("ID_2", "tue"), ("ID_2", ""), ("ID_2", "mon")])
    day = group_images(table, records)["day"]
    assert {kind: places.tolist() for kind, places in day.places.items()} == {"same": [0, 3], "other": [1]}
    assert day.values == {"same": ["mon", "tue"], "other": ["tue"]}
    assert day.parts == ["val"] and day.unknown == 1 and day.both


@pytest.mark.parametrize(
    ("test", "places", "used"),
    [
        ([("ID_1", "wed"), ("ID_2", "mon")], {"same": [3], "other": [2]}, ["test"]),
        ([("ID_1", "wed"), ("ID_2", "wed")], {"same": [0, 1], "other": [2, 3]}, ["val", "test"]),
    ],
)
def test_val_is_taken_where_test_has_one_kind_alone(test, places, used):
    table, records = parts(train=TRAIN, val=[("ID_1", "mon"), ("ID_2", "mon")], test=test)
    day = group_images(table, records)["day"]
    assert {kind: numbers.tolist() for kind, numbers in day.places.items()} == places and day.parts == used


def test_nothing_is_said_where_training_tells_no_day():
    table, records = parts(train=[("ID_1", ""), ("ID_2", "")], val=[("ID_1", "mon")])
    assert group_images(table, records) == {} == group_images({}, records)


def test_the_figures_are_those_of_each_kind():
    table, records = parts(train=TRAIN, val=[("ID_1", "mon")] * 3 + [("ID_2", "tue")] * 2)
    labels = numpy.array([0, 0, 0, 1, 1])
    named = numpy.eye(2)[[0, 0, 1, 0, 0]]
    judge, images = SimpleNamespace(predict=lambda images: named), SimpleNamespace(seen=None, labels=labels)
    figures = group_figures(judge, images, group_images(table, records), PEOPLE)["day"]
    shares = {kind: figures[kind]["judged_right"] for kind in ("same", "other")}
    assert {kind: (share["hits"], share["count"]) for kind, share in shares.items()} == {
        "same": (2, 3),
        "other": (0, 2),
    }
    assert figures["difference"]["value"] == pytest.approx(2 / 3)
    assert list(shares["other"]["per_person"]) == ["ID_2"] and figures["other"]["values"] == ["tue"]


def test_the_table_of_a_split_tells_groups(tmp_path):
    assert read_groups(tmp_path) == {}
    (tmp_path / "split.csv").write_text(
        "path,user,split,person,day,recording,file\na,ID_1,train,ID_1,mon,,train/ID_1/a.png\n"
    )
    assert read_groups(tmp_path) == {"train/ID_1/a.png": {"day": "mon"}}
    (tmp_path / "split.csv").write_text("path,user\na,ID_1\n")
    with pytest.raises(UserError, match="split.csv: not readable as the table of a split"):
        read_groups(tmp_path)


def test_pieces_are_the_coarsest_group_of_which_everybody_has_two():
    records = [
        ("test", ImageRecord(Path("test"), f"{person}/{n}.png", person)) for person in "AB" for n in "123"
    ]

    def pieces(*rows):
        table = {f"test/{record.relative}": row for (_, record), row in zip(records, rows)}
        numbers = pieces_of(table, records)
        return None if numbers is None else numbers.tolist()

    days = [{"day": day} for day in ("mon", "mon", "tue") * 2]
    assert pieces(*days) == [0, 0, 1] * 2
    # by the day, which is coarser than the recording; by that where somebody came on one day only
    recorded = [{**day, "recording": name} for day, name in zip(days, "121121")]
    assert pieces(*recorded) == [0, 0, 1] * 2
    recorded[5] = {"day": "mon", "recording": "1"}
    assert pieces(*recorded) == [0, 1, 2, 0, 1, 0]
    assert pieces(*days[:5], {"day": "mon"}) is None and pieces(*days[:5], {}) is None is pieces()
